"""What a race's outcomes say: ratios, the quality gate, a Markdown table and the closing lines."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.race import Outcome, Race, Row

Outcomes = Mapping[str, Sequence[Outcome]]


@dataclass(frozen=True)
class Verdict:
    """One row's figures.

    Args:
        row: what had to be reached.
        ratios: one a round.
        quality: the hero's and the peer's mean, None where unknown.
    """

    row: Row
    ratios: tuple[float, ...]
    quality: tuple[float | None, float | None]

    @property
    def ratio(self) -> float:
        """The median."""
        return statistics.median(self.ratios)

    @property
    def good(self) -> bool | None:
        """Whether the quality gate is passed; None if one side's quality is unknown."""
        ours, theirs = self.quality
        if ours is None or theirs is None:
            return None
        return ours >= theirs - self.row.tolerance - 1e-9

    @property
    def reached(self) -> bool:
        """Fast enough, at a known and sufficient quality."""
        return self.ratio >= (self.row.target or 0.0) and bool(self.good)


def judge(row: Row, outcomes: Outcomes, kept: Mapping[str, float] | None = None) -> Verdict | None:
    """The verdict on a row, or None if one of the two did not run.

    Args:
        row: what has to be reached.
        outcomes: contender -> one outcome a round.
        kept: contender -> quality of a whole run made earlier, for those that were stopped early.
    """
    pairs = [
        (hero, peer)
        for hero, peer in zip(outcomes[row.hero], outcomes[row.peer], strict=True)
        if row.measure in hero.measures and row.measure in peer.measures
    ]
    if not pairs:
        return None
    ratios = tuple(peer.measures[row.measure] / hero.measures[row.measure] for hero, peer in pairs)
    theirs = quality(row.quality_of or row.peer, outcomes, kept)
    return Verdict(row, ratios, (quality(row.hero, outcomes, kept), theirs))


def quality(key: str, outcomes: Outcomes, kept: Mapping[str, float] | None = None) -> float | None:
    """A contender's mean quality: of its whole runs here, or else of the one that is kept."""
    found = [outcome.quality for outcome in outcomes[key] if outcome.quality is not None]
    return statistics.fmean(found) if found else (kept or {}).get(key)


def table(race: Race, outcomes: Outcomes, kept: Mapping[str, float] | None = None) -> list[str]:
    """The Markdown table: who took how long at which quality, then the ratios."""
    lines = [
        "| contender | seconds, median | range | run | test quality, mean | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    for key, contender in race.contenders.items():
        ran = [outcome for outcome in outcomes[key] if outcome.measures]
        if not ran:
            lines.append(f"| {contender.name} | – | – | {outcomes[key][-1].missing} | – | – |")
            continue
        seconds = [outcome.measures["seconds"] for outcome in ran]
        part = f"{ran[-1].extended}, extended" if ran[-1].extended else "whole"
        whole = any(outcome.quality is not None for outcome in ran)
        found = _number(quality(key, outcomes, kept), ".4f") + ("" if whole or not (kept or {}).get(key) else " (kept)")
        peak = max(outcome.peak_bytes for outcome in ran) / 2**20
        low, high = min(seconds), max(seconds)
        middle = statistics.median(seconds)
        lines.append(f"| {contender.name} | {middle:.2f} | {low:.2f}–{high:.2f} | {part} | {found} | {peak:,.0f} MiB |")
    lines += [
        "",
        "| against | measure | ratio, median | range | target | quality | reached |",
        "|---|---|---|---|---|---|---|",
    ]
    return lines + [_against(race, row, judge(row, outcomes, kept)) for row in race.rows]


def _against(race: Race, row: Row, verdict: Verdict | None) -> str:
    name = race.contenders[row.peer].name
    if row.hero != "ours":
        name = f"{race.contenders[row.hero].name}, against {name}"
    if verdict is None:
        return f"| {name} | {row.measure} | – | – | {_number(row.target, 'g')} | – | not run |"
    low, high = min(verdict.ratios), max(verdict.ratios)
    gate = {True: "held", False: "too low", None: "not known: run with --whole"}[verdict.good]
    gate += f" (tolerance {row.tolerance:g})"
    reached = "yes" if verdict.reached else "no" if verdict.good else "no: quality"
    ratio = f"{verdict.ratio:.2f} | {low:.2f}–{high:.2f}"
    if row.target is None:
        return f"| {name} | {row.measure} | {ratio} | – | {gate} | – |"
    return f"| {name} | {row.measure} | {ratio} | {row.target:g} | {gate} | {reached} |"


def closing(race: Race, outcomes: Outcomes, kept: Mapping[str, float] | None = None) -> list[str]:
    """A line a target that was run, and last the row that is worst relative to its target."""
    verdicts = [verdict for row in race.rows if (verdict := judge(row, outcomes, kept)) is not None]
    lines = [_line(f"{race.name}[{_sides(v.row)}, {v.row.measure}]", v) for v in verdicts]
    asked = [(each.row.target, each) for each in verdicts if each.row.target is not None]
    if not asked:
        return [f"{race.name}: no row was run"]
    _, worst = min(asked, key=lambda each: (each[1].good is not False, each[1].ratio / each[0]))
    return [*lines, _line(race.name, worst)]


def _sides(row: Row) -> str:
    return row.peer if row.hero == "ours" else f"{row.hero} against {row.peer}"


def _line(name: str, verdict: Verdict) -> str:
    ours, theirs = (_number(value, ".4f") for value in verdict.quality)
    low, high = min(verdict.ratios), max(verdict.ratios)
    ratio = f"ratio={verdict.ratio:.2f}  range={low:.2f}–{high:.2f}"
    return f"{name}: {ratio}  quality={ours}/{theirs}  target={_number(verdict.row.target, '.2f')}"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
