"""A run's position on disk: two generations, each whole or not there, none of them trusted unread.

A generation is a folder `position-<number>` with the arrays (`arrays.npz`) and everything else (`about.json`), which
holds the arrays' SHA-256 and its own. It appears by one rename; where there is none, in a bucket and on some mounts,
`about.json` is written last. Whatever a file system makes of it, the hashes tell a half-written one, and the generation
before it is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical import files
from tfvertical.errors import BundleError, CheckpointError
from tfvertical.lock import Lock
from tfvertical.places import Place, place

VERSION = 3  # 1 numbered the weights in an order of each process' own, 2 added up what replicas had counted
GENERATIONS = 2
LARGEST_ABOUT = 256 * 2**20  # bytes of about.json that are read
_WRITTEN_TO = "written_to.json"  # beside the positions: where the run's result is being written
_NAME = re.compile(r"position-(\d{8})")
_GONE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)  # damage; other errors may pass


@dataclass(frozen=True)
class Position:
    """What was saved.

    Args:
        number: of the generation, rising.
        arrays: by name.
        about: JSON values.
    """

    number: int
    arrays: dict[str, np.ndarray]
    about: dict[str, Any]


class Checkpoint:
    """The saved positions of one run.

    Args:
        folder: of the run, made at the first save; or an address such as `gs://bucket/run`.

    Raises:
        ConfigError: an address that cannot be opened.

    Attributes:
        lock: on the folder, while `held()` has it.

    Example:
        >>> import tempfile
        >>> kept = Checkpoint(tempfile.mkdtemp())
        >>> kept.save({"weight": np.arange(3.0)}, {"epoch": 2})
        >>> kept.load().about["epoch"]
        2
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.place: Place = place(folder)
        self.lock: Lock | None = None
        self._damaged: set[int] = set()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Be the only one who writes there while the block runs, for longer than a run trains; what is empty then goes.

        Raises:
            CheckpointError: another process writes there, or the folder cannot be made.
        """
        self.place.make()
        try:
            with Lock(self.place) as self.lock:
                yield
        finally:
            self.lock = None
            self.place.leave()

    def save(self, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
        """Keep a position; the one before it that is whole stays, others go. It is on the disk when this returns.

        Args:
            arrays: by name; numbers only.
            about: JSON values, NaN and infinity left out.

        Raises:
            CheckpointError: no space, no permission, a disk that does not answer, values that JSON has no word for;
                what was saved before is as it was.
        """
        try:
            numbers = self._numbers()
            number = max(numbers, default=0) + 1
            with self.place.fill(_name(number)) as new:
                plain: dict[str, Any] = {name: _plain(name, array) for name, array in arrays.items()}
                np.savez(new / "arrays.npz", **plain)
                content = {"version": VERSION, "arrays": files.sha256(new / "arrays.npz"), "about": dict(about)}
                (new / "about.json").write_bytes(_written(content))
        except CheckpointError:
            raise
        except (OSError, TypeError, ValueError) as error:
            raise CheckpointError(f"The run's position could not be saved: {error}") from error
        try:
            halves = set(self.place.halves())
        except OSError:  # the position is there; what is old is removed another time
            return
        broken = self._damaged.union(number for number in numbers if _name(number) in halves)
        whole = sorted(set(numbers) - broken)
        for old in {*whole[: -(GENERATIONS - 1) or None], *broken.intersection(numbers)}:
            with contextlib.suppress(OSError):
                self.place.remove(_name(old))

    def there(self) -> bool:
        """Whether a position stands there, whole or damaged: nothing of it is read. Raises CheckpointError."""
        return bool(self._numbers())

    def load(self) -> Position | None:
        """The newest position that is whole; None where there is none. A damaged one is told, and passed over.

        Raises:
            CheckpointError: the newest is of a newer or an older version of this package, or cannot be read just now.
        """
        for number in sorted(self._numbers(), reverse=True):
            try:
                return self._read(number)
            except (BundleError, OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
                if isinstance(error, CheckpointError):
                    raise
                if isinstance(error, OSError) and error.errno is not None and not isinstance(error, _GONE):
                    raise CheckpointError(
                        f"{self.place.at(_name(number))} cannot be read now: {error}",
                        fix="try again, nothing was removed; if it stays so, remove it, and the one before is used",
                    ) from error
                self._damaged.add(number)
                warnings.warn(f"{self.place.at(_name(number))} is damaged and passed over: {error}", stacklevel=2)
        return None

    def writes_to(self, folder: str) -> None:
        """Remember that the run's result is written to `folder` from now on. Raises OSError."""
        self.place.write(_WRITTEN_TO, json.dumps(folder).encode())

    def written_to(self) -> str | None:
        """The folder that `writes_to` was given; None where it was not, or cannot be read."""
        try:
            found = json.loads(self.place.read(_WRITTEN_TO, 2**16))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, str) else None

    def clear(self) -> None:
        """Forget every position, what a kill has left of one, and the folder where nothing else is in it.

        Raises:
            CheckpointError: another process has taken over, or what is there cannot be removed.
        """
        if self.lock is not None:
            self.lock.check()
        for name in [*map(_name, self._numbers()), *filter(_NAME.fullmatch, self.place.halves())]:
            self.place.remove(name)
        self.place.remove(_WRITTEN_TO)
        self.place.leave()

    def _read(self, number: int) -> Position:
        with self.place.files(_name(number)) as folder:
            return _position(folder, number, str(self.place.at(_name(number))))

    def _numbers(self) -> list[int]:
        found = (_NAME.fullmatch(name) for name in self.place.names())
        return [int(match[1]) for match in found if match is not None]


def _name(number: int) -> str:
    return f"position-{number:08d}"


def _position(folder: Path, number: int, where: str) -> Position:
    """What stands in a generation's folder. Raises ValueError and others where it is not what was written."""
    if (folder / "about.json").stat().st_size > LARGEST_ABOUT:
        raise ValueError("about.json is larger than any that is written")
    raw = (folder / "about.json").read_bytes()
    written = files.parse_json(raw, f"{where}/about.json")
    content = written["content"]
    if written["sha256"] != _digest(content):
        raise ValueError("about.json is not what was written")
    if content["version"] != VERSION:
        newer = content["version"] > VERSION
        raise CheckpointError(
            f"{where} was written by {'a newer' if newer else 'an older'} version of tfvertical.",
            expected=f"version {VERSION} of what is written",
            received=str(content["version"]),
            fix=("upgrade tfvertical" if newer else "go on with that one")
            + ", or begin anew: in another folder, or without what stands there (--fresh)",
        )
    if raw != _written(content):  # 1e-07 and 1E-07 are one number, and one bit apart
        raise ValueError("about.json is not what was written")
    if files.sha256(folder / "arrays.npz") != content["arrays"]:
        raise ValueError("arrays.npz is not what was written")
    with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
        return Position(number, {name: arrays[name] for name in arrays.files}, content["about"])


def _written(content: Any) -> bytes:
    """The bytes of about.json."""
    return json.dumps({"sha256": _digest(content), "content": content}, allow_nan=False).encode()


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _plain(name: str, array: np.ndarray) -> np.ndarray:
    """`array`, which has to hold numbers: objects would be pickled."""
    if array.dtype.kind not in "biufc":
        raise CheckpointError(f"{name} holds {array.dtype}, which cannot be saved.", expected="numbers")
    return array
