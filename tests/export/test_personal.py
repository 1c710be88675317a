"""A head that learns on the device learns as it does in Keras."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tests.bundle import fakes
from tfvertical.errors import ConfigError, ExportError
from tfvertical.export import _answers, _parity, _personal, _samples, export
from tfvertical.export._inputs import fixed_inputs
from tfvertical.runtime import LiteRT
from tfvertical.runtime.contents import contents


@pytest.fixture(scope="module", params=["text_classifier", "image_classifier"])
def task(request) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, task) -> Path:
    return export(task, tmp_path_factory.mktemp("personal"), trainable_head=True)


def runners(folder: Path) -> dict[str, Any]:
    interpreter = Interpreter(model_path=str(folder / "head.tflite"))
    return {name: interpreter.get_signature_runner(name) for name in _personal.SIGNATURES}


def examples(width: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes that a line can tell apart, nearly."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, classes, 120).astype(np.int32)
    centres = draw.normal(size=(classes, width)).astype(np.float32)
    return centres[labels] + draw.normal(0, 0.5, (120, width)).astype(np.float32), labels


def test_the_two_files_are_the_model(folder: Path, task):
    items = _samples.many(task.items)[:10]
    features, head = LiteRT(folder / "features.tflite"), runners(folder)
    for item, expected in zip(items, task.scores(fakes.examples(items)), strict=True):
        found = features(fixed_inputs(task, item))["features"]
        np.testing.assert_allclose(head["infer"](features=found)["scores"][0], expected, atol=1e-5)
    assert contents(folder / "head.tflite").custom == ()
    assert (folder / "head.tflite").stat().st_size < 20_000


def test_fifty_steps_on_the_device_are_fifty_steps_in_keras(folder: Path):
    head = runners(folder)
    start = head["get_weights"]()
    width, classes = start["kernel"].shape
    seen, labels = examples(width, classes)
    inputs = keras.Input((width,))
    model = keras.Model(inputs, keras.layers.Dense(classes)(inputs))
    model.layers[-1].set_weights([start["kernel"], start["bias"]])
    model.compile(keras.optimizers.SGD(0.2), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = float(np.mean(head["infer"](features=seen)["scores"].argmax(1) == labels))
    for step in range(50):
        rows = np.arange(step * 8, step * 8 + 8) % 120
        on_device = head["train"](features=seen[rows], labels=labels[rows], rate=np.float32(0.2))["loss"]
        model.reset_metrics()  # the loss of this step alone
        assert float(on_device) == pytest.approx(float(model.train_on_batch(seen[rows], labels[rows])), rel=1e-3)
    after = float(np.mean(head["infer"](features=seen)["scores"].argmax(1) == labels))
    assert after > before + 0.2 and after == float(np.mean(model.predict(seen, verbose=0).argmax(1) == labels))
    learned = head["get_weights"]()
    for name, expected in zip(("kernel", "bias"), model.layers[-1].get_weights(), strict=True):
        np.testing.assert_allclose(learned[name], expected, atol=1e-5)
    again = runners(folder)  # the app was closed, and is opened again
    np.testing.assert_array_equal(again["get_weights"]()["kernel"], start["kernel"])
    again["set_weights"](**learned)
    found = again["infer"](features=seen)["scores"]
    np.testing.assert_array_equal(found, head["infer"](features=seen)["scores"])


def test_parity_tells_of_both_files(folder: Path):
    told = json.loads((folder / "parity.json").read_text())
    assert told["features_precision"] == "float32"
    assert told["trainable_head"]["max_difference"] <= 1e-5 and told["trainable_head"]["agreement"] == 1.0
    assert told["trainable_head_bytes"] == {
        name: (folder / name).stat().st_size for name in ("features.tflite", "head.tflite")
    }


@pytest.mark.parametrize(
    ("precision", "seen", "factor", "message"),
    [
        ("float32", True, 2.0, r"features\.tflite and head\.tflite do not answer as the task does"),
        ("float32", False, 2.0, "exported trainable_head does not score as the task does"),
        ("float16", False, -1.0, "trainable_head loses too much"),
    ],
)
def test_a_head_that_is_another_is_refused(
    tmp_path: Path, text_classifier, precision: str, seen: bool, factor: float, message: str, monkeypatch
):
    """Also where it tells the same labels, and where the examples that candidates are tried on do not show it."""
    made = _personal._head

    def another(*arguments: Any) -> bytes:
        kernel = _answers.last(text_classifier).kernel
        right = kernel.numpy()
        kernel.assign(factor * right)
        try:
            return made(*arguments)
        finally:
            kernel.assign(right)

    monkeypatch.setattr(_personal, "_head", another)
    if not seen:
        monkeypatch.setattr(_parity.Comparison, "margin", lambda self, predict: 1.0)
    with pytest.raises(ExportError, match=message):
        export(
            text_classifier,
            tmp_path,
            precision=precision,
            trainable_head=True,
            examples=["the card never arrived", "card", "a b c", ""] * 20,
        )
    assert not list(tmp_path.glob("exports/*"))


def test_a_head_that_does_not_end_in_a_linear_layer_is_refused(text_classifier, monkeypatch):
    last = _answers.last(text_classifier)
    monkeypatch.setattr(last, "activation", keras.activations.relu)
    with pytest.raises(ConfigError, match="ends in a linear layer"):
        _personal.files(text_classifier, None)
