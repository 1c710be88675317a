"""Where a run's position is kept: a folder of this machine, or one behind an address such as `gs://bucket/run`.

A folder appears by one rename. A bucket has none, nor have some mounts: what belongs together is written first, and one
file last, without which nothing of it counts (the commit-file protocol). Addresses are opened by fsspec, which has a
package for each kind of storage.
"""

from __future__ import annotations

import contextlib
import functools
import os
import posixpath
import re
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tfvertical import files
from tfvertical.errors import CheckpointError, ConfigError

LAST = "about.json"  # of the files that belong together, the one that is written last
_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_CUT_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:/[^/]")
_PACKAGES = {"gs": "gcsfs", "gcs": "gcsfs", "s3": "s3fs", "s3a": "s3fs", "az": "adlfs", "abfs": "adlfs"}


class Place(ABC):
    """Small files, and sets of files that are there whole or not at all.

    Attributes:
        settles: seconds until what one process has written is surely seen by another.
    """

    settles: float

    @abstractmethod
    def __str__(self) -> str:
        """What messages call it."""

    @abstractmethod
    def at(self, name: str) -> str | Path:
        """What messages call something in it."""

    @abstractmethod
    def make(self) -> None:
        """Have it there, to be written to. Raises CheckpointError."""

    @abstractmethod
    def names(self) -> list[str]:
        """Of everything in it that is whole; nothing where it does not exist. Raises CheckpointError."""

    @abstractmethod
    def halves(self) -> list[str]:
        """Of sets that a kill has left without their last file."""

    @abstractmethod
    def read(self, name: str, most: int) -> bytes:
        """The first `most` bytes of a small file. Raises FileNotFoundError, or another OSError."""

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Replace a small file, or leave it as it was."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """A small file or a set of files, if it is there."""

    @abstractmethod
    def leave(self) -> None:
        """What is empty goes."""

    @abstractmethod
    def fill(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """A local folder to write a new set of files to, `LAST` among them; they are there when the block ends."""

    @abstractmethod
    def files(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """A local folder with a set's files, to read while the block runs."""


def place(path: str | os.PathLike[str]) -> Place:
    """The place at a path or an address.

    Raises:
        ConfigError: no storage has such addresses, its package is missing, or the address is cut short.

    Example:
        >>> str(place("runs/cards")), str(place("memory://runs/cards"))
        ('runs/cards', 'memory://runs/cards')
    """
    written = os.fspath(path)
    if found := _ADDRESS.match(written):
        if not written[found.end() :].strip("/"):
            raise ConfigError(f"{written!r} names no bucket.", expected="an address such as gs://bucket/run")
        return Remote(written)
    if _CUT_ADDRESS.match(written):
        raise ConfigError(
            f"{written!r} is no path of this machine, and an address has two slashes.",
            nearest=[written.replace(":/", "://", 1)],
            fix="give addresses as text: pathlib.Path cuts them",
        )
    return Folder(written)


