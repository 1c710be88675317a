"""Strict F1 of tagged sentences, in plain Python: the same judge for every contender. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence


def entities(tags: Sequence[str]) -> set[tuple[int, int, str]]:
    """Start, end and type of IOB2's entities; what goes on without a beginning is none, as in seqeval's strict mode.

    Example:
        >>> sorted(entities(["B-A", "I-A", "O", "I-A", "B-A", "I-B"]))
        [(0, 2, 'A'), (4, 5, 'A')]
    """
    found, start, kind = set(), -1, ""
    for at, tag in enumerate([*tags, "O"]):
        if start >= 0 and tag != f"I-{kind}":
            found.add((start, at, kind))
            start = -1
        if tag.startswith("B-"):
            start, kind = at, tag[2:]
    return found


def f1(true: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> float:
    """Twice the entities that are in both, divided by those of either."""
    pairs = [(entities(one), entities(other)) for one, other in zip(true, found, strict=True)]
    right, total = sum(len(a & b) for a, b in pairs), sum(len(a) + len(b) for a, b in pairs)
    return 2 * right / total if total else 0.0
