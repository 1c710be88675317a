"""What is exported scores as the task does, and what does not is not left lying about."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.bundle import fakes
from tfvertical import bundle, manifest
from tfvertical.errors import BundleError, ConfigError, ExportError, MissingPackageError
from tfvertical.export import _parity, _samples, export
from tfvertical.registry import Registry


@pytest.mark.parametrize("format", ["litert", "saved_model"])
@pytest.mark.parametrize("kind", ["text_classifier", "image_classifier"])
def test_built_in_examples_agree(tmp_path: Path, kind: str, format: str, request: pytest.FixtureRequest):
    task = request.getfixturevalue(kind)
    folder = export(task, tmp_path / "cards", format)
    assert folder == tmp_path / "cards" / "exports" / f"{format}-float32"
    parity = json.loads((folder / "parity.json").read_text())
    assert parity["n"] == len(_parity.default_items(task)) and parity["left_out"] == 0
    assert parity["max_difference"] <= 1e-5 and parity["agreement"] == 1.0 and parity["examples"] == "built-in"
    assert parity["bundle_hash"] is None and "tensorflow" in parity["versions"]
    assert (folder / "labels.txt").read_text().splitlines() == list(task.labels)
    found, _ = manifest.check(folder, kind="export")
    assert {"parity.json", "labels.txt"} <= found.files.keys()


def test_built_in_pictures_are_of_kinds_that_decoders_differ_on():
    kinds = [(content[8:12], content[:4]) for content in [*_samples.large_pictures(), *_samples.transparent_pictures()]]
    assert [b"WEBP" in each for each in kinds].count(True) == 1 and [b"GIF8" in each for each in kinds].count(True) == 1
    for content in _samples.transparent_pictures():
        assert len(np.unique(np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))[..., 3])) > 1, "transparent"


def test_built_in_texts_are_told_apart(text_classifier):
    """A parity check on texts that all score alike would check nothing."""
    scores = text_classifier.scores(fakes.examples(_samples.TEXTS))
    assert len(np.unique(scores.round(6), axis=0)) >= 10


def test_given_examples_of_every_form(tmp_path: Path, image_classifier):
    from PIL import Image

    picture = fakes.pictures(1)[0]
    Image.fromarray(picture).save(tmp_path / "a.jpg")
    Image.fromarray(picture).save(tmp_path / "a.png")
    content = (tmp_path / "a.jpg").read_bytes()
    items = [tmp_path / "a.jpg", tmp_path / "a.png", content, picture]
    items += [str(tmp_path / "a.png"), bytearray(content), memoryview(content)]
    items += [picture[..., 0], picture[..., :1], np.concatenate([picture, picture[..., :1]], -1)]
    for format in ("litert", "saved_model"):
        folder = export(image_classifier, tmp_path / "out", format, examples=items)
        parity = json.loads((folder / "parity.json").read_text())
        assert (parity["n"], parity["examples"]) == (10, "given") and parity["max_difference"] <= 1e-5


def test_a_picture_that_the_graph_cannot_read_is_named(tmp_path: Path, image_classifier):
    from PIL import Image

    Image.fromarray(fakes.pictures(1)[0]).save(tmp_path / "scan.tiff")
    for item, name in ((tmp_path / "scan.tiff", r"scan\.tiff"), ((tmp_path / "scan.tiff").read_bytes(), "as bytes")):
        with pytest.raises(ExportError, match=rf"{name} is no picture that(.|\n)*save it as PNG"):
            export(image_classifier, tmp_path / "out", "saved_model", examples=[item])
    assert not (tmp_path / "out").exists()


def test_bundle_is_named_and_not_touched(tmp_path: Path, text_classifier):
    bundle.save(text_classifier, tmp_path / "cards")
    before = bundle.verify(tmp_path / "cards")
    origin = bundle.hash_for(text_classifier, tmp_path / "cards")
    export(text_classifier, tmp_path / "cards", examples=["the card"], bundle_hash=origin)
    assert bundle.verify(tmp_path / "cards") == before
    (found,) = bundle.exports(tmp_path / "cards")
    assert (found.name, found.stale, found.bundle_hash) == ("litert-float32", False, before.hash)


def test_kept_unless_overwrite(tmp_path: Path):
    task = fakes.image_task()
    folder = export(task, tmp_path, "saved_model")
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(BundleError, match="not empty"):
        export(fakes.image_task(seed=1), tmp_path, "saved_model")
    assert (folder / "manifest.json").read_bytes() == before
    export(fakes.image_task(seed=1), tmp_path, "saved_model", overwrite=True)
    assert (folder / "manifest.json").read_bytes() != before


class Unfaithful(fakes.FakeTask):
    """Its scores are not its model's."""

    error = 2e-5

    def scores(self, examples):
        return super().scores(examples) + np.float32(self.error)


