"""Two texts that are read together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Pair(NamedTuple):
    """Two texts that belong together: a question and an answer, a premise and a hypothesis."""

    first: str
    second: str


def fitted(first: np.ndarray, second: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
    """Both, cut to `room` pieces together; the longer one loses first, and both keep half if both are long.

    Example:
        >>> [len(part) for part in fitted(np.arange(9), np.arange(3), 8)]
        [5, 3]
        >>> [len(part) for part in fitted(np.arange(9), np.arange(7), 8)]
        [4, 4]
    """
    half = room // 2
    if len(first) + len(second) <= room:
        return first, second
    if len(second) <= half:
        return first[: room - len(second)], second
    if len(first) <= room - half:
        return first, second[: room - len(first)]
    return first[: room - half], second[:half]
