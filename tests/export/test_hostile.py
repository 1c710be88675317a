"""What phones, people and disks do to an export: the same answer as the training side's, or a refusal."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.bundle import fakes
from tests.export.conftest import pictures
from tfvertical.contracts import Examples
from tfvertical.errors import BundleError, DataError, TfverticalError
from tfvertical.export import _summary, export
from tfvertical.runtime import Predictor

TEXTS = {
    "NUL": "the\0card",
    "half a surrogate pair": "the \ud83d card",
    "right to left": "\u202ethe card\u202c never \u200f.",
    "joined": "the\u200dcard 👩\u200d👧",
    "nothing": "",
    "blank": " \t\n\u3000",
    "long": "card " * 5_000,
    "one long word": "c" * 10_000,
}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory, text_classifier: Any) -> Predictor:
    return Predictor(export(text_classifier, tmp_path_factory.mktemp("text")))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, image_classifier: Any) -> Predictor:
    return Predictor(export(image_classifier, tmp_path_factory.mktemp("image")))


@pytest.mark.parametrize("name", TEXTS)
def test_any_text_scores_as_in_training(texts: Predictor, text_classifier: Any, name: str):
    expected = text_classifier.scores(fakes.examples([TEXTS[name]]))
    np.testing.assert_allclose(texts.scores([TEXTS[name]]), expected, atol=1e-5)


def test_any_text_scores_in_a_graph_as_in_training(tmp_path: Path, text_classifier: Any):
    told = export(text_classifier, tmp_path, "saved_model", examples=list(TEXTS.values())) / "parity.json"
    found = json.loads(told.read_text())
    assert (found["n"], found["left_out"]) == (len(TEXTS), 0) and found["max_difference"] <= 1e-5


def encoded(kind: str) -> bytes:
    """A picture as some camera or scanner writes it."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    picture, options, file = Image.fromarray(noise), {}, io.BytesIO()
    if kind == "rotated by EXIF":
        exif = Image.Exif()
        exif[0x0112] = 6
        options = {"exif": exif}
    elif kind == "animated":
        options = {"save_all": True, "append_images": [Image.fromarray(255 - noise)]}
    elif kind == "16 bits":
        picture = Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
    elif kind != "RGB":
        picture = picture.convert(kind)
    form = {"CMYK": "JPEG", "rotated by EXIF": "JPEG", "animated": "GIF", "1": "TIFF"}.get(kind, "PNG")
    picture.save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["RGB", "L", "LA", "RGBA", "P", "1", "CMYK", "16 bits", "rotated by EXIF", "animated"])
def test_any_picture_scores_as_in_training(images: Predictor, image_classifier: Any, kind: str):
    content = encoded(kind)
    expected = image_classifier.scores(fakes.examples([content]))
    np.testing.assert_allclose(images.scores([content]), expected, atol=1e-5)


@pytest.mark.parametrize(
    "item", [b"no picture", np.zeros((4, 4)), np.zeros((0, 3, 3), np.uint8), 7, "no such file.png"]
)
def test_calibration_that_is_none_is_refused_and_nothing_is_left(tmp_path: Path, sure_image_classifier: Any, item: Any):
    with pytest.raises(TfverticalError):
        export(sure_image_classifier, tmp_path, precision="int8", examples=pictures(), calibration=[*pictures(3), item])
    assert not list(tmp_path.glob("exports/*"))


@pytest.mark.parametrize("item", [7, None, b"the card", ("the", "card")])
def test_calibration_that_is_no_text_is_named(tmp_path: Path, text_classifier: Any, item: Any):
    with pytest.raises(DataError, match=r"calibration:2 is no text"):
        export(text_classifier, tmp_path, precision="int8", examples=["card"] * 60, calibration=["a", "b", item])
    rows = Examples(["a", item], None, ["train.csv:2", "train.csv:3"])
    with pytest.raises(DataError, match=r"train\.csv:3 is no text"):
        export(text_classifier, tmp_path, precision="int8", examples=["card"] * 60, calibration=rows)
    assert not list(tmp_path.glob("exports/*"))


def test_a_vocabulary_of_another_model_is_refused(tmp_path: Path, text_classifier: Any):
    folder = export(text_classifier, tmp_path)
    lines = (folder / "vocab.txt").read_text().split("\n")
    (folder / "vocab.txt").write_text("\n".join([*lines[:6], "cord", *lines[7:]]))
    with pytest.raises(BundleError, match=r"vocab\.txt"):
        Predictor(folder)


def test_the_table_tells_all_exports(tmp_path: Path, text_classifier: Any):
    words = ["the card never arrived", "card", "the the never", "arrived 12 .", "a b c"] * 20
    export(text_classifier, tmp_path)
    export(text_classifier, tmp_path, precision="dynamic", examples=words)
    export(text_classifier, tmp_path, "saved_model")
    folder = tmp_path / "exports"
    (folder / "litert-old").mkdir()
    (folder / "litert-old" / "parity.json").write_text("{")
    lines = _summary.table(folder).splitlines()
    assert [line.split(" | ")[0] for line in lines[6:]] == [
        "| litert-dynamic",
        "| litert-float32",
        "| litert-old",
        "| saved_model-float32",
    ]
    assert "100 given" in lines[6] and "100.0%" in lines[6] and " ms" in lines[6] and lines[8].count("–") == 8
    assert len({line.count("|") for line in lines[4:]}) == 1
    written = (folder / "README.md").read_text().splitlines()
    assert [line for line in written if "old" not in line] == [line for line in lines if "old" not in line]
