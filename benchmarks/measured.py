"""What a race measured, kept round by round: a run that is cut keeps what it has, and a section is drawn again later.

A peer's quality may become known only after the race (`--whole`); its section can then say so without a new race.
Each kind of processor has a file of its own: rounds of one are never mixed with those of another.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.race import Outcome
from tfvertical.files import write_text

FOLDER = Path(__file__).parent / "measured"


@dataclass(frozen=True)
class Measured:
    """A race's figures.

    Args:
        date: when, as YYYY-MM-DD; several of rounds that were added on other days.
        commit: what was measured; several of rounds that were added later.
        machine: processor, as `machine.processor` names it.
        outcomes: contender -> one outcome a round.
        notes: lines below the table, which were measured as well.
    """

    date: str
    commit: str
    machine: str
    outcomes: Mapping[str, Sequence[Outcome]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def rounds(self) -> int:
        """How often every contender had its turn."""
        return max((len(each) for each in self.outcomes.values()), default=0)

    def begun(self, before: Measured) -> Measured:
        """These figures, to be added to those of rounds before.

        Raises:
            ValueError: those were measured on another processor, whose name makes the same name of a file.
        """
        if self.machine != before.machine:
            raise ValueError(f"The rounds before were measured on another processor: {before.machine}.")
        joined = {
            name: ", ".join(dict.fromkeys([*getattr(before, name).split(", "), getattr(self, name)]))
            for name in ("date", "commit")
        }
        return replace(self, **joined, outcomes=before.outcomes)

    def write(self, path: Path) -> None:
        """Keep it, in the place of what was measured before."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n")


def path(race: str, machine: str) -> Path:
    """Where a race's figures of one kind of processor are kept."""
    return FOLDER / race / (re.sub(r"[^a-z0-9]+", "-", machine.lower()).strip("-") + ".json")


def read(file: Path) -> Measured:
    """What `write` kept."""
    found = json.loads(file.read_text(encoding="utf-8"))
    outcomes = {key: [Outcome(**each) for each in rounds] for key, rounds in found.pop("outcomes").items()}
    return Measured(**found, outcomes=outcomes)


def every(race: str) -> list[Measured]:
    """What is kept of a race, one a kind of processor: that with most rounds first, of two the later one."""
    found = [read(file) for file in sorted((FOLDER / race).glob("*.json"))]
    return sorted(found, key=lambda each: (each.rounds, each.date.split(", ")[-1]), reverse=True)
