"""`tfvertical train` that is killed or asked to end goes on when the same command is given again."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import tfvertical as tv
from tests.cli.conftest import Place
from tests.forking import Forked
from tfvertical.checkpoint import Checkpoint
from tfvertical.cli import main
from tfvertical.errors import CheckpointError
from tfvertical.tasks._task import BackboneTask

PROGRAM = "import sys; from tfvertical.cli import main; sys.exit(main())"
SOON = 10.0  # seconds after SIGTERM
LONG = ["--set", "adaptation.head_epochs=40", "--set", "export=[]"]  # time enough to be interrupted


def command(place: Place, out: Path) -> list[str]:
    return ["train", str(place.run), "--out", str(out), *LONG]


def interrupted(place: Place, out: Path, number: int, unfinished: Path, more: Sequence[str] = ()) -> Forked:
    """The command in a process of its own, sent a signal once it has saved a position in the folder `unfinished`."""
    environment = os.environ | {"PYTHONPATH": str(Path(tv.__file__).parent.parent)}
    started = Forked(["-c", PROGRAM, *command(place, out), *more], env=environment)
    until = time.monotonic() + 120
    while not list(unfinished.glob("position-*/about.json")) and started.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    started.send_signal(number)
    return started


@pytest.fixture(scope="module")
def whole(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    assert main(command(place, out)) == 0
    assert not out.with_name("run.unfinished").exists()
    return out


@pytest.mark.parametrize(
    ("number", "address"), [(signal.SIGKILL, False), (signal.SIGTERM, False), (signal.SIGKILL, True)]
)
def test_the_same_command_goes_on_and_ends_alike(
    number: int,
    address: bool,
    place: Place,
    whole: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, unfinished = tmp_path / "run", tmp_path / ("positions" if address else "run.unfinished")
    more = ["--checkpoint", f"file://{unfinished}"] if address else []
    started = interrupted(place, out, number, unfinished, more)
    sent = time.monotonic()
    said = started.communicate(timeout=60)[1]
    assert started.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 75), said
    if number == signal.SIGTERM:
        assert time.monotonic() - sent < SOON
        assert "run the same again" in said and "Traceback" not in said
    read, real = [], Checkpoint._read
    monkeypatch.setattr(Checkpoint, "_read", lambda self, number: read.append(number) or real(self, number))
    assert main([*command(place, out), *more]) == 0
    assert len(read) == 1, "from a bucket it is fetched each time"
    said = capsys.readouterr().err
    assert (
        f"An unfinished run stands in {more[1] if address else unfinished}" in said
        and "Going on in stage 'head', after " in said
    )
    assert not unfinished.exists()
    one, other = tv.load(whole), tv.load(out)
    for a, b in zip(one.model.weights, other.model.weights, strict=True):
        assert np.array_equal(a.numpy(), b.numpy()), a.path
    histories = [each.run["history"] for each in (one, other)]
    assert histories[0] == histories[1]
    events = [json.loads(line)["kind"] for line in (out / "events.jsonl").read_text().splitlines()]
    assert events.count("epoch_ended") == 42 and events.count("resumed") == 1


def test_another_configuration_is_refused_and_fresh_begins_anew(place: Place, tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    interrupted(place, out, signal.SIGKILL, tmp_path / "run.unfinished").communicate(timeout=60)
    other = [*command(place, out), "--set", "training.learning_rate=0.001"]
    assert main(other) == 2
    said = capsys.readouterr().err
    assert "settings.learning_rate: 0.03 then, 0.001 now" in said and "Going on" not in said
    assert main([*other, "--fresh"]) == 0
    assert main([*other, "--overwrite", "--resume"]) == 2, "the run has ended: there is nothing to go on with"
    assert "No unfinished run stands in" in capsys.readouterr().err


SHORT = ["--set", "adaptation.head_epochs=1", "--set", "adaptation.epochs_per_block=1"]
ENDS = """
import os, signal, sys
from tfvertical import _swap, cli
from tfvertical.tasks._task import BackboneTask

how, number, *command = sys.argv[1:]

def end(*_, **__):
    os.kill(os.getpid(), int(number))
    raise AssertionError("the command went on")

if how == "saving":
    real = _swap.swap
    _swap.swap = lambda new, path: end() if path.name == "bundle" else real(new, path)
else:
    setattr(BackboneTask, how, end)
sys.exit(cli.main(command))
"""


@pytest.mark.parametrize(
    ("how", "number"), [("saving", signal.SIGKILL), ("export", signal.SIGKILL), ("evaluate", signal.SIGTERM)]
)
def test_what_ends_behind_the_training_goes_on(
    how: str, number: int, place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, unfinished = tmp_path / "run", tmp_path / "run.unfinished"
    command = ["train", str(place.run), "--out", str(out), *SHORT]
    environment = os.environ | {"PYTHONPATH": str(Path(tv.__file__).parent.parent)}
    started = Forked(["-c", ENDS, how, str(int(number)), *command], env=environment)
    said = started.communicate(timeout=120)[1]
    assert started.returncode == (75 if number == signal.SIGTERM else -number), said
    assert list(unfinished.glob("position-*")) and (unfinished / "writer.json").exists() == (number == signal.SIGKILL)
    if how == "saving":
        assert [each.suffix for each in out.iterdir()] == [".new"]
    if how == "export":
        (out / "notes.txt").write_text("not the run's")
        assert main(command) == 2
        assert f"{out} is not empty" in capsys.readouterr().err
        (out / "notes.txt").unlink()
    assert main(command) == 0
    assert "Going on in stage" in capsys.readouterr().err and not unfinished.exists()
    assert (out / "exports" / "litert-float32" / "model.tflite").is_file()
    assert main(command) == 2, "what is done is not done again"


def test_another_process_is_refused_until_the_exports_are_written(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, real, held = tmp_path / "run", BackboneTask.evaluate, []

    def evaluate(self, *arguments, **keywords):
        held.append((tmp_path / "run.unfinished" / "writer.json").is_file())
        return real(self, *arguments, **keywords)

    monkeypatch.setattr(BackboneTask, "evaluate", evaluate)
    assert main(["train", str(place.run), "--out", str(out), *SHORT, "--set", "export=[]"]) == 0
    assert held == [True] and not (tmp_path / "run.unfinished").exists()


def test_a_bucket_that_fails_in_the_end_costs_no_export(place: Place, tmp_path: Path, capsys, monkeypatch) -> None:
    def gone(self) -> None:
        raise CheckpointError("503 from the bucket")

    monkeypatch.setattr(Checkpoint, "clear", gone)
    kept = ["--checkpoint", "memory://fails-in-the-end"]
    assert main(["train", str(place.run), "--out", str(tmp_path / "run"), *SHORT, *kept]) == 0
    said = capsys.readouterr().err
    assert "position stays in memory://fails-in-the-end" in said and "503 from the bucket" in said
    assert (tmp_path / "run" / "exports" / "litert-float32" / "model.tflite").is_file()
