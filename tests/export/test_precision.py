"""Lower precision: smaller files, gated on real examples; nothing is left behind by one that loses too much."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bundle import fakes
from tests.export.conftest import pictures
from tfvertical.contracts import Encoded, Examples, Task
from tfvertical.errors import ConfigError, DataError, ExportError
from tfvertical.export import _parity, _selective, export
from tfvertical.runtime import LiteRT, Predictor
from tfvertical.runtime.contents import contents

TEXTS = ["the card never arrived", "card", "the the never", "arrived 12 .", "карта", "a b c d e f g"] * 20


def parity(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "parity.json").read_text())


@pytest.mark.parametrize("precision", ["float16", "dynamic", "auto"])
def test_a_text_file_of_lower_precision_tells_what_it_lost(tmp_path: Path, text_classifier, precision: str):
    labels = [text_classifier.labels[at] for at in text_classifier.scores(fakes.examples(TEXTS)).argmax(1)]
    examples = Examples(TEXTS, labels, [str(number) for number in range(len(TEXTS))])
    folder = export(text_classifier, tmp_path, precision=precision, examples=examples, max_drop=0.0)
    assert folder.name == f"litert-{'dynamic' if precision == 'auto' else precision}"
    told = parity(folder)
    assert told["n"] == 120 and told["agreement"] == 1.0 and told["drop"] == 0.0 and told["max_drop"] == 0.0
    assert told["accuracy"]["float32"] == 1.0 and told["bytes"] == (folder / "model.tflite").stat().st_size
    assert set(told["milliseconds"]) == {"1", "2"} and told["milliseconds"]["1"]["p50"] > 0
    found = Predictor(folder).scores(TEXTS[:6])
    expected = text_classifier.scores(fakes.examples(TEXTS[:6]))
    assert 0 < np.abs(found - expected).max() < 0.02, "the file is another one, and near"


@pytest.mark.parametrize("integer_io", [False, True])
def test_full_integer_takes_ranges_from_training_pictures(tmp_path: Path, sure_image_classifier, integer_io: bool):
    task, seen = sure_image_classifier, pictures()
    folder = export(task, tmp_path, precision="int8", examples=seen, calibration=seen[:40], integer_io=integer_io)
    found = contents(folder / "model.tflite")
    assert found.sizes["int8 constants"] > found.sizes.get("float32 constants", 0)
    assert found.inputs[0].dtype == ("UINT8" if integer_io else "FLOAT32")
    assert any(tensor.scales > 1 for tensor in found.tensors), "kernels are quantized by channel"
    scores = Predictor(folder).scores(seen[:20])
    np.testing.assert_allclose(scores, task.scores(fakes.examples(seen[:20])), atol=0.1)
    if integer_io:
        runner = LiteRT(folder / "model.tflite")
        assert runner.inputs["images"][1] == np.uint8 and runner._signatures[0].steps["images"] == (1.0, 0), (
            "a pixel is itself"
        )
        told = found.inputs[0].quantization, found.outputs[0].quantization
        assert [(each.scales.tolist(), each.zero_points.tolist()) for each in told] == [([1.0], [0]), ([1 / 256], [0])]


def test_a_file_that_loses_too_much_is_refused(tmp_path: Path, text_classifier, monkeypatch):
    monkeypatch.setattr(_parity, "AGREEMENT", 1.1)
    with pytest.raises(ExportError, match=r"'dynamic' loses too much; nothing was written(.|\n)*same label on"):
        export(text_classifier, tmp_path, precision="dynamic", examples=TEXTS)
    assert not list(tmp_path.glob("exports/*"))


class Recorded:
    """A task and its exporter that answer what they are told to."""

    labels, target, measure = ("a", "b"), "label", "accuracy"
    truth, quality = fakes.FakeTask.truth, fakes.FakeTask.quality
    apart, agree = Task.apart, Task.agree

    def __init__(self, expected: np.ndarray, received: np.ndarray):
        self.expected, self.received = expected, received

    def encode(self, examples: Examples) -> Encoded:
        return Encoded({}, None, np.arange(len(examples)), None, np.ones(len(examples), np.float32))

    def scores(self, examples: Examples) -> np.ndarray:
        return self.expected

    def load(self, task: Any, folder: Path) -> Any:
        return lambda items: self.received

    def beside(self, task: Any, folder: Path) -> dict[str, Any]:
        return {}

    def measured(self, task: Any, folder: Path, items: Any) -> dict[str, Any]:
        return {}


def test_a_drop_in_accuracy_is_refused(tmp_path: Path, monkeypatch):
    expected, received = np.array([[0.9, 0.1]] * 200), np.array([[0.9, 0.1]] * 199 + [[0.4, 0.6]])
    monkeypatch.setattr(_parity, "_fits", lambda task, exporter, items: [True] * len(items))
    examples = Examples(["x"] * 200, ["a"] * 200, [str(number) for number in range(200)])

    def compared(received: np.ndarray, max_drop: float) -> _parity.Comparison:
        recorded = Recorded(expected, received)
        return _parity.Comparison(recorded, recorded, examples, _parity.Gate("int8", max_drop))

    held = compared(received, 0.01)
    assert held.check(tmp_path)["drop"] == pytest.approx(0.005)
    assert held.margin(lambda items: received) == pytest.approx(0.005)
    with pytest.raises(ExportError, match=r"accuracy 0.9950 instead of 1.0000"):
        compared(received, 0.004).check(tmp_path)
    with pytest.raises(ExportError, match="no numbers"):
        compared(received * np.nan, 1.0).check(tmp_path)


@pytest.mark.parametrize("count", [50, 100, 300])
def test_the_limit_itself_is_held(count: int, tmp_path: Path, monkeypatch):
    """One example in a hundred fewer is not more than 0.01, whatever accuracy it started from."""
    monkeypatch.setattr(_parity, "_fits", lambda task, exporter, items: [True] * len(items))
    monkeypatch.setattr(_parity, "AGREEMENT", 0.0)
    lost = max(1, count // 100)
    for right in range(lost, count):
        expected = np.array([[0.9, 0.1]] * right + [[0.1, 0.9]] * (count - right))
        received = expected.copy()
        received[:lost] = [0.1, 0.9]
        examples = Examples(["x"] * count, ["a"] * count, [str(number) for number in range(count)])
        recorded = Recorded(expected, received)
        held = _parity.Comparison(recorded, recorded, examples, _parity.Gate("int8", lost / count))
        assert held.margin(lambda items, received=received: received) >= 0
        assert held.check(tmp_path)["drop"] == pytest.approx(lost / count)


def test_too_few_examples_tell_nothing(tmp_path: Path, text_classifier):
    with pytest.raises(ConfigError, match="49 examples do not tell"):
        export(text_classifier, tmp_path, precision="dynamic", examples=TEXTS[:49])
    for precision in ("float32", "dynamic"):
        with pytest.raises(ConfigError, match="Examples are a list"):
            export(text_classifier, tmp_path, precision=precision, examples="validation.csv")
    with pytest.raises(DataError, match=r"label that is not among the task's 3: 'neagtive'(.|\n)*Nearest: 'negative'"):
        wrong = Examples(TEXTS, ["neagtive"] * len(TEXTS), [str(number) for number in range(len(TEXTS))])
        export(text_classifier, tmp_path, precision="dynamic", examples=wrong)
    assert not list(tmp_path.glob("exports/*"))


def test_a_task_reads_examples_from_a_file(tmp_path: Path, text_classifier):
    lines = "".join(f"{text},{text_classifier.labels[0]}\n" for text in TEXTS if "." not in text)
    (tmp_path / "held.csv").write_text("text,label\n" + lines)
    folder = text_classifier.export(tmp_path, precision="dynamic", examples=tmp_path / "held.csv", max_drop=1.0)
    assert parity(folder)["n"] == 100 and "accuracy" in parity(folder)


class Counted:
    """What `_selective.smallest` asks for: a file's size grows by 10 with every operator in float."""

    instead = "export in float16"

    def nearer(self, model: bytes) -> bytes:
        return model

    def too_large(self, model: bytes) -> bool:
        return len(model) > 100

    def groups(self) -> list[list[str]]:
        return [["a", "b"], ["c"], ["d", "e"]]

    def model(self, floats: Any = ()) -> bytes:
        return ",".join(sorted(floats)).encode().ljust(50 + 10 * len(floats))


