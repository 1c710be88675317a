"""Seconds, and how a run that was stopped early is extended to its whole length. Standard library only."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

WARM = 2  # steps at the beginning of a run that trace and compile


class Clock:
    """Started when made; steps of training are marked as they end.

    Example:
        >>> clock = Clock()
        >>> clock.epoch(); clock.step(); clock.step(); clock.step()
        >>> len(clock.epochs[0])
        4
    """

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.epochs: list[list[float]] = []

    def epoch(self) -> None:
        """An epoch begins."""
        self.epochs.append([time.perf_counter()])

    def step(self) -> None:
        """A step of it has ended."""
        self.epochs[-1].append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """Since the clock was made."""
        return time.perf_counter() - self.began


def epoch_seconds(marks: Sequence[float], first: bool) -> float:
    """What one more epoch would cost, from the marks of one: its begin, then the end of each step.

    Args:
        marks: seconds, rising.
        first: whether it was the first of its run; then the first steps, which compile, are taken out and the others
            stand for them.

    Example:
        >>> epoch_seconds([0.0, 10.0, 11.0, 12.0, 13.0], first=True)
        4.0
        >>> epoch_seconds([0.0, 1.0, 2.0], first=False)
        2.0
    """
    steps = len(marks) - 1
    if not first or steps <= WARM:
        return marks[-1] - marks[0]
    return (marks[-1] - marks[WARM]) * steps / (steps - WARM)


def rest_seconds(epochs: Sequence[Sequence[float]], planned: int) -> float:
    """Seconds of the planned epochs that were not run, each as long as the last one that was."""
    if not epochs or planned <= len(epochs):
        return 0.0
    return (planned - len(epochs)) * epoch_seconds(epochs[-1], first=len(epochs) == 1)


def figures(seconds: float, quality: float, part: str = "", **rows: float) -> dict[str, Any]:
    """What a contender returns.

    Args:
        seconds: of the whole run, extended if `part` says so.
        quality: on the test data; of a run that was stopped early it says nothing and is left out.
        part: how much was really run, if not all.
        rows: further measures by name.
    """
    return {"seconds": seconds, "quality": None if part else quality, "extended": part, "rows": rows}


def planned(work: dict[str, Any], epochs: int, shortened: int) -> int:
    """How many epochs a long contender really runs: `shortened`, or all where the whole run is asked for."""
    return epochs if work["whole"] else min(shortened, epochs)


def part_of(ran: int, epochs: int) -> str:
    """`2 of 10 epochs`, or nothing if all were run."""
    return "" if ran >= epochs else f"{ran} of {epochs} epochs"
