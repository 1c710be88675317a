"""Exchange two folders in one step, so that no moment exists in which neither stands under the name.

Python offers no such call: Linux has `renameat2(RENAME_EXCHANGE)`, macOS `renamex_np(RENAME_SWAP)`, both reached
through ctypes. Elsewhere, and on file systems that cannot, two renames do it, and `recover` mends what a kill between
them leaves.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from pathlib import Path

_AT_FDCWD = -100
_EXCHANGE = 2  # the same number on both systems
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)


def swap(new: Path, path: Path) -> None:
    """Put the folder `new` where `path` stands; what stood there ends up under the name `new`, or is gone.

    Args:
        new: a complete folder beside `path`.
        path: a folder, or nothing yet.
    """
    if not path.exists():
        os.rename(new, path)
    elif not exchange(new, path):
        old = set_aside(path)
        shutil.rmtree(old, ignore_errors=True)
        os.rename(path, old)
        os.rename(new, path)
        os.rename(old, new)


def recover(path: Path) -> None:
    """Put back what a kill between the two renames of `swap` left aside."""
    old = set_aside(path)
    if not path.exists() and old.is_dir():
        os.rename(old, path)


def set_aside(path: Path) -> Path:
    """Where the old folder stands between the two renames."""
    return path.with_name(f".{path.name}.old")


def exchange(one: Path, other: Path) -> bool:
    """Exchange two paths in one step; False where the system or the file system cannot.

    Raises:
        OSError: it could, and failed.
    """
    result = _call(os.fsencode(one), os.fsencode(other))
    if result is None:
        return False
    status, number = result
    if status == 0:
        return True
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(other))


def _call(one: bytes, other: bytes) -> tuple[int, int] | None:
    """(status, errno) of the system's call, or None where there is none."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            status = library.renamex_np(one, other, ctypes.c_uint(_EXCHANGE))
        elif sys.platform.startswith("linux"):
            status = library.renameat2(_AT_FDCWD, one, _AT_FDCWD, other, ctypes.c_uint(_EXCHANGE))
        else:
            return None
    except (AttributeError, OSError, TypeError):
        return None
    return status, ctypes.get_errno()
