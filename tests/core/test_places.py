"""A position in a bucket: whole or not there, found again, never mistaken for damage where the network fails."""

from __future__ import annotations

import errno
import json
import os
import sys
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

import fsspec
import numpy as np
import pytest

from tests.core import tiny
from tfvertical import lock, places, training
from tfvertical.adaptations.gradual_unfreezing import GradualUnfreezing
from tfvertical.checkpoint import Checkpoint
from tfvertical.errors import CheckpointError, ConfigError, Interrupted
from tfvertical.jobs.training import _forget
from tfvertical.lock import Lock
from tfvertical.places import Remote, place
from tfvertical.settings import Settings

ARRAYS = {"weight/0": np.arange(12, dtype=np.float32).reshape(3, 4)}
CALLS = ("makedirs", "put_file", "find", "rm_file")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(Remote, "settles", 0.05)
    monkeypatch.setattr(lock, "BEAT", 0.1)
    monkeypatch.setattr(lock, "PATIENCE", 0.5)


@pytest.fixture
def bucket() -> str:
    """An address that no other test has."""
    return f"memory://bucket-{uuid.uuid4().hex}/runs/cards"


def saved(address: str, times: int = 2) -> Checkpoint:
    kept = Checkpoint(address)
    for number in range(times):
        kept.save(ARRAYS, {"epoch": number})
    return kept


def test_what_was_saved_comes_back_and_two_generations_stay(bucket: str):
    assert Checkpoint(bucket).load() is None
    kept = saved(bucket, 5)
    assert sorted(kept.place.names()) == ["position-00000004", "position-00000005"]
    position = Checkpoint(bucket).load()
    assert position.about == {"epoch": 4} and np.array_equal(position.arrays["weight/0"], ARRAYS["weight/0"])
    kept.clear()
    assert kept.load() is None and not fsspec.filesystem("memory").find(bucket)


