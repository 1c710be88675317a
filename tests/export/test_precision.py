"""Lower precision: smaller files, gated on real examples; nothing is left behind by one that loses too much."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.bundle import fakes
from tests.core import tiny
from tests.export.conftest import pictures
from tfvertical.contracts import Backbone, Encoded, Examples, Task
from tfvertical.errors import ConfigError, DataError, ExportError
from tfvertical.export import _parity, _personal, _samples, _selective, export, litert
from tfvertical.export._packing import unpacked
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


def kinds(path: Path) -> list[tuple[str, int]]:
    """Operators of a file in their order, each with the number of the type of its output."""
    root = unpacked(path.read_bytes())
    (graph,) = root.subgraphs
    names = {number: name for name, number in vars(schema.BuiltinOperator).items()}
    return [
        (names[root.operatorCodes[each.opcodeIndex].builtinCode], graph.tensors[each.outputs[0]].type)
        for each in graph.operators
    ]


@pytest.mark.parametrize("kind", ["image labels", "image numbers"])
def test_integers_end_before_the_last_layer_of_sets_of_labels_and_numbers(tmp_path: Path, kind: str):
    """A sigmoid in the middle, as swish has it, is none at the end."""
    made, items = tiny.make_task(kind), list(tiny.make_examples(kind, 60).inputs)
    images = keras.Input((16, 16, 3), name="images")
    scaled = keras.layers.Rescaling(1 / 128, -1)(images)
    model = keras.Model(images, keras.layers.Conv2D(8, 3, 2, "same", activation="swish", name="stem")(scaled))
    task = type(made)(Backbone(model, made.preprocessor, ["stem/"], tiny.SOURCE), made.labels)
    folder = export(task, tmp_path, precision="int8", examples=items, calibration=items[:20])
    assert parity(folder)["float_operators"] == []
    found = kinds(folder / "model.tflite")
    float32, int8 = schema.TensorType.FLOAT32, schema.TensorType.INT8
    at = next(at for at, (name, _) in enumerate(found) if name == "FULLY_CONNECTED")
    assert all(dtype == float32 for _, dtype in found[at:]) and ("CONV_2D", int8) in found[:at]
    assert ("LOGISTIC", int8) in found[:at]
    assert [name for name, _ in found[at:]].count("LOGISTIC") == (kind == "image labels")
    scores = Predictor(folder).scores(items)
    assert len(np.unique(scores)) > 0.9 * scores.size, "no steps"


def test_a_file_that_loses_too_much_is_refused(tmp_path: Path, text_classifier, monkeypatch):
    monkeypatch.setattr(_parity, "AGREEMENT", 1.1)
    with pytest.raises(ExportError, match=r"'dynamic' loses too much; nothing was written(.|\n)*same label on"):
        export(text_classifier, tmp_path, precision="dynamic", examples=TEXTS)
    assert not list(tmp_path.glob("exports/*"))


class Recorded:
    """A task and its exporter that answer what they are told to."""

    labels, target, measure, items = ("a", "b"), "label", "accuracy", "text"
    truth, quality = fakes.FakeTask.truth, fakes.FakeTask.quality
    apart, agree, tolerance = Task.apart, Task.agree, Task.tolerance

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


class Odd(Recorded):
    """It says the first label of everything, and its file the second one of the empty text."""

    def scores(self, encoded: Any) -> np.ndarray:
        return np.repeat(self.expected, len(encoded.rows), axis=0)

    def load(self, task: Any, folder: Path) -> Any:
        return lambda items: np.array([self.received if item == "" else self.expected[0] for item in items])


@pytest.mark.parametrize("wrong", [[0.4, 0.6], [np.nan, np.nan]])
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_what_is_built_in_goes_through_every_file(tmp_path: Path, monkeypatch, precision: str, wrong: list[float]):
    monkeypatch.setattr(_parity, "_fits", lambda task, exporter, items: ["long" not in item for item in items])
    odd = Odd(np.array([[0.9, 0.1]], np.float32), np.array(wrong, np.float32))
    seen = len(_samples.TEXTS) - sum("long" in text for text in _samples.TEXTS)
    compared = _parity.Comparison(odd, odd, ["a card"] * 100, _parity.Gate(precision))
    if precision == "float32" or np.isnan(wrong[0]):
        said = "on built-in example 0, agreement" if precision == "float32" else "built-in example 0, of 1 such"
        with pytest.raises(ExportError, match=said):
            compared.check(tmp_path)
        odd.received = odd.expected[0]
    told = compared.check(tmp_path)
    assert (told["n"], told["examples"], told["agreement"], told["max_difference"]) == (100, "given", 1.0, 0.0)
    alike = {"max_difference": 0.0, "agreement": 1.0}
    if precision == "int8" and not np.isnan(wrong[0]):
        alike = {"max_difference": pytest.approx(0.5), "agreement": pytest.approx(1 - 1 / seen)}
    assert told["nasty"] == {"count": seen, **alike}


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


@pytest.fixture
def beyond(monkeypatch) -> Any:
    """A comparison on more examples than are searched, and a candidate that is wrong on none of those, but of others.

    `predictor(wrong)` says another label on that share of the examples outside.
    """
    monkeypatch.setattr(_parity, "_fits", lambda task, exporter, items: [True] * len(items))
    count = _parity.SEARCHED + 100
    outside = np.random.default_rng(0).permutation(count)[_parity.SEARCHED :]
    expected = np.array([[0.9, 0.1]] * count, np.float32)
    examples = Examples(list(range(count)), ["a"] * count, [str(number) for number in range(count)])

    def predictor(wrong: float) -> Any:
        received = expected.copy()
        received[outside[: round(wrong * len(outside))]] = [0.1, 0.9]
        return lambda items: received[list(items)]

    recorded = Recorded(expected, expected)
    return _parity.Comparison(recorded, recorded, examples, _parity.Gate("int8", 0.01)), predictor


def test_the_search_goes_on_where_a_file_holds_on_some_examples_only(beyond):
    """All in integers, "c" alone in float and "d" alone hold on those that are searched; of all, only "d" does."""
    comparison, predictor = beyond
    wrong = {"": 0.5, "c": 0.2, "d,e": 0.0, "d": 0.05, "e": 0.5}
    asked: list[str] = []

    def margin(model: bytes) -> float:
        asked.append(model.decode().strip())
        return comparison.margin(predictor(wrong.get(asked[-1], 0.5)))

    _, told = _selective.smallest(Counted(), margin)
    assert told["float_operators"] == ["d"] and {"", "c", "e"} <= set(asked)
    assert margin(b"") < 0 <= margin(b"d") < margin(b"d,e")


def test_features_are_written_in_the_precision_that_holds_on_all_examples(beyond, tmp_path: Path, monkeypatch):
    comparison, predictor = beyond
    monkeypatch.setattr(_personal, "files", lambda task, length, precision, below: {"features": precision.encode()})
    wrong = {"dynamic": 0.2, "float16": 0.0}
    monkeypatch.setattr(
        _personal, "predictor", lambda task, folder, length: predictor(wrong[(folder / "features").read_text()])
    )
    monkeypatch.setattr(litert.LiteRT, "_longest", lambda exporter, task: None)
    exporter = litert.LiteRT(precision="dynamic", trainable_head=True)
    assert exporter._personal(comparison.task, tmp_path, comparison.margin) == "float16"


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
    told = parity(folder)
    assert told["n"] == 100 and "accuracy" in told
    assert told["nasty"].keys() == {"count", "max_difference", "agreement"} and told["nasty"]["count"] > 10


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
        ({"calibration": TEXTS}, r"`calibration` would do nothing(.|\n)*'float32'(.|\n)*'int8'"),
        ({"calibration": TEXTS, "precision": "dynamic", "examples": TEXTS}, "`calibration` would do nothing"),
        ({"max_drop": 0.02}, "`max_drop` would do nothing: a float32 file"),
        ({"max_drop": 0.02, "precision": "dynamic", "examples": TEXTS}, r"`max_drop` would do nothing(.|\n)*labels"),
        ({"examples": []}, "`examples` is empty"),
        ({"examples": np.array([], str), "precision": "float32"}, "`examples` is empty"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(tmp_path: Path, text_classifier, options, message: str):
    for door in (export, type(text_classifier).export):
        with pytest.raises(ConfigError, match=message):
            door(text_classifier, tmp_path, **options)
    assert not list(tmp_path.glob("exports/*"))


@pytest.mark.parametrize("items", [np.array(TEXTS[:3]), tuple(TEXTS[:2])])
def test_a_task_takes_raw_items_as_the_function_does(tmp_path: Path, text_classifier, items: Any):
    folder = text_classifier.export(tmp_path, examples=items)
    assert (parity(folder)["n"], parity(folder)["examples"]) == (len(items), "given")


def test_auto_takes_ranges_that_it_may_not_need(tmp_path: Path, text_classifier):
    folder = text_classifier.export(tmp_path, precision="auto", examples=TEXTS, calibration=TEXTS[:4])
    assert folder.name == "litert-dynamic"
