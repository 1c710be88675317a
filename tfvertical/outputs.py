"""The outputs of a model over all examples, put where they are kept as the batches come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvertical import constants, stages
from tfvertical.batches import Forward, graph, infer, length_of
from tfvertical.columns import Dense, Ragged
from tfvertical.contracts import Encoded
from tfvertical.errors import StoreError, TrainingError
from tfvertical.store import Spec, Writer


def specs_of(prefix: keras.Model, dtype: str) -> list[Spec]:
    """The prefix's outputs in the order that it gives them; numbers with a fraction are kept as `dtype`."""
    names = list(keras.tree.flatten({name: name for name in prefix.output}))  # Keras flattens by sorted name
    found = []
    for name, tensor in zip(names, keras_outputs(prefix), strict=True):
        ragged = not fixed(tensor)
        kept = dtype if tensor.dtype == "float32" else tensor.dtype
        found.append(Spec(name, kept, tuple(tensor.shape[2:] if ragged else tensor.shape[1:]), ragged))
    return found


def numpy_dtype(dtype: str) -> np.dtype:
    return np.dtype(tf.as_dtype(dtype).as_numpy_dtype)


@dataclass(frozen=True)
class Written:
    """One tensor of the frontier on its way to disk."""

    writer: Writer
    name: str

    def put(self, rows: np.ndarray, values: np.ndarray) -> None:
        self.writer.put(self.name, rows, values)


class InMemory:
    """One tensor of the frontier, allocated once: its size is known before the first batch.

    Args:
        spec: of the tensor.
        encoded: all examples.
        rows: those among them that it holds, one after the other; None for all.
    """

    def __init__(self, spec: Spec, encoded: Encoded, rows: np.ndarray | None = None):
        every = np.arange(len(encoded))
        held = every if rows is None else rows
        self.places = np.zeros_like(every)
        self.places[held] = every[: len(held)]
        self.lengths = encoded.lengths[held] if spec.ragged and encoded.lengths is not None else None
        if self.lengths is None:
            self.values = np.zeros((len(held), *spec.shape), numpy_dtype(spec.dtype))
        else:
            self.splits = np.concatenate([[0], np.cumsum(self.lengths)])
            self.values = np.zeros((self.splits[-1], *spec.shape), numpy_dtype(spec.dtype))

    def put(self, rows: np.ndarray, values: np.ndarray) -> None:
        """A batch of `(rows, …)`; padding is left out."""
        rows = self.places[rows]
        if self.lengths is None:
            self.values[rows] = values
            return
        for row, value in zip(rows, values, strict=True):
            self.values[self.splits[row] : self.splits[row + 1]] = value[: self.lengths[row]]

    def column(self) -> Dense | Ragged:
        return Dense(self.values) if self.lengths is None else Ragged(self.values, self.splits)


def run(
    prefix: keras.Model,
    encoded: Encoded,
    specs: Sequence[Spec],
    kept: Sequence[Any],
    rows: np.ndarray | None = None,
    forward: Forward | None = None,
    alone: Forward | None = None,
) -> float:
    """Run over all examples, or those of `rows`; what rounding to the kept dtype changed at most, as a share of the
    largest value.

    Args:
        prefix: what is run.
        encoded: all examples.
        specs: of its outputs.
        kept: where each goes: `put(rows, values)`.
        rows: some of the examples; None for all.
        forward: what computes on several devices, to which shapes are given that recur.
        alone: `own_forward`, where it is made already.

    Raises:
        StoreError: a number is too big for the dtype that is kept.
        TrainingError: an output of variable length has other positions than the examples.
    """
    error = 0.0
    static = forward is not None
    forward = forward or alone or own_forward(prefix, len(encoded))
    for some, found in infer(prefix, encoded, forward=forward, rows=rows, static=static):
        width = length_of(encoded, some, static)
        for spec, part, values in zip(specs, kept, found, strict=True):
            if spec.ragged:
                _check_width(prefix, values, width)
            stored = _narrowed(values, spec.dtype)
            if stored.dtype.itemsize < values.dtype.itemsize:
                largest = float(np.abs(values).max(initial=0.0)) or 1.0
                error = max(error, float(np.abs(stored.astype(values.dtype) - values).max(initial=0.0)) / largest)
            part.put(some, stored)
    return error


def own_forward(prefix: keras.Model, count: int) -> Forward | None:
    """What computes a prefix of that many examples on one device faster than its plain graph does; None for that."""
    if constants.pays(prefix, count):
        return constants.forward(prefix)
    if any(layer.compute_dtype != layer.variable_dtype for layer in stages.layers(prefix)):
        return graph(prefix, held=constants.fits(prefix))
    return None


def _check_width(prefix: keras.Model, values: np.ndarray, width: int | None) -> None:
    """A free axis is taken for that of the tokens, of which each example's own are kept and its padding is not."""
    if values.shape[1] != width:
        raise TrainingError(
            f"{prefix.name!r} gives an output whose length is not that of the examples: it cannot be kept by token.",
            expected=f"{width} positions, as many as the batch is padded to" if width else "a fixed shape",
            received=f"{values.shape[1]} positions",
            fix="a layer in it strides over positions, or adds some; let it learn, or set cache=False",
        )


def _narrowed(values: np.ndarray, dtype: str) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        stored = values.astype(numpy_dtype(dtype), copy=False)
    if stored.dtype.itemsize < values.dtype.itemsize and bool((np.isinf(stored) & ~np.isinf(values)).any()):
        raise StoreError(
            f"The frozen part gives numbers too big for {dtype}.",
            received=f"up to {float(np.abs(values[np.isfinite(values)]).max()):.6g}",
            fix="set cache_dtype to bfloat16 or float32" if dtype == "float16" else "set cache_dtype to float32",
        )
    return stored


def keras_outputs(model: keras.Model) -> list[Any]:
    """A model's symbolic outputs as a flat list."""
    return list(keras.tree.flatten(model.output))


def fixed(tensor: Any) -> bool:
    return all(size is not None for size in tensor.shape[1:])
