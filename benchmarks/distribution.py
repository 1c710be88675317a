"""Several replicas, several processes, XLA: do they train as one device does, and what happens when one is gone?

Tiny models without dropout, which replicas draw otherwise; the scripts are those of the tests. No speeds: replicas of
one processor share it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import processes, race, show
from tests.distribution import starting

QUESTION = (
    "Tiny models, 37 examples in batches of 8 (the last has 5): the largest difference of a weight, and the reported "
    "loss, from training on one device; the same for steps that XLA compiles with static shapes, as a TPU takes them; "
    "what the other workers do when one is killed, or asked to end."
)
KINDS = (
    *("text", "image", "token", "chain", "answers", "pair", "apart"),
    *("text numbers", "image numbers", "pair numbers", "text labels", "image labels"),
)
NAMES = {"token": "entities", "chain": "entities, crf", "pair": "pairs", "apart": "pairs, two encoders"}
ADAPTATIONS = ("frozen", "full", "gradual", "discriminative")
CASES: list[dict[str, Any]] = [
    *({"kind": kind, "how": how, "batch": 8, "count": 37} for kind in KINDS for how in ADAPTATIONS),
    {"kind": "image", "how": "statistics", "batch": 8, "count": 37},
    {"kind": "text", "how": "full", "batch": 8, "count": 37, "accumulate": 2},
]
COMPILED = CASES[: len(KINDS) * len(ADAPTATIONS)]  # BatchNormalization that learns counts what fills a batch up
TOGETHER = [(count, kind, how) for kind in ("text", "image") for how in ADAPTATIONS for count in (2, 3)]
LONG: dict[str, Any] = {"kind": "text", "how": "full", "epochs": 6, "dropout": 0.2}
GONE, ASKED = "Another worker is gone", "The run was asked to end (SIGTERM)"
MIRRORED, WORKERS, STOPS, ENDS = 1e-6, 1e-5, 30.0, 10.0  # weights, seconds


def main(arguments: Sequence[str] | None = None) -> tuple[str, bool]:
    """Two tables and the closing lines; the section of RESULTS.md, and whether everything held."""
    options = race.options(arguments, QUESTION)
    options.rounds = 1  # the same bits come out each time
    lines, held, asked = [QUESTION, ""], 0, 0
    lines += ["| strategy | task, adaptation | largest difference of a weight | loss, ratio | as it must be |"]
    lines += ["|---|---|---|---|---|"]
    cases = CASES[:1] if options.smoke else CASES
    for name, count, each in (
        *((f"Mirrored, {count}", count, cases) for count in ((2,) if options.smoke else (2, 4))),
        *(() if options.smoke else (("one device, XLA", 1, [case | {"jit_compile": True} for case in COMPILED]),)),
    ):
        for case, found in _apart_from_one(count, each):
            worst = _worst(found["together"], found["alone"])
            well = found["weights"] <= MIRRORED and abs(worst - 1) < 5e-4
            lines.append(f"| {name} | {_named(case)} | {found['weights']:.1e} | {worst:.6f} | {_said(well)} |")
            held, asked = held + well, asked + 1
    for count, kind, how in ((2, "text", "gradual"),) if options.smoke else TOGETHER:
        difference, worst, same = _workers(count, kind, how)
        well = same and difference <= WORKERS and abs(worst - 1) < 5e-4
        what = f"{kind}, {how}{'' if same else ', workers differ'}"
        lines.append(f"| MultiWorker, {count} processes | {what} | {difference:.1e} | {worst:.6f} | {_said(well)} |")
        held, asked = held + well, asked + 1
    lines += [
        "",
        "| one worker is | the last of the others ends after | says | relaunched, it ends with | as it must be |",
    ]
    lines += ["|---|---|---|---|---|"]
    for count in (2,) if options.smoke else (2, 3):
        whole = starting.together(processes.ROOT, count, **LONG)[0]
        for asked_to in (False, True):
            for which in (1,) if options.smoke or count == 3 else (0, 1):
                seconds, said, equal = _ended(count, which, asked_to, whole)
                well = seconds < (ENDS if asked_to else STOPS) and said and equal
                bits = "the bits of the uninterrupted run" if equal else "other weights"
                who = f"{'asked to end' if asked_to else 'killed'}: number {which + 1} of {count}"
                words = (ASKED if asked_to else GONE) if said else "something else"
                lines.append(f"| {who} | {seconds:.1f} s | {words!r} | {bits} | {_said(well)} |")
                held, asked = held + well, asked + 1
    lines += ["", f"distribution: ratio={held / asked:.2f}  range=–  quality={held}/{asked}  target=1.00"]
    print("\n".join(lines), flush=True)
    return show.section("distribution", lines, options), held == asked


def _apart_from_one(count: int, cases: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What `tests.distribution.pairs` finds of each case."""
    command = [sys.executable, "-m", "tests.distribution.pairs", str(count), json.dumps(cases)]
    ran = subprocess.run(command, cwd=processes.ROOT, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"distribution: {ran.stderr[-2000:]}")
    return list(zip(cases, json.loads(ran.stdout.splitlines()[-1]), strict=True))


def _worst(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The ratio of two losses of an epoch that is furthest from 1."""
    ratios = [a / b for a, b in zip(one["loss"], other["loss"], strict=True)]
    return max(ratios, key=lambda ratio: abs(ratio - 1))


def _workers(count: int, kind: str, how: str) -> tuple[float, float, bool]:
    """Largest difference of a weight from one device, worst ratio of a loss, and whether all workers agree."""
    asked = {"kind": kind, "how": how, "epochs": 2}
    alone = starting.ended(starting.start(0, [], processes.ROOT, **asked))
    found = starting.together(processes.ROOT, count, **asked)
    difference = max(_apart(found[0]["weights"][name], values) for name, values in alone["weights"].items())
    same = len({json.dumps([each["digest"], each["history"]]) for each in found}) == 1
    return difference, _worst(found[0]["history"], alone["history"]), same


def _apart(one: Any, other: Any) -> float:
    if isinstance(one, list):
        return max((_apart(a, b) for a, b in zip(one, other, strict=True)), default=0.0)
    return abs(float(one) - float(other))


def _ended(count: int, index: int, asked_to: bool, whole: dict[str, Any]) -> tuple[float, bool, bool]:
    """Seconds until all others end, whether all say why, and whether a relaunch ends as an uninterrupted run does.

    Positions are saved with every step, so that most of the runs end within an epoch.
    """
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "run"
        where = starting.addresses(count)
        running = [
            starting.start(at, where, processes.ROOT, checkpoint=str(kept), every=0.0, pause=0.5, **LONG)
            for at in range(count)
        ]
        starting.until_saved(kept, running)
        (running[index].terminate if asked_to else running[index].kill)()
        began, told = time.monotonic(), []
        for at, process in enumerate(running):
            if at != index:
                told.append(process.communicate(timeout=300)[1])
        seconds = time.monotonic() - began
        running[index].communicate()
        again = starting.together(processes.ROOT, count, checkpoint=str(kept), **LONG)
    equal = all(each["digest"] == whole["digest"] and each["history"] == whole["history"] for each in again)
    return seconds, all((ASKED if asked_to else GONE) in each for each in told), equal


def _named(case: dict[str, Any]) -> str:
    parts = " in 2 parts" if case.get("accumulate") else ""
    return f"{NAMES.get(case['kind'], case['kind'])}, {case['how']}{parts}"


def _said(well: bool) -> str:
    return "yes" if well else "**no**"


if __name__ == "__main__":
    sys.exit(0 if main()[1] else 1)
