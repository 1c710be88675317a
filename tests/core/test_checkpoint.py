"""A position is on the disk whole or not at all, and nothing that was changed is believed."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import shutil
import time
from typing import Any

import numpy as np
import pytest

from tfvertical import checkpoint, files, places
from tfvertical.checkpoint import Checkpoint
from tfvertical.errors import CheckpointError

ARRAYS = {"weight/0": np.arange(12, dtype=np.float32).reshape(3, 4), "step": np.array(7, np.int64)}


def saved(folder, times: int = 2) -> Checkpoint:
    kept = Checkpoint(folder)
    for number in range(times):
        kept.save({**ARRAYS, "number": np.array(number)}, {"epoch": number})
    return kept


def test_what_was_saved_comes_back(tmp_path):
    position = saved(tmp_path, 1).load()
    assert position.about == {"epoch": 0}
    for name, array in ARRAYS.items():
        assert position.arrays[name].dtype == array.dtype
        assert np.array_equal(position.arrays[name], array)


def test_nothing_saved_is_nothing_found(tmp_path):
    assert Checkpoint(tmp_path / "missing").load() is None
    (tmp_path / "a file").write_text("x")
    assert Checkpoint(tmp_path / "a file").load() is None


def test_whether_a_position_stands_there_is_seen_without_reading_it(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "_position", lambda *_: pytest.fail("it was read"))
    assert not Checkpoint(tmp_path / "missing").there() and saved(tmp_path, 1).there()


def test_two_generations_stay(tmp_path):
    saved(tmp_path, 5)
    assert sorted(os.listdir(tmp_path)) == ["position-00000004", "position-00000005"]


def test_what_is_removed_goes_without_its_bytes_and_no_kill_leaves_it_whole(tmp_path, monkeypatch):
    """As into the trash of a mounted Drive, where they count."""
    kept, removed = saved(tmp_path / "run"), {}
    os.link(tmp_path / "run" / "position-00000001" / "arrays.npz", tmp_path / "copy.npz")
    size = (tmp_path / "copy.npz").stat().st_size

    def trash(folder, **options):
        removed[folder.name] = {path.name: path.stat().st_size for path in folder.iterdir()}

    monkeypatch.setattr(places.shutil, "rmtree", trash)
    for number in (1, 2):
        kept.place.remove(f"position-0000000{number}")
    assert removed == {"position-00000001": {"arrays.npz": size}, "position-00000002": {"arrays.npz": 0}}
    with pytest.warns(UserWarning, match="damaged"):
        assert Checkpoint(tmp_path / "run").load() is None


def test_cleared(tmp_path):
    kept = saved(tmp_path)
    kept.clear()
    assert kept.load() is None


@pytest.mark.parametrize("seed", range(60))
def test_a_flipped_bit_or_a_cut_is_found_and_the_generation_before_is_used(tmp_path, seed: int):
    kept, chance = saved(tmp_path), random.Random(seed)
    path = kept.place.at(checkpoint._name(2)) / chance.choice(["arrays.npz", "about.json"])
    content = bytearray(path.read_bytes())
    at = chance.randrange(len(content))
    if seed % 2:
        content[at] ^= 1 << chance.randrange(8)
    else:
        del content[at:]
    path.write_bytes(bytes(content))
    with pytest.warns(UserWarning, match="damaged and passed over"):
        position = kept.load()
    assert position.about == {"epoch": 0}


def test_a_bit_that_leaves_the_same_number_is_found_too(tmp_path):
    kept = Checkpoint(tmp_path / "run")
    for epsilon in (1e-6, 1e-7):
        kept.save({"a": np.zeros(3)}, {"epsilon": epsilon})
    path = kept.place.at(checkpoint._name(2)) / "about.json"
    path.write_bytes(path.read_bytes().replace(b"1e-07", b"1E-07"))
    with pytest.warns(UserWarning, match="damaged and passed over"):
        assert kept.load().about == {"epsilon": 1e-6}


def test_both_damaged_is_nothing_found(tmp_path):
    kept = saved(tmp_path)
    for number in (1, 2):
        (kept.place.at(checkpoint._name(number)) / "arrays.npz").write_bytes(b"")
    with pytest.warns(UserWarning):
        assert kept.load() is None


def test_of_two_generations_the_damaged_one_goes_first(tmp_path):
    kept = Checkpoint(tmp_path)
    for epoch in range(2):
        kept.save({"weight": np.arange(3.0)}, {"epoch": epoch})
    newest = max(tmp_path.glob("position-*"))
    (newest / "arrays.npz").write_bytes(b"torn")
    again = Checkpoint(tmp_path)
    with pytest.warns(UserWarning, match="damaged"):
        assert again.load().about["epoch"] == 0
    again.save({"weight": np.arange(3.0)}, {"epoch": 2})
    assert again.load().about["epoch"] == 2 and not newest.exists()
    (max(tmp_path.glob("position-*")) / "arrays.npz").write_bytes(b"torn")
    with pytest.warns(UserWarning, match="damaged"):
        assert Checkpoint(tmp_path).load().about["epoch"] == 0, "the whole one was not the one that went"


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EMFILE])
def test_what_cannot_be_read_now_is_no_damage(tmp_path, monkeypatch, number: int):
    kept = Checkpoint(tmp_path)
    kept.save({"weight": np.arange(3.0)}, {"epoch": 0})

    def failing(*arguments):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_position", failing)
        with pytest.raises(CheckpointError, match=r"cannot be read now(.|\n)*nothing was removed"):
            kept.load()
    assert kept.load().about["epoch"] == 0


def test_a_save_that_fails_is_told_as_such(tmp_path, monkeypatch):
    kept = Checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="could not be saved"):
        kept.save({}, {"loss": float("nan")})
    monkeypatch.setattr(type(kept.place), "names", lambda self: os.listdir("/nowhere"))
    with pytest.raises(CheckpointError, match="could not be saved"):
        kept.save({}, {})


def test_one_of_a_newer_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "VERSION", 2)
    saved(tmp_path, 1)
    monkeypatch.setattr(checkpoint, "VERSION", 1)
    with pytest.raises(CheckpointError, match="newer version"):
        Checkpoint(tmp_path).load()


def test_one_of_an_older_version_is_refused_and_may_be_cleared(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "VERSION", checkpoint.VERSION - 1)
        saved(tmp_path, 1)
    with pytest.raises(CheckpointError, match=r"an older version(.|\n)*--fresh"):
        Checkpoint(tmp_path).load()
    Checkpoint(tmp_path).clear()
    assert Checkpoint(tmp_path).load() is None


def test_objects_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="holds object"):
        Checkpoint(tmp_path).save({"x": np.array([{}])}, {})


def test_a_pickle_in_its_place_is_not_opened(tmp_path):
    kept = saved(tmp_path, 1)
    folder = kept.place.at(checkpoint._name(1))
    np.savez(folder / "arrays.npz", x=np.array([{"a": 1}], dtype=object))
    written = json.loads((folder / "about.json").read_text())
    written["content"]["arrays"] = files.sha256(folder / "arrays.npz")
    written["sha256"] = checkpoint._digest(written["content"])
    (folder / "about.json").write_text(json.dumps(written))
    with pytest.warns(UserWarning, match="damaged"):
        assert kept.load() is None


def seen_before(monkeypatch, called) -> None:
    """Let `called(name)` run before each system call that a save makes."""

    def put_before(module: Any, name: str) -> None:
        real = getattr(module, name)

        def both(*arguments: Any, **keywords: Any) -> Any:
            called(name)
            return real(*arguments, **keywords)

        monkeypatch.setattr(module, name, both)

    for module, name in CALLS:
        put_before(module, name)


CALLS = [
    *((os, name) for name in ("open", "mkdir", "rename", "replace", "fsync", "chmod")),
    *((fcntl, "flock"), (shutil, "copyfile")),
]
LACKED = ("rename", "replace", "flock")  # by mounts of Drive and of buckets


def whole(kept: Checkpoint) -> set[str]:
    """The generations that have all their files, as far as names tell."""
    return {name for name in kept.place.names() if name.startswith("position-")} - set(kept.place.halves())


@pytest.mark.parametrize("number", [errno.EPERM, errno.EXDEV, errno.EMFILE])
def test_a_mount_may_say_in_other_words_that_it_renames_no_folders(tmp_path, monkeypatch, number):
    def renames_none(name: str) -> None:
        if name == "rename":
            raise OSError(number, os.strerror(number))

    kept = saved(tmp_path / "run", 1)
    seen_before(monkeypatch, renames_none)
    kept.save(ARRAYS, {"epoch": 7})
    monkeypatch.undo()
    assert kept.load().about["epoch"] == 7 and len(whole(kept)) == 2


def test_a_clock_that_jumps_back_between_saves_changes_nothing(tmp_path, monkeypatch):
    kept = saved(tmp_path / "run", 1)
    half = tmp_path / "run" / ".position-00000002.0123abcd.new"  # of a writer that may be living
    half.mkdir()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    for epoch in (5, 6):
        kept.save(ARRAYS, {"epoch": epoch})
    assert kept.load().about["epoch"] == 6 and len(whole(kept)) == 2
    assert half.exists()


class Killed(BaseException):
    pass


@pytest.mark.filterwarnings("ignore:.* is damaged and passed over")  # what a kill has left on a mount
@pytest.mark.parametrize("mount", [False, True])
@pytest.mark.parametrize("how", [OSError(errno.ENOSPC, "full"), OSError(errno.EIO, "broken"), Killed()])
def test_whatever_call_fails_the_old_or_the_new_position_is_whole(tmp_path, monkeypatch, how, mount: bool):
    def lacking(name: str) -> None:
        if mount and name in LACKED:
            raise OSError(errno.ENOSYS, "Function not implemented")

    seen: list[str] = []
    seen_before(monkeypatch, lambda name: (seen.append(name), lacking(name)))
    saved(tmp_path / "counted", 1)
    monkeypatch.undo()
    assert len(seen) >= 6 and mount == ("copyfile" in seen)
    for at in range(len(seen)):
        left = [at]

        def called(name: str, left=left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise how
            lacking(name)

        kept = saved(tmp_path / f"position-{at}", 1)
        seen_before(monkeypatch, called)
        try:
            kept.save(ARRAYS, {"epoch": 1})
        except (CheckpointError, Killed):
            pass
        finally:
            monkeypatch.undo()
        position = kept.load()
        assert position is not None and position.about["epoch"] in (0, 1), f"call {at}"
        seen_before(monkeypatch, lacking)
        kept.save(ARRAYS, {"epoch": 2})
        monkeypatch.undo()
        assert kept.load().about["epoch"] == 2
        assert len(whole(kept)) == 2
