"""One long run of bytes that lies cut in several open files, read by place.

Reading is by `pread` and never through a memory map: a file that was cut short then gives an error and not a dead
process, and what was read before does not count as this process's memory.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence

import numpy as np

from tfvertical.errors import StoreError


class Shards:
    """Reads bytes by place out of open files. The files stay readable when somebody removes them from their folder.

    Args:
        handles: open file descriptors, in order; they are closed with this object.
        shard_bytes: bytes in each file but the last.
        size: bytes in all.
        what: what a message calls it.

    Raises:
        StoreError: on reading, where a file has become shorter or cannot be read any more.
    """

    def __init__(self, handles: Sequence[int], shard_bytes: int, size: int, what: str):
        self.handles, self.shard_bytes, self.size, self.what = tuple(handles), shard_bytes, size, what
        weakref.finalize(self, _close, self.handles)

    def read_into(self, offset: int, target: memoryview) -> None:
        """Fill `target`, of bytes, from `offset` on."""
        while len(target):
            shard, within = divmod(offset, self.shard_bytes)
            part = target[: self.shard_bytes - within]
            try:
                count = os.preadv(self.handles[shard], [part], within) if shard < len(self.handles) else 0
            except OSError as error:
                raise StoreError(f"{self.what} cannot be read ({error.strerror}).", fix=_FIX) from error
            if not count:
                raise StoreError(f"{self.what} was cut short while it was in use.", fix=_FIX)
            offset, target = offset + count, target[count:]


def raw(array: np.ndarray) -> memoryview:
    """The own bytes of an array whose elements lie end to end; ml_dtypes' kinds have no buffer of their own."""
    return array.reshape(-1).view(np.uint8).data


_FIX = "run it again; what was kept is then computed anew"


def _close(handles: Sequence[int]) -> None:
    for handle in handles:
        os.close(handle)
