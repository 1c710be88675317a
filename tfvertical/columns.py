"""How examples lie, in memory or on disk: rows of one shape, or rows of different lengths end to end, without padding.

All four kinds have `__len__`, `take(rows, length)` and `digest()`. `take` gives the dtype that is stored; a digest is
equal where the rows are, wherever and in whatever order they lie.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tfvertical.errors import DataError
from tfvertical.shards import Shards, raw

_NARROW = 64  # bytes of a position up to which one gather beats a copy for each row


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

    def digest(self) -> str:
        """SHA-256 of dtype, shape and content."""
        step = max(1, 2**22 // max(1, self.array[:1].nbytes))
        parts = (self.array[at : at + step] for at in range(0, len(self), step))
        return _digest("dense", self.array.dtype, self.array.shape, parts)


class Ragged:
    """Rows of different lengths; filled up with `pad` when a batch is taken.

    Args:
        values: `(total, …)`, all rows end to end.
        splits: int64 `(n + 1,)`; row `i` is `values[splits[i]:splits[i + 1]]`. See `placed` for rows in another order.
        pad: what fills up a row.

    Example:
        >>> Ragged.of([np.array([1, 2, 3]), np.array([4])], pad=-1).take(np.array([1, 0]), None)
        array([[ 4, -1, -1],
               [ 1,  2,  3]])
    """

    def __init__(self, values: np.ndarray, splits: np.ndarray, pad: float = 0):
        splits = np.asarray(splits, np.int64)
        self._lie(values, splits[:-1], np.diff(splits), pad)

    @classmethod
    def of(cls, rows: Sequence[np.ndarray], pad: float = 0) -> Ragged:
        """From a list of arrays `(length, …)`."""
        splits = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
        return cls(np.concatenate(rows) if rows else np.zeros((0,), np.int32), splits, pad)

    @classmethod
    def placed(cls, values: np.ndarray, starts: np.ndarray, lengths: np.ndarray, pad: float = 0) -> Ragged:
        """Rows that lie anywhere: row `i` is `values[starts[i]:starts[i] + lengths[i]]`; both int64 `(n,)`."""
        made = cls.__new__(cls)
        made._lie(values, np.asarray(starts, np.int64), np.asarray(lengths, np.int64), pad)
        return made

    def _lie(self, values: np.ndarray, starts: np.ndarray, lengths: np.ndarray, pad: float) -> None:
        self.values, self.starts, self.lengths, self.pad = values, starts, lengths, pad
        # NumPy copies bfloat16, which is not its own, element by element; as 16 plain bits it goes at memory speed.
        self._bits = values.view(np.uint16) if values.dtype.kind == "V" and values.dtype.itemsize == 2 else values
        self._pad_bits = np.asarray(pad).astype(values.dtype).view(self._bits.dtype)

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, rows: np.ndarray, length: int | None) -> np.ndarray:
        """The rows at `rows`, padded to `length` or to the longest of them: `(batch, length, …)`.

        Raises:
            DataError: a row is longer than `length`.
        """
        starts, lengths = self.starts[rows], self.lengths[rows]
        width, bits = _width(lengths, length), self._bits
        if len(bits) and bits[:1].nbytes <= _NARROW:
            at = np.arange(width)
            out = bits.take(starts[:, None] + at, axis=0, mode="clip")
            out[at >= lengths[:, None]] = self._pad_bits
        else:
            out = np.empty((len(starts), width, *bits.shape[1:]), bits.dtype)
            for row, start, count in zip(out, starts.tolist(), lengths.tolist(), strict=True):
                row[:count] = bits[start : start + count]
                row[count:] = self._pad_bits
        return out.view(self.values.dtype)

    def digest(self) -> str:
        """SHA-256 of dtype, lengths, padding and content, row by row."""
        ends = self.starts + self.lengths
        if len(self) and np.array_equal(self.starts[1:], ends[:-1]):  # end to end: in large pieces
            first, last = int(self.starts[0]), int(ends[-1])
            step = max(1, 2**22 // max(1, self.values[:1].nbytes))
            parts = (self.values[at : min(at + step, last)] for at in range(first, last, step))
        else:
            parts = (self.values[start:end] for start, end in zip(self.starts.tolist(), ends.tolist(), strict=True))
        return _ragged_digest(self.values.dtype, self.values.shape[1:], self.lengths, self.pad, parts)


class StreamedDense:
    """Rows of one shape that stay on disk.

    Args:
        shards: where they lie, one after the other.
        dtype: of the values.
        shape: of one row.
        places: int64 `(n,)`; row `i` is the `places[i]`-th that lies there.
    """

    def __init__(self, shards: Shards, dtype: np.dtype, shape: tuple[int, ...], places: np.ndarray):
        self.shards, self.dtype, self.shape, self.places = shards, dtype, shape, places

    def __len__(self) -> int:
        return len(self.places)

    def take(self, rows: np.ndarray, length: int | None) -> np.ndarray:
        """The rows at `rows`, `(batch, …)`.

        Raises:
            StoreError: they cannot be read any more.
        """
        places = self.places[rows]
        out = np.empty((len(places), *self.shape), self.dtype)
        flat, size = raw(out), out[:1].nbytes
        for at, place in enumerate(places.tolist()):
            self.shards.read_into(place * size, flat[at * size : (at + 1) * size])
        return out

    def digest(self) -> str:
        """That of the same rows as `Dense`."""
        parts = (self.take(rows, None) for rows in _pieces(len(self), self.shape, self.dtype))
        return _digest("dense", self.dtype, (len(self), *self.shape), parts)


class StreamedRagged:
    """Rows of different lengths that stay on disk.

    Args:
        shards: where they lie, end to end, without padding.
        dtype: of the values.
        shape: of one position.
        starts: int64 `(n,)` the position each row begins at.
        lengths: int64 `(n,)`.
        pad: what fills up a row.
    """

    def __init__(
        self,
        shards: Shards,
        dtype: np.dtype,
        shape: tuple[int, ...],
        starts: np.ndarray,
        lengths: np.ndarray,
        pad: float = 0,
    ):
        self.shards, self.dtype, self.shape, self.pad = shards, dtype, shape, pad
        self.starts, self.lengths = starts, lengths
        self._size = math.prod(shape) * dtype.itemsize

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, rows: np.ndarray, length: int | None) -> np.ndarray:
        """The rows at `rows`, padded to `length` or to the longest of them: `(batch, length, …)`.

        Raises:
            DataError: a row is longer than `length`.
            StoreError: they cannot be read any more.
        """
        starts, lengths = self.starts[rows], self.lengths[rows]
        out = np.empty((len(starts), _width(lengths, length), *self.shape), self.dtype)
        flat, row_bytes = raw(out), out[:1].nbytes
        size = self._size
        for at, (start, count) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
            begin = at * row_bytes
            self.shards.read_into(start * size, flat[begin : begin + count * size])
            out[at, count:] = self.pad
        return out

    def digest(self) -> str:
        """That of the same rows as `Ragged`."""
        parts = (self.take(np.array([row]), None) for row in range(len(self)))
        return _ragged_digest(self.dtype, self.shape, self.lengths, self.pad, parts)


def _width(lengths: np.ndarray, length: int | None) -> int:
    longest = int(lengths.max(initial=0))
    if length is not None and longest > length:
        raise DataError("A row does not fit the batch.", expected=f"at most {length} positions", received=str(longest))
    return longest if length is None else length


def _pieces(count: int, shape: tuple[int, ...], dtype: np.dtype) -> Iterable[np.ndarray]:
    """All row numbers, in pieces of some megabytes."""
    step = max(1, 2**22 // max(1, math.prod(shape) * dtype.itemsize))
    return (np.arange(at, min(at + step, count)) for at in range(0, count, step))


def _ragged_digest(
    dtype: np.dtype, shape: tuple[int, ...], lengths: np.ndarray, pad: float, parts: Iterable[np.ndarray]
) -> str:
    head = (*shape, hashlib.sha256(raw(np.ascontiguousarray(lengths, np.int64))).hexdigest(), float(pad))
    return _digest("ragged", dtype, head, parts)


def _digest(kind: str, dtype: np.dtype, shape: tuple[Any, ...], parts: Iterable[np.ndarray]) -> str:
    if dtype.hasobject:
        raise DataError("Python objects have no digest.", expected="an array of numbers", received=str(dtype))
    found = hashlib.sha256(f"{kind} {dtype.name} {shape}\n".encode())
    for part in parts:
        found.update(raw(np.ascontiguousarray(part)))
    return found.hexdigest()
