"""Outputs of a frozen model part, kept on disk between runs.

An entry appears whole or not at all, is checked byte by byte before it is used, and is never changed: other weights,
other data or another version give another key. What has not been used for longest makes room for what is new.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfvertical import files, packages
from tfvertical.errors import BundleError, StoreError
from tfvertical.storing import folder as folders
from tfvertical.storing import plan, reader
from tfvertical.storing.folder import Entry
from tfvertical.storing.layout import Spec
from tfvertical.storing.record import USED, Damaged
from tfvertical.storing.refusal import unusable
from tfvertical.storing.writer import Writer

if TYPE_CHECKING:
    from tfvertical.contracts import Column

__all__ = ["Entry", "Spec", "Store", "Writer", "key"]

log = logging.getLogger(__name__)


def key(parts: Mapping[str, str]) -> str:
    """SHA-256, in hexadecimal, of what an entry depends on; in whatever order it is told.

    Example:
        >>> key({"weights": "a", "data": "b"}) == key({"data": "b", "weights": "a"})
        True
    """
    plan.check_parts(parts)
    return hashlib.sha256(json.dumps(dict(parts), sort_keys=True, ensure_ascii=True).encode()).hexdigest()


class Store:
    """Arrays by example, kept in a folder under keys. Several processes may use one folder at once.

    Args:
        folder: where entries stand; None for `features` under TFVERTICAL_HOME.
        limit: bytes that all entries together may take.

    Example:
        >>> store = Store(Path("features"))
        >>> parts = {"weights": "0f3a", "data": "77b1"}
        >>> with store.write(key(parts), parts, [Spec("cut_0", "float32", (2,), ragged=False)], 3, None) as writer:
        ...     writer.put("cut_0", np.array([2, 0]), np.array([[5, 6], [1, 2]], np.float32))
        ...     writer.put("cut_0", np.array([1]), np.array([[3, 4]], np.float32))
        >>> store.open(key(parts), memory=1000)["cut_0"].take(np.array([0, 1, 2]), None).tolist()
        [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    """

    def __init__(self, folder: Path | None = None, limit: int = 10_000_000_000):
        self.folder = (packages.home() / "features" if folder is None else Path(folder)).absolute()
        self.limit = limit

    def open(self, key: str, memory: int) -> dict[str, Column] | None:
        """The entry under `key` as columns, every byte checked.

        Args:
            key: from `key`.
            memory: up to how many bytes of arrays are read into memory; of more, rows are read from disk when a batch
                is taken.

        Returns:
            name -> column, or None where there is no entry, it cannot be read, or it is damaged; a damaged one is
            removed. The log says so.
        """
        path = self._place(key)
        for _ in range(5):  # it may be replaced while we read
            try:
                handle = folders.open_folder(path)
            except OSError as error:
                if error.errno in (errno.ENOTDIR, errno.ELOOP) and os.path.lexists(path):
                    self._refuse(path, None, "it is no folder")
                elif error.errno != errno.ENOENT:
                    log.warning("Kept outputs in %s cannot be read now (%s).", path, error.strerror)
                return None
            try:
                columns = reader.load(handle, key, memory)
                with contextlib.suppress(OSError):  # a folder that others own can be used all the same
                    os.utime(USED, dir_fd=handle, follow_symlinks=False)
                return columns
            except Damaged as error:
                if folders.stands(path, handle):
                    self._refuse(path, handle, str(error))
                    return None
            except OSError as error:
                log.warning("Kept outputs in %s cannot be read now (%s).", path, error.strerror)
                return None
            finally:
                os.close(handle)
        return None

    @contextlib.contextmanager
    def write(
        self, key: str, parts: Mapping[str, str], specs: Sequence[Spec], rows: int, lengths: np.ndarray | None
    ) -> Iterator[Writer]:
        """A writer whose rows appear under `key` when the block ends, whole, or not at all.

        Args:
            key: from `key`. What stands there is replaced.
            parts: what the entry depends on, in words; kept with it.
            specs: the arrays.
            rows: how many examples.
            lengths: int64 `(rows,)` of the ragged arrays; None where there is none.

        Raises:
            StoreError: the entry is larger than the limit, no space, no permission, or rows are missing at the end.
                Nothing is left behind, and other entries are as they were, but for those that made room.
        """
        path = self._place(key)
        planned = plan.plan(key, parts, specs, rows, lengths, self.limit)
        raised: BaseException | None = None
        try:
            self._make_room(path, planned.bytes)
            with contextlib.ExitStack() as last, files.new_folder(path, overwrite=True) as temporary:
                writer = last.enter_context(contextlib.closing(Writer(temporary, planned.layout, planned.lengths)))
                try:
                    yield writer
                except BaseException as error:
                    raised = error
                    raise
                writer.finish(key, parts)
                last.enter_context(folders.alone(self.folder))  # until the folder stands under its name
                self._evict(path, planned.bytes)  # others have written meanwhile
        except (BundleError, OSError) as error:
            if raised is None:
                raise unusable(self.folder, error) from error
        if raised is not None:  # the caller's own, which is no matter of this folder, as it was raised
            raise raised

    def entries(self) -> list[Entry]:
        """What is kept, the one used last first."""
        return folders.listing(self.folder)

    def remove(self, keys: Sequence[str] | None = None, unused_for: float | None = None) -> int:
        """Remove entries, and what killed writers left. Processes that use them keep what they have opened.

        Args:
            keys: which; None for all.
            unused_for: seconds; those used since then stay.

        Returns:
            how many bytes that freed.

        Raises:
            StoreError: the folder may not be changed.
        """
        if not self.folder.is_dir():
            return 0
        before = time.time() - (unused_for or 0)
        try:
            with folders.alone(self.folder):
                folders.sweep(self.folder)
                chosen = [entry for entry in self.entries() if keys is None or entry.key in keys]
                chosen = [entry for entry in chosen if unused_for is None or entry.used < before]
                for entry in chosen:
                    folders.discard(self.folder / entry.key)
        except OSError as error:
            raise unusable(self.folder, error) from error
        return sum(entry.bytes for entry in chosen)

    def _place(self, key: str) -> Path:
        if not folders.KEY.fullmatch(key):
            raise StoreError(f"{key!r:.100} is no key.", expected="64 hexadecimal digits, from `key`")
        return self.folder / key

    def _make_room(self, path: Path, size: int) -> None:
        """Room for `size` bytes under `path`, or StoreError before anything is computed in vain."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with folders.alone(self.folder):
            folders.sweep(self.folder)
            self._evict(path, size)
        files.check_room(path, size)

    def _evict(self, path: Path, size: int) -> None:
        """Remove what was used longest ago, damaged entries first, until `size` bytes more are within the limit."""
        others = [entry for entry in self.entries() if entry.key != path.name]
        total = sum(entry.bytes for entry in others)
        while others and total + size > self.limit:
            victim = others.pop()
            folders.discard(self.folder / victim.key)
            log.info("Removed kept outputs %s (%d bytes) to make room.", victim.key[:12], victim.bytes)
            total -= victim.bytes

    def _refuse(self, path: Path, handle: int | None, why: str) -> None:
        """Say that an entry is damaged, and remove it unless another has taken its place."""
        try:
            with folders.alone(self.folder):
                if handle is None or folders.stands(path, handle):
                    folders.discard(path)
            log.warning("Kept outputs in %s are damaged (%s); they were removed and are computed anew.", path, why)
        except OSError as error:
            log.warning(
                "Kept outputs in %s are damaged (%s) and cannot be removed (%s); they are not used.",
                path,
                why,
                error.strerror,
            )
