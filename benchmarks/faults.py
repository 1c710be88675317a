"""Kills, damage and what saving costs: does a run that was killed at a random moment end as if it had not been?"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks import full_ft, processes, race, show, syscalls, work
from benchmarks.contenders import forked
from tfvertical.checkpoint import Checkpoint

QUESTION = (
    "MiniLM, a head and then the top block on 640 texts, a save after every call of the training function; SIGKILL at "
    "a random moment of the training's first half, then the same command again, and another SIGKILL; then the same "
    "command to its end."
)
SETTINGS = {"length": 64, "epochs": 2, "rate": 1e-3, "decay": 0.01, "dropout": 0.1, "clip": 1.0, "whole": True}
KILLS = 2  # a run
FULL, SHORT = (50, 500, 640), (5, 50, 96)  # runs, damages, texts
LEAST = 0.98  # of the speed that a run has without saving


def main(arguments: Sequence[str] | None = None) -> tuple[str, bool]:
    """Three tables' rows and the closing lines; the section of RESULTS.md, and whether everything held."""
    options = race.options(arguments, QUESTION)
    runs, damages, texts = SHORT if options.smoke else FULL
    with tempfile.TemporaryDirectory() as folder:
        killed = _killed(Path(folder), runs, texts)
        damaged = _damaged(Path(folder), damages)
        spoilt = syscalls.outcomes(Path(folder), 6 if options.smoke else None) if syscalls.there() else []
    calls = "" if options.smoke else ", each call once"
    lines = [
        QUESTION,
        "",
        "| fault | trials | as it must be | |",
        "|---|---|---|---|",
        f"| SIGKILL at a random moment | {killed['kills']} in {runs} runs | {killed['equal']} runs ended with the bits "
        f"of the uninterrupted one | {killed['from zero']} killed before the first save; at most {killed['repeated']} "
        "intervals repeated |",
        f"| one bit flipped, or a file cut | {damaged['trials']} | {damaged['refused']} passed over, the generation "
        "before used | |",
        *(
            f"| {each.fault} at a system call of a save | {each.trials}{calls} | {each.whole} left the position "
            f"before or the new one whole, and the next save went well | {each.spoilt} saves ended early |"
            for each in spoilt
        ),
        *(
            []
            if spoilt
            else ["| a fault at a system call of a save | none: `strace` is not there, or may not trace | | |"]
        ),
        "",
        *(_closing(f"faults[{each.fault} at a call]", each.whole, each.trials) for each in spoilt),
        _closing("faults[damage]", damaged["refused"], damaged["trials"]),
    ]
    well = bool(spoilt) and all(each.whole == each.trials for each in spoilt)
    well = well and killed["equal"] == runs and damaged["refused"] == damaged["trials"] and killed["repeated"] <= 1
    well = well and killed["kills"] > runs * (KILLS - 1)  # else they came when all was done
    if not options.smoke:
        ratios = _costs(options.rounds)
        median, least, most = statistics.median(ratios), min(ratios), max(ratios)
        well = well and median >= LEAST
        lines.append(
            f"faults[speed with saves]: ratio={median:.3f}  range={least:.3f}–{most:.3f}  quality=–  target={LEAST}"
        )
    lines.append(_closing("faults", killed["equal"], runs))
    print("\n".join(lines), flush=True)
    return show.section("faults", lines, options), well


def _closing(name: str, held: int, trials: int) -> str:
    return f"{name}: ratio={held / trials:.2f}  range=–  quality={held}/{trials}  target=1.00"


