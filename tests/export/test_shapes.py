"""Several lengths in one file, and batches of any size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.bundle import fakes
from tfvertical.errors import ConfigError, DataError, ExportError
from tfvertical.export import export, litert
from tfvertical.runtime import LiteRT, Predictor
from tfvertical.runtime.contents import contents

TEXTS = ["card", "the card never", "the card never arrived 12", "a " * 40]  # 3, 5, 13 and far too many tokens


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, text_classifier) -> Path:
    return export(text_classifier, tmp_path_factory.mktemp("lengths"), length=[24, 4, 8])


def test_each_length_is_a_signature_and_weights_stand_once(tmp_path: Path, folder: Path, text_classifier):
    found = contents(folder / "model.tflite")
    assert set(found.signatures) == {"serving_default", "tokens_4", "tokens_8"}
    assert [tensor.shape[1] for tensor in found.inputs] == [24, 24, 24], "the main graph is the longest"
    alone = contents(export(text_classifier, tmp_path) / "model.tflite")
    assert found.metadata == alone.metadata is not None
    assert found.sizes["float32 constants"] < 1.1 * alone.sizes["float32 constants"], "not a second time"


def test_the_shortest_that_holds_a_text_runs(folder: Path, text_classifier):
    predictor = Predictor(folder)
    taken = [predictor.prepare(text)["token_ids"].shape for text in TEXTS]
    assert taken == [(1, 4), (1, 8), (1, 24), (1, 24)]
    expected = text_classifier.scores(fakes.examples(TEXTS))
    np.testing.assert_allclose(predictor.scores(TEXTS), expected, atol=1e-5)
    run = LiteRT(folder / "model.tflite")
    with pytest.raises(DataError, match=r"other shapes(.|\n)*\(1, 4\)(.|\n)*Received:(.|\n)*\(1, 5\)"):
        run({name: np.zeros((1, 5), np.int32) for name in run.inputs})


def test_what_stands_beside_knows_the_lengths(folder: Path):
    assert json.loads((folder / "preprocessing.json").read_text())["lengths"] == [4, 8, 24]
    told = json.loads((folder / "parity.json").read_text())
    assert set(told["by_length"]) == {"4", "8", "24"} and told["max_difference"] <= 1e-5
    lines = [json.loads(line) for line in (folder / "golden.jsonl").read_text().splitlines()]
    assert {len(line["token_ids"]) for line in lines} == {4, 8, 24}


@pytest.mark.parametrize("texts", [["card"] * 5, ["a " * 9] * 5])
def test_a_length_that_no_example_has_is_refused_before_a_minute_of_conversion(
    tmp_path: Path, text_classifier, texts: list[str], monkeypatch
):
    monkeypatch.setattr(litert, "convert", None)
    with pytest.raises(ExportError, match=r"length cannot be checked(.|\n)*Received: 5 for (8|24)"):
        export(text_classifier, tmp_path, length=[8, 24], examples=texts)
    assert not list(tmp_path.glob("exports/*"))


def test_a_batch_may_have_any_size(tmp_path: Path, text_classifier):
    folder = export(text_classifier, tmp_path, dynamic_batch=True)
    run, predictor = LiteRT(folder / "model.tflite"), Predictor(folder)
    assert run.inputs["token_ids"][0] == (-1, 24)
    expected = text_classifier.scores(fakes.examples(TEXTS))
    rows = [predictor.prepare(text) for text in TEXTS]
    for some in (range(4), range(1), range(3)):  # larger and smaller than the one before
        given = {name: np.concatenate([rows[at][name] for at in some]) for name in rows[0]}
        np.testing.assert_allclose(run(given)["scores"], expected[: len(some)], atol=1e-5)
    np.testing.assert_allclose(predictor.scores(TEXTS), expected, atol=1e-5)


def test_a_text_may_have_any_length(tmp_path: Path, text_classifier):
    folder = export(text_classifier, tmp_path, dynamic_length=True)
    predictor, run = Predictor(folder), LiteRT(folder / "model.tflite")
    assert run.inputs["token_ids"][0] == (1, -1)
    taken = [predictor.prepare(text)["token_ids"].shape for text in TEXTS]
    assert taken == [(1, 3), (1, 5), (1, 13), (1, 24)], "no padding"
    expected = text_classifier.scores(fakes.examples(TEXTS))
    for order in (TEXTS, TEXTS[::-1]):  # longer and shorter than the one before
        found = predictor.scores(order)
        np.testing.assert_allclose(found, expected if order is TEXTS else expected[::-1], atol=1e-5)
    padded = {name: np.pad(value, ((0, 0), (0, 4))) for name, value in predictor.prepare(TEXTS[1]).items()}
    np.testing.assert_allclose(run(padded)["scores"], expected[1:2], atol=1e-5)
    found = contents(folder / "model.tflite")
    assert set(found.signatures) == {"serving_default"} and not found.custom
    told = json.loads((folder / "parity.json").read_text())
    assert told["max_difference"] <= 1e-5 and "24" in told["by_length"] and len(told["by_length"]) == 3


def test_more_tokens_than_the_model_knows_are_cut_but_for_the_last(tmp_path: Path, text_classifier):
    folder = export(text_classifier, tmp_path, dynamic_length=True, length=16)
    whole = text_classifier.encode(fakes.examples(["the card never arrived 12 " * 4]))
    run, prepared = LiteRT(folder / "model.tflite"), Predictor(folder).prepare("the card never arrived 12 " * 4)
    ids = prepared["token_ids"]
    assert ids.shape == (1, 16) and len(whole.rows) == 1
    longer = {
        name: np.concatenate([value[:, :15], value[:, 5:15], value[:, 15:]], 1) for name, value in prepared.items()
    }
    np.testing.assert_allclose(run(longer)["scores"], run(prepared)["scores"], atol=1e-6)


def test_any_length_in_any_batch_in_a_quarter_of_the_size(tmp_path: Path, text_classifier):
    texts = [*TEXTS, "never never card"] * 10
    folder = export(
        text_classifier, tmp_path, dynamic_length=True, dynamic_batch=True, precision="dynamic", examples=texts
    )
    run, predictor = LiteRT(folder / "model.tflite"), Predictor(folder)
    assert run.inputs["token_ids"][0] == (-1, -1)
    row = predictor.prepare(TEXTS[1])
    both = run({name: np.concatenate([value, value]) for name, value in row.items()})["scores"]
    np.testing.assert_allclose(both, np.repeat(predictor.scores(TEXTS[1:2]), 2, 0), atol=1e-5)


def test_pictures_in_batches(tmp_path: Path, image_classifier):
    folder = export(image_classifier, tmp_path, dynamic_batch=True)
    pictures = fakes.pictures()
    predictor, run = Predictor(folder), LiteRT(folder / "model.tflite")
    given = {name: np.concatenate([predictor.prepare(each)[name] for each in pictures]) for name in run.inputs}
    expected = image_classifier.scores(fakes.examples(pictures))
    np.testing.assert_allclose(run(given)["scores"], expected, atol=1e-5)


def test_pictures_have_no_length(tmp_path: Path, image_classifier):
    with pytest.raises(ConfigError, match="`dynamic_length` counts tokens"):
        export(image_classifier, tmp_path, dynamic_length=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": []}, "no number of tokens"),
        ({"length": "24"}, "no number of tokens"),
        ({"length": [8, 99]}, "99 tokens does not fit"),
        ({"length": [8, 24], "precision": "int8", "examples": TEXTS, "calibration": TEXTS}, "has one shape"),
        ({"dynamic_length": True, "length": [8, 24]}, "dynamic length has one signature"),
        ({"dynamic_length": True, "precision": "int8", "examples": TEXTS, "calibration": TEXTS}, "has one shape"),
        ({"dynamic_batch": True, "precision": "int8", "examples": TEXTS, "calibration": TEXTS}, "has one shape"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(tmp_path: Path, text_classifier, options, message: str):
    with pytest.raises(ConfigError, match=message):
        export(text_classifier, tmp_path, **options)
    assert not list(tmp_path.glob("exports/*"))
