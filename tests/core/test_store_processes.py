"""The store among other processes, kills and full disks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.test_store import check, keep
from tfvertical import _swap, files
from tfvertical import store as stores
from tfvertical.errors import StoreError
from tfvertical.store import Store

BEGIN = """
import sys, time
from pathlib import Path
import numpy as np
from tfvertical.store import Spec, Store, key
store, parts = Store(Path(sys.argv[1])), {"name": "a"}
"""
# Writes what `keep` writes, and waits in the middle for a line on stdin.
WRITER = (
    BEGIN
    + """
lengths = np.arange(6) % 4
specs = [Spec("d", "float32", (2,), False), Spec("r", "int32", (), True)]
with store.write(key(parts), parts, specs, 6, lengths) as writer:
    for rows in (np.array([5, 4]), np.array([0, 1, 2, 3])):
        writer.put("d", rows, np.stack([rows, rows + 0.5], 1).astype(np.float32))
        writer.put("r", rows, np.repeat(rows[:, None], 5, 1).astype(np.int32))
        print("half", flush=True)
        sys.stdin.readline()
print("done", flush=True)
"""
)
KEY = stores.key({"name": "a"})


def start(code: str, folder: Path, root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", code, str(folder)]
    return subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def read(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("renamed", [1, 2])
def test_a_writer_that_is_killed_between_renames_leaves_nothing_uncounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renamed: int
) -> None:
    """Where two folders cannot be exchanged in one step."""
    store, real, done = Store(tmp_path), os.rename, list[int]()
    key = keep(store)

    def killed(old: Path, new: Path) -> None:
        if len(done) == renamed:
            raise KeyboardInterrupt
        real(old, new)
        done.append(0)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(_swap, "_call", lambda one, other: None)
        patch.setattr(os, "rename", killed)
        keep(store)
    aside = _swap.set_aside(tmp_path / key)
    assert aside.is_dir() and (tmp_path / key).is_dir() == (renamed == 2)
    store.remove([])
    assert os.listdir(tmp_path) == [key]
    check(store.open(key, memory=10_000))


def test_a_killed_writer_leaves_nothing_that_is_used(tmp_path: Path, root: Path) -> None:
    with start(WRITER, tmp_path, root) as process:
        assert read(process) == "half"
        assert len(list(tmp_path.iterdir())) == 1
        Store(tmp_path).remove()
        keep(Store(tmp_path), "other")
        assert len(list(tmp_path.iterdir())) == 2  # a living writer's folder is left alone
        process.send_signal(signal.SIGKILL)
        process.wait()
    store = Store(tmp_path)
    assert store.open(KEY, 0) is None and len(store.entries()) == 1
    for half in tmp_path.glob(".*.new"):
        os.utime(half, (1000, 1000))
    keep(store, "third")  # of another key, and yet it tidies up
    assert len(list(tmp_path.iterdir())) == 2 and not list(tmp_path.glob(".*"))


def test_two_writers_of_one_key_both_finish(tmp_path: Path, root: Path) -> None:
    with start(WRITER, tmp_path, root) as one, start(WRITER, tmp_path, root) as two:
        for _ in range(2):
            assert read(one) == read(two) == "half"
            for process in (one, two):
                assert process.stdin is not None
                process.stdin.write("\n")
                process.stdin.flush()
        assert read(one) == read(two) == "done"
        assert one.wait() == two.wait() == 0
    assert [path.name for path in tmp_path.iterdir()] == [KEY]
    for memory in (0, 10**9):
        check(Store(tmp_path).open(KEY, memory))


def test_readers_and_writers_at_once(tmp_path: Path, root: Path) -> None:
    """One process writes and clears without pause; what another gets is whole or nothing, and never called damaged."""
    code = BEGIN + (
        "from tests.core.test_store import keep\n"
        "print('go', flush=True)\n"
        "for number in range(10**9):\n"
        "    keep(store)\n"
        "    if number % 5 == 4: store.remove()\n"
    )
    store, found = Store(tmp_path), 0
    with pytest.MonkeyPatch.context() as patch, start(code, tmp_path, root) as process:
        patch.setattr(stores.log, "warning", lambda *arguments: pytest.fail(str(arguments)))
        assert read(process) == "go"
        until = time.monotonic() + 3
        while time.monotonic() < until:
            columns = store.open(KEY, found % 2 * 10**9)
            if columns is not None:
                check(columns)
                found += 1
        process.kill()
        process.wait()
    assert found > 10


def test_memory_stays_bounded_when_streaming(tmp_path: Path, root: Path) -> None:
    code = (
        BEGIN
        + """
import resource
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
before, rows, lengths = peak(), 5000, np.full(5000, 40)
batch = np.ones((50, 44, 384), np.float32)
with store.write(key(parts), parts, [Spec("x", "float32", (384,), True)], rows, lengths) as writer:
    for at in range(0, rows, 50):
        writer.put("x", np.arange(at, at + 50), batch)
column = store.open(key(parts), 0)["x"]
total = sum(float(column.take(np.arange(at, at + 50), 48).sum()) for at in range(0, rows, 50))
assert total == rows * 40 * 384, total
print(store.entries()[0].bytes > 300e6, peak() - before, flush=True)
"""
    )
    with start(code, tmp_path, root) as process:
        large, growth = read(process).split()
    assert large == "True" and float(growth) < 150


def test_a_file_size_limit_is_told(tmp_path: Path, root: Path) -> None:
    code = (
        BEGIN
        + """
import resource
from tfvertical.errors import StoreError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with store.write(key(parts), parts, [Spec("x", "float32", (100,), False)], 1000, None) as writer:
        for row in range(1000):
            writer.put("x", np.array([row]), np.ones((1, 100), np.float32))
except StoreError as error:
    print(error.__class__.__name__, "File too large" in str(error), "TFVERTICAL_HOME" in str(error))
"""
    )
    with start(code, tmp_path, root) as process:
        assert read(process) == "StoreError True True"
    assert not list(tmp_path.iterdir())


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 kB."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(path)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs is not permitted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_full_disk_is_told_and_leaves_the_others(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(disk / "features")
    key = keep(store)
    with pytest.raises(StoreError, match=r"cannot be kept[\s\S]*No space left[\s\S]*tfvertical cache clear"):
        keep(store, "big", rows=50_000)  # told beforehand
    monkeypatch.setattr(files, "check_room", lambda path, size: None)
    with pytest.raises(StoreError, match=r"cannot be kept[\s\S]*No space left[\s\S]*tfvertical cache clear"):
        keep(store, "big", rows=50_000)  # somebody else took the room meanwhile
    assert [path.name for path in store.folder.iterdir()] == [key]
    check(store.open(key, 0))


def test_a_read_only_folder_is_read_and_not_written(disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(disk / "features")
    key, bad = keep(store), keep(store, "b")
    (store.folder / bad / "used").unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    check(store.open(key, 0))
    assert not caplog.messages
    assert store.open(bad, 0) is None and "cannot be removed (Read-only file system)" in caplog.text
    for attempt in (lambda: keep(store, "c"), store.remove):
        with pytest.raises(StoreError, match=r"cannot be kept in .*features[\s\S]*Read-only[\s\S]*TFVERTICAL_HOME"):
            attempt()
    assert len(store.entries()) == 2


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "features"):
        store = Store(folder)
        with pytest.raises(StoreError, match="cannot be kept in"):
            keep(store)
        assert store.open(KEY, 0) is None and store.remove() == 0
