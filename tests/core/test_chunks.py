"""Many steps in one graph: the same training as step by step, seen by Keras epoch by epoch."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.core import tiny
from tests.core.test_features import assert_equal
from tfvertical import chunks, draws, loops, training
from tfvertical.adaptations.frozen import Frozen
from tfvertical.adaptations.gradual_unfreezing import GradualUnfreezing
from tfvertical.columns import Dense
from tfvertical.errors import TrainingError
from tfvertical.events import Events
from tfvertical.settings import Settings


class EveryBatch(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = 0

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1


class EveryTestBatch(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = 0

    def on_test_batch_end(self, batch, logs=None):
        self.seen += 1


class EveryEpoch(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen: list[dict[str, float]] = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(dict(logs))


def trained(callbacks=(), count: int = 22, events=None, **settings):
    task = tiny.text_task(dropout=0.3)
    train, held_out = (task.encode(tiny.texts(count, seed=2)), task.encode(tiny.texts(5, seed=3)))
    chosen = Settings(**{"epochs": 3, "batch_size": 4, "learning_rate": 0.01, "cache_disk": 0} | settings)
    history = training.run(
        task, train, held_out, Frozen(), chosen, verbose=0, callbacks=callbacks, events=events or Events()
    )
    return history, tiny.values(task.model)


@pytest.mark.parametrize("count", [22, 20, 3])  # with a short last batch, without one, and with nothing else
def test_chunks_are_the_same_training_as_single_steps(count: int, monkeypatch):
    batchwise = EveryBatch()
    single = trained([batchwise], count=count)
    assert batchwise.seen == 3 * -(-count // 4), "a callback that asks for batches gets them"
    monkeypatch.setattr(chunks, "SECONDS", 8e-4)  # two steps
    epochwise = EveryEpoch()
    together = trained([epochwise], count=count)
    assert_equal(single, together)
    assert [logs["loss"] for logs in epochwise.seen] == together[0].history["loss"]


def test_a_callback_that_asks_for_batches_of_validation_gets_them():
    batchwise = EveryTestBatch()
    trained([batchwise])
    assert batchwise.seen == 3 * 2, "five rows by four, in three epochs"


def drawn(task) -> list[list[int]]:
    """Where the generators of the task's layers stand."""
    layers = task.model._flatten_layers()
    return [layer.seed_generator.state.numpy().tolist() for layer in layers if hasattr(layer, "seed_generator")]


@pytest.mark.parametrize("grouped", [None, True])  # where batches are grouped, the short one stands anywhere
@pytest.mark.parametrize("head", [{"dropout": 0.0}, {"dropout": 0.3}, {"dropout": 0.3, "hidden": [8]}])
@pytest.mark.parametrize("count", [22, 20, 3])  # with a short last batch, without one, and with nothing else
def test_compiled_steps_are_the_same(head, count: int, grouped: bool | None, monkeypatch):
    def run():
        task = tiny.text_task(**head)
        settings = Settings(epochs=2, batch_size=4, learning_rate=0.01, cache_disk=0, group_by_length=grouped)
        train = task.encode(tiny.texts(count))
        return training.run(task, train, None, Frozen(), settings, verbose=0), tiny.values(task.model), drawn(task)

    plain = run()
    monkeypatch.setattr(chunks, "XLA_STEPS", 0)
    monkeypatch.setattr(chunks, "SECONDS", 8e-4)  # two steps a call: the last call of an epoch may have fewer
    compiled = run()
    assert_equal(plain[:2], compiled[:2])
    assert plain[2] == compiled[2], "every generator stands where it would"
    assert [each[0].steps[0]["compiled"] for each in (plain, compiled)] == [False, True]


def test_what_xla_cannot_compile_is_trained_without(monkeypatch):
    plain = trained()
    monkeypatch.setattr(chunks, "XLA_STEPS", 0)

    def of_strings(self, rows, steps, *masks):
        return {"loss": tf.strings.to_number(tf.strings.as_string(steps))}  # XLA has no strings

    monkeypatch.setattr(loops.Compiled, "_of_one_size", of_strings)
    history = trained()
    assert_equal(plain, history)
    assert not history[0].steps[0]["compiled"]


@pytest.mark.parametrize("state", [[3, 5], [2**31 - 3, 2**31 - 2], [2**31 - 1, 2**31 - 1], [2**40, 7]])
def test_masks_are_those_that_the_layer_draws(state: list[int]):
    layer = keras.layers.Dropout(0.5)
    model = noisy(layer)
    layer.seed_generator.state.assign(np.array(state))
    ones = tf.ones((6, 4))
    drawn = draws.Draws(draws.shapes(model), 6)
    (masks,) = drawn.masks(tf.constant(0), *drawn.begin(), steps=tf.constant(4))
    for mask in masks:
        assert np.array_equal(mask.numpy(), layer(ones, training=True).numpy() > 0)


def noisy(*layers) -> keras.Model:
    inputs = keras.Input((4,))
    outputs = inputs
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def test_dropout_can_be_drawn_beforehand():
    one, other = keras.layers.Dropout(0.1), keras.layers.Dropout(0.2)
    assert draws.shapes(noisy(one, keras.Sequential([keras.layers.Dense(3), other]))) == [(one, (4,)), (other, (3,))]
    assert draws.shapes(noisy(keras.layers.Dense(2))) == []


