"""Checking every byte of an entry, and only then handing out columns that read it.

All files are opened through one handle on the folder and kept open, so that what was checked is what is used, whoever
removes or replaces the entry meanwhile.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import numpy as np

from tfvertical.columns import Dense, Ragged, StreamedDense, StreamedRagged
from tfvertical.shards import Shards
from tfvertical.storing import record
from tfvertical.storing.checked import into_memory, kept_open, open_file
from tfvertical.storing.layout import LENGTHS, MOST, Layout, Spec
from tfvertical.storing.record import USED, Damaged, Record

if TYPE_CHECKING:
    from tfvertical.contracts import Column

_BROKEN = (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.ENXIO)


def load(folder: int, key: str, memory: int) -> dict[str, Column]:
    """The entry's arrays as columns, after every byte was checked.

    Args:
        folder: an open handle on the entry's folder.
        key: under which it stands.
        memory: up to how many bytes of arrays are read into memory; of more, all stay on disk.

    Raises:
        Damaged: anything is not as it was written.
        OSError: it cannot be read now, which says nothing about it (no permission, too many open files).
    """
    try:
        found = read_record(folder, key)
        _check_names(folder, found)
        return _columns(folder, found, memory)
    except OSError as error:
        if error.errno in _BROKEN:
            raise Damaged(f"{error.filename or 'a file'} cannot be read ({error.strerror})") from error
        raise


def read_record(folder: int, key: str) -> Record:
    """What `entry.json` says.

    Raises:
        Damaged: it is not as it was written.
        OSError: it cannot be read.
    """
    with os.fdopen(open_file(folder, record.NAME), "rb") as file:
        content = file.read(record.LIMIT + 1)
    if len(content) > record.LIMIT:
        raise Damaged(f"{record.NAME} is too big")
    return record.parse(content, key)


def _check_names(folder: int, found: Record) -> None:
    present = set(os.listdir(folder))
    expected = {record.NAME, USED, *found.digests}
    for name in sorted(expected - present):
        raise Damaged(f"{name} is missing")
    for name in sorted(present - expected):
        raise Damaged(f"{name!r:.120} does not belong there")
    handle = open_file(folder, USED)
    try:
        if os.fstat(handle).st_size:
            raise Damaged(f"{USED} is not empty")
    finally:
        os.close(handle)


def _columns(folder: int, found: Record, memory: int) -> dict[str, Column]:
    layout = found.layout
    lengths = _lengths(folder, found) if layout.ragged else None
    streamed = layout.array_bytes > memory
    columns: dict[str, Column] = {}
    for spec in layout.specs:
        order = _order(into_memory(folder, found, spec.order).view(np.int64), spec)
        if streamed:
            shards = kept_open(folder, found, spec)
            columns[spec.name] = _streamed(shards, spec, order, lengths if spec.ragged else None)
        else:
            content = into_memory(folder, found, spec.name)
            columns[spec.name] = _in_memory(content, layout, spec, order, lengths if spec.ragged else None)
    return columns


def _lengths(folder: int, found: Record) -> np.ndarray:
    lengths = into_memory(folder, found, LENGTHS).view(np.int64)
    within = bool(((lengths >= 0) & (lengths < MOST)).all())
    if not within or int(lengths.sum()) != found.layout.positions:
        raise Damaged("its lengths do not fit its arrays")
    return lengths


def _order(order: np.ndarray, spec: Spec) -> np.ndarray:
    """The stored order, if it has each row once."""
    inside = bool(((order >= 0) & (order < len(order))).all())
    if not inside or (len(order) and int(np.bincount(order, minlength=len(order)).max()) != 1):
        raise Damaged(f"the order of {spec.name} has rows twice or not at all")
    return order


def _starts(order: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """int64 `(n,)` the position at which each row begins."""
    stored = lengths[order]
    starts = np.empty(len(order), np.int64)
    starts[order] = np.cumsum(stored) - stored
    return starts


def _places(order: np.ndarray) -> np.ndarray:
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return places


def _in_memory(
    content: np.ndarray, layout: Layout, spec: Spec, order: np.ndarray, lengths: np.ndarray | None
) -> Dense | Ragged:
    if lengths is None:
        stored = _shaped(content, spec, layout.rows)
        return Dense(stored if _sorted(order) else stored[_places(order)])
    return Ragged.placed(_shaped(content, spec, layout.positions), _starts(order, lengths), lengths)


def _shaped(content: np.ndarray, spec: Spec, count: int) -> np.ndarray:
    return content.view(spec.numpy).reshape(count, *spec.shape)


def _sorted(order: np.ndarray) -> bool:
    return bool((order == np.arange(len(order))).all())


def _streamed(
    shards: Shards, spec: Spec, order: np.ndarray, lengths: np.ndarray | None
) -> StreamedDense | StreamedRagged:
    if lengths is None:
        return StreamedDense(shards, spec.numpy, spec.shape, _places(order))
    return StreamedRagged(shards, spec.numpy, spec.shape, _starts(order, lengths), lengths)
