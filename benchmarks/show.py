"""Run a race and say what came out: what each `python -m benchmarks.NAME` ends in."""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import machine, measured, verdicts
from benchmarks import race as racing
from benchmarks.measured import Measured
from benchmarks.race import Outcome, Race
from tfvertical.files import write_text

KEPT = Path(__file__).parent / "peers" / "quality.json"


def main(
    race: Race, arguments: Sequence[str] | None = None, keeping: bool = False, more: bool = False
) -> tuple[str, bool]:
    """Run, print the table and the closing lines, and return them as a section of RESULTS.md.

    Args:
        race: the question.
        arguments: of the command line; None for `sys.argv`.
        keeping: keep the figures, round by round, in the place of those of this processor.
        more: add the rounds to those that are kept of this processor.

    Returns:
        The section, and whether every contender that ran did so without an error.
    """
    options = racing.options(arguments, race.question)
    found = Measured(datetime.date.today().isoformat(), commit(), machine.processor())
    path = measured.path(race.name, found.machine)

    def after(known: Mapping[str, Sequence[Outcome]], notes: Sequence[str] = ()) -> Measured:
        now = replace(found, outcomes=known, notes=notes)
        if keeping:
            now.write(path)
        return now

    if more and path.is_file():
        found = found.begun(measured.read(path))
    outcomes = racing.compete(race, options, after, found.outcomes)
    found = after(outcomes, [] if options.smoke else race.notes(outcomes))
    qualities = {} if options.smoke else keep(race.name, outcomes, options.whole)
    lines = drawn(race, found, qualities)
    print("\n".join(lines), flush=True)
    failed = any(outcome.missing.startswith("failed") for each in outcomes.values() for outcome in each)
    text = again(race) if keeping else headed(race.name, lines, found, found.rounds, options.smoke)
    return text, not failed


def drawn(race: Race, found: Measured, qualities: Mapping[str, float]) -> list[str]:
    """The question, the tables, the notes and the closing lines."""
    notes = [*found.notes, ""] if found.notes else []
    table, closing = verdicts.table(race, found.outcomes, qualities), verdicts.closing(race, found.outcomes, qualities)
    return [race.question, "", *table, "", *notes, *closing]


def kept(race: Race) -> list[Measured]:
    """What was measured of the contenders that the race has now, by processor, most rounds first."""
    return [each for each in measured.every(race.name) if set(each.outcomes) == set(race.contenders)]


def again(race: Race) -> str:
    """The section of a race that was run before, with the qualities that are known now.

    The processor with most rounds has the tables; of each other one the closing lines stand below.
    """
    first, *others = kept(race)
    qualities = keep(race.name, first.outcomes, whole=False)
    lines = drawn(race, first, qualities)
    for other in others:
        lines += ["", f"Measured as well: {heading(other, other.rounds)}", ""]
        lines += verdicts.closing(race, other.outcomes, qualities)
    return headed(race.name, lines, first, first.rounds)


def run(race: Race) -> None:
    """For `if __name__ == "__main__"`: ends with 1 if a contender failed."""
    sys.exit(0 if main(race)[1] else 1)


def section(name: str, lines: Sequence[str], options: argparse.Namespace) -> str:
    """A section of RESULTS.md about what was run just now."""
    facts = Measured(datetime.date.today().isoformat(), commit(), machine.processor())
    return headed(name, lines, facts, options.rounds, options.smoke)


def headed(name: str, lines: Sequence[str], facts: Measured, rounds: int, smoke: bool = False) -> str:
    """A section: when, on what, from which commit, how many rounds, then the lines."""
    closing = [f"    {line}" if line.startswith(name) else line for line in lines]
    return "\n".join([f"## {name}", "", heading(facts, rounds, smoke), "", *closing])


def heading(facts: Measured, rounds: int, smoke: bool = False) -> str:
    """When, on what, from which commit, how many rounds."""
    times = f"{rounds} round{'s' * (rounds > 1)}" + (", smoke" if smoke else "")
    return f"{facts.date}, {facts.machine}, commit {facts.commit}, {times}."


def commit() -> str:
    """The checkout's commit, with a plus if files were changed since; `unknown` outside a checkout."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude", "*"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def keep(name: str, outcomes: Mapping[str, Sequence[Outcome]], whole: bool) -> dict[str, float]:
    """Remember each contender's quality of a run with `--whole`; give back all that is remembered of this race."""
    everything = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {}
    mine = everything.setdefault(name, {})
    for key in outcomes if whole else ():
        found = verdicts.quality(key, outcomes)
        if found is not None:
            mine[key] = {"quality": round(found, 6), "date": datetime.date.today().isoformat(), "commit": commit()}
    if whole:
        write_text(KEPT, json.dumps(everything, indent=1, sort_keys=True) + "\n")
    return {key: entry["quality"] for key, entry in mine.items()}
