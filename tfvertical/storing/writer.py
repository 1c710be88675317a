"""Writing an entry: batches as they come, straight into shards, so that memory holds no more than a batch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tfvertical.errors import StoreError
from tfvertical.storing import record
from tfvertical.storing.layout import LENGTHS, Layout, Spec
from tfvertical.storing.refusal import unusable
from tfvertical.storing.run import Run


class Writer:
    """Takes the batches of one entry; made by `Store.write`.

    Args:
        folder: an empty folder.
        layout: what will be written.
        lengths: int64 `(rows,)` of the ragged arrays, or None.
    """

    def __init__(self, folder: Path, layout: Layout, lengths: np.ndarray | None):
        self.layout, self.lengths = layout, lengths
        self._folder = folder
        self._arrays = {spec.name: _Array(folder, layout, spec) for spec in layout.specs}

    def put(self, name: str, rows: np.ndarray, values: np.ndarray) -> None:
        """Keep a batch; each row exactly once over the life of the writer, in any order.

        Args:
            name: of one of the specs.
            rows: int `(batch,)` which examples these are.
            values: `(batch, *shape)`, or `(batch, padded, *shape)` where ragged: what lies beyond a row's length is
                dropped. A wider dtype is cast to the spec's.

        Raises:
            StoreError: the disk is full; rows or shapes do not fit; a number is too big for the spec's dtype.
        """
        if name not in self._arrays:
            raise StoreError(f"There is no array {name!r} in this entry.", expected=", ".join(self._arrays))
        array = self._arrays[name]
        rows, values = array.claim(rows), np.asarray(values)
        padded = values.shape[1:2] if array.spec.ragged else ()
        wanted = (len(rows), *padded, *array.spec.shape)
        lengths = self.lengths[rows] if array.spec.ragged and self.lengths is not None else None
        if values.shape != wanted or (lengths is not None and lengths.max(initial=0) > (padded or (0,))[0]):
            raise StoreError(
                f"Array {name!r}: the values do not fit the rows.",
                expected=f"{len(rows)} rows, each {'(length, …) ' if array.spec.ragged else ''}{array.spec.shape}",
                received=f"shape {values.shape}",
            )
        if lengths is not None:
            values = values[np.arange(values.shape[1]) < lengths[:, None]]
        try:
            array.append(rows, _cast(values, array.spec))
        except StoreError:
            raise
        except OSError as error:
            raise unusable(self._folder.parent, error) from error

    def finish(self, key: str, parts: Mapping[str, str]) -> None:
        """Write what belongs beside the arrays; the entry is complete afterwards.

        Raises:
            StoreError: rows are missing, or the disk is full.
        """
        digests: dict[str, str] = {}
        for array in self._arrays.values():
            digests |= array.finish()
        if self.layout.ragged and self.lengths is not None:
            run = Run(self._folder, LENGTHS, self.layout.shard_bytes)
            run.append(np.ascontiguousarray(self.lengths, np.int64))
            digests |= run.finish()
        (self._folder / record.USED).touch()
        (self._folder / record.NAME).write_bytes(record.render(record.Record(key, parts, self.layout, digests)))

    def close(self) -> None:
        """Let go of the files, written to the end or not."""
        for array in self._arrays.values():
            array.run.close()


class _Array:
    """One array on its way to disk, and in which order its rows came."""

    def __init__(self, folder: Path, layout: Layout, spec: Spec):
        self.spec, self._folder, self._layout = spec, folder, layout
        self.run = Run(folder, spec.name, layout.shard_bytes)
        self._order: list[np.ndarray] = []
        self._seen = np.zeros(layout.rows, bool)

    def claim(self, rows: np.ndarray) -> np.ndarray:
        """The rows as int64, refused where one is none or was there already."""
        found = np.asarray(rows)
        whole = found.ndim == 1 and (found.dtype.kind in "iu" or not len(found))
        found = found.astype(np.int64) if whole else found
        inside = whole and bool(((found >= 0) & (found < len(self._seen))).all())
        if not inside or self._seen[found].any() or len(np.unique(found)) != len(found):
            raise StoreError(
                f"Array {self.spec.name!r}: these rows cannot be put.",
                expected=f"each of 0…{len(self._seen) - 1} once",
                received=f"{rows!r:.200}",
            )
        return found

    def append(self, rows: np.ndarray, values: np.ndarray) -> None:
        self.run.append(values)
        self._order.append(rows)
        self._seen[rows] = True

    def finish(self) -> dict[str, str]:
        """The files' hashes, the order's among them."""
        if not self._seen.all():
            raise StoreError(
                f"Array {self.spec.name!r} is incomplete; nothing was kept.",
                expected=f"{len(self._seen)} rows",
                received=str(int(self._seen.sum())),
            )
        order = Run(self._folder, self.spec.order, self._layout.shard_bytes)
        order.append(np.concatenate([np.zeros(0, np.int64), *self._order]))
        return self.run.finish() | order.finish()


def _cast(values: np.ndarray, spec: Spec) -> np.ndarray:
    """The values in the dtype that is stored, refused where a number would become another one altogether."""
    if values.dtype == spec.numpy:
        return values
    if not np.can_cast(values.dtype, spec.numpy, "same_kind") or spec.dtype == "bool":
        raise StoreError(f"Array {spec.name!r}: {values.dtype.name} cannot be stored as {spec.dtype}.")
    with np.errstate(over="ignore", invalid="ignore"):
        stored = values.astype(spec.numpy)
    if stored.dtype.kind in "iu":
        lost = bool((stored != values).any())
    else:
        lost = bool((np.isinf(stored) & ~np.isinf(values)).any())
    if lost:
        raise StoreError(
            f"Array {spec.name!r} has numbers too big for {spec.dtype}.",
            received=f"up to {float(np.abs(values.astype(np.float64)).max()):.6g}",
            fix="store it as bfloat16 or float32" if spec.dtype == "float16" else "store it in a wider dtype",
        )
    return stored
