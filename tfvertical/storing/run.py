"""A run of bytes, written as it comes: cut into files, hashed on the way, on the disk for good when a file ends."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tfvertical.shards import raw
from tfvertical.storing.layout import shard_name


class Run:
    """A run of bytes on its way to disk.

    Args:
        folder: where its files go.
        name: of the run; the files' names begin so.
        shard_bytes: where it is cut.
    """

    def __init__(self, folder: Path, name: str, shard_bytes: int):
        self._folder, self._name, self._shard_bytes = folder, name, shard_bytes
        self._file: BinaryIO | None = None
        self._hash, self._room = hashlib.sha256(), 0
        self._digests: dict[str, str] = {}

    def append(self, values: np.ndarray) -> None:
        """Write the elements, in order. Raises OSError where they cannot be written."""
        content = raw(np.ascontiguousarray(values))
        while len(content):
            if not self._room:
                self._next()
            part = content[: self._room]
            if self._file is not None:
                self._file.write(part)
            self._hash.update(part)
            self._room -= len(part)
            content = content[len(part) :]

    def finish(self) -> dict[str, str]:
        """End the last file; file name -> SHA-256 of all."""
        self._seal()
        return self._digests

    def close(self) -> None:
        """Let go of the open file, written to the end or not."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # what is still buffered does not fit a full disk, which has been told
                self._file.close()
            self._file = None

    def _next(self) -> None:
        self._seal()
        self._file = open(self._folder / shard_name(self._name, len(self._digests)), "xb")  # noqa: SIM115
        self._hash, self._room = hashlib.sha256(), self._shard_bytes

    def _seal(self) -> None:
        if self._file is None:
            return
        self._file.flush()
        os.fsync(self._file.fileno())  # now, a shard at a time, and not gigabytes at the end while others wait
        self.close()
        self._digests[shard_name(self._name, len(self._digests))] = self._hash.hexdigest()
