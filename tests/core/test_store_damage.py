"""An entry that is not as it was written is refused, removed and told, whatever was done to it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.core.test_store import check, keep
from tfvertical import store as stores
from tfvertical.store import Store
from tfvertical.storing import layout as layouts
from tfvertical.storing import reader

Change = Callable[[Path], object]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(layouts, "SHARD", 32)  # so that every run has several files
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # slow, and no power cut is tried here
    return Store(tmp_path / "store")


def refused(store: Store, key: str, caplog: pytest.LogCaptureFixture, memory: int = 0) -> str:
    """The log's line about an entry that is refused and removed."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert store.open(key, memory) is None
    assert not os.path.lexists(store.folder / key) and len(caplog.messages) == 1
    assert "they were removed" in caplog.text
    return caplog.text


def edit(**changes: Any) -> Change:
    """Change `entry.json` and make its own hash fit again, as somebody could on purpose."""

    def change(path: Path) -> None:
        body = json.loads((path / "entry.json").read_text())
        del body["hash"]
        for name, value in changes.items():
            body[name] = value(body[name]) if callable(value) else value
        for _ in range(2):
            content = (json.dumps(body, indent=1, sort_keys=True) + "\n").encode()
            body.setdefault("hash", hashlib.sha256(content).hexdigest())
        (path / "entry.json").write_bytes(content)

    return change


def fill(run: str, values: list[int]) -> Change:
    """Put other numbers into a run of int64, with hashes that fit."""

    def change(path: Path) -> None:
        files = {}
        for number, start in enumerate(range(0, len(values), 4)):
            content = np.array(values[start : start + 4], np.int64).tobytes()
            (path / f"{run}.{number:04d}.bin").write_bytes(content)
            files[f"{run}.{number:04d}.bin"] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        edit(files=lambda old: old | files)(path)

    return change


def link(path: Path) -> None:
    (path.parent / "elsewhere").write_bytes((path / "d.0000.bin").read_bytes())
    (path / "d.0000.bin").unlink()
    (path / "d.0000.bin").symlink_to(path.parent / "elsewhere")


def pipe(path: Path) -> None:
    (path / "d.0000.bin").unlink()
    os.mkfifo(path / "d.0000.bin")


def door(path: Path) -> None:
    (path / "d.0000.bin").unlink()
    here = os.getcwd()
    os.chdir(path)  # a socket's path may not be long
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("d.0000.bin")
    os.chdir(here)


def swapped(path: Path) -> None:
    """Two files of one size."""
    os.rename(path / "d.0000.bin", path / "x")
    os.rename(path / "rows.lengths.0000.bin", path / "d.0000.bin")
    os.rename(path / "x", path / "rows.lengths.0000.bin")


def folder_of(name: str) -> Change:
    def change(path: Path) -> None:
        (path / name).unlink()
        (path / name).mkdir()
        (path / name / "inside").touch()

    return change


def spec(**changes: Any) -> Change:
    return edit(specs=lambda specs: [specs[0] | changes, *specs[1:]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: (path / "d.0000.bin").unlink(), "d.0000.bin is missing"),
        (lambda path: (path / "entry.json").unlink(), "entry.json cannot be read"),
        (lambda path: (path / "used").unlink(), "used is missing"),
        (lambda path: (path / "used").write_text("x"), "used is not empty"),
        (lambda path: (path / "extra.bin").touch(), "'extra.bin' does not belong"),
        (lambda path: (path / "sub").mkdir(), "'sub' does not belong"),
        (lambda path: os.truncate(path / "d.0000.bin", 31), "31 bytes instead of 32"),
        (lambda path: os.truncate(path / "d.0000.bin", 33), "33 bytes instead of 32"),
        (lambda path: os.truncate(path / "r.order.0000.bin", 10), "10 bytes instead of 32"),
        (lambda path: (path / "entry.json").write_bytes(b" " * 2**23), "too big"),
        (lambda path: (path / "entry.json").write_text("[" * 100_000), "no readable JSON"),
        (lambda path: (path / "entry.json").write_text('{"rows": NaN}'), "no readable JSON"),
        (lambda path: (path / "entry.json").write_text("[]"), "no schema_version"),
        (
            lambda path: (path / "entry.json").write_text(json.dumps(json.loads((path / "entry.json").read_text()))),
            "spelling",
        ),
        (link, "cannot be read"),
        (pipe, "no plain file"),
        (door, "cannot be read"),
        (swapped, "rows.lengths.0000.bin was changed"),
        (folder_of("entry.json"), "entry.json is no plain file"),
        (folder_of("rows.lengths.0000.bin"), "no plain file"),
        (folder_of("used"), "used is no plain file"),
        (edit(schema_version=2), "schema_version 2, and this version reads 1"),
        (edit(schema_version=True), "no schema_version"),
        (edit(key="f" * 64), "key of another entry"),
        (edit(byteorder="middle"), "byte order"),
        (edit(kind="bundle"), "other fields"),
        (edit(more=1), "other fields"),
        (edit(parts={"a": 1}), "no parts"),
        (edit(rows=7), "sizes that do not fit"),
        (edit(rows=-1), "impossible counts"),
        (edit(rows=6.0), "impossible counts"),
        (edit(rows=10**30), "impossible counts"),
        (edit(rows=2**31 - 1, shard_bytes=1), "sizes that do not fit"),
        (edit(rows=2**40), "arrays that cannot be"),
        (edit(positions=2**60, shard_bytes=1), "sizes that do not fit"),
        (edit(positions=9), "sizes that do not fit"),
        (edit(shard_bytes=0), "impossible counts"),
        (edit(shard_bytes=10**12), "sizes that do not fit"),
        (edit(specs=[]), "arrays that cannot be"),
        (edit(specs="d"), "impossible counts"),
        (edit(specs=[1]), "no specs"),
        (edit(specs=lambda specs: specs[:1]), "sizes that do not fit"),
        (edit(specs=lambda specs: specs[:1] * 2), "arrays that cannot be"),
        (spec(name="../d"), "arrays that cannot be"),
        (spec(dtype="object"), "arrays that cannot be"),
        (spec(dtype="float16"), "sizes that do not fit"),
        (spec(shape=[2**31 - 1] * 16), "sizes that do not fit"),
        (spec(shape=[2**40]), "arrays that cannot be"),
        (spec(shape=[True, 2]), "arrays that cannot be"),
        (spec(shape=[-2, -1]), "arrays that cannot be"),
        (spec(ragged=1), "no specs"),
        (edit(files={}), "sizes that do not fit"),
        (edit(files=lambda files: {f"../{name}": entry for name, entry in files.items()}), "no files"),
        (edit(files=lambda files: {name: entry | {"size": 3} for name, entry in files.items()}), "sizes that do not"),
        (edit(files=lambda files: {name: entry | {"sha256": "x"} for name, entry in files.items()}), "no hashes"),
        (fill("rows.lengths", [0, 1, 2, 3, 0, 2]), "lengths do not fit"),
        (fill("rows.lengths", [-1, 2, 2, 3, 0, 1]), "lengths do not fit"),
        (fill("rows.lengths", [2**62, 2**62, 2**62, 2**62, 0, 7]), "lengths do not fit"),
        (fill("d.order", [0, 1, 2, 3, 4, 4]), "order of d has rows twice"),
        (fill("d.order", [0, 1, 2, 3, 4, -1]), "order of d has rows twice"),
        (fill("r.order", [0, 1, 2, 3, 4, 2**40]), "order of r has rows twice"),
    ],
)
def test_hostile_changes(store: Store, change: Change, message: str, caplog: pytest.LogCaptureFixture) -> None:
    started = time.process_time()
    for memory in (0, 10**9):
        key = keep(store)
        change(store.folder / key)
        assert message in refused(store, key, caplog, memory)
    assert time.process_time() - started < 2
    check(store.open(keep(store), 0))


