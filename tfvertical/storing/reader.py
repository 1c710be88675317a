"""Checking every byte of an entry, and only then handing out columns that read it.

All files are opened through one handle on the folder and kept open, so that what was checked is what is used, whoever
removes or replaces the entry meanwhile.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from tfvertical.columns import Dense, Ragged, StreamedDense, StreamedRagged
from tfvertical.shards import Shards, raw
from tfvertical.storing import record
from tfvertical.storing.layout import LENGTHS, MOST, Layout, Spec
from tfvertical.storing.record import USED, Damaged, Record

if TYPE_CHECKING:
    from tfvertical.contracts import Column

_CHUNK = 2**20
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
    with os.fdopen(_open(folder, record.NAME), "rb") as file:
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
    handle = _open(folder, USED)
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
        order = _order(_into_memory(folder, found, spec.order).view(np.int64), spec)
        if streamed:
            shards = _kept_open(folder, found, spec)
            columns[spec.name] = _streamed(shards, spec, order, lengths if spec.ragged else None)
        else:
            content = _into_memory(folder, found, spec.name)
            columns[spec.name] = _in_memory(content, layout, spec, order, lengths if spec.ragged else None)
    return columns


def _lengths(folder: int, found: Record) -> np.ndarray:
    lengths = _into_memory(folder, found, LENGTHS).view(np.int64)
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


def _into_memory(folder: int, found: Record, run: str) -> np.ndarray:
    """All bytes of a run, uint8, each read once: what was hashed is what is returned."""
    for name, size in found.layout.shards(run):  # real files before the memory for them
        _check_size(folder, name, size)
    content = np.empty(found.layout.runs[run], np.uint8)
    at = 0

    def keep(part: memoryview) -> memoryview:
        nonlocal at
        target = raw(content)[at : at + len(part)]
        at += len(part)
        return target

    for name, size in found.layout.shards(run):
        handle = _open(folder, name)
        try:
            _verify(handle, name, size, found.digests[name], keep)
        finally:
            os.close(handle)
    return content


def _kept_open(folder: int, found: Record, spec: Spec) -> Shards:
    """The array's files, checked and left open."""
    with ExitStack() as stack:
        handles = []
        for name, size in found.layout.shards(spec.name):
            handle = _open(folder, name)
            stack.callback(os.close, handle)
            _verify(handle, name, size, found.digests[name], lambda part: part)
            handles.append(handle)
        stack.pop_all()
    what = f"Array {spec.name!r} of the kept outputs {found.key[:12]}"
    return Shards(handles, found.layout.shard_bytes, found.layout.runs[spec.name], what)


def _verify(handle: int, name: str, size: int, digest: str, target: Callable[[memoryview], memoryview]) -> None:
    """Read a file once, a chunk at a time, into what `target` gives for it; raise Damaged where the hash is another."""
    _need_size(handle, name, size)
    buffer, found, at = memoryview(bytearray(min(_CHUNK, size))), hashlib.sha256(), 0
    while at < size:
        part = target(buffer[: size - at])
        filled = 0
        while filled < len(part):
            count = os.preadv(handle, [part[filled:]], at + filled)
            if not count:
                raise Damaged(f"{name} was cut short")
            filled += count
        found.update(part)
        at += len(part)
    if found.hexdigest() != digest:
        raise Damaged(f"{name} was changed")


def _check_size(folder: int, name: str, size: int) -> None:
    handle = _open(folder, name)
    try:
        _need_size(handle, name, size)
    finally:
        os.close(handle)


def _need_size(handle: int, name: str, size: int) -> None:
    found = os.fstat(handle).st_size
    if found != size:
        raise Damaged(f"{name} has {found} bytes instead of {size}")


def _open(folder: int, name: str) -> int:
    """An open handle on a plain file of the folder, never through a link, never waiting on a pipe."""
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Damaged(f"{name} is no plain file")
    return handle
