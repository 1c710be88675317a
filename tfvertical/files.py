"""Writes that a kill, a full disk or a power cut cannot leave half done: temporary file, fsync, rename.

`new_folder` and `write_bytes` are the only ways this package puts something on disk that is meant to stay.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tfvertical import _swap
from tfvertical.errors import BundleError

# what a file system says that has no such call
MISSING = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)
# and of renaming a folder, in particular: mounts of buckets and of drives say all of these
IMMOVABLE = (*MISSING, errno.EPERM, errno.EXDEV, errno.EMFILE)
_FORGOTTEN = 3600.0  # seconds after which a half-written folder that no lock can tell from a living one's is removed
_ADDRESS = re.compile(r"[a-zA-Z][\w+.-]+:/")  # `pathlib.Path` leaves one slash of two


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Replace `path` by `content`, or leave it as it was.

    Raises:
        BundleError: no space, no permission; nothing is left behind.
    """
    path = Path(path)
    with _readable_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _beside(path)
        try:
            with open(temporary, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def write_text(path: str | os.PathLike[str], content: str) -> None:
    """`write_bytes` of UTF-8."""
    write_bytes(path, content.encode())


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """`write_bytes` of indented JSON; NaN and infinity, which JSON has no word for, are refused."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextlib.contextmanager
def new_folder(path: str | os.PathLike[str], *, overwrite: bool = False, last: str | None = None) -> Iterator[Path]:
    """A folder to fill that appears under `path` whole, when the block ends, or not at all.

    Args:
        path: where it shall stand. An empty folder there is replaced; a filled one only with `overwrite`.
        overwrite: replace what stands there; it stays until the new one is complete.
        last: one of its files, without which nothing of the folder counts. Where the file system cannot rename
            folders, as some mounts of Drive and of buckets, the others are written under `path` first, and it last.

    Raises:
        BundleError: something stands there, no space, no permission. Nothing is left behind, made parents included.
    """
    path = Path(path)
    with _readable_errors(path):
        _swap.recover(path)
    refuse_filled(path, overwrite=overwrite)
    with _readable_errors(path), _new_parents(path):
        remove_abandoned(path.parent, path.name)
        temporary, lock = _locked_temporary(path)
        try:
            yield temporary
            _sync_tree(temporary)
            refuse_filled(path, overwrite=overwrite)
            if last is None:
                _swap.swap(temporary, path)
            elif not does(_swap.swap, temporary, path, missing=IMMOVABLE):
                _commit(temporary, path, last)
            _sync_folder(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            os.close(lock)


def refuse_address(path: Path) -> None:
    """Raise BundleError for `gs://bucket/x` and the like, of which a folder called `gs:` would be made here."""
    if _ADDRESS.match(str(path)):
        raise BundleError(
            f"{path} is an address, and outputs are written to a local folder.",
            fix="name a folder, and copy it there when all is written",
        )


def refuse_filled(path: Path, *, overwrite: bool = False) -> None:
    """Raise BundleError where `path` is a file, a folder with something in it unless `overwrite`, or an address."""
    refuse_address(path)
    with _readable_errors(path):
        if path.is_symlink() or path.is_file():
            raise BundleError(f"{path} is not a folder.", expected="a new or empty folder", fix="choose another path")
        if path.is_dir() and any(path.iterdir()) and not overwrite:
            raise BundleError(f"{path} is not empty.", fix="choose another folder, or say overwrite (--overwrite)")


def check_place(path: Path) -> None:
    """Raise BundleError where a folder could not be made at `path`: said before a long run rather than after it."""
    refuse_address(path)
    with _readable_errors(path):
        above = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not above.is_dir():
        raise BundleError(f"{path} cannot be written: {above} is a file.", fix="choose another path")
    if not os.access(above, os.W_OK | os.X_OK):
        raise BundleError(f"{path} cannot be written: {above} is read-only for you.", fix="choose another folder")


def check_room(path: Path, size: int) -> None:
    """Raise BundleError where the disk of `path` has less than `size` bytes free.

    What passes may fail all the same, since others write too; what fails here would have failed after the run.
    """
    above = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    free = shutil.disk_usage(above).free
    if free < size:
        raise BundleError(
            f"No space left for {path}; nothing was written.",
            expected=f"{size / 1e6:,.0f} MB free",
            received=f"{free / 1e6:,.0f} MB",
            fix="free some space, or choose another folder",
        )


def parse_json(content: bytes, where: str) -> Any:
    """JSON read strictly: a key that stands twice, NaN, infinity and anything but UTF-8 are refused.

    Args:
        content: the file's bytes.
        where: what the message calls it.

    Raises:
        BundleError: it is no such JSON.

    Example:
        >>> parse_json(b'{"schema_version": 1}', "manifest.json")
        {'schema_version': 1}
    """

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        try:
            return unique(items)
        except ValueError as error:
            raise BundleError(f"{where}: {error}.") from error

    def constant(word: str) -> None:
        raise BundleError(f"{where}: {word} is no JSON number.")

    try:
        return json.loads(content.decode(), object_pairs_hook=pairs, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"{where} is no readable JSON.", received=f"{type(error).__name__}: {error}") from error


def unique(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """The mapping of these keys and values; ValueError for a key that stands twice.

    Example:
        >>> unique([("text", "a"), ("label", "b")])
        {'text': 'a', 'label': 'b'}
    """
    found = dict(items)
    if len(found) != len(items):
        names = [name for name, _ in items]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice")
    return found


def sha256(path: str | os.PathLike[str]) -> str:
    """The file's SHA-256 in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _new_parents(path: Path) -> Iterator[None]:
    """Make the folders above `path`; where the block fails, remove those that were not there and are empty again."""
    missing = [parent for parent in path.parents if not parent.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for parent in missing:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


def _beside(path: Path, ending: str = "") -> Path:
    """A name that nothing has; not made by `tempfile`, whose modes know nothing of the person's umask."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{ending}")


def _locked_temporary(path: Path) -> tuple[Path, int]:
    """A new folder beside `path` and an open handle whose lock says that its writer lives; a kill lets go of it."""
    temporary = _beside(path, ".new")
    temporary.mkdir()
    handle = os.open(temporary, os.O_RDONLY)
    does(fcntl.flock, handle, fcntl.LOCK_EX)
    return temporary, handle


def does(call: Callable[..., Any], *given: Any, missing: Sequence[int] = MISSING) -> bool:
    """Call it; whether the file system has such a call: `missing` are the errors by which it says that it has not."""
    try:
        call(*given)
    except OSError as error:
        if error.errno not in missing:
            raise
        return False
    return True


def _commit(new: Path, path: Path, last: str) -> None:
    """The files of `new` to `path`, one of them when all others are on the disk."""
    shutil.rmtree(path, ignore_errors=True)  # an empty folder, or what a kill has left
    path.mkdir()
    try:
        for source in sorted(new.iterdir(), key=lambda each: each.name == last):
            shutil.copyfile(source, path / source.name)
            with open(path / source.name, "rb") as file:
                os.fsync(file.fileno())
            _sync_folder(path)
    except Exception:
        shutil.rmtree(path, ignore_errors=True)
        raise


def remove_abandoned(parent: Path, name: str | None = None) -> None:
    """Remove the half-written folders of writers that were killed; those of living ones are locked.

    Args:
        parent: where they stand.
        name: of the folder that was to be written; None for all.
    """
    prefix, now = "." if name is None else f".{name}.", time.time()
    for folder in parent.iterdir():
        if not (folder.name.startswith(prefix) and folder.name.endswith(".new") and folder.is_dir()):
            continue
        with contextlib.suppress(OSError):  # its writer may be done with it meanwhile
            if now - folder.stat().st_mtime < 1:  # perhaps made a moment ago and not locked yet
                continue
            handle = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                locked = does(fcntl.flock, handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if locked or now - folder.stat().st_mtime > _FORGOTTEN:
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)


def _sync_tree(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(parent, name), "rb") as file:
                os.fsync(file.fileno())
        _sync_folder(Path(parent))


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        does(os.fsync, handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    """Say what a full disk or a missing permission means for the person at the keyboard."""
    try:
        yield
    except BundleError:
        raise
    except Exception as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or "No space left on device" in str(error):  # TensorFlow and HDF5 have errors of their own for it
            raise BundleError(
                f"No space left while writing {path}; nothing was written.", fix="free some space"
            ) from error
        if not isinstance(error, OSError):
            raise
        if error.errno in (errno.EXDEV, errno.EMFILE):  # so say mounts that rename no folder of some size
            raise BundleError(
                f"{path} cannot be renamed into its place ({error.strerror}).",
                fix="write to a local disk, and copy the folder; gcsfuse renames with --rename-dir-limit",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise BundleError(f"{path} may not be written ({error.strerror}).", fix="choose another folder") from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP):
            raise BundleError(f"{path} cannot be written ({error.strerror}).", fix="choose another path") from error
        raise
