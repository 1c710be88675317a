"""An entry's files, opened through a handle on its folder and read only together with their SHA-256."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np

from tfvertical.shards import Shards, raw
from tfvertical.storing.layout import Spec
from tfvertical.storing.record import Damaged, Record

_CHUNK = 2**20  # bytes


def into_memory(folder: int, found: Record, run: str) -> np.ndarray:
    """All bytes of a run, uint8, each read once: what was hashed is what is returned.

    Raises:
        Damaged: a file is missing or not as it was written.
        OSError: it cannot be read.
    """
    shards = list(found.layout.shards(run))
    for name, size in shards:  # real files before the memory for them
        _check_size(folder, name, size)
    content = np.empty(found.layout.runs[run], np.uint8)

    def read(number: int) -> None:
        name, size = shards[number]
        start = number * found.layout.shard_bytes
        handle = open_file(folder, name)
        try:
            _verify(handle, name, size, found.digests[name], raw(content)[start : start + size])
        finally:
            os.close(handle)

    _each(read, len(shards))
    return content


def kept_open(folder: int, found: Record, spec: Spec) -> Shards:
    """The array's files, checked and left open. Raises as `into_memory`."""
    shards = list(found.layout.shards(spec.name))
    with ExitStack() as stack:
        handles = []
        for name, _ in shards:
            handles.append(open_file(folder, name))
            stack.callback(os.close, handles[-1])
        _each(lambda at: _verify(handles[at], *shards[at], found.digests[shards[at][0]], None), len(shards))
        stack.pop_all()
    what = f"Array {spec.name!r} of the kept outputs {found.key[:12]}"
    return Shards(handles, found.layout.shard_bytes, found.layout.runs[spec.name], what)


def _each(check: Callable[[int], None], count: int) -> None:
    """Call `check` with 0…count-1, on all processors: hashing is what takes the time, and leaves Python free."""
    if count < 2:
        for number in range(count):
            check(number)
        return
    with ThreadPoolExecutor(min(count, os.cpu_count() or 1, 8)) as pool:
        list(pool.map(check, range(count)))


def _verify(handle: int, name: str, size: int, digest: str, target: memoryview | None) -> None:
    """Read a file once, into `target` if there is one; raise Damaged where its size or its hash is another."""
    _need_size(handle, name, size)
    found, at = hashlib.sha256(), 0
    buffer = memoryview(bytearray(min(_CHUNK, size))) if target is None else target
    while at < size:
        free = buffer[: size - at] if target is None else target[at : at + _CHUNK]
        count = os.preadv(handle, [free], at)
        if not count:
            raise Damaged(f"{name} was cut short")
        found.update(free[:count])
        at += count
    if found.hexdigest() != digest:
        raise Damaged(f"{name} was changed")


def _check_size(folder: int, name: str, size: int) -> None:
    handle = open_file(folder, name)
    try:
        _need_size(handle, name, size)
    finally:
        os.close(handle)


def _need_size(handle: int, name: str, size: int) -> None:
    found = os.fstat(handle).st_size
    if found != size:
        raise Damaged(f"{name} has {found} bytes instead of {size}")


def open_file(folder: int, name: str) -> int:
    """An open handle on a plain file of the folder, never through a link, never waiting on a pipe."""
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Damaged(f"{name} is no plain file")
    return handle
