"""The store's folder: what lies in it, taking an entry away, and one process at a time where that matters."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tfvertical import _swap
from tfvertical.files import remove_abandoned
from tfvertical.storing import record
from tfvertical.storing.reader import read_record
from tfvertical.storing.record import USED, Damaged

KEY = re.compile(r"[0-9a-f]{64}")
_ASIDE = re.compile(rf"\.{KEY.pattern}\.old")  # see `_swap.set_aside`


@dataclass(frozen=True)
class Entry:
    """What can be said of an entry without reading its arrays.

    Args:
        key: under which it stands.
        bytes: what it takes on disk.
        created: when, in seconds since 1970.
        used: when it was last opened or written, in seconds since 1970.
        parts: what it depends on; empty where damaged.
        rows: how many examples; 0 where damaged.
        damaged: why it cannot be used, or None. Whether every byte is right shows only when it is opened.
    """

    key: str
    bytes: int
    created: float
    used: float
    parts: Mapping[str, str] = field(default_factory=dict)
    rows: int = 0
    damaged: str | None = None


def listing(folder: Path) -> list[Entry]:
    """The entries, the one used last first; what has no key for a name is not the store's and is left out."""
    try:
        names = [name for name in os.listdir(folder) if KEY.fullmatch(name)]
    except FileNotFoundError:
        return []
    found = [_entry(folder / name) for name in names]
    return sorted((entry for entry in found if entry is not None), key=lambda entry: entry.used, reverse=True)


def _entry(path: Path) -> Entry | None:
    """None where it was removed while we looked."""
    handle = None
    try:
        status = os.lstat(path)
        if not path.is_dir() or path.is_symlink():
            return Entry(path.name, status.st_size, status.st_mtime, 0.0, damaged="it is no folder")
        size = _size(path)
        handle = open_folder(path)
        created = os.stat(record.NAME, dir_fd=handle, follow_symlinks=False).st_mtime
        used = os.stat(USED, dir_fd=handle, follow_symlinks=False).st_mtime
        found = read_record(handle, path.name)
        return Entry(path.name, size, created, used, found.parts, found.layout.rows)
    except (OSError, Damaged) as error:
        if not os.path.lexists(path):
            return None
        why = str(error) if isinstance(error, Damaged) else f"{error.filename}: {error.strerror}"
        return Entry(path.name, _size(path), status.st_mtime, 0.0, damaged=why)
    finally:
        if handle is not None:
            os.close(handle)


def open_folder(path: Path) -> int:
    """A handle on a folder, never through a link; OSError where it is none."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def stands(path: Path, handle: int) -> bool:
    """Whether the folder under `path` still is the one that was opened."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(handle))
    except OSError:
        return False


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process at a time puts entries into the folder or takes them out; the others wait a moment.

    Raises:
        OSError: the folder cannot be opened.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def discard(path: Path) -> None:
    """Take an entry away: first out of sight in one step, then for good. Call it within `alone`.

    Raises:
        OSError: it may not be removed.
    """
    with contextlib.suppress(FileNotFoundError):
        if path.is_symlink() or not path.is_dir():
            path.unlink()
            return
        aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
        try:
            os.rename(path, aside)  # a kill from here on leaves what `sweep` removes
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            shutil.rmtree(path)  # a full disk may have no room for another name either
            return
        shutil.rmtree(aside, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what killed writers left half done, and put back what they had set aside. Call it within `alone`."""
    with contextlib.suppress(OSError):
        remove_abandoned(folder)
        for entry in [folder / name[1:-4] for name in os.listdir(folder) if _ASIDE.fullmatch(name)]:
            _swap.recover(entry)
            shutil.rmtree(_swap.set_aside(entry), ignore_errors=True)  # where another has taken its place


def _size(path: Path) -> int:
    total = 0
    for parent, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total
