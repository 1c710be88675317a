"""A folder of pictures, one subfolder a class."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfvertical.contracts import DataWarning, Row, Source
from tfvertical.data._encoding import utf8_name
from tfvertical.data._request import Request
from tfvertical.errors import DataError

_SPLITS = {"train", "training", "validation", "valid", "val", "dev", "test"}
_CLUTTER = {"thumbs.db", "desktop.ini"}  # what desktops leave behind without a leading dot


class ImageFolder(Source):
    """Pictures whose label is the folder they stand in. Ids are paths inside the folder, `hat/01.jpg`.

    Sorted by class and name, so that the order is the same on every machine. Hidden files are ignored and counted;
    anything else that is not a picture is a fault. Without labels (`label=None`) every picture below counts.

    Args:
        value: path of the folder that holds the class folders.
        request: columns and limits; of the columns, only whether labels are wanted matters.

    Raises:
        DataError: from `rows`: the folder is empty, has no class folders, or holds splits instead of classes.

    Example:
        >>> ImageFolder.accepts("no/such/folder")
        False
    """

    named = False  # it has no columns

    def __init__(self, value: str | os.PathLike[str], request: Request):
        self.path, self.request = Path(value), request
        self.name = utf8_name(self.path.resolve().name)
        self.notes: list[DataWarning] = []

    @classmethod
    def accepts(cls, value: Any) -> bool:
        return isinstance(value, str | os.PathLike) and os.path.isdir(value)

    def rows(self) -> Iterator[Row]:
        if self.request.kind != "image":
            raise DataError(
                f"{self.path} is a folder.", expected="a table of texts", fix="for pictures say kind='image'"
            )
        self._hidden: list[str] = []
        root = self.path.resolve()
        entries = self._entries(self.path)
        folders = [entry for entry in entries if os.path.isdir(entry) and not os.path.islink(entry)]
        classes = set(folders)
        if not entries:
            raise DataError(f"{self.path} is empty.", expected="one folder of pictures for each class")
        if self.request.label is not None:
            self._refuse_splits(folders)
        for entry in entries:
            if self.request.label is not None and entry not in classes and os.path.isfile(entry):
                yield Row(self._id(entry), fault="the file stands beside the class folders, not in one", column="label")
                continue
            files = list(self._files(entry, root))
            if not files:
                note = f"The class folder {entry.name!r} holds no picture."
                self.notes.append(DataWarning("empty_class", note, (self._id(entry),), 1))
            for path, fault in files:
                label = None if self.request.label is None else entry.name
                yield Row(self._id(path), path, label, fault=fault)
        if self._hidden:
            note = f"{len(self._hidden)} hidden files were ignored."
            self.notes.append(DataWarning("ignored_files", note, tuple(self._hidden[:100]), len(self._hidden)))

    def _refuse_splits(self, folders: list[Path]) -> None:
        if not folders:
            raise DataError(
                f"{self.path} holds no class folders.",
                expected="one folder of pictures for each class",
                fix="label=None reads pictures without labels",
            )
        if {folder.name.lower() for folder in folders} <= _SPLITS and any(_has_folders(folder) for folder in folders):
            names = ", ".join(folder.name for folder in folders)
            raise DataError(
                f"{self.path} holds splits ({names}), not classes.", fix=f"load {folders[0]} and the others"
            )

    def _entries(self, folder: Path) -> list[Path]:
        """What stands in `folder`, sorted, without hidden files, which are counted."""
        found = []
        for path in (folder / name for name in sorted(_listed(folder))):
            if path.name.startswith(".") or path.name.lower() in _CLUTTER:
                self._hidden.append(self._id(path))
            else:
                found.append(path)
        return found

    def _files(self, path: Path, root: Path) -> Iterator[tuple[Path, str | None]]:
        """Every file at or below `path` with its fault; folders behind a symbolic link are not entered."""
        waiting = [path]  # folders may be nested deeper than calls
        while waiting:
            path = waiting.pop()
            if os.path.islink(path) and not Path(os.path.realpath(path)).is_relative_to(root):
                yield path, "a symbolic link that leads out of the folder"
            elif os.path.islink(path) and os.path.isdir(path):
                yield path, "a symbolic link to a folder"
            elif os.path.isdir(path):
                waiting += reversed(self._entries(path))
            elif not os.path.isfile(path):
                yield path, "a broken link" if os.path.islink(path) else "not a regular file"
            else:
                yield path, None

    def _id(self, path: Path) -> str:
        return utf8_name(path.relative_to(self.path).as_posix())


def _has_folders(folder: Path) -> bool:
    return any(os.path.isdir(folder / name) for name in _listed(folder))


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise DataError(f"The folder {folder} cannot be read: {error.strerror}.") from error