@pytest.mark.parametrize("name", ["arrays.npz", "about.json"])
@pytest.mark.parametrize("cut", [False, True])
def test_damage_is_found_and_the_generation_before_is_used(bucket: str, name: str, cut: bool):
    kept, system = saved(bucket), fsspec.filesystem("memory")
    content = bytearray(system.cat_file(f"{bucket}/position-00000002/{name}"))
    content = content[: len(content) // 2] if cut else content[:40] + bytes([content[40] ^ 1]) + content[41:]
    system.pipe_file(f"{bucket}/position-00000002/{name}", bytes(content))
    with pytest.warns(UserWarning, match="memory://.*damaged and passed over"):
        assert kept.load().about == {"epoch": 0}


def test_half_an_upload_does_not_count_and_is_written_over(bucket: str):
    kept, system = saved(bucket, 1), fsspec.filesystem("memory")
    system.pipe_file(f"{bucket}/position-00000002/arrays.npz", b"half")
    assert kept.load().about == {"epoch": 0}
    kept.save(ARRAYS, {"epoch": 1})
    assert kept.load().about == {"epoch": 1} and kept.load().number == 2


def test_half_an_upload_that_no_save_follows_goes_with_the_run(bucket: str):
    kept, system = saved(bucket, 1), fsspec.filesystem("memory")
    system.pipe_file(f"{bucket}/position-00000002/arrays.npz", b"half")
    system.pipe_file(f"{bucket}/notes/of-mine.txt", b"stays")
    assert kept.place.halves() == ["notes", "position-00000002"]
    kept.clear()
    assert [path.rpartition("/")[2] for path in system.find(bucket)] == ["of-mine.txt"]


def test_a_bucket_is_never_asked_to_go_with_what_was_in_it(monkeypatch):
    """Packages for buckets take the removal of such a folder for the bucket's deletion."""
    kept, asked = saved(f"memory://bucket-{uuid.uuid4().hex}"), []
    monkeypatch.setattr(kept.place.system, "rmdir", asked.append)
    kept.clear()
    _forget(kept)
    assert not kept.there() and asked and kept.place.root not in asked


def test_a_folder_that_storage_does_not_let_go_of_costs_nothing(bucket: str, monkeypatch):
    def refuse(path: str) -> None:
        raise RuntimeError("409 not empty")

    kept = saved(bucket)
    monkeypatch.setattr(kept.place.system, "rmdir", refuse)
    kept.clear()
    assert not kept.there()


def test_what_there_is_no_room_for_is_not_fetched(bucket: str, monkeypatch):
    kept = saved(bucket, 1)
    monkeypatch.setattr(kept.place.system, "get_file", lambda *paths: pytest.fail("fetched"))
    monkeypatch.setattr(places.shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    with pytest.raises(CheckpointError, match=r"position-00000001 takes [\d,]+ bytes, and .* has 100 free.*TMPDIR"):
        kept.load()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("how", [ConnectionResetError("gone"), RuntimeError("503"), Killed()])
def test_whatever_call_fails_the_old_or_the_new_position_is_whole(bucket: str, monkeypatch, how: BaseException):
    made = 0
    for at in range(20):
        kept = saved(f"{bucket}/{type(how).__name__}/{at}", 2)
        left = [at]
        for name in CALLS:
            real = getattr(kept.place.system, name)

            def failing(*arguments, _real=real, left=left, **keywords):
                left[0] -= 1
                if left[0] < 0:
                    raise how
                return _real(*arguments, **keywords)

            monkeypatch.setattr(kept.place.system, name, failing)
        try:
            kept.save(ARRAYS, {"epoch": 2})
        except (CheckpointError, Killed):
            pass
        finally:
            monkeypatch.undo()
        monkeypatch.setattr(Remote, "settles", 0.05)
        made += left[0] < 0
        assert kept.load().about["epoch"] in (1, 2), f"call {at}"
        kept.save(ARRAYS, {"epoch": 3})
        assert kept.load().about["epoch"] == 3
    assert 5 <= made < 20, "some call failed in every save but the last ones"


def test_a_network_that_fails_is_not_damage(bucket: str, monkeypatch):
    kept = saved(bucket)

    def failing(*_, **__):
        raise RuntimeError("503 from the bucket")

    monkeypatch.setattr(kept.place.system, "get_file", failing)
    with pytest.raises(CheckpointError, match=r"memory://.*503 from the bucket"):
        kept.load()


def test_one_writer_to_a_bucket(bucket: str):
    with Lock(bucket) as held:
        first = json.loads(held.place.read("writer.json", 4096))["beats"]
        time.sleep(0.35)
        assert json.loads(held.place.read("writer.json", 4096))["beats"] > first
        with pytest.raises(CheckpointError, match="Another process writes to memory://"), Lock(bucket):
            raise AssertionError("two writers")
    assert held.place.names() == []
    held.place.write("writer.json", b'{"host": "elsewhere", "pid": 1, "token": "x", "beats": 3}')
    with Lock(bucket):
        pass


def run(checkpoint: str | None, stop: int | None = None):
    """A run's weights and history; with `stop`, it is asked to end after so many batches."""
    import signal

    import keras

    class Stops(keras.callbacks.Callback):
        seen = 0

        def on_train_batch_end(self, batch, logs=None):
            self.seen += 1
            if self.seen == stop:
                os.kill(os.getpid(), signal.SIGTERM)

    keras.utils.set_random_seed(0)
    task = tiny.text_task(dropout=0.3)
    encoded = [task.encode(tiny.texts(count, seed=seed)) for count, seed in ((22, 2), (6, 3))]
    settings = Settings(epochs=2, batch_size=4, learning_rate=0.01)
    history = training.run(
        task,
        *encoded,
        GradualUnfreezing(blocks=1),
        settings,
        callbacks=[Stops()],
        verbose=0,
        checkpoint=checkpoint,
        checkpoint_every=0.0,
    )
    return tiny.values(task.model), history.history


def test_a_run_goes_on_from_a_bucket_as_if_it_had_never_stopped(bucket: str):
    want, history = run(None)
    for stop in (3, 11):
        with pytest.raises(Interrupted):
            run(bucket, stop)
    found, again = run(bucket)
    assert again == history
    assert all(np.array_equal(found[name], value) for name, value in want.items())


def test_an_address_that_pathlib_has_cut_is_told():
    with pytest.raises(ConfigError, match="gs://bucket/run"):
        place(Path("gs://bucket/run"))
    assert isinstance(place("a:b/c"), places.Folder) and isinstance(place("C:/runs"), places.Folder)


def test_an_address_without_a_bucket_is_told():
    with pytest.raises(ConfigError, match="names no bucket"):
        place("gs://")


def test_a_file_in_the_folder_s_place_is_told(tmp_path: Path):
    (tmp_path / "run").write_text("x")
    with pytest.raises(CheckpointError, match="name another folder"):
        place(tmp_path / "run").make()


def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch):
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(places.os, "listdir", refuse)
    for look in (Checkpoint(tmp_path).load, Checkpoint(tmp_path).there):
        with pytest.raises(CheckpointError, match="cannot be read: Permission denied"):
            look()


def test_an_unknown_kind_of_address_is_told():
    with pytest.raises(ConfigError, match="nowhere://bucket"):
        place("nowhere://bucket/run")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(ConfigError, match="pip install gcsfs"):
        place("gs://bucket/run")
