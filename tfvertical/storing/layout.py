"""What an entry of the store looks like, and which files of which sizes follow from that.

Each array is one run of bytes, rows end to end in the order in which they arrived, cut into files of at most
`shard_bytes` bytes. Beside it stands that order, and once for all arrays the lengths of the rows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import ml_dtypes
import numpy as np

from tfvertical.errors import StoreError, nearest

SHARD = 64 * 2**20  # bytes; more where an entry would need many files
FILES = 32  # about as many hold an entry's arrays at most: while they are read all are open, of which systems allow few
MOST = 2**31  # rows, and positions of a row: sums then stay far below what int64 holds
LENGTHS = "rows.lengths"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}")
_DTYPES: Mapping[str, np.dtype] = {
    **{name: np.dtype(name) for name in ("float16", "float32", "float64", "int8", "uint8", "int32", "int64", "bool")},
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}


@dataclass(frozen=True)
class Spec:
    """One array that is kept by example.

    Args:
        name: letters, digits, `_` and `-`, such as `cut_0`.
        dtype: as it is stored, such as `float16`; wider values are cast when they are put.
        shape: of one example; where ragged, of one position (without the length axis).
        ragged: whether a length axis of its own comes first.

    Raises:
        StoreError: the name, the dtype or the shape is none that can be stored.

    Example:
        >>> Spec("cut_0", "bfloat16", (384,), ragged=True).item_bytes
        768
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    ragged: bool

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise StoreError(f"{self.name!r:.120} is no name for an array.", expected="letters, digits, `_` and `-`")
        if self.dtype not in _DTYPES:
            raise StoreError(
                f"Array {self.name!r}: the dtype {self.dtype!r:.40} cannot be stored.",
                expected="one of " + ", ".join(_DTYPES),
                nearest=nearest(self.dtype, _DTYPES),
            )
        if len(self.shape) > 16 or not all(type(size) is int and 0 <= size < MOST for size in self.shape):
            raise StoreError(f"Array {self.name!r}: {self.shape!r:.80} is no shape.", expected="sizes of 0 or more")

    @property
    def numpy(self) -> np.dtype:
        """The dtype for NumPy."""
        return _DTYPES[self.dtype]

    @property
    def item_bytes(self) -> int:
        """Bytes of one example; where ragged, of one position."""
        return math.prod(self.shape) * self.numpy.itemsize

    @property
    def order(self) -> str:
        """Under which name the order of the rows is stored."""
        return self.name + ".order"


@dataclass(frozen=True)
class Layout:
    """The arrays of an entry and how many rows they have.

    Args:
        specs: the arrays; no two of one name.
        rows: how many examples.
        positions: the sum of all rows' lengths; 0 where no array is ragged.
        shard_bytes: where a run of bytes is cut.

    Raises:
        StoreError: two arrays have one name, or there are too many rows.
    """

    specs: tuple[Spec, ...]
    rows: int
    positions: int
    shard_bytes: int = SHARD

    def __post_init__(self) -> None:
        names = [spec.name.casefold() for spec in self.specs]  # some file systems do not tell case apart
        if not names or len(set(names)) != len(names):
            raise StoreError("An entry needs arrays of different names.", received=", ".join(names) or "none")
        if not 0 <= self.rows < MOST:
            raise StoreError("That many rows cannot be stored.", expected=f"0…{MOST - 1}", received=str(self.rows))

    @property
    def ragged(self) -> bool:
        """Whether any array has rows of different lengths."""
        return any(spec.ragged for spec in self.specs)

    @cached_property
    def runs(self) -> dict[str, int]:
        """Name -> bytes of each run of bytes: arrays, their orders, the lengths."""
        found = {}
        for spec in self.specs:
            found[spec.name] = spec.item_bytes * (self.positions if spec.ragged else self.rows)
            found[spec.order] = 8 * self.rows
        if self.ragged:
            found[LENGTHS] = 8 * self.rows
        return found

    @property
    def array_bytes(self) -> int:
        """Bytes of the arrays alone: what they take in memory."""
        return sum(self.runs[spec.name] for spec in self.specs)

    @property
    def bytes(self) -> int:
        """Bytes of all runs."""
        return sum(self.runs.values())

    @property
    def file_count(self) -> int:
        """How many files that is, told without naming them."""
        return sum(-(-size // self.shard_bytes) for size in self.runs.values())

    def shards(self, run: str) -> Iterator[tuple[str, int]]:
        """(file name, bytes) of each file of a run, in order."""
        size = self.runs[run]
        for number, start in enumerate(range(0, size, self.shard_bytes)):
            yield shard_name(run, number), min(self.shard_bytes, size - start)


def shard_name(run: str, number: int) -> str:
    """The file's name."""
    return f"{run}.{number:04d}.bin"
