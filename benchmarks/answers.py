"""Ten thousand answers to questions: are the scores those of SQuAD v2's rules, and how long do they take?"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import race, show
from benchmarks.contenders import squad_rules as rules
from tfvertical.evaluating import answers

QUESTION = "Ten thousand answers of all kinds, other ones in each round: exact match, F1 and the best threshold."
CLOSE = 1e-9  # sums of ten thousand numbers, in two orders


def main(arguments: Sequence[str] | None = None) -> tuple[str, bool]:
    """The table and the closing line; the section of RESULTS.md, and whether both say the same of every question."""
    options = race.options(arguments, QUESTION)
    count = 500 if options.smoke else 10_000
    seconds, numbers, same = [], 0, 0
    for seed in range(options.rounds):
        found, right, no_answer = rules.drawn(count, seed)
        # no two alike: of questions that are as sure, the rules leave open which is answered first
        sure = np.array(no_answer) + np.linspace(0, 1e-6, count)
        ours, mine = _timed(_ours, found, right, sure)
        theirs, told = _timed(_rules, found, right, sure)
        seconds.append((ours, theirs))
        for name in mine:
            equal = np.abs(np.subtract(mine[name], told[name])) <= CLOSE
            numbers, same = numbers + equal.size, same + int(equal.sum())
    lines = [
        QUESTION,
        "",
        "| | seconds, median |",
        "|---|---|",
        f"| tfvertical | {statistics.median(ours for ours, _ in seconds):.3f} |",
        f"| the rules, written a second time and one question after another | "
        f"{statistics.median(theirs for _, theirs in seconds):.3f} |",
        "",
        f"answers: ratio={same / numbers:.2f}  range=–  quality={same}/{numbers}  target=1.00",
    ]
    print("\n".join(lines), flush=True)
    return show.section("answers", lines, options), same == numbers


def _timed(work: Callable[..., dict[str, Any]], *given: Any) -> tuple[float, dict[str, Any]]:
    began = time.perf_counter()
    found = work(*given)
    return time.perf_counter() - began, found


def _ours(found: Sequence[str], right: Sequence[Sequence[str]], sure: np.ndarray) -> dict[str, Any]:
    each = answers.per_question(found, right)
    mean, threshold = answers.best_threshold(each["f1"], found, right, sure)
    return {name: values.tolist() for name, values in each.items()} | {"best": (mean * len(found) / 100, threshold)}


def _rules(found: Sequence[str], right: Sequence[Sequence[str]], sure: np.ndarray) -> dict[str, Any]:
    exact, f1 = rules.scores(found, right)
    return {"exact": exact, "f1": f1, "best": rules.best(f1, found, right, sure.tolist())}


if __name__ == "__main__":
    sys.exit(0 if main()[1] else 1)
