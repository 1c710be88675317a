"""Every damage is found before anything of the bundle is used, and named."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tfvertical import bundle, manifest
from tfvertical.errors import BundleError


def files(saved: Path) -> list[Path]:
    return sorted(p for p in (saved / "bundle").rglob("*") if p.is_file())


def test_every_flipped_bit_is_found(saved: Path):
    """All bits of the manifest would take minutes; 40 bits of every file, first and last bytes among them."""
    draw = np.random.default_rng(0)
    for file in files(saved):
        content = file.read_bytes()
        some = draw.integers(0, 8 * len(content), 36).tolist()
        for bit in [0, 7, 8 * len(content) - 8, 8 * len(content) - 1, *some]:
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            file.write_bytes(changed)
            with pytest.raises(BundleError) as error:
                bundle.verify(saved)
            if file.name != manifest.NAME:
                assert file.name in str(error.value) and "was changed" in str(error.value)
        file.write_bytes(content)
    bundle.verify(saved)


def test_every_bit_of_a_small_manifest(tmp_path: Path):
    (tmp_path / "a.txt").write_text("a")
    manifest.seal(tmp_path, kind="bundle", schema_version=1)
    content = (tmp_path / manifest.NAME).read_bytes()
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        (tmp_path / manifest.NAME).write_bytes(changed)
        with pytest.raises(BundleError):
            manifest.check(tmp_path, kind="bundle")


def test_every_missing_file_is_named(saved: Path):
    for file in files(saved):
        content = file.read_bytes()
        file.unlink()
        with pytest.raises(BundleError, match=rf"{file.name}'? is missing|report' does not|assets' does not"):
            bundle.load(saved)
        file.write_bytes(content)
    bundle.load(saved)


def extra_file(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")


def extra_hidden_file(folder: Path) -> None:
    (folder / "assets" / ".DS_Store").write_bytes(b"")


def extra_folder(folder: Path) -> None:
    (folder / "empty").mkdir()


def link_to_itself(folder: Path) -> None:
    os.rename(folder / "labels.json", folder.parent / "labels.json")
    (folder / "labels.json").symlink_to(folder.parent / "labels.json")


def linked_folder(folder: Path) -> None:
    os.rename(folder / "assets", folder.parent / "assets")
    (folder / "assets").symlink_to(folder.parent / "assets")


def linked_bundle(folder: Path) -> None:
    os.rename(folder, folder.parent / "elsewhere")
    folder.symlink_to(folder.parent / "elsewhere")


def pipe(folder: Path) -> None:
    (folder / "labels.json").unlink()
    os.mkfifo(folder / "labels.json")


def longer_file(folder: Path) -> None:
    with open(folder / "weights.safetensors", "ab") as file:
        file.truncate(2**40)  # a sparse terabyte: must be refused unread


def huge_manifest(folder: Path) -> None:
    with open(folder / manifest.NAME, "ab") as file:
        file.truncate(2**40)


def rewritten(change: Callable[[dict], None]) -> Callable[[Path], None]:
    """A manifest whose own hash is right: what a person with bad intentions writes."""

    def damage(folder: Path) -> None:
        body = json.loads((folder / manifest.NAME).read_text())
        change(body)
        body.pop("hash")
        body["hash"] = manifest._hash(body)
        (folder / manifest.NAME).write_bytes(manifest._canonical(body))

    return damage


def named(name: str) -> Callable[[Path], None]:
    entry = {"size": 1, "sha256": "0" * 64}
    return rewritten(lambda body: body["files"].update({name: entry}))


def duplicate_key(folder: Path) -> None:
    text = (folder / manifest.NAME).read_text()
    (folder / manifest.NAME).write_text(text.replace('{\n "files"', '{\n "kind": "bundle",\n "files"'))


DAMAGES = {
    "extra file": (extra_file, r"'notes.txt' does not belong"),
    "hidden file": (extra_hidden_file, r"'assets/.DS_Store' does not belong"),
    "extra folder": (extra_folder, r"'empty' does not belong"),
    "link": (link_to_itself, r"'labels.json' is a symbolic link"),
    "linked folder": (linked_folder, r"'assets' is a symbolic link"),
    "linked bundle": (linked_bundle, r"is a symbolic link"),
    "pipe": (pipe, r"'labels.json' is no plain file"),
    "longer file": (longer_file, r"'weights.safetensors' was changed"),
    "huge manifest": (huge_manifest, r"manifest.json is too big"),
    "parent path": (named("../cards.txt"), r"'../cards.txt' is no name"),
    "inner parent path": (named("assets/../../cards.txt"), r"is no name"),
    "absolute path": (named("/etc/passwd"), r"'/etc/passwd' is no name"),
    "backslash": (named("assets\\x"), r"is no name"),
    "empty name": (named(""), r"is no name"),
    "itself": (named("manifest.json"), r"is no name"),
    "two cases": (named("Labels.json"), r"Labels.json' is missing|case only"),
    "negative size": (rewritten(lambda body: body["files"]["labels.json"].update(size=-1)), r"is not a manifest"),
    "size is true": (rewritten(lambda body: body["files"]["labels.json"].update(size=True)), r"is not a manifest"),
    "no files": (rewritten(lambda body: body.update(files=[])), r"is not a manifest"),
    "another kind": (rewritten(lambda body: body.update(kind="export")), r"not what it should be"),
    "duplicate key": (duplicate_key, r"key 'kind' stands twice"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_before_anything_is_built(saved: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    damage, message = DAMAGES[name]
    damage(saved / "bundle")
    monkeypatch.setattr(bundle.architecture, "from_json", lambda *a, **k: pytest.fail("the model was built"))
    for act in (bundle.verify, bundle.load):
        with pytest.raises(BundleError, match=message):
            act(saved)


def test_deep_nesting_is_an_error_not_a_crash(saved: Path):
    (saved / "bundle" / manifest.NAME).write_text("[" * 200_000)
    with pytest.raises(BundleError, match="no readable JSON"):
        bundle.verify(saved)