def test_every_flipped_bit_is_found(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    key = keep(store)
    sizes = {path.name: path.stat().st_size for path in (store.folder / key).iterdir()}
    random = np.random.default_rng(0)
    for name, size in sizes.items():
        for at in random.integers(0, size, 100 if name == "entry.json" else 3 if size else 0):
            path = store.folder / key / name
            content = bytearray(path.read_bytes())
            content[at] ^= 1 << random.integers(8)
            path.write_bytes(content)
            refused(store, key, caplog, int(random.integers(2)) * 10**9)
            keep(store)
    check(store.open(key, 0))


def test_an_entry_of_another_key_is_refused(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    keep(store)
    os.rename(store.folder / keep(store), store.folder / ("f" * 64))
    assert "key of another entry" in refused(store, "f" * 64, caplog)


def test_links_and_files_in_place_of_an_entry_are_removed_and_not_followed(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = keep(store)
    os.rename(store.folder / key, tmp_path / key)
    (store.folder / key).symlink_to(tmp_path / key)
    assert [entry.damaged for entry in store.entries()] == ["it is no folder"]
    assert "it is no folder" in refused(store, key, caplog)
    assert (tmp_path / key / "entry.json").is_file()
    (store.folder / key).write_text("x")
    assert "it is no folder" in refused(store, key, caplog)
    (store.folder / key).symlink_to(tmp_path / key)
    assert store.remove() > 0 and (tmp_path / key / "entry.json").is_file()
    assert not list(store.folder.iterdir())


def test_damaged_entries_are_listed_as_such(store: Store) -> None:
    first, second, third = (keep(store, name) for name in "abc")
    (store.folder / first / "entry.json").unlink()
    edit(rows=-1)(store.folder / second)
    told = {entry.key: entry.damaged for entry in store.entries()}
    assert told[third] is None
    assert "No such file" in str(told[first]) and "impossible counts" in str(told[second])
    assert store.remove() > 0 and store.entries() == []


def test_an_entry_replaced_while_it_is_opened(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    key, real, calls = keep(store, rows=3), reader._check_names, []

    def replaced(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            keep(store, rows=6)
        real(*arguments)

    monkeypatch.setattr(reader, "_check_names", replaced)
    check(store.open(key, 0), rows=6)
    assert len(calls) == 2


def test_an_entry_removed_while_it_is_opened(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    key, real = keep(store), reader._check_names

    def removed(*arguments: Any) -> None:
        store.remove([key])
        real(*arguments)

    monkeypatch.setattr(reader, "_check_names", removed)
    assert store.open(key, 0) is None
    assert not caplog.messages  # nothing is wrong


def test_what_cannot_be_read_now_is_not_removed(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    key, real = keep(store), os.open

    def refuse(path: Any, *arguments: Any, **options: Any) -> int:
        if str(path).endswith(".bin"):
            raise OSError(24, "Too many open files", str(path))
        return real(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert store.open(key, 0) is None
    assert "cannot be read now (Too many open files)" in caplog.text
    check(store.open(key, 0))


def test_keys_are_checked(store: Store) -> None:
    with pytest.raises(stores.StoreError, match="is no key"):
        store.open("../" + "0" * 61, 0)
