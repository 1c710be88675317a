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
from typing import Any, NamedTuple
from unittest import mock

from benchmarks import full_ft, measured, processes, race, show, syscalls, work
from benchmarks.contenders import forked
from benchmarks.measured import Measured
from benchmarks.parts import Parts
from tfvertical.checkpoint import Checkpoint

QUESTION = (
    "MiniLM, a head and then the top block on 320 texts, a save after every call of the training function; SIGKILL at "
    "a random moment of the training's first half, then the same command again, and another SIGKILL; then the same "
    "command to its end."
)
SETTINGS = {"length": 64, "epochs": 2, "rate": 1e-3, "decay": 0.01, "dropout": 0.1, "clip": 1.0, "whole": True}
KILLS = 2  # a run
FULL, SHORT = (50, 500, 320), (5, 50, 96)  # runs, damages, texts
LEAST, BETWEEN = 0.98, 120.0  # of the speed that a run has without saving; seconds between two saves, by default


def main(arguments: Sequence[str] | None = None) -> tuple[str, bool]:
    """Three tables' rows and the closing lines; the section of RESULTS.md, and whether everything held.

    What was found is kept part by part, of the kills run by run: a benchmark that is cut goes on where it was, as long
    as the commit is the same, and a part that is asked for alone joins those that were run before.
    """
    options = race.options(arguments, QUESTION)
    runs, damages, texts = SHORT if options.smoke else FULL
    with tempfile.TemporaryDirectory() as made:
        kept = Parts(Path(made) / "faults.json" if options.smoke else KEPT, list(PARTS))
        folder, asked = Path(made), [name for name in PARTS if not options.only or name in options.only]
        if {"kills", "damage"} & set(asked):
            whole = _uninterrupted(folder, texts)
        if "kills" in asked:
            _killed(whole, runs, kept)
        if "damage" in asked:
            kept.put("damage", _damaged(folder, damages))
        if "calls" in asked and not not_here("calls"):
            kept.put(
                "calls", {"rows": syscalls.outcomes(folder, 3 if options.smoke else None), "all": not options.smoke}
            )
        if "costs" in asked and not options.smoke:
            kept.put("costs", _costs(options.rounds))
        lines, well = _told(kept, runs)
        needed = [name for name in PARTS if not (options.smoke and (name == "costs" or not_here(name)))]
        well = well and all(kept.get(name) for name in needed)
    print("\n".join(lines), flush=True)
    facts = Measured(*(kept.joined(name) for name in ("date", "commit", "machine")))
    return show.headed("faults", lines, facts, options.rounds, options.smoke), well


PARTS = ("kills", "damage", "calls", "costs")
KEPT = measured.FOLDER / "faults" / "parts.json"


def not_here(part: str) -> bool:
    """Whether a part cannot be had on this machine."""
    return part == "calls" and not syscalls.there()


def _told(kept: Parts, runs: int) -> tuple[list[str], bool]:
    """The lines of what was found, and whether all of it is as it must be."""
    lines = [QUESTION, "", "| fault | trials | as it must be | |", "|---|---|---|---|"]
    closing, held = [], []
    if killed := kept.get("kills"):
        rows = killed["rows"]
        kills, equal = (sum(row[name] for row in rows) for name in ("kills", "equal"))
        lost = max(row["lost"] for row in rows)
        lines.append(
            f"| SIGKILL at a random moment | {kills} in {len(rows)} runs | {equal} runs ended with the bits of the "
            f"uninterrupted one | {sum(row['from zero'] for row in rows)} killed before the first save; {lost} saves "
            "that were done are lost |"
        )
        held.append(equal == len(rows) == runs and not lost and kills == runs * KILLS)
    if damage := kept.get("damage"):
        lines.append(
            f"| one bit flipped, or a file cut | {damage['trials']} | {damage['refused']} passed over, the generation "
            "before used | |"
        )
        closing.append(_closing("faults[damage]", damage["refused"], damage["trials"]))
        held.append(damage["refused"] == damage["trials"])
    calls = kept.get("calls") or {"rows": [], "all": False}
    each = ", each call once" if calls["all"] else ""
    for fault, trials, whole, spoilt in calls["rows"]:
        lines.append(
            f"| {fault} at a system call of a save | {trials}{each} | {whole} left the position before or "
            f"the new one whole, and the next save went well | {spoilt} saves ended early |"
        )
        closing.append(_closing(f"faults[{fault} at a call]", whole, trials))
        held.append(whole == trials)
    if not calls["rows"]:
        lines.append("| a fault at a system call of a save | none yet: it takes `strace`, which may trace | | |")
    if costs := kept.get("costs"):
        took, epoch = costs["cost"], statistics.median(costs["epoch"])
        each = statistics.median(took)
        speeds = [epoch / (epoch + cost) for cost in (each, max(took), min(took))]
        lines.append(
            f"| none, every weight of MiniLM learns | {len(took)} saves | in epochs of {epoch:.0f} s, each with one, "
            f"{speeds[0]:.1%} of the speed is left | a save takes {each:.2f} s, {each / BETWEEN:.1%} of the "
            f"{BETWEEN:.0f} s between two within an epoch |"
        )
        closing.append(
            f"faults[speed with saves]: ratio={speeds[0]:.3f}  range={speeds[1]:.3f}–{speeds[2]:.3f}  quality=–  "
            f"target={LEAST}"
        )
        held.append(speeds[0] >= LEAST)
    if killed:
        closing.append(_closing("faults", equal, len(rows)))
    return [*lines, "", *closing], all(held)


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


