"""Several steps to a call: the same training as one by one, with the wait for data told and a broken step named."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.core import tiny
from tests.core.test_features import assert_equal
from tfvertical import batches, steps, training
from tfvertical.adaptations.full_fine_tuning import FullFineTuning
from tfvertical.adaptations.gradual_unfreezing import GradualUnfreezing
from tfvertical.columns import Dense
from tfvertical.errors import TrainingError
from tfvertical.settings import Settings


def trained(at_once: int, monkeypatch):
    monkeypatch.setattr(steps, "at_once", lambda flops: at_once)
    task = tiny.text_task(dropout=0.3)
    settings = Settings(epochs=2, batch_size=4, learning_rate=0.01)
    encoded = [task.encode(tiny.texts(count, seed=seed)) for count, seed in ((22, 2), (5, 3))]
    history = training.run(task, *encoded, FullFineTuning(), settings, verbose=0)
    return history, tiny.values(task.model)


def test_several_steps_to_a_call_are_the_same_training(monkeypatch):
    one, four = trained(1, monkeypatch), trained(4, monkeypatch)  # of six steps an epoch: a call of four, one of two
    assert_equal(one, four)
    assert [each[0].steps[0]["at_once"] for each in (one, four)] == [1, 4]
    assert 0 <= four[0].waited < four[0].seconds


def linear(rows: np.ndarray):
    """A compiled linear model, and examples of its input."""
    task = tiny.image_task()
    encoded = replace(task.encode(tiny.pictures(len(rows))), columns={"x": Dense(rows)})
    inputs = keras.Input((3,), name="x")
    model = keras.Model({"x": inputs}, keras.layers.Dense(2)(inputs))
    model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.optimizer.build(model.trainable_variables)
    steps.make_metrics(model, batches.batch(encoded, model, np.arange(2)))
    return model, encoded


def test_a_loss_that_is_not_finite_names_epoch_step_and_examples():
    rows = np.random.default_rng(0).normal(size=(10, 3)).astype("float32")
    rows[7] = np.inf
    model, encoded = linear(rows)
    data, per_epoch = batches.training_set(encoded, model, 2, 0, 3)
    taken = steps.Steps(model, 4, per_epoch, 3, lambda epoch: batches.epoch(encoded, 2, 0, epoch), "all")
    order = batches.epoch(encoded, 2, 0, 3)
    step = next(at for at, batch in enumerate(order) if 7 in batch)
    iterator = iter(data)
    with pytest.raises(TrainingError, match=rf"Stage 'all', epoch 4: .* at step {step + 1}, of examples") as raised:
        for _ in range(2):
            taken(iterator)
    assert raised.value.rows == tuple(order[step].tolist())


def test_the_wait_for_data_is_measured():
    model, encoded = linear(np.ones((4, 3), np.float32))

    def slowly():
        while True:
            time.sleep(0.2)
            inputs, labels, weights = batches.batch(encoded, model, np.arange(2))
            yield inputs, labels, weights

    signature = ({"x": tf.TensorSpec([None, 3])}, tf.TensorSpec([None], tf.int32), tf.TensorSpec([None]))
    taken = steps.Steps(model, 2, 2, 0, lambda epoch: [])
    taken(iter(tf.data.Dataset.from_generator(slowly, output_signature=signature)))
    assert 0.35 < taken.waited < 5


def test_fit_names_the_rows_of_a_broken_step(monkeypatch):
    task = tiny.text_task()
    examples = tiny.texts(8)

    def broken(*args, **kwargs):
        raise TrainingError("The loss is nan.", rows=[5, 2, 5])

    monkeypatch.setattr(training, "run", broken)
    with pytest.raises(TrainingError, match=f"Rows: {examples.ids[5]}, {examples.ids[2]}"):
        task.fit(examples, verbose=0)


class EveryBatch(keras.callbacks.Callback):
    seen = 0

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1


def test_a_callback_that_asks_for_batches_gets_each(monkeypatch, capsys):
    monkeypatch.setattr(steps, "at_once", lambda flops: 4)
    task, every = tiny.text_task(), EveryBatch()
    settings = Settings(epochs=2, batch_size=4, learning_rate=0.01)
    encoded = task.encode(tiny.texts(22, seed=2))
    training.run(task, encoded, None, FullFineTuning(), settings, callbacks=[every], verbose=2)
    assert every.seen == 2 * 6
    assert "EveryBatch asks for every batch" in capsys.readouterr().out


def test_a_callback_may_predict_with_the_model_of_the_stage(monkeypatch):
    monkeypatch.setattr(steps, "at_once", lambda flops: 4)
    task, found = tiny.text_task(), []
    encoded = task.encode(tiny.texts(6))
    inputs = batches.batch(encoded, task.model, np.arange(6))[0]

    def predicts(epoch, logs):
        found.append((looking.model.predict(inputs, batch_size=2, verbose=0).shape, looking.model.steps_per_execution))

    looking = keras.callbacks.LambdaCallback(on_epoch_end=predicts)
    training.run(
        task, encoded, None, FullFineTuning(), Settings(epochs=1, batch_size=2), callbacks=[looking], verbose=0
    )
    assert found == [((6, 2), 1)]


def test_a_frozen_part_that_runs_inside_counts_as_part_of_a_step():
    task = tiny.text_task()
    told: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "at_once", lambda flops: told.append(flops) or 1)
        for cache in (True, False):
            settings = Settings(epochs=1, batch_size=4, cache=cache, cache_disk=0)
            training.run(task, task.encode(tiny.texts(8)), None, GradualUnfreezing(blocks=1), settings, verbose=0)
    assert len(told) == 3  # the cached head trains in chunks
    assert told[1] > 0 and told[2] > told[0]


ONE_THREAD = """
import subprocess
import sys
import time
import keras
import numpy as np
import tensorflow as tf
from tfvertical import steps

tf.config.threading.set_inter_op_parallelism_threads(1)
inputs = keras.Input((2000,))
model = keras.Model(inputs, keras.layers.Dense(2000)(keras.layers.Dense(2000)(keras.layers.Dense(2000)(inputs))))
model.compile("sgd", "mse")
model.optimizer.build(model.trainable_variables)
x = np.ones((500, 2000), np.float32)
steps.make_metrics(model, (x[:2], x[:2], np.ones(2)))
taken = steps.Steps(model, 4, 4, 0, lambda epoch: [])
data = iter(tf.data.Dataset.from_tensors((x, x, np.ones(500))).repeat())
taken(data)
before, began = taken.waited, time.perf_counter()
taken(data)
print((taken.waited - before) / (time.perf_counter() - began))
"""


def test_a_step_is_no_wait_where_there_is_one_thread():
    done = subprocess.run([sys.executable, "-c", ONE_THREAD], check=True, capture_output=True, text=True)
    assert float(done.stdout.splitlines()[-1]) < 0.5, "the data were there all the time"
