"""One folder, one writer."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from tfvertical import lock
from tfvertical.errors import CheckpointError
from tfvertical.lock import Lock


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.1)
    monkeypatch.setattr(lock, "PATIENCE", 0.5)


def test_held_and_let_go_of(tmp_path):
    with Lock(tmp_path) as held:
        first = json.loads(held.place.at("writer.json").read_text())["beats"]
        time.sleep(0.35)
        assert json.loads(held.place.at("writer.json").read_text())["beats"] > first
        with pytest.raises(CheckpointError, match=f"process {held._me['pid']}"), Lock(tmp_path):
            raise AssertionError("two writers")
        assert held.place.at("writer.json").exists()
    assert not held.place.at("writer.json").exists()


def test_one_that_was_taken_over_while_its_owner_slept_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 60.0)  # looks are taken here, one by one
    with Lock(tmp_path) as held:
        other = {**held._me, "token": "another's"}
        for beats in (1, 2):
            held.check()
            held.place.write("writer.json", json.dumps({**other, "beats": beats}).encode())
            held._look_and_beat()
        with pytest.raises(CheckpointError, match="Another process writes"):
            held.check()
        assert json.loads((tmp_path / "writer.json").read_text())["token"] == "another's", "and it is left alone"
        held._look_and_beat()
        held.check()  # the other one gives no sign of life any more
    assert not (tmp_path / "writer.json").exists()


def test_process_numbers_of_another_container_say_nothing(tmp_path):
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    owner = {"host": lock.socket.gethostname(), "space": "pid:[1]", "pid": int(done.stdout), "token": "x", "beats": 3}
    (tmp_path / "writer.json").write_text(json.dumps(owner))
    began = time.monotonic()
    with Lock(tmp_path):
        assert time.monotonic() - began >= 0.5


def test_one_whose_process_is_gone_is_taken_over_at_once(tmp_path):
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    owner = {"host": lock.socket.gethostname(), "pid": int(done.stdout), "token": "x", "beats": 3}
    (tmp_path / "writer.json").write_text(json.dumps(owner))
    began = time.monotonic()
    with Lock(tmp_path):
        assert time.monotonic() - began < 0.4


@pytest.mark.parametrize("content", ['{"host": "elsewhere", "pid": 1, "token": "x", "beats": 3}', "", "[1"])
def test_one_that_gives_no_sign_of_life_is_taken_over(tmp_path, content: str):
    (tmp_path / "writer.json").write_text(content)
    began = time.monotonic()
    with Lock(tmp_path):
        assert time.monotonic() - began >= 0.5


def test_a_clock_that_jumps_back_changes_nothing(tmp_path, monkeypatch):
    with Lock(tmp_path) as held:
        monkeypatch.setattr(time, "time", lambda: 0.0)
        with pytest.raises(CheckpointError), Lock(tmp_path):
            raise AssertionError("two writers")
        assert held.place.at("writer.json").exists()
