"""A LiteRT file has its names, and runs without TensorFlow."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bundle import fakes
from tests.export.conftest import pictures
from tfvertical.errors import BundleError, DataError
from tfvertical.export import export, litert
from tfvertical.export._inputs import fixed_inputs
from tfvertical.runtime import LiteRT, Predictor
from tfvertical.runtime import litert as runtime
from tfvertical.runtime.contents import contents

SCRIPT = """
import sys, json
import numpy as np
from tfvertical.runtime import Predictor
predictor = Predictor(sys.argv[1])
items = json.loads(sys.argv[2])
np.save(sys.argv[3], predictor.scores(items))
assert [p.label for p in predictor.predict(items)][0] in predictor.labels
heavy = {"tensorflow", "keras", "keras_hub", "pandas", "sklearn"} & set(sys.modules)
assert not heavy, heavy
"""


def test_signature_has_names_and_one_shape(tmp_path: Path, text_classifier):
    folder = export(text_classifier, tmp_path, length=16)
    inputs, outputs = contents((folder / "model.tflite").read_bytes()).signatures["serving_default"]
    assert set(inputs) == {"token_ids", "padding_mask", "segment_ids"} and outputs == ("scores",)
    runner = LiteRT(folder / "model.tflite")
    assert runner.inputs["token_ids"] == ((1, 16), np.dtype(np.int32))
    assert json.loads((folder / "preprocessing.json").read_text())["length"] == 16
    assert (folder / "vocab.txt").read_bytes() == text_classifier.preprocessor.assets()["vocab.txt"]


def test_inputs_are_bound_by_name(tmp_path: Path, text_classifier):
    runner = LiteRT(export(text_classifier, tmp_path) / "model.tflite")
    inputs = fixed_inputs(text_classifier, "the card")
    expected = text_classifier.scores(fakes.examples(["the card"]))
    for order in (inputs, dict(reversed(inputs.items())), inputs | {"unused": np.zeros(1)}):
        np.testing.assert_allclose(runner(order)["scores"], expected, atol=1e-5)
    with pytest.raises(DataError, match="input 'token_ids' is missing"):
        runner({name: value for name, value in inputs.items() if name != "token_ids"})
    with pytest.raises(DataError, match=r"other shapes(.|\n)*token_ids \(1, 24\)"):
        runner({name: value[:, :5] for name, value in inputs.items()})


@pytest.mark.parametrize("kind", ["text", "image"])
def test_predictor_runs_without_tensorflow(tmp_path: Path, kind: str, root: Path, request: pytest.FixtureRequest):
    task = request.getfixturevalue(f"{kind}_classifier")
    items = ["The CARD never arrived.", "", "café карта卡", "a text " * 50]
    if kind == "image":
        from PIL import Image

        items = [str(tmp_path / f"{number}.png") for number in range(3)]
        for name, picture in zip(items, fakes.pictures(), strict=True):
            Image.fromarray(picture).save(name)
    folder = export(task, tmp_path / "out")
    command = [sys.executable, "-c", SCRIPT, str(folder), json.dumps(items), str(tmp_path / "scores.npy")]
    subprocess.run(command, check=True, cwd=root)
    found = np.load(tmp_path / "scores.npy")
    expected = task.scores(fakes.examples([Path(i) for i in items] if kind == "image" else items))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_predictor_says_what_it_cannot(tmp_path: Path, text_classifier):
    folder = export(text_classifier, tmp_path)
    assert Predictor(folder).scores([]).shape == (0, 3)
    with pytest.raises(DataError, match="reads texts"):
        Predictor(folder).predict([b"bytes"])
    with pytest.raises(DataError, match="names would be predicted"):
        Predictor(folder).predict({"text": "good"})
    with pytest.raises(DataError, match="is a file"):
        Predictor(folder).predict(str(folder / "labels.txt"))
    described = json.loads((folder / "preprocessing.json").read_text())
    described["config"]["class"] = "HubTextPreprocessor"
    (folder / "preprocessing.json").write_text(json.dumps(described))
    with pytest.raises(BundleError, match=r"'preprocessing\.json' was changed"):
        Predictor(folder)
    with pytest.raises(BundleError, match="no form without TensorFlow"):
        Predictor(folder, verify=False)
    (folder / "labels.txt").unlink()
    with pytest.raises(BundleError, match=r"labels.txt is missing"):
        Predictor(folder)


@pytest.mark.parametrize("name", ["model.tflite", "vocab.txt", "labels.txt", "golden.jsonl"])
def test_one_flipped_bit_is_refused(tmp_path: Path, text_classifier, name: str):
    folder = export(text_classifier, tmp_path)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=f"'{name}' was changed"):
        Predictor(folder)


@pytest.mark.parametrize("name", ["model.tflite", "vocab.txt", "preprocessing.json"])
def test_a_file_cut_short_is_refused(tmp_path: Path, text_classifier, name: str):
    folder = export(text_classifier, tmp_path)
    content = (folder / name).read_bytes()
    for left in (len(content) - 1, len(content) // 2, 0):
        (folder / name).write_bytes(content[:left])
        with pytest.raises(BundleError, match=rf"'{name}' was changed|{name}"):
            Predictor(folder)


def test_a_check_on_many_pictures_holds_few_of_them(image_classifier, tmp_path: Path, monkeypatch):
    """At 600 kB a prepared picture, a list of thousands would take gigabytes."""
    folder = export(image_classifier, tmp_path)
    alive = {"now": 0, "most": 0}

    def gone() -> None:
        alive["now"] -= 1

    def counted(*arguments):
        made = fixed_inputs(*arguments)
        alive["now"] += 1
        alive["most"] = max(alive["most"], alive["now"])
        weakref.finalize(made["images"], gone)
        return made

    monkeypatch.setattr(litert, "fixed_inputs", counted)
    scores = litert.LiteRT().load(image_classifier, folder)(pictures(40))
    assert scores.shape == (40, 2) and alive["most"] <= 3


class Shared:
    """An interpreter as ai-edge-litert's: one place for inputs, and other threads run while it computes."""

    def __init__(self, **given: Any):
        self.tensor = np.zeros((1, 1), np.float32)

    def get_signature_list(self) -> list[str]:
        return ["serving_default"]

    def get_signature_runner(self, key: str) -> Any:
        return self

    def get_input_details(self) -> dict[str, Any]:
        return {"x": {"shape_signature": (1, 1), "dtype": np.float32, "quantization": (0.0, 0)}}

    get_output_details = get_input_details

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        self.tensor[:] = x
        time.sleep(0.005)
        return {"x": self.tensor.copy()}


def test_each_thread_gets_its_own_answer(monkeypatch):
    monkeypatch.setattr(runtime, "interpreter_class", lambda: Shared)
    run = LiteRT(b"any")
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda number: run({"x": np.full((1, 1), number)})["x"].item(), range(40))
        assert list(found) == list(range(40))
