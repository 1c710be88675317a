"""Train with bfloat16 products where the processor is faster at them: weights, head and loss stay in float32."""

from __future__ import annotations

import contextlib
import functools
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfvertical import batches, stages
from tfvertical.contracts import Encoded

LOW = "mixed_bfloat16"
FASTER = 1.25  # as many times as fast must a product be
APART = 0.05  # outputs may differ by this share of their spread
_FLAGS = ("amx_bf16", "avx512_bf16", "avx_ne_convert")  # of the processor; without one TensorFlow converts to and fro


def choose(
    asked: str, model: keras.Model, encoded: Encoded, head: Sequence[keras.layers.Layer] = ()
) -> tuple[str, str]:
    """The dtype policy to train a model with, and why, in a few words.

    Args:
        asked: `float32`, `mixed_bfloat16`, or `auto` for the latter where it is faster and gives nearly the same.
        model: what is to be trained.
        encoded: examples of its inputs; the first few are tried.
        head: layers that stay in float32.
    """
    if asked != "auto":
        return asked, "asked for"
    if not any(layer.weights for layer in _changed(model, head)):
        return "float32", "only the head learns"
    ratio = speed()
    if ratio < FASTER:
        return "float32", "bfloat16 is not faster here" if ratio else "no bfloat16 products are known of this processor"
    apart = difference(model, encoded, head)
    if not apart <= APART:  # what is not finite, too
        return "float32", f"bfloat16 moves what comes out by {apart:.0%} of its spread"
    return LOW, f"bfloat16 products are {ratio:.1f} times as fast"


@functools.cache
def speed() -> float:
    """How many times as fast as in float32 a product is in bfloat16, measured once; 0 where none is known of."""
    information = Path("/proc/cpuinfo")
    known = information.read_text().split() if information.is_file() else ()
    if not set(_FLAGS) & set(known):
        return 0.0
    took = {}
    for dtype in (tf.float32, tf.bfloat16):
        a, b = (tf.cast(tf.random.stateless_normal(shape, (0, 0)), dtype) for shape in ((1024, 384), (384, 1536)))
        product = tf.function(tf.linalg.matmul)
        product(a, b)
        times = []
        for _ in range(7):
            began = time.perf_counter()
            product(a, b)
            times.append(time.perf_counter() - began)
        took[dtype] = statistics.median(times)
    return took[tf.float32] / took[tf.bfloat16]


def difference(model: keras.Model, encoded: Encoded, head: Sequence[keras.layers.Layer] = ()) -> float:
    """Mean difference of what a model gives in bfloat16, as a share of the spread of what it gives in float32."""
    inputs, _, _ = batches.batch(encoded, model, np.arange(min(16, len(encoded))))
    want = np.asarray(tf.nest.flatten(model(inputs, training=False))[0], np.float32)
    with lowered(model, LOW, head):
        found = np.asarray(tf.cast(tf.nest.flatten(model(inputs, training=False))[0], tf.float32))
    return float(np.abs(found - want).mean() / (want.std() or 1.0))


@contextlib.contextmanager
def lowered(model: keras.Model, policy: str, head: Sequence[keras.layers.Layer] = ()) -> Iterator[None]:
    """For a block in which a model's layers compute by `policy`; those of `head` stay as they are.

    Layers read their policy when they are called: what is traced in the block computes by it, whenever it runs.
    """
    if policy == "float32":
        yield
        return
    changed = _changed(model, head)
    before = [layer.dtype_policy for layer in changed]
    for layer in changed:
        layer.dtype_policy = policy
    try:
        yield
    finally:
        for layer, old in zip(changed, before, strict=True):
            layer.dtype_policy = old


def _changed(model: keras.Model, head: Sequence[keras.layers.Layer]) -> list[keras.layers.Layer]:
    """The layers that compute themselves. Models and inputs only pass on, and would round what they are given."""
    spared = {id(layer) for layer in head}
    return [
        layer
        for layer in stages.layers(model)
        if id(layer) not in spared
        and not isinstance(layer, keras.Model | keras.layers.InputLayer)
        and layer.dtype_policy.name == "float32"
    ]
