"""A linear head on features that lie in memory: Keras' `fit` as it comes, and tuned by an expert."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.contenders import keras_parts as parts
from benchmarks.contenders.clock import Clock, figures

STEPS = 64  # batches a call of the compiled function


class Seconds(keras.callbacks.Callback):
    """How long each epoch took."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._at = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.found.append(time.perf_counter() - self._at)


def default(work: dict[str, Any]) -> dict[str, Any]:
    """`fit` on NumPy arrays with nothing set."""
    return _timed(work, default_fit)


def tuned(work: dict[str, Any]) -> dict[str, Any]:
    """`fit` with many steps an execution, and batches gathered from tensors."""
    return _timed(work, tuned_fit)


def _timed(work: dict[str, Any], fit: Any) -> dict[str, Any]:
    with np.load(work["features"]) as arrays:
        train, test = arrays["train"], arrays["test"]
    seconds, clock = Seconds(), Clock()
    model = fit(train, work["train"]["labels"], work, callbacks=[seconds])
    total = clock.seconds
    quality = float(np.mean(logits(model, test).argmax(1) == work["test"]["labels"]))
    steady = float(np.median(seconds.found[1:] or seconds.found)) * work["epochs"]
    return figures(total, quality, steady=steady)


def default_fit(x: np.ndarray, labels: list[int], work: dict[str, Any], callbacks: Any = ()) -> keras.Model:
    """A head, trained with Keras' defaults."""
    model = _head(x, work)
    parts.compiled(model, work, parts.steps_of(len(x), work["batch"]) * work["epochs"])
    model.fit(
        x,
        np.asarray(labels),
        batch_size=work["batch"],
        epochs=work["epochs"],
        verbose=0,
        callbacks=list(callbacks),
    )
    return model


def tuned_fit(x: np.ndarray, labels: list[int], work: dict[str, Any], callbacks: Any = ()) -> keras.Model:
    """A head, trained as fast as `fit` can be made: full batches only, from one endless shuffled order.

    Without XLA, which takes seven times as long here: on a processor it is slow at drawing dropout's random numbers.
    """
    model, batch = _head(x, work), min(work["batch"], len(x))
    steps = parts.steps_of(len(x), batch)
    parts.compiled(model, work, steps * work["epochs"], steps_per_execution=min(STEPS, steps), jit_compile=False)
    inputs, targets = tf.constant(x), tf.constant(labels, tf.int32)
    rows = tf.data.Dataset.range(len(x)).shuffle(len(x), seed=work["seed"]).repeat().batch(batch, drop_remainder=True)
    data = rows.map(lambda at: (tf.gather(inputs, at), tf.gather(targets, at))).prefetch(tf.data.AUTOTUNE)
    model.fit(data, steps_per_epoch=steps, epochs=work["epochs"], verbose=0, callbacks=list(callbacks), shuffle=False)
    return model


def logits(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Of all rows in one call: `predict` would ask for as many batches as `fit` was given an execution."""
    return model(tf.constant(x), training=False).numpy()


def _head(x: np.ndarray, work: dict[str, Any]) -> keras.Model:
    keras.utils.set_random_seed(work["seed"])
    inputs = keras.Input(x.shape[1:])
    return keras.Model(inputs, parts.head(inputs, len(work["names"]), work["dropout"]))
