"""bfloat16 products: asked for or chosen, learnt with, and gone when training ends."""

from __future__ import annotations

import numpy as np
import pytest

from tests.core import tiny
from tfvertical import precision, stages, training
from tfvertical.adaptations.full_fine_tuning import FullFineTuning
from tfvertical.settings import Settings


def policies(task) -> set[str]:
    return {layer.dtype_policy.name for layer in stages.layers(task.model)}


@pytest.mark.parametrize("make", [tiny.text_task, tiny.image_task])
def test_training_in_bfloat16_learns_and_leaves_float32(make):
    task = make()
    examples = tiny.texts(16) if make is tiny.text_task else tiny.pictures(16)
    encoded = task.encode(examples)
    before = policies(task)
    want = np.asarray(task.scores(examples))
    settings = Settings(epochs=3, batch_size=4, learning_rate=0.01, precision="mixed_bfloat16")
    history = training.run(task, encoded, None, FullFineTuning(), settings, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert [each["precision"] for each in history.steps] == ["mixed_bfloat16"]
    assert policies(task) == before == {"float32"}
    assert {variable.dtype for variable in task.model.weights} <= {"float32", "uint32", "int32"}
    assert np.asarray(task.scores(examples)).dtype == want.dtype


def test_outputs_in_bfloat16_are_near_those_in_float32():
    task = tiny.text_task()
    found = precision.difference(task.model, task.encode(tiny.texts(8)), stages.layers(task.components["head"]))
    assert 0 < found < precision.APART


@pytest.mark.parametrize(
    ("ratio", "apart", "chosen", "why"),
    [
        (0.0, 0.0, "float32", "no bfloat16"),
        (1.1, 0.0, "float32", "not faster"),
        (2.0, 0.5, "float32", "50%"),
        (2.0, 0.01, "mixed_bfloat16", "2.0 times"),
    ],
)
def test_it_is_chosen_where_it_is_faster_and_nearly_the_same(ratio, apart, chosen, why, monkeypatch):
    monkeypatch.setattr(precision, "speed", lambda: ratio)
    monkeypatch.setattr(precision, "difference", lambda *_: apart)
    task = tiny.text_task()
    found = precision.choose("auto", task.model, task.encode(tiny.texts(2)))
    assert found[0] == chosen and why in found[1]
    assert precision.choose("mixed_bfloat16", task.model, task.encode(tiny.texts(2)))[0] == "mixed_bfloat16"
