"""The list of a folder's files with their SHA-256: what a bundle or an export is sealed with, and checked against.

Checking comes before anything else is read. It finds every changed, missing and extra file; it proves nothing about
who wrote the folder, since whoever changes a file can write a new manifest as well.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfvertical.errors import BundleError
from tfvertical.files import parse_json, sha256, write_bytes

NAME = "manifest.json"
_LIMIT = 4 * 2**20  # bytes of a manifest; one of ten thousand files takes 1.3 MB
_MOST_FILES = 10_000
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=@ -]{0,199}")
_FIX = "copy it again from where it was made; if it was edited on purpose, save it anew"


@dataclass(frozen=True)
class Entry:
    """One file: its size in bytes and its SHA-256 in hexadecimal."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a sealed folder holds.

    Args:
        kind: `"bundle"` or `"export"`.
        schema_version: of the folder's layout.
        files: path below the folder, with `/`, -> entry; the manifest itself is not among them.
        hash: SHA-256 of all the above: the folder's name for itself, equal if and only if the contents are.
    """

    kind: str
    schema_version: int
    files: Mapping[str, Entry]
    hash: str


def seal(folder: Path, *, kind: str, schema_version: int) -> Manifest:
    """Write `folder/manifest.json` over every file in it.

    Raises:
        BundleError: a file's name is one that `check` would refuse, or something is no plain file.
    """
    entries: dict[str, dict[str, Any]] = {}
    for name, path in sorted(_walk(folder)):
        if name == NAME:
            continue
        _checked_name(name, folder)
        entries[name] = {"size": path.stat().st_size, "sha256": sha256(path)}
    body = {"kind": kind, "schema_version": schema_version, "files": entries}
    body["hash"] = _hash(body)
    content = _canonical(body)
    if len(content) > _LIMIT or len(entries) > _MOST_FILES:
        raise BundleError(f"{folder} has too many files to seal.", received=str(len(entries)))
    write_bytes(folder / NAME, content)
    return _parse(content, folder, kind)


def check(
    folder: Path, *, kind: str, keep: Callable[[str], bool] = lambda name: False
) -> tuple[Manifest, dict[str, bytes]]:
    """Compare every file with the manifest, and hand back the bytes that were hashed.

    Args:
        folder: a sealed folder.
        kind: what it must be, `"bundle"` or `"export"`.
        keep: which files' bytes are wanted. They are read once, so that what was checked is what is used.

    Raises:
        BundleError: a file is changed, missing or extra, is a symbolic link or no plain file; the manifest is damaged,
            too big, names a path outside the folder or a key twice. The message has the file's name.
    """
    folder = Path(folder)
    if folder.is_symlink():
        raise BundleError(f"{folder} is a symbolic link.", expected="a folder", fix=_FIX)
    if not folder.is_dir():
        raise BundleError(f"There is no {kind} at {folder}.", expected=f"a folder with a {NAME}")
    found = dict(_walk(folder))
    if NAME not in found:
        raise BundleError(f"{folder}: {NAME} is missing.", fix=_FIX)
    manifest = _parse(_read(folder / NAME, None), folder, kind)
    for name in sorted(found.keys() - manifest.files.keys() - {NAME}):
        raise BundleError(f"{folder}: {name!r} does not belong to this {kind}.", fix=f"move it out of {folder}")
    for name in sorted(manifest.files.keys() - found.keys()):
        raise BundleError(f"{folder}: {name!r} is missing.", fix=_FIX)
    for name, entry in manifest.files.items():
        size = found[name].lstat().st_size
        if size != entry.size:
            raise _changed(folder, name, f"{entry.size} bytes", f"{size} bytes")
    kept = {}
    for name, entry in manifest.files.items():
        content = _verified(folder, name, entry, keep(name))
        if content is not None:
            kept[name] = content
    return manifest, kept


def _verified(folder: Path, name: str, entry: Entry, keep: bool) -> bytes | None:
    """The file's bytes if they are wanted; raises where their hash is not the entry's."""
    if keep:
        content = _read(folder / name, entry.size)
        received = hashlib.sha256(content).hexdigest()
    else:
        content = None
        with os.fdopen(_open(folder / name), "rb") as file:
            received = hashlib.file_digest(file, "sha256").hexdigest()
    if received != entry.sha256:
        raise _changed(folder, name, f"SHA-256 {entry.sha256}", received)
    return content


def _changed(folder: Path, name: str, expected: str, received: str) -> BundleError:
    return BundleError(f"{folder}: {name!r} was changed.", expected=expected, received=received, fix=_FIX)


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    """(name, path) of every plain file below `folder`; links, devices and empty folders are refused."""
    waiting, count = [folder], 0
    while waiting:
        current = waiting.pop()
        entries = list(os.scandir(current))
        if not entries and current != folder:
            raise BundleError(
                f"{folder}: the empty folder {current.relative_to(folder).as_posix()!r} does not belong here."
            )
        for entry in entries:
            path = current / entry.name
            name = path.relative_to(folder).as_posix()
            count += 1
            if count > 2 * _MOST_FILES:
                raise BundleError(f"{folder} has too many files.", expected=f"at most {_MOST_FILES}")
            if entry.is_symlink():
                raise BundleError(f"{folder}: {name!r} is a symbolic link.", expected="a plain file", fix=_FIX)
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif entry.is_file(follow_symlinks=False):
                yield name, path
            else:
                raise BundleError(f"{folder}: {name!r} is no plain file.", fix=_FIX)


def _checked_name(name: Any, folder: Path) -> str:
    segments = name.split("/") if isinstance(name, str) else [""]
    if name == NAME or not all(_SEGMENT.fullmatch(segment) for segment in segments):
        raise BundleError(
            f"{folder}: {name!r} is no name for a file in it.",
            expected="a path below the folder, of letters, digits and `_ . - + = @`, without `..`",
        )
    return str(name)


def _parse(content: bytes, folder: Path, kind: str) -> Manifest:
    where = str(folder / NAME)
    body = parse_json(content, where)
    if not isinstance(body, dict) or set(body) != {"kind", "schema_version", "files", "hash"}:
        raise BundleError(f"{where} is not a manifest.", fix=_FIX)
    if not isinstance(body["files"], dict) or len(body["files"]) > _MOST_FILES:
        raise BundleError(f"{where} is not a manifest.", fix=_FIX)
    if body["kind"] != kind or type(body["schema_version"]) is not int:
        raise BundleError(f"{folder} is not what it should be.", expected=kind, received=str(body["kind"])[:50])
    entries = {_checked_name(name, folder): _entry(value, where) for name, value in body["files"].items()}
    if len({name.casefold() for name in entries}) != len(entries):
        raise BundleError(f"{where} names two files that differ in case only.")
    if content != _canonical(body) or body["hash"] != _hash({k: v for k, v in body.items() if k != "hash"}):
        raise BundleError(f"{folder}: {NAME!r} was changed.", fix=_FIX)
    return Manifest(kind, body["schema_version"], entries, body["hash"])


def _entry(value: Any, where: str) -> Entry:
    fits = isinstance(value, dict) and set(value) == {"size", "sha256"}
    if not fits or type(value["size"]) is not int or value["size"] < 0 or not isinstance(value["sha256"], str):
        raise BundleError(f"{where} is not a manifest.", fix=_FIX)
    return Entry(**value)


def _canonical(body: Mapping[str, Any]) -> bytes:
    """The one spelling a manifest may have, so that not even a changed space goes unnoticed."""
    return (json.dumps(body, indent=1, sort_keys=True, ensure_ascii=True) + "\n").encode()


def _hash(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(body)).hexdigest()


def _open(path: Path) -> int:
    """An open handle on a plain file, never through a link, never waiting on a pipe."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}).") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise BundleError(f"{path} is no plain file.", fix=_FIX)
    return handle


def _read(path: Path, size: int | None) -> bytes:
    """The whole file, refused beyond `size` bytes (beyond a manifest's limit where None) before it fills the memory."""
    limit = _LIMIT if size is None else size
    with os.fdopen(_open(path), "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise BundleError(f"{path} is too big.", expected=f"at most {limit} bytes", fix=_FIX)
    return content