class Folder(Place):
    """A folder of this machine."""

    settles = 0.05

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self._made: list[Path] = []  # folders above that were not there, the lowest first

    def __str__(self) -> str:
        return str(self.path)

    def at(self, name: str) -> Path:
        return self.path / name

    def make(self) -> None:
        try:
            self._made += [folder for folder in self.path.parents if not folder.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(
                f"A run's position cannot be kept in {self.path}: {error.strerror}.", fix="name another folder"
            ) from error

    def names(self) -> list[str]:
        try:
            return os.listdir(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise CheckpointError(
                f"{self.path} cannot be read: {error.strerror}.", fix="see its permissions, or name another folder"
            ) from error

    def halves(self) -> list[str]:
        """None where folders appear by one rename; `names` has them, too."""
        found = [self.path / name for name in self.names()]
        return [folder.name for folder in found if folder.is_dir() and not (folder / LAST).exists()]

    def read(self, name: str, most: int) -> bytes:
        with open(self.path / name, "rb") as file:
            return file.read(most)

    def write(self, name: str, content: bytes) -> None:
        if not files.does(files.write_bytes, self.path / name, content):
            (self.path / name).write_bytes(content)  # a mount that renames nothing

    def remove(self, name: str) -> None:
        path = self.path / name
        if path.is_dir():
            _emptied(path)
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def leave(self) -> None:
        with contextlib.suppress(OSError):
            files.remove_abandoned(self.path)
            self.path.rmdir()
            for folder in self._made:
                folder.rmdir()

    def fill(self, name: str) -> contextlib.AbstractContextManager[Path]:
        return files.new_folder(self.path / name, last=LAST)

    @contextlib.contextmanager
    def files(self, name: str) -> Iterator[Path]:
        yield self.path / name


def _emptied(folder: Path) -> None:
    """Let go of a set's bytes: what is removed from a mounted Drive lies in its trash, and counts there for weeks.

    The last file goes first, so that a kill leaves nothing that looks whole. A file that has another name elsewhere is
    somebody's copy.
    """
    with contextlib.suppress(OSError):
        (folder / LAST).unlink(missing_ok=True)
        for entry in os.scandir(folder):
            if entry.is_file(follow_symlinks=False) and os.lstat(entry.path).st_nlink == 1:
                os.truncate(entry.path, 0)


class Remote(Place):
    """What fsspec opens. Listings are never cached: another process may have written since.

    Args:
        address: such as `gs://bucket/run`.
    """

    settles = 1.0

    def __init__(self, address: str):
        import fsspec

        self.address, scheme = address.rstrip("/"), address.partition("://")[0]
        try:
            self.system, self.root = fsspec.core.url_to_fs(self.address, use_listings_cache=False)
        except ImportError as error:
            package = _PACKAGES.get(scheme.lower(), "")
            raise ConfigError(
                f"{address} cannot be opened: {error}.", fix=f"pip install {package}" if package else None
            ) from error
        except ValueError as error:
            raise ConfigError(
                f"{address} cannot be opened: {error}.",
                expected="an address that fsspec knows, such as gs://bucket/run",
            ) from error

    def __str__(self) -> str:
        return self.address

    def at(self, name: str) -> str:
        return f"{self.address}/{name}"

    def make(self) -> None:
        """Nothing: a bucket has no folders, and asking for one takes rights that writing to it does not."""

    def names(self) -> list[str]:
        return [parts[0] for parts in self._parts() if len(parts) == 1 or parts[1:] == [LAST]]

    def halves(self) -> list[str]:
        found = [parts for parts in self._parts() if len(parts) > 1]
        return sorted({parts[0] for parts in found} - {parts[0] for parts in found if parts[1:] == [LAST]})

    def read(self, name: str, most: int) -> bytes:
        with self._told():
            content: bytes = self.system.cat_file(self._path(name), end=most)
            return content

    def write(self, name: str, content: bytes) -> None:
        path = self._path(name)
        with self._told():
            self._put(path, lambda: self.system.pipe_file(path, content))

    def remove(self, name: str) -> None:
        with self._told():
            found = self._find(self._path(name))
            # without the last file, what is left behind by a kill does not count
            for path in sorted(found, key=lambda path: posixpath.basename(path) != LAST):
                with contextlib.suppress(FileNotFoundError):
                    self.system.rm_file(path)
            self._remove_folder(self._path(name))

    def leave(self) -> None:
        self._remove_folder(self.root)

    @contextlib.contextmanager
    def fill(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as made:
            yield Path(made)
            with self._told():
                for path in sorted(Path(made).iterdir(), key=lambda path: path.name == LAST):
                    target = f"{self._path(name)}/{path.name}"
                    self._put(target, functools.partial(self.system.put_file, str(path), target))

    @contextlib.contextmanager
    def files(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as made:
            with self._told():
                found = self._find(self._path(name))
                needed, free = sum(int(self.system.size(path) or 0) for path in found), shutil.disk_usage(made).free
                if needed > free:
                    raise CheckpointError(
                        f"{self.at(name)} takes {needed:,} bytes, and {tempfile.gettempdir()} has {free:,} free.",
                        fix="make room there, or name another folder in TMPDIR",
                    )
                for path in found:
                    self.system.get_file(path, str(Path(made) / posixpath.basename(path)))
            yield Path(made)

    def _remove_folder(self, path: str) -> None:
        """An empty folder, where storage has folders and lets go of it; never a bucket, which is the user's own.

        Asked to remove the "folder" that is a bucket, packages such as gcsfs and s3fs delete the bucket.
        """
        if "/" in path.strip("/"):
            with contextlib.suppress(OSError), self._told():
                self.system.rmdir(path)

    def _put(self, path: str, action: Callable[[], Any]) -> None:
        """Where storage does have folders, make the one that is missing."""
        try:
            action()
        except FileNotFoundError:
            self.system.makedirs(posixpath.dirname(path), exist_ok=True)
            action()

    def _parts(self) -> list[list[str]]:
        """The paths of all files, from the address on."""
        with self._told(), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return [posixpath.relpath(path, self.root).split("/") for path in self._find(self.root)]
        return []

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def _find(self, path: str) -> list[str]:
        self.system.invalidate_cache()
        found: list[Any] = self.system.find(path)
        return [str(each) for each in found]

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What is not there is not there; any other failure is no statement about what was saved.

        Raises:
            CheckpointError: the storage does not answer, or refuses.
        """
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, CheckpointError):
            raise
        except Exception as error:  # each package has errors of its own
            raise CheckpointError(
                f"{self.address} cannot be used: {type(error).__name__}: {error}",
                fix="see the network and your permissions, or choose another place",
            ) from error