@pytest.mark.parametrize(
    "layers",
    [
        [keras.layers.GaussianNoise(0.1)],
        [keras.layers.Dropout(0.1, noise_shape=(None, 1))],
        [keras.layers.Dropout(0.1, dtype="bfloat16")],
        [again := keras.layers.Dropout(0.1), keras.layers.Dense(4), again],
        [keras.layers.Dropout(0.1), keras.layers.SpatialDropout1D(0.1)],
    ],
    ids=["noise", "noise_shape", "bfloat16", "twice", "spatial"],
)
def test_what_else_draws_is_left_to_the_graph(layers):
    if isinstance(layers[-1], keras.layers.SpatialDropout1D):
        layers = [keras.layers.Reshape((2, 2)), *layers]
    assert draws.shapes(noisy(*layers)) is None


def test_why_not_is_told():
    events = Events()
    trained([EveryBatch()], events=events)
    (told,) = [event for event in events.seen if event["kind"] == "steps"]
    assert not told["chunks"] and told["why"] == "EveryBatch asks for every batch"


@pytest.mark.parametrize(
    ("callback", "asks"),
    [
        (keras.callbacks.EarlyStopping(), False),
        (keras.callbacks.ModelCheckpoint("x.keras"), False),
        (keras.callbacks.ModelCheckpoint("x.keras", save_freq=10), True),
        (keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None), False),
        (keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None), True),
        (keras.callbacks.LambdaCallback(on_test_batch_end=lambda batch, logs: None), True),
        (keras.callbacks.TensorBoard("x"), False),
        (keras.callbacks.TensorBoard("x", update_freq="batch"), True),
        (keras.callbacks.TensorBoard("x", profile_batch=(2, 3)), True),
        (EveryEpoch(), False),
        (EveryBatch(), True),
        (EveryTestBatch(), True),
    ],
)
def test_which_callbacks_ask_for_batches(callback, asks: bool):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    task = tiny.image_task()
    encoded = replace(task.encode(tiny.pictures(3)), columns={"x": Dense(np.zeros((3, 2), np.float32))})
    assert (chunks.reason_against(model, encoded, [callback]) is not None) == asks


def dense(rows):
    """Examples of these rows, and a compiled layer on them."""
    encoded = replace(tiny.image_task().encode(tiny.pictures(len(rows))), columns={"x": Dense(rows)})
    inputs = keras.Input((3,), name="x")
    model = keras.Model({"x": inputs}, keras.layers.Dense(2, name="logits")(inputs))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model, encoded


def test_a_chunk_is_short_where_weights_are_used_at_many_places(monkeypatch):
    """A convolution of few weights takes its time: checkpoints and signals wait for a chunk's end."""
    monkeypatch.setattr(chunks, "SECONDS", 2.4e-3)  # six steps that cost nothing but their calls
    task, pictures, adaptation = tiny.image_task(), tiny.pictures(48), GradualUnfreezing(blocks=1, head_epochs=0)
    settings = {"epochs": 1, "batch_size": 8, "precision": "float32", "cache_disk": 0}
    (way,) = task.plan(pictures, adaptation=adaptation, **settings).ways
    history = training.run(task, task.encode(pictures), None, adaptation, Settings(**settings), verbose=0)
    took, seconds = history.steps[0], 4e-4 + 8 * way.step(inside=False) / 2e10
    assert took["chunks"] and took["at_once"] == int(2.4e-3 / seconds) < 5, "by the weights alone, 5"


def test_steps_that_were_taken_before_are_counted_before_the_first_of_its_own(monkeypatch):
    monkeypatch.setattr(chunks, "_steps", lambda *_: 3)
    model, encoded = dense(np.random.default_rng(0).normal(size=(10, 3)).astype("float32"))
    many = chunks.Chunks(model, encoded, 2, seed=0, first_epoch=0, epochs=1, skip=4)
    data = iter(many.dataset())
    assert (many.epoch, many.in_epoch) == (0, 4)
    for steps in (4, 5):  # behind the call that Keras makes for what is done, and behind the rest
        many(data)
        assert (many.epoch, many.in_epoch) == (0, steps)


@pytest.mark.parametrize("xla", [False, True])
def test_a_loss_that_is_not_finite_names_step_operation_and_examples(xla: bool, monkeypatch):
    monkeypatch.setattr(chunks, "XLA_STEPS", 0 if xla else 10**9)
    rows = np.random.default_rng(0).normal(size=(10, 3)).astype("float32")
    rows[7] = np.inf
    model, encoded = dense(rows)
    many = chunks.Chunks(model, encoded, 2, seed=0, first_epoch=3, epochs=1, stage="head")
    assert many.compiled is xla
    order = np.random.default_rng([0, 3]).permutation(10)
    step = int(np.flatnonzero(order == 7)[0]) // 2 + 1
    with pytest.raises(
        TrainingError, match=rf"Stage 'head', epoch 4: .*at step {step}, first in 'x' for examples \[7\]"
    ):
        many(iter(many.dataset()))


def test_the_examples_are_let_go_of_when_a_stage_ends():
    """tf.data keeps its generators for the life of the process; they must not hold the features."""
    held = []
    made = chunks.Chunks.__init__

    def watched(self, *args, **kwargs):
        made(self, *args, **kwargs)
        held.append(weakref.ref(self))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks.Chunks, "__init__", watched)
        trained()
    gc.collect()
    assert len(held) == 1 and held[0]() is None
