"""What is frozen, run once and kept: the same training as running it each time, and as never splitting at all."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.core import tiny
from tfvertical import batches, features, frontier, stages, training
from tfvertical.adaptations.discriminative import Discriminative
from tfvertical.adaptations.frozen import Frozen
from tfvertical.adaptations.full_fine_tuning import FullFineTuning
from tfvertical.adaptations.gradual_unfreezing import GradualUnfreezing
from tfvertical.columns import Dense, Ragged
from tfvertical.contracts import Encoded
from tfvertical.settings import Settings
from tfvertical.stages import Stage


def made(kind: str):
    return tiny.make_task(kind, body_dropout=0.0, dropout=0.0, **({"layers": 1} if kind == "text" else {}))


def trained(kind: str, adaptation, how: str, monkeypatch) -> tuple[training.History, dict[str, np.ndarray]]:
    """20 steps without dropout; `whole` is plain Keras on the unsplit model."""
    task = made(kind)
    if how == "whole":
        monkeypatch.setattr(frontier, "split", lambda model, moves=None: frontier.Split(None, model))
    train, held_out = (task.encode(tiny.make_examples(kind, count, seed=1)) for count in (20, 4))
    settings = Settings(epochs=2, batch_size=4, learning_rate=0.01, cache=how == "cached")
    history = training.run(task, train, held_out, adaptation, settings, verbose=0)
    return history, tiny.values(task.model)


TRAININGS = [
    ("text", Frozen(), "inline"),
    ("text", GradualUnfreezing(blocks=1), "inline"),
    ("text", GradualUnfreezing(blocks=1), "whole"),
    ("image", FullFineTuning(head_epochs=2), "inline"),
    ("image", Discriminative(head_epochs=2), "whole"),
]


@pytest.mark.parametrize(
    ("kind", "adaptation", "how"), TRAININGS, ids=lambda v: v if isinstance(v, str) else type(v).__name__
)
def test_cached_inline_and_whole_are_one_training(kind: str, adaptation, how: str, monkeypatch):
    cached, weights = trained(kind, adaptation, "cached", monkeypatch)
    other, their_weights = trained(kind, adaptation, how, monkeypatch)
    assert cached.history.keys() == other.history.keys()
    for name, values in cached.history.items():
        np.testing.assert_allclose(values, other.history[name], atol=1e-5, err_msg=name)
    assert tiny.largest_difference(weights, their_weights) <= 1e-5
    start = tiny.values(made(kind).model)
    assert tiny.largest_difference(weights, start) > 1e-4


def prefix_of(task, pattern: str = "head/") -> keras.Model:
    stages.apply(task.components, Stage("s", {pattern: 1.0}, 1))
    return frontier.split(task.model).prefix


def test_states_are_kept_without_their_padding_and_cost_is_told_beforehand():
    task = tiny.text_task(pooling="attention")
    encoded = task.encode(tiny.texts(9))
    prefix = prefix_of(task)
    kept = features.compute(prefix, encoded, batch_size=4)
    states = kept.columns["cut_0"]
    assert isinstance(states, Ragged) and states.values.shape == (int(encoded.lengths.sum()), 16)
    told = features.cost(prefix, encoded)
    assert told == sum(column.values.nbytes for column in kept.columns.values())
    row = np.array([3])
    length = int(encoded.lengths[3])
    whole = prefix(batches.gather(encoded, row))
    np.testing.assert_allclose(states.take(row, None)[0], np.asarray(whole["cut_0"])[0, :length], atol=1e-5)
    assert (states.take(row, 24)[0, length:] == 0).all()


def test_features_of_one_shape_are_dense():
    task = tiny.text_task()
    encoded = task.encode(tiny.texts(5))
    kept = features.compute(prefix_of(task), encoded)
    (column,) = kept.columns.values()
    assert isinstance(column, Dense) and column.array.shape == (5, 16)
    assert features.cost(prefix_of(task), encoded) == column.array.nbytes
    for name in ("lengths", "rows", "labels", "weights"):
        assert getattr(kept, name) is getattr(encoded, name)


def test_more_than_ten_tensors_keep_their_names():
    """`cut_10` sorts before `cut_2`, and Keras sorts."""
    inputs = keras.Input((3,), name="x")
    towers = [keras.layers.Dense(at + 1, name=f"tower_{at}")(inputs) for at in range(13)]
    outputs = [keras.layers.Dense(1, name=f"learner_{at}")(x) for at, x in enumerate(towers)]
    model = keras.Model(inputs, keras.layers.Concatenate()(outputs))
    stages.apply_stage(model, Stage("s", {"model/learner": 1.0}, 1))
    parts = frontier.split(model)
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    ones = np.ones(4, "float32")
    encoded = Encoded({"x": Dense(x)}, None, np.arange(4), np.zeros(4, "int32"), ones)
    kept = features.compute(parts.prefix, encoded)
    found = parts.suffix({name: column.take(np.arange(4), None) for name, column in kept.columns.items()})
    np.testing.assert_allclose(np.asarray(found), np.asarray(model(x)), atol=1e-6)


def test_tensors_of_two_variable_axes_are_not_kept():
    """A frozen part that gives a `(batch, length, length)` table, as relative positions do."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = keras.layers.Embedding(9, 4, name="table")(ids)
    scores = keras.ops.matmul(x, keras.ops.transpose(x, (0, 2, 1)))
    y = keras.layers.Dense(4, name="learner")(x)
    model = keras.Model(ids, keras.ops.mean(keras.ops.matmul(scores, y), axis=1))
    stages.apply_stage(model, Stage("s", {"model/learner": 1.0}, 1))
    assert not features.cacheable(frontier.split(model).prefix)
    assert features.cacheable(prefix_of(tiny.text_task(pooling="attention")))


@pytest.mark.parametrize("training_flag", [True, False])
def test_the_inline_prefix_is_in_inference_mode_whatever_is_said(training_flag: bool):
    """A `training=False` written into a functional graph is ignored by `fit`; the layer of ours is not."""
    task = tiny.image_task(body_dropout=0.9, dropout=0.0)
    stages.apply(task.components, Stage("s", {"head/": 1.0}, 1))
    parts = frontier.split(task.model)
    model = features.inline(parts.prefix, parts.suffix)
    x = {"images": np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype("float32")}
    np.testing.assert_allclose(
        np.asarray(model(x, training=training_flag)), np.asarray(task.model(x, training=False)), atol=1e-6
    )
    assert {id(v) for v in model.trainable_variables} == {id(v) for v in task.components["head"].weights}