def lacking(needed: list[str]) -> Any:
    """A margin that is 0 once every needed operator is in float."""
    return lambda model: -0.1 * sum(each not in model.decode().strip().split(",") for each in needed)


@pytest.mark.parametrize("needed", [[], ["c"], ["a"], ["a", "c"], ["c", "d"], ["b", "c", "e"]])
def test_as_little_as_possible_stays_in_float(needed: list[str]):
    model, told = _selective.smallest(Counted(), lacking(needed))
    assert sorted(told["float_operators"]) == needed and lacking(needed)(model) >= 0


@pytest.mark.parametrize("needed", [["x0"], ["x3", "x4"], ["x1", "x7", "x11"]])
def test_a_group_that_is_too_large_may_be_small_enough_once_it_is_thinned(needed: list[str]):
    class Large(Counted):
        def groups(self) -> list[list[str]]:
            return [[f"x{number}" for number in range(12)]]

    _, told = _selective.smallest(Large(), lacking(needed))
    assert sorted(told["float_operators"]) == sorted(needed)


def test_the_search_ends_after_so_many_files(monkeypatch):
    monkeypatch.setattr(_selective, "TRIES", 1)
    _, told = _selective.smallest(Counted(), lacking(["a"]))
    assert told["float_operators"] == ["a", "b"]


