"""Averages of the weights over the steps: what they are, what sees them, and that a run goes on with them."""

from __future__ import annotations

import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.core import tiny
from tfvertical import chunks, training
from tfvertical.adaptations.frozen import Frozen
from tfvertical.adaptations.full_fine_tuning import FullFineTuning
from tfvertical.adaptations.gradual_unfreezing import GradualUnfreezing
from tfvertical.errors import ConfigError, Interrupted
from tfvertical.optimizer import StagedAdamW
from tfvertical.settings import Settings


def settings(**changed) -> Settings:
    return Settings(
        **{"epochs": 3, "batch_size": 4, "learning_rate": 0.02, "precision": "float32", "average": 0.8, **changed}
    )


def encoded(task):
    return [task.encode(tiny.texts(count, seed=count)) for count in (22, 8)]


@pytest.mark.parametrize(
    ("start", "decays"),
    [(0, (1 / 10, 2 / 11, 3 / 12, 4 / 13)), (-1000, (0.9,) * 4), (-78, (79 / 88, 80 / 89, 0.9, 0.9))],
)
def test_the_average_is_that_of_the_weights_after_each_step(start: int, decays: tuple[float, ...]):
    """With the decay that was asked for, once a weight has learned for a while."""
    weight = keras.Variable(np.ones(3, "float32"))
    optimizer = StagedAdamW(0.1, rates=[1.0], decays=[True], starts=[start], average=0.9)
    optimizer.build([weight])
    want = np.ones(3)
    for gradient, decay in zip((0.5, -1.0, np.nan, 2.0), decays, strict=True):
        optimizer.apply([tf.fill([3], gradient)], [weight])
        if np.isfinite(gradient):  # a step that moves nothing is none
            want = decay * want + (1 - decay) * weight.numpy()
    held = weight.numpy()
    optimizer.swap_averages([weight])
    np.testing.assert_allclose(weight.numpy(), want, rtol=1e-6)
    optimizer.swap_averages([weight])
    np.testing.assert_array_equal(weight.numpy(), held)


@pytest.mark.parametrize("stages", [1, 2])
def test_short_runs_do_not_keep_what_they_began_with(stages: int):
    """50 steps, in two stages or one; a second weight begins to learn in the last of them."""
    variables = [keras.Variable(np.zeros((), "float32")) for _ in range(2)]
    previous = None
    for stage in range(stages):
        now = variables if stage == stages - 1 else variables[:1]
        starts = [0, 25 * stage][: len(now)]
        options = {"rates": [1.0] * len(now), "decays": [False] * len(now), "starts": starts, "average": 0.999}
        optimizer = StagedAdamW(0.1, **options)
        optimizer.build(now)
        if previous is not None:
            optimizer.carry_over(previous, variables[:1], now)
        for _ in range(50 // stages):
            optimizer.apply([tf.constant(1.0)] * len(now), now)
        last = [weight.numpy() for weight in now]
        optimizer.swap_averages(now)  # the stage ends with them
        previous = optimizer
    for weight, end in zip(variables, last, strict=True):
        assert end < -2 and end < weight.numpy() < 0.6 * end, "nearer to the last weights than to the first"


class EachBatch(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        pass


def test_averages_are_the_same_however_steps_are_taken(monkeypatch):
    ways = [{}, {"callbacks": [EachBatch()]}, {"accumulate": 2}, {"jit_compile": True}, {"compiled": True}]
    found = []
    for way in ways:
        task = tiny.image_task(dropout=0.0)
        train, held_out = (task.encode(tiny.pictures(count, seed=count)) for count in (22, 8))
        callbacks, more = way.pop("callbacks", ()), dict(way)
        monkeypatch.setattr(chunks, "XLA_STEPS", 0 if more.pop("compiled", False) else 10**9)
        chosen = settings(average=0.999, learning_rate=0.01, cache_disk=0, **more)
        history = training.run(task, train, held_out, Frozen(), chosen, verbose=0, callbacks=callbacks)
        found.append((tiny.values(task.model), history.history["val_loss"], history.steps[0]))
    assert [(each["chunks"], each["compiled"]) for _, _, each in found] == [
        (True, False),
        (False, False),
        (False, False),
        (False, True),
        (True, True),
    ]
    for values, losses, _ in found[1:]:
        assert tiny.largest_difference(found[0][0], values) < 1e-6
        assert losses == pytest.approx(found[0][1], rel=1e-5)


class Ends(keras.callbacks.Callback):
    """The head's kernel after each epoch, and what the validation of each said."""

    def __init__(self, task):
        super().__init__()
        self.kernel, self.seen = task.components["head"].get_layer("logits").kernel, []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append((self.kernel.numpy(), logs["val_loss"]))


def test_epochs_are_judged_and_stages_end_by_averages_and_callbacks_see_the_weights():
    task = tiny.text_task()
    ends, (train, held_out) = Ends(task), encoded(task)
    history = training.run(
        task, train, held_out, FullFineTuning(), settings(restore_best=False), verbose=0, callbacks=[ends]
    )
    kernel = task.components["head"].get_layer("logits").kernel.numpy()
    assert not np.allclose(kernel, ends.seen[-1][0], atol=1e-6), "the run ends with the average, not the last weights"
    scores = task.scores(held_out)
    true = np.asarray(held_out.labels)
    loss = -np.log(scores[np.arange(len(true)), true]).mean()
    assert loss == pytest.approx(history.history["val_loss"][-1], abs=1e-4), "what was judged is what is kept"


def test_the_best_epoch_comes_back_as_it_was_judged():
    task = tiny.text_task()
    train, held_out = encoded(task)
    history = training.run(task, train, held_out, GradualUnfreezing(blocks=1), settings(epochs=2), verbose=0)
    scores, true = task.scores(held_out), np.asarray(held_out.labels)
    loss = -np.log(scores[np.arange(len(true)), true]).mean()
    assert loss == pytest.approx(min(history.history["val_loss"]), abs=1e-4)


class Stops(keras.callbacks.Callback):
    def __init__(self, after: int):
        super().__init__()
        self.after = after

    def on_epoch_end(self, epoch, logs=None):
        self.after -= 1
        if self.after == 0:
            raise Interrupted("SIGTERM", "")


class Signals(keras.callbacks.Callback):
    """Asks the run to end in the midst of its second validation, while averages stand in the weights' place."""

    count = 0

    def on_test_batch_end(self, batch, logs=None):
        self.count += 1
        if self.count == 2:
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("stops", [Stops(1), Stops(2), Stops(3), Signals()])
def test_a_run_that_is_taken_up_ends_with_the_same_bits(tmp_path, stops):
    def run(folder=None, callbacks=()):
        task = tiny.text_task()
        train, held_out = encoded(task)
        how = GradualUnfreezing(blocks=1)
        training.run(
            task, train, held_out, how, settings(epochs=2), verbose=0, checkpoint=folder, callbacks=list(callbacks)
        )
        return tiny.values(task.model)

    whole = run()
    with pytest.raises(Interrupted):
        run(tmp_path, [stops])
    assert tiny.largest_difference(whole, run(tmp_path)) == 0


def test_a_decay_that_is_none():
    with pytest.raises(ConfigError, match="average"):
        Settings(average=1.0)
