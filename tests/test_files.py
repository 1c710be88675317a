"""Writes are whole or nothing, whatever happens in between."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tfvertical import _swap, files, manifest
from tfvertical.errors import BundleError

WRITER = """
import sys
from pathlib import Path
from tfvertical import files
from tfvertical import manifest
for number in range(10**9):
    with files.new_folder(Path(sys.argv[1]) / "bundle", overwrite=True) as folder:
        for name in range(12):
            (folder / f"{name}.bin").write_bytes(bytes([number % 256]) * 20000)
        manifest.seal(folder, kind="bundle", schema_version=1)
    print(number, flush=True)
"""


def test_a_place_below_a_file_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BundleError, match=r"file is a file"):
        files.check_place(tmp_path / "file" / "a" / "b")
    for check in (files.check_place, files.refuse_filled):
        with pytest.raises(BundleError, match=r"cannot be written \(File name too long\)"):
            check(tmp_path / ("long" * 1000))
    files.check_place(tmp_path / "new" / "folder")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("address", ["gs://bucket/x", "s3://b", "file:///tmp/x"])
def test_an_address_is_no_folder(address: str):
    for path in (Path(address), address):
        for check in (files.check_place, files.refuse_filled, lambda path: files.new_folder(path).__enter__()):
            with pytest.raises(BundleError, match=r"is an address, and outputs are written to a local folder"):
                check(path)
    files.check_place(Path("a:/b"))  # a folder may be called so


def test_a_full_disk_is_told_whoever_met_it(tmp_path: Path):
    class Exhausted(Exception):
        """TensorFlow's own, which is no OSError."""

    with pytest.raises(BundleError, match="No space left"), files.new_folder(tmp_path / "a" / "b"):
        raise Exhausted("part-00000-of-00001; No space left on device [Op:SaveV2]")
    with pytest.raises(Exhausted), files.new_folder(tmp_path / "a" / "b"):
        raise Exhausted("out of memory")
    assert not any(tmp_path.iterdir())


def test_too_little_room_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10_000_000))
    files.check_room(tmp_path / "new" / "folder", 10_000_000)
    with pytest.raises(BundleError, match=r"No space left[\s\S]*11 MB free[\s\S]*10 MB"):
        files.check_room(tmp_path / "new" / "folder", 11_000_000)


def test_a_kill_at_any_moment_leaves_a_whole_bundle(tmp_path: Path, root: Path):
    """kill -9 after 25 different delays of one writer after another; the old or the new one stands, whole."""
    states = set()
    for attempt in range(25):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, cwd=root)
        assert process.stdout is not None
        for _ in range(attempt % 4 + 1):  # so many are written
            process.stdout.readline()
        time.sleep(0.001 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        manifest.check(tmp_path / "bundle", kind="bundle")
        contents = {(tmp_path / "bundle" / f"{name}.bin").read_bytes()[0] for name in range(12)}
        assert len(contents) == 1
        states |= contents
    assert len(states) > 1  # some kills came later than others
    with files.new_folder(tmp_path / "fresh"):
        pass
    time.sleep(1.1)  # leftovers of killed writers are removed by the next one, once they are surely no one's
    with files.new_folder(tmp_path / "bundle", overwrite=True) as folder:
        (folder / "last.txt").write_text("last")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "fresh"]


def test_two_renames_where_nothing_better_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_swap, "_call", lambda one, other: None)
    for number in range(3):
        with files.new_folder(tmp_path / "bundle", overwrite=True) as folder:
            (folder / "a.txt").write_text(str(number))
    assert (tmp_path / "bundle/a.txt").read_text() == "2"
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_kill_between_two_renames_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with files.new_folder(tmp_path / "bundle") as folder:
        (folder / "a.txt").write_text("old")
    os.rename(tmp_path / "bundle", _swap.set_aside(tmp_path / "bundle"))
    with pytest.raises(BundleError, match="not empty"):
        files.new_folder(tmp_path / "bundle").__enter__()
    assert (tmp_path / "bundle/a.txt").read_text() == "old"


def test_exchange_is_there_on_linux(tmp_path: Path):
    if not sys.platform.startswith("linux"):
        pytest.skip("renameat2 is Linux'")
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(name)
    if not _swap.exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system cannot exchange")
    assert (tmp_path / "a/name").read_text() == "b"
    with pytest.raises(FileNotFoundError):
        _swap.exchange(tmp_path / "a", tmp_path / "missing")