def test_a_file_with_too_much_in_float_is_refused():
    with pytest.raises(ExportError, match="float16 is smaller"):
        _selective.smallest(Counted(), lambda model: -0.2)


def test_an_operator_in_float_is_really_in_float(tmp_path: Path, sure_image_classifier, monkeypatch):
    task, seen = sure_image_classifier, pictures()
    tried: list[float] = []
    true_margin = _parity.Comparison.margin

    def picky(self: Any, predict: Any) -> float:
        tried.append(true_margin(self, predict))
        return -1.0 if len(tried) <= 2 else tried[-1]  # all in integers, and the first group in float, are refused

    monkeypatch.setattr(_parity.Comparison, "margin", picky)
    folder = export(task, tmp_path, precision="int8", examples=seen, calibration=seen[:40])
    told = parity(folder)
    assert len(tried) > 2 and told["float_operators"]
    kept = {tensor.name: tensor.dtype for tensor in contents(folder / "model.tflite").tensors}
    assert [kept[name] for name in told["float_operators"] if name in kept] == ["FLOAT32"] * len(
        told["float_operators"]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "dynamic"}, "only known on real examples"),
        ({"precision": "int8", "examples": TEXTS}, "needs training examples"),
        ({"precision": "int4"}, "no precision 'int4'.*float16, dynamic, int8, auto"),
        ({"precision": "dynamic", "examples": TEXTS, "max_drop": 2.0}, "max_drop is 2.0"),
        ({"label_names": {"de": ["ja", "nein"]}}, r"label_names\['de'\](.|\n)*3 names"),
        ({"label_names": {"de": ["ja", "nein", "a\nb"]}}, "does not fit on a line"),
        ({"label_names": {"": ["ja", "nein", "doch"]}}, "no locale"),
        ({"label_names": {"de": "abc"}}, r"label_names\['de'\]"),
        ({"precision": "int8", "integer_io": True, "examples": TEXTS, "calibration": TEXTS}, "is for pictures"),
        ({"format": "saved_model", "precision": "int8"}, "saved_model has no precision"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(tmp_path: Path, text_classifier, options, message: str):
    with pytest.raises(ConfigError, match=message):
        export(text_classifier, tmp_path, **options)
    assert not list(tmp_path.glob("exports/*"))
