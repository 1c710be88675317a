"""Train with bfloat16 products where the processor is faster at them: weights, logits and loss stay in float32."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfvertical import batches, files, kernels, packages, stages
from tfvertical.constants import CONVOLUTIONS
from tfvertical.contracts import Encoded
from tfvertical.errors import TfverticalError

LOW = "mixed_bfloat16"
FASTER = 1.25  # as many times as fast must a product be
APART = 0.05  # outputs may differ by this share of their spread
_FLAGS = ("amx_bf16", "avx512_bf16", "avx_ne_convert")  # of the processor; without one TensorFlow converts to and fro
_HIDDEN = ("hidden_", "neighbours_")  # how a head's layers between input and output are called
_ROUNDS = 15
_LARGEST = 1024  # bytes of a file that keeps a ratio


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
    changed = _changed(model, head)
    if not any(layer.weights for layer in changed):
        return "float32", "only the head learns"
    if any(
        isinstance(layer, CONVOLUTIONS) for layer in changed
    ):  # Lite0's take twice as long where products take a third
        return "float32", "convolutions are not faster in bfloat16"
    ratio = speed()
    if ratio < FASTER:
        return "float32", "bfloat16 is not faster here" if ratio else "no bfloat16 products are known of this processor"
    try:
        apart = difference(model, encoded, head)
    except TfverticalError:  # of the data, which are read here
        raise
    except (tf.errors.OpError, TypeError, ValueError) as error:  # what a layer makes of numbers that it did not expect
        told = " ".join(f"{error}".split())
        return "float32", f"a layer does not compute in bfloat16: {told:.300}"
    if not apart <= APART:  # what is not finite, too
        return "float32", f"bfloat16 moves what comes out by {apart:.0%} of its spread"
    return LOW, f"bfloat16 products are {ratio:.1f} times as fast"


def frozen(asked: str, prefix: keras.Model, encoded: Encoded) -> tuple[str, str]:
    """The dtype policy that a frozen part computes by over all examples, and why, as `choose` says it.

    float16 is for products that are trained, with a loss that is scaled: what is frozen is computed in float32 then.
    """
    return ("float32", "asked for") if asked == "mixed_float16" else choose(asked, prefix, encoded)


def speed() -> float:
    """How many times as fast as in float32 a product is in bfloat16 on this machine; 0 where none is known of.

    It decides by which arithmetic a run learns, so it is measured once and kept under TFVERTICAL_HOME: a clock read
    anew in each process, on a busy machine, would let the same seed give other weights.
    """
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    if not set(_FLAGS) & {word for line in lines for word in line.split()}:
        return 0.0
    processor = sorted({line for line in lines if line.startswith("model name")})
    threads = tf.config.threading.get_intra_op_parallelism_threads() or os.environ.get("TF_NUM_INTRAOP_THREADS")
    situation = repr((processor, os.cpu_count(), threads, tf.__version__, kernels.onednn()))
    name = hashlib.sha256(situation.encode()).hexdigest()[:16]
    return _kept(packages.home() / "measured" / f"bfloat16-{name}.json")


@functools.cache
def _kept(path: Path) -> float:
    """The ratio in a file; measured and written where there is none."""
    known = _read(path)
    if known is None:
        measured = _measure()
        known = _read(path)  # another process may have been first
        if known is None:
            known = measured
            with contextlib.suppress(OSError, TfverticalError):  # then it holds for this process
                path.parent.mkdir(parents=True, exist_ok=True)
                files.write_json(path, {"ratio": known})
    return known


def _read(path: Path) -> float | None:
    """What stands in the file, or None where that is not a ratio."""
    with contextlib.suppress(OSError, TfverticalError):
        if path.stat().st_size <= _LARGEST:
            found = files.parse_json(path.read_bytes(), str(path))
            ratio = found.get("ratio") if isinstance(found, dict) else None
            if isinstance(ratio, int | float) and math.isfinite(ratio) and ratio > 0:
                return float(ratio)
    return None


def _measure() -> float:
    """The quickest of several products by turns: what else the machine does slows both down, or neither."""
    product = tf.function(tf.linalg.matmul)
    shapes = ((1024, 384), (384, 1536))
    operands = {
        dtype: [tf.cast(tf.random.stateless_normal(shape, (0, 0)), dtype) for shape in shapes]
        for dtype in (tf.float32, tf.bfloat16)
    }
    took = {dtype: math.inf for dtype in operands}
    for _ in range(_ROUNDS + 1):  # the first of each traces
        for dtype, pair in operands.items():
            began = time.perf_counter()
            product(*pair)
            took[dtype] = min(took[dtype], time.perf_counter() - began)
    return took[tf.float32] / took[tf.bfloat16]


def difference(model: keras.Model, encoded: Encoded, head: Sequence[keras.layers.Layer] = ()) -> float:
    """Mean difference of what a model gives in bfloat16, as a share of the spread of what it gives in float32."""
    inputs, _, _ = batches.batch(encoded, model, np.arange(min(16, len(encoded))))
    want = tf.nest.flatten(model(inputs, training=False))
    with lowered(model, LOW, head):
        found = tf.nest.flatten(model(inputs, training=False))
    pairs = [(np.asarray(tf.cast(each, tf.float32)) for each in pair) for pair in zip(want, found, strict=True)]
    return float(np.max([np.abs(low - full).mean() / (full.std() or 1.0) for full, low in pairs]))


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


def spared(head: keras.Model, learning: Sequence[keras.Variable]) -> list[keras.layers.Layer]:
    """Layers of the head that stay in float32: all where it learns alone; else all but the hidden ones, whose products
    may cost as much as a block's.

    Args:
        head: of the task.
        learning: the variables of a stage.
    """
    every, own = stages.layers(head), {id(variable) for variable in head.weights}
    if all(id(variable) in own for variable in learning):
        return every
    return [layer for layer in every if not layer.name.startswith(_HIDDEN)]


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
