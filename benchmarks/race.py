"""Who is faster, at which quality? Contenders take turns, each in its own process, round by round.

A contender is a function of a module in `contenders/`, called in a fresh interpreter with two threads: ours and Keras
in this environment, the other peers in `.venv-peers` (`make bench-peers`). A ratio is taken within a round, so that a
machine that slows down slows both; the median over rounds is reported with its range. Each round has its own seed, and
quality is the mean over them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks import processes


@dataclass(frozen=True)
class Contender:
    """One tool doing the work.

    Args:
        name: what the table calls it.
        call: `module:function` under `contenders/`.
        peer: whether it runs in the peers' environment.
        expert: whether who wrote it knows that this TensorFlow has oneDNN, and turns it on. tfvertical does so itself,
            the others run with TensorFlow's default.
        asks: `amx` or `avx512` … the processor flags of which it needs one; none for any processor.
    """

    name: str
    call: str
    peer: bool = False
    expert: bool = False
    asks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """What has to be reached: `peer`'s measure divided by `hero`'s, at no lower quality than the tolerance says.

    Args:
        peer: key of a contender.
        target: least median ratio; None for a comparison that nothing is asked of.
        tolerance: how much lower the hero's quality may be.
        measure: `seconds`, or a name among a contender's `rows`.
        hero: key of the contender that is to be faster.
        quality_of: key of the contender whose quality stands for the peer's, where both train the same.
    """

    peer: str
    target: float | None
    tolerance: float = 0.002
    measure: str = "seconds"
    hero: str = "ours"
    quality_of: str = ""


@dataclass(frozen=True)
class Race:
    """One question.

    Args:
        name: of the file.
        question: in a sentence.
        contenders: by key, in the order of a round.
        rows: the targets.
        work: `smoke -> dictionary`, what every contender gets.
        notes: lines below the table, from the outcomes.
    """

    name: str
    question: str
    contenders: Mapping[str, Contender]
    rows: Sequence[Row]
    work: Callable[[bool], dict[str, Any]]
    notes: Callable[[Mapping[str, list[Outcome]]], list[str]] = lambda outcomes: []


@dataclass(frozen=True)
class Outcome:
    """What a contender printed last; `missing` says why there is nothing."""

    measures: Mapping[str, float] = field(default_factory=dict)
    quality: float | None = None
    extended: str = ""
    peak_bytes: int = 0
    missing: str = ""

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Outcome:
        """From what a contender printed."""
        measures = {"seconds": found["seconds"], **found.get("rows", {})}
        return cls(measures, found["quality"], found.get("extended", ""), found.get("peak_bytes", 0))


def compete(
    race: Race,
    options: argparse.Namespace,
    after: Callable[[dict[str, list[Outcome]]], object] = lambda outcomes: None,
    before: Mapping[str, Sequence[Outcome]] | None = None,
) -> dict[str, list[Outcome]]:
    """Run all rounds: contender -> one outcome a round. The first contender goes first in every round.

    Args:
        race: the question.
        options: of the command line.
        after: gets what is known after each round.
        before: rounds that were run earlier, which count too.

    Raises:
        ValueError: those were of other contenders.
    """
    if before and set(before) != set(race.contenders):
        raise ValueError(f"The rounds before were of other contenders: {', '.join(before)}.")
    outcomes = {key: list((before or {}).get(key, ())) for key in race.contenders}
    run = max(map(len, outcomes.values()))
    work = race.work(options.smoke) | {"whole": options.whole}
    for at in range(run, run + options.rounds):
        for key, contender in race.contenders.items():
            outcome = _run(key, contender, work | {"seed": at}, options)
            outcomes[key].append(outcome)
            said = outcome.missing or f"{outcome.measures['seconds']:.1f} s, quality {outcome.quality}"
            print(f"  round {at + 1}, {contender.name}: {said}", file=sys.stderr, flush=True)
        after(outcomes)
    return outcomes


def _run(key: str, contender: Contender, work: Mapping[str, Any], options: argparse.Namespace) -> Outcome:
    if options.only and key not in options.only:
        return Outcome(missing="not asked for")
    missing = processes.missing(contender.peer, contender.asks)
    if missing:
        return Outcome(missing=missing)
    try:
        return Outcome.read(processes.run(contender.call, work, contender.peer, contender.expert))
    except processes.Failed as error:
        return Outcome(missing=f"failed: {error}")


def options(arguments: Sequence[str] | None = None, doc: str | None = None) -> argparse.Namespace:
    """The command line that every race has."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--smoke", action="store_true", help="a tiny part of the work; the figures mean nothing")
    parser.add_argument("--only", nargs="+", default=[], metavar="CONTENDER", help="keys of contenders")
    parser.add_argument("--whole", action="store_true", help="run long peers to their end and keep their quality")
    return parser.parse_args(arguments)