@pytest.mark.parametrize("format", ["litert", "saved_model"])
@pytest.mark.parametrize("error", [2e-5, float("nan")])
def test_a_difference_leaves_nothing_behind(tmp_path: Path, format: str, error: float):
    task = fakes.image_task()
    task.__class__ = Unfaithful
    task.error = error
    with pytest.raises(ExportError, match="does not score as the task does"):
        export(task, tmp_path / "new" / "cards", format)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["litert", "saved_model"])
def test_mixed_precision_becomes_float32(tmp_path: Path, format: str):
    """What was trained in bfloat16 on a TPU runs on a phone; the task itself stays as it was."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        task = fakes.text_task()
    finally:
        keras.config.set_dtype_policy("float32")
    assert task.model.compute_dtype == "bfloat16"
    folder = export(task, tmp_path, format)
    assert task.model.compute_dtype == "bfloat16"
    exported = Registry("export").build(format).load(task, folder)(["a b"])
    np.testing.assert_allclose(exported, fakes.text_task().scores(fakes.examples(["a b"])), atol=1e-5)


def test_windows_have_no_common_truth_and_are_left_out(tmp_path: Path):
    task = fakes.text_task(windows=True)
    folder = export(task, tmp_path, examples=["a b", "a much longer text than twelve tokens"])
    parity = json.loads((folder / "parity.json").read_text())
    assert (parity["n"], parity["left_out"]) == (1, 1)
    with pytest.raises(ExportError, match="No example fits"):
        export(task, tmp_path / "other", examples=["a much longer text than twelve tokens"])
    assert not (tmp_path / "other").exists()


def no_builtin() -> fakes.FakeTask:
    """A model with an operator that LiteRT has not."""

    class Root(keras.layers.Layer):
        def call(self, inputs):
            return keras.ops.cholesky(keras.ops.eye(4) + 0 * inputs[:, :4, :4, 0])

    images = keras.Input((16, 16, 3), name="images")
    outer = keras.Model({"images": images}, keras.layers.Dense(2)(keras.layers.Flatten()(Root(name="root_of")(images))))
    return fakes.FakeTask(outer, fakes.Pixels(), ("cat", "dog"))


def test_an_operator_of_tensorflow_alone_is_refused(tmp_path: Path):
    with pytest.raises(ExportError, match=r"built-in operators[\s\S]*: Cholesky in \S*root_of\S*\."):
        export(no_builtin(), tmp_path / "cards", "litert")
    assert not list(tmp_path.iterdir())


def test_flex_is_found_in_a_file():
    import tensorflow as tf

    from tfvertical.export._convert import refuse_custom
    from tfvertical.runtime.contents import contents

    concrete = tf.function(tf.linalg.cholesky).get_concrete_function(tf.TensorSpec((1, 4, 4), tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    model = converter.convert()
    assert contents(model).custom == ("FlexCholesky",)
    with pytest.raises(ExportError, match="FlexCholesky"):
        refuse_custom(contents(model))
    with pytest.raises(BundleError, match="no TFLite file"):
        contents(b"nothing of the kind")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "litrt"}, r"no export called 'litrt'[\s\S]*Nearest: 'litert'"),
        ({"precision": "int4"}, r"no precision 'int4'"),
        ({"format": "saved_model", "precision": "int8"}, r"no precision 'int8'"),
        ({"lenght": 8}, r"no option 'lenght'[\s\S]*'length'"),
        ({"length": 2}, r"length of 2 tokens does not fit[\s\S]*3 to 24"),
        ({"length": 99}, r"length of 99 tokens does not fit"),
    ],
)
def test_bad_arguments_name_what_is_right(tmp_path: Path, text_classifier, arguments, message: str):
    with pytest.raises(ConfigError, match=message):
        export(text_classifier, tmp_path / "cards", **arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("length", [2, 99])
def test_a_length_is_judged_before_any_example_is(tmp_path: Path, text_classifier, length: int, monkeypatch):
    monkeypatch.setattr(type(text_classifier), "scores", None)
    with pytest.raises(ConfigError, match=f"length of {length} tokens does not fit"):
        export(text_classifier, tmp_path, length=length, examples=["the card"])


def test_a_length_of_pictures_is_told_before_they_are_scored(tmp_path: Path, image_classifier, monkeypatch):
    monkeypatch.setattr(type(image_classifier), "scores", None)
    with pytest.raises(ConfigError, match="reads no text"):
        export(image_classifier, tmp_path, length=8)


def test_length_is_for_texts(tmp_path: Path, image_classifier):
    with pytest.raises(ConfigError, match="reads no text"):
        export(image_classifier, tmp_path, length=8)


def test_a_label_of_two_lines_is_refused_before_anything_is_computed(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(fakes.FakeTask, "scores", None)
    with pytest.raises(ExportError, match=r"'a\\nb' does not fit on a line"):
        export(fakes.image_task(labels=("a\nb", "c")), tmp_path / "x", "saved_model")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_comes_with_its_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'tfvertical\[litert\]'"):
        export(fakes.image_task(), tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_told_before_anything_is_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    monkeypatch.setattr(fakes.FakeTask, "scores", None)
    with pytest.raises(MissingPackageError, match=r"to onnx needs tf2onnx\.(.|\n)*pip install 'tfvertical\[onnx\]'"):
        export(fakes.image_task(), tmp_path / "x", "onnx")


KILLED = """
import contextlib, os, signal, sys, tempfile
from tests.bundle import fakes
from tfvertical.export import _convert, export

