"""How examples lie in memory: one array, or rows of different lengths end to end, without padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Dense:
    """Rows of one shape.

    Args:
        array: `(n, …)`.
    """

    def __init__(self, array: np.ndarray):
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    def take(self, rows: np.ndarray, length: int | None) -> np.ndarray:
        """The rows at `rows`, `(batch, …)`; they have one length already."""
        return self.array[rows]


class Ragged:
    """Rows of different lengths; filled up with `pad` when a batch is taken.

    Args:
        values: `(total, …)`, all rows end to end.
        splits: int64 `(n + 1,)`; row `i` is `values[splits[i]:splits[i + 1]]`.
        pad: what fills up a row.
    """

    def __init__(self, values: np.ndarray, splits: np.ndarray, pad: float = 0):
        self.values, self.splits, self.pad = values, splits, pad

    @classmethod
    def of(cls, rows: Sequence[np.ndarray], pad: float = 0) -> Ragged:
        """From a list of arrays `(length, …)`."""
        splits = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
        return cls(np.concatenate(rows) if rows else np.zeros((0,), np.int32), splits, pad)

    def __len__(self) -> int:
        return len(self.splits) - 1

    @property
    def lengths(self) -> np.ndarray:
        """int64 `(n,)`."""
        return np.diff(self.splits)

    def take(self, rows: np.ndarray, length: int | None) -> np.ndarray:
        """The rows at `rows`, padded to `length` or to the longest of them: `(batch, length, …)`."""
        starts, stops = self.splits[rows], self.splits[rows + 1]
        width = int((stops - starts).max(initial=0)) if length is None else length
        out = np.full((len(rows), width, *self.values.shape[1:]), self.pad, self.values.dtype)
        for at, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            out[at, : stop - start] = self.values[start:stop]
        return out