def test_a_living_writers_folder_is_left_alone(tmp_path: Path):
    with files.new_folder(tmp_path / "bundle", overwrite=True) as first:
        os.utime(first, (0, 0))
        with files.new_folder(tmp_path / "bundle") as second:
            (second / "a.txt").write_text("second")
        assert first.is_dir()


def test_a_writers_folder_that_goes_while_one_looks_is_its_own_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    other, real = tmp_path / ".bundle.other.new", Path.is_dir
    other.mkdir()

    def seen_and_gone(path: Path) -> bool:
        found = real(path)
        if path == other and found:
            path.rmdir()
        return found

    monkeypatch.setattr(Path, "is_dir", seen_and_gone)
    with files.new_folder(tmp_path / "bundle") as folder:
        (folder / "a.txt").write_text("a")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_an_error_leaves_nothing(tmp_path: Path):
    with pytest.raises(RuntimeError), files.new_folder(tmp_path / "a/b/c") as folder:
        (folder / "x").write_text("x")
        raise RuntimeError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("make", ["file", "link", "filled"])
def test_what_is_there_is_kept(tmp_path: Path, make: str):
    path = tmp_path / "out"
    if make == "file":
        path.write_text("mine")
    elif make == "link":
        (tmp_path / "elsewhere").mkdir()
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.mkdir()
        (path / "mine.txt").write_text("mine")
    with pytest.raises(BundleError, match="is not"), files.new_folder(path, overwrite=make != "filled"):
        pytest.fail("the block ran")
    assert path.is_symlink() == (make == "link") and path.exists()


def test_a_full_disk_leaves_nothing(tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs is not permitted here")
    try:
        with files.new_folder(disk / "cards/bundle") as folder:
            (folder / "a.bin").write_bytes(b"1" * 50_000)
        with pytest.raises(BundleError, match=r"No space left[\s\S]*free some space"):  # noqa: SIM117
            with files.new_folder(disk / "cards/bundle", overwrite=True) as folder:
                (folder / "b.bin").write_bytes(b"2" * 500_000)
        assert [p.relative_to(disk).as_posix() for p in sorted(disk.rglob("*"))] == [
            "cards",
            "cards/bundle",
            "cards/bundle/a.bin",
        ]
        with pytest.raises(BundleError, match="No space left"):
            files.write_bytes(disk / "big.bin", b"3" * 500_000)
        with pytest.raises(BundleError, match="No space left"), files.new_folder(disk / "new/bundle") as folder:
            (folder / "b.bin").write_bytes(b"2" * 500_000)
        assert [p.name for p in disk.iterdir()] == ["cards"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_write_bytes_replaces_or_leaves(tmp_path: Path):
    files.write_text(tmp_path / "a/b.txt", "é")
    assert (tmp_path / "a/b.txt").read_bytes() == "é".encode()
    (tmp_path / "a/folder").mkdir()
    for path in ("a/folder", "a/b.txt/c.txt"):
        with pytest.raises(BundleError, match="cannot be written"):
            files.write_text(tmp_path / path, "x")
    with pytest.raises(BundleError, match="cannot be written"), files.new_folder(tmp_path / "a/b.txt/bundle"):
        pytest.fail("the block ran")
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["b.txt", "folder"]


@pytest.mark.parametrize("umask", [0o077, 0o027, 0o022])
def test_who_may_read_what_is_written_follows_from_the_umask(tmp_path: Path, umask: int):
    before = os.umask(umask)
    try:
        files.write_text(tmp_path / "a.txt", "a")
        with files.new_folder(tmp_path / "made") as folder:
            files.write_text(folder / "b.txt", "b")
    finally:
        os.umask(before)
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("a.txt", "made", "made/b.txt")}
    assert modes == {"a.txt": 0o666 & ~umask, "made": 0o777 & ~umask, "made/b.txt": 0o666 & ~umask}


def test_parse_json_is_strict():
    assert files.parse_json(b'{"a": [1, "\xc3\xa9"]}', "x") == {"a": [1, "é"]}
    for content, message in (
        (b'{"a": 1, "a": 1}', "stands twice"),
        (b'{"b": {"a": 1, "a": 2}}', "stands twice"),
        (b"[NaN]", "NaN is no JSON"),
        (b"[-Infinity]", "Infinity"),
        (b"\xff\xfe", "no readable JSON"),
        (b"{", "no readable JSON"),
    ):
        with pytest.raises(BundleError, match=message):
            files.parse_json(content, "x")