class Whole(NamedTuple):
    """The run that nobody kills: what starts others like it, and what it did."""

    folder: Path
    texts: int
    trainings: Trainings
    result: str
    saves: int
    between: float  # seconds from one save to the next


def _uninterrupted(folder: Path, texts: int) -> Whole:
    trainings = Trainings(folder)
    results = []
    for name in ("cold", "whole"):  # the second finds the frozen part's outputs, as all runs do
        made = _work(folder, name, texts)
        if not trainings.well(made):
            raise SystemExit("faults: an uninterrupted run failed")
        results.append(Path(made["result"]).read_text(encoding="utf-8"))
    if results[0] != results[1]:
        raise SystemExit("faults: two uninterrupted runs differ")
    lines, saves = _lines(Path(made["log"])), _saves(Path(made["log"]))
    between = (float(lines[-1].split()[2]) - float(lines[0].split()[2])) / saves
    return Whole(folder, texts, trainings, results[1], saves, between)


def _killed(whole: Whole, runs: int, kept: Parts) -> None:
    """Of each run whether it ended alike, how many kills there were, before a first save, and how many saves lost."""
    rows = kept.begun("kills").get("rows", [])
    rows = rows if len(rows) < runs else []  # all of them were done: once more
    for run in range(len(rows), runs):
        for attempt in range(3):  # on a busy machine a run may end before it is killed
            row = _killed_run(whole, random.Random(f"{run}, {attempt}"), f"run {run + 1}")
            if row["kills"] == KILLS or not row["equal"] or row["lost"]:
                break
        rows.append(row)
        kept.put("kills", {"rows": rows})


def _killed_run(whole: Whole, chance: random.Random, name: str) -> dict[str, Any]:
    """A run that is killed and begun again, and what it ended with."""
    made = _work(whole.folder, name.replace(" ", "-"), whole.texts)
    log, result, before, kills = Path(made["log"]), Path(made["result"]), list[int](), 0
    for _ in range(KILLS):
        started = whole.trainings.start(made)
        behind = (before or [0])[-1] + chance.randrange(max(1, whole.saves // KILLS - 2))
        while (len(_begun(log)) == len(before) or _saves(log) < behind) and started.is_alive():
            time.sleep(0.02)
        time.sleep(chance.uniform(0, whole.between))
        kills += started.is_alive()
        started.kill()
        started.join()
        before.append(_saves(log))
    ended = whole.trainings.well(made) and result.exists()
    same = ended and result.read_text(encoding="utf-8") == whole.result
    resumed = _begun(log)[1:]
    lost = max(0, *(a - b for a, b in zip(before, resumed, strict=True)))
    print(f"  {name}: resumed from saves {resumed} of {before}, equal {same}", file=sys.stderr, flush=True)
    shutil.rmtree(log.parent)
    return {"equal": same, "kills": kills, "from zero": resumed.count(0), "lost": lost}


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


def _costs(rounds: int) -> dict[str, list[float]]:
    """Seconds that each of `rounds` saves takes of the training around it, and an epoch's without any."""
    made = full_ft.build(False) | {"epochs": 4 * rounds + 2, "whole": True}
    made["train"] = {key: values[:640] for key, values in made["train"].items()}
    with tempfile.TemporaryDirectory() as folder:
        rows = processes.run("ours_faults:overhead", made | {"checkpoint": f"{folder}/run"})["rows"]
    return {kind: [value for name, value in rows.items() if name.startswith(kind)] for kind in ("cost", "epoch")}


if __name__ == "__main__":
    sys.exit(0 if main()[1] else 1)
