"""Variables of which each replica has a value of its own, such as what a metric has counted: read and put back.

Their sum is not enough: it is rounded, and split anew it would be rounded in another way, so that a run that was
interrupted would not report the figures of one that was not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfvertical.errors import TfverticalError
from tfvertical.sharing import Sharing


def values(variables: Sequence[Any]) -> list[np.ndarray]:
    """A copy of each: with an axis more, for the replicas of this process, where there is a strategy."""
    found = []
    for each in variables:
        parts = _parts(each)
        value = np.array(each.numpy()) if parts is None else np.stack([part.numpy() for part in parts])
        found.append(value if value.dtype.kind in "biufc" else value.astype(np.float32))  # a type that every file holds
    return found


def whole(own: Sequence[np.ndarray], workers: Sharing | None) -> list[np.ndarray]:
    """The values of all processes' replicas, from those of this one's; all processes have to ask for them."""
    if workers is None:
        return list(own)
    every = [np.zeros((len(each) * workers.count, *each.shape[1:]), each.dtype) for each in own]
    for made, each in zip(every, own, strict=True):
        made[workers.first : workers.first + len(each)] = each
    workers.joined(every, 0.0)
    return every


def assign(variables: Sequence[Any], every: Sequence[np.ndarray], workers: Sharing | None) -> None:
    """Put back what `whole` gave."""
    if len(variables) != len(every):
        raise TfverticalError(f"A position has {len(every)} metrics' arrays where the run has {len(variables)}.")
    first = 0 if workers is None else workers.first
    for variable, value in zip(variables, every, strict=True):
        if (parts := _parts(variable)) is None:
            variable.assign(value)
            continue
        for part, own in zip(parts, value[first : first + len(parts)], strict=True):
            part.assign(own)


def _parts(variable: Any) -> tuple[Any, ...] | None:
    """The variables behind one that a strategy has made; None for any other."""
    value = variable.value
    return value.values if isinstance(value, tf.distribute.DistributedValues) else None