def _work(folder: Path, name: str, texts: int) -> dict[str, Any]:
    made = work.banking77(False) | SETTINGS
    for part, count in (("train", texts), ("test", texts // 4)):
        pairs = made[part]
        step = len(pairs["items"]) // count
        made[part] = {key: values[::step][:count] for key, values in pairs.items()}
    place = folder / name
    return made | {"checkpoint": str(place / "run"), "log": str(place / "log"), "result": str(place / "result")}


class Trainings:
    """Trainings in processes of their own, each a fork of one that has imported everything and computed nothing: a
    kill takes seconds to come back from, not half a minute of imports. All share a cache, as runs of one person do.
    """

    def __init__(self, folder: Path):
        self.forks = multiprocessing.get_context("forkserver")
        self.forks.set_forkserver_preload(forked.PRELOADED)
        self.environment = processes.environment(folder / "home")

    def start(self, made: dict[str, Any]) -> Any:
        """The process, with `kill`, `join` and `exitcode`."""
        Path(made["log"]).parent.mkdir(exist_ok=True)
        with mock.patch.dict(os.environ, self.environment, clear=True):  # for the first, which begins the server
            started = self.forks.Process(target=forked.train, args=(made, self.environment["TFVERTICAL_HOME"]))
            started.start()
        return started

    def well(self, made: dict[str, Any]) -> bool:
        """Whether one that nobody kills ends well."""
        started = self.start(made)
        started.join()
        return bool(started.exitcode == 0)


def _killed(folder: Path, runs: int, texts: int) -> dict[str, int]:
    """How many runs ended alike, how many kills there were, how many before a first save, how many saves were lost."""
    trainings = Trainings(folder)
    results = []
    for name in ("cold", "whole"):  # the second finds the frozen part's outputs, as all runs do
        made = _work(folder, name, texts)
        if not trainings.well(made):
            raise SystemExit("faults: an uninterrupted run failed")
        results.append(Path(made["result"]).read_text(encoding="utf-8"))
    want, again = results
    if want != again:
        raise SystemExit("faults: two uninterrupted runs differ")
    lines = _lines(Path(made["log"]))
    saves = _saves(Path(made["log"]))
    between = (float(lines[-1].split()[2]) - float(lines[0].split()[2])) / saves
    found = {"equal": 0, "kills": 0, "from zero": 0, "repeated": 0}
    for run in range(runs):
        chance, made = random.Random(run), _work(folder, f"run-{run}", texts)
        log, result, before = Path(made["log"]), Path(made["result"]), list[int]()
        for _ in range(KILLS):
            started = trainings.start(made)
            behind = (before or [0])[-1] + chance.randrange(max(1, saves // KILLS))
            while (len(_begun(log)) == len(before) or _saves(log) < behind) and started.is_alive():
                time.sleep(0.02)
            time.sleep(chance.uniform(0, between))
            found["kills"] += started.is_alive()
            started.kill()
            started.join()
            before.append(_saves(log))
        same = trainings.well(made) and result.exists() and result.read_text(encoding="utf-8") == want
        resumed = _begun(log)[1:]
        found["equal"] += same
        found["from zero"] += resumed.count(0)
        found["repeated"] = max(found["repeated"], *(a - b for a, b in zip(before, resumed, strict=True)))
        print(f"  run {run + 1}: resumed from saves {resumed} of {before}, equal {same}", file=sys.stderr, flush=True)
        shutil.rmtree(log.parent)
    return found


def _lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def _begun(log: Path) -> list[int]:
    """The numbers of the saves from which processes went on, 0 for the beginning."""
    return [int(line.split()[1]) for line in _lines(log) if line.startswith("begun")]


def _saves(log: Path) -> int:
    """The number of the last save that was reported as done."""
    done = [line for line in _lines(log) if line.startswith("saved")]
    return int(done[-1].split()[1]) if done else 0


def _damaged(folder: Path, trials: int) -> dict[str, int]:
    """Positions of the uninterrupted run with a bit flipped or the end cut off: how many are passed over."""
    refused = 0
    for trial in range(trials):
        chance, place = random.Random(trial), folder / "damaged"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(folder / "whole" / "run", place)
        newest = max(place.glob("position-*"))
        path = newest / chance.choice(["arrays.npz", "about.json"])
        content = bytearray(path.read_bytes())
        at = chance.randrange(len(content))
        if trial % 2:
            content[at] ^= 1 << chance.randrange(8)
        else:
            del content[at:]
        path.write_bytes(bytes(content))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            position = Checkpoint(place).load()
        refused += position is not None and f"position-{position.number:08d}" != newest.name
    return {"refused": refused, "trials": trials}


def _costs(rounds: int) -> list[float]:
    """Seconds of steady epochs without saves, divided by those with one after each epoch and every two minutes."""
    made = full_ft.build(False) | {"epochs": 3, "whole": True}
    made["train"] = {key: values[:640] for key, values in made["train"].items()}
    ratios = []
    for _ in range(rounds):
        took = []
        for saves in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                asked = made | {"checkpoint": f"{folder}/run" if saves else None}
                took.append(processes.run("ours_faults:overhead", asked)["rows"]["steady"])
        ratios.append(took[0] / took[1])
    return ratios


if __name__ == "__main__":
    sys.exit(0 if main()[1] else 1)