tempfile.tempdir = sys.argv[1]
whole = _convert.converter

@contextlib.contextmanager
def killed(*arguments, **options):
    with whole(*arguments, **options):
        os.kill(os.getpid(), signal.SIGKILL)
        yield

_convert.converter = killed
export(fakes.image_task(), sys.argv[2])
"""


def test_a_conversion_that_is_killed_leaves_only_what_the_next_export_removes(tmp_path: Path, root: Path):
    (tmp_path / "tmp").mkdir()
    command = [sys.executable, "-c", KILLED, str(tmp_path / "tmp"), str(tmp_path / "cards")]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert not list((tmp_path / "tmp").glob("tfvertical-*"))
    (left,) = (tmp_path / "cards" / "exports").iterdir()
    assert len(list(left.glob("tfvertical-*/saved_model.pb"))) == 1
    os.utime(left, (0, 0))  # younger than a second, another process might be about to lock it
    export(fakes.image_task(), tmp_path / "cards")
    assert {path.name for path in (tmp_path / "cards" / "exports").iterdir()} == {"litert-float32", "README.md"}
    assert not list((tmp_path / "cards" / "exports" / "litert-float32").glob("tfvertical-*"))


def test_the_room_and_the_function_share_a_name(tmp_path: Path):
    import tfvertical.export as room

    assert room(fakes.image_task(), tmp_path, "saved_model").is_dir()


def test_whatever_a_converter_raises_is_told_as_an_export_that_failed(tmp_path: Path, text_classifier, monkeypatch):
    def breaks(*args, **kwargs):
        raise ValueError("no such operation")

    monkeypatch.setattr(tf.saved_model, "save", breaks)
    with pytest.raises(ExportError, match=r"saved_model failed[\s\S]*ValueError: no such operation"):
        export(text_classifier, tmp_path, "saved_model")
    assert not list(tmp_path.glob("exports/*"))
