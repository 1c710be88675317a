"""The command in two processes: one run, which the first saves, measures and exports."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest

import tfvertical as tv
from tests.cli.conftest import Place
from tests.data import builders
from tests.distribution.starting import addresses
from tests.forking import Forked
from tfvertical import distribution, replicas
from tfvertical.errors import ClusterError
from tfvertical.jobs import training

PROGRAM = "import sys; from tfvertical.cli import main; sys.exit(main())"


def started(index: int, where: list[str], arguments: list[str]) -> Forked:
    config = {"cluster": {"worker": where}, "task": {"type": "worker", "index": index}}
    environment = os.environ | {"PYTHONPATH": str(Path(tv.__file__).parent.parent), "TF_CONFIG": json.dumps(config)}
    return Forked(["-c", PROGRAM, *arguments], env=environment)


def ended(running: list[Forked]) -> list[tuple[int, str]]:
    try:
        told = [process.communicate(timeout=300) for process in running]
    finally:
        for process in running:
            process.kill()
    return [(process.returncode, out + error) for process, (out, error) in zip(running, told, strict=True)]


def test_two_workers_train_one_run_and_the_first_saves_it(place: Place, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["train", str(place.run), "--out", str(out), "--set", "adaptation.head_epochs=2"]
    where = addresses(2)
    (first, said), (second, told) = ended([started(at, where, arguments) for at in range(2)])
    assert first == 0, said[-3000:]
    assert second == 0, told[-3000:]
    assert "Trains on 2 replicas of 2 processes" in said and "Everything lies in" in said
    assert "Trained together with the first worker" in told and "Everything lies in" not in told
    assert tv.load(out).predict("visa plane airport trip")[0].label in ("cards", "travel")
    assert (out / "exports" / "litert-float32" / "model.tflite").is_file()
    assert not out.with_name("run.unfinished").exists()


@pytest.mark.filterwarnings("ignore")  # of TensorFlow Datasets and of what it imports
def test_workers_read_a_tfds_data_set_once_they_have_met(place: Place, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("local_topics", Path(builders.__file__))
    module = sys.modules["local_topics"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.LocalTopics(data_dir=tmp_path / "tfds").download_and_prepare()
    own = {"train": "tfds:local_topics:train", "data_dir": tmp_path / "tfds", "text": "text", "label": "topic"}
    data = [argument for key, value in own.items() for argument in ("--set", f"data.{key}={value}")]
    out, where = tmp_path / "run", addresses(2)
    short = ["--set", "adaptation.head_epochs=1", "--set", "export=[]", "--set", "evaluation.before=false"]
    running = [started(at, where, ["train", str(place.run), "--out", str(out), *short, *data]) for at in range(2)]
    (first, said), (second, told) = ended(running)
    assert first == 0, said[-3000:]
    assert second == 0, told[-3000:]
    assert "Trains on 2 replicas of 2 processes" in said and tv.load(out).labels == ("cards", "travel")


def test_rows_that_differ_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Differ:
        def alike(self, value: int) -> bool:
            asked.append(value)
            return len(asked) == 1

    monkeypatch.setattr(replicas, "sharing", lambda strategy: Differ())
    where = distribution.Distribution("one_device", devices=(), why="")
    training._same_rows(where, "40 rows, 0123")
    with pytest.raises(ClusterError, match="40 rows, 4567"):
        training._same_rows(where, "40 rows, 4567")
    assert len(set(asked)) == 2


def test_workers_with_different_runs_are_told_the_difference(place: Place, tmp_path: Path) -> None:
    where = addresses(2)
    arguments = ["train", str(place.run), "--out", str(tmp_path / "run"), "--set", "adaptation.head_epochs=2"]
    other = [*arguments[:-1], "adaptation.head_epochs=3"]
    found = ended([started(at, where, given) for at, given in enumerate((arguments, other))])
    for code, said in found:
        assert code == 2, said[-2000:]
        assert "run file, adaptation.head_epochs: '3' at 127.0.0.1:" in said
    assert not (tmp_path / "run").exists()
