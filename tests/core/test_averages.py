"""Averages of the weights over the steps: what they are, what sees them, and that a run goes on with them."""

from __future__ import annotations

import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.core import tiny
from tfvertical import training
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


def test_the_average_is_that_of_the_weights_after_each_step():
    weight = keras.Variable(np.ones(3, "float32"))
    optimizer = StagedAdamW(0.1, rates=[1.0], decays=[True], starts=[0], average=0.9)
    optimizer.build([weight])
    want = np.ones(3)
    for gradient in (0.5, -1.0, np.nan, 2.0):
        optimizer.apply([tf.fill([3], gradient)], [weight])
        if np.isfinite(gradient):  # a step that moves nothing is none
            want = 0.9 * want + 0.1 * weight.numpy()
    held = weight.numpy()
    optimizer.swap_averages([weight])
    np.testing.assert_allclose(weight.numpy(), want, rtol=1e-6)
    optimizer.swap_averages([weight])
    np.testing.assert_array_equal(weight.numpy(), held)


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
