"""A million words: how long do decoding and scoring take, against seqeval, and are the numbers the same?"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import race, show
from tfvertical.codecs.entities import EntityCodec, best_tags, runs
from tfvertical.evaluating import entities

QUESTION = "A million words of four types of entities: from probabilities of tags to strict scores by type."
TYPES = ("Disease", "Gene", "Species", "Chemical")
TARGET = 10.0


def main(arguments: Sequence[str] | None = None) -> tuple[str, bool]:
    """The table and the closing line; the section of RESULTS.md, and whether both say the same and it was reached."""
    options = race.options(arguments, QUESTION)
    codec = EntityCodec(TYPES)
    scores, true, splits = drawn(20_000 if options.smoke else 1_000_000, len(codec.tags))
    sides = named(codec, (true, best_tags(scores, splits)), splits)
    rows, same = [], True
    for _ in range(options.rounds):
        ours, mine = _timed(lambda: _ours(scores, true, splits))
        theirs, told = _timed(lambda: _seqeval(sides))
        same = same and all(abs(mine[name] - told[name]) < 1e-9 for name in mine)
        rows.append((ours, theirs))
        print(f"  {ours:.2f} s, seqeval {theirs:.2f} s, F1 {mine['f1']:.6f} / {told['f1']:.6f}", file=sys.stderr)
    ratios = [theirs / ours for ours, theirs in rows]
    low, high, middle = min(ratios), max(ratios), statistics.median(ratios)
    lines = [
        QUESTION,
        "",
        "| | seconds, median | does |",
        "|---|---|---|",
        f"| tfvertical | {statistics.median(ours for ours, _ in rows):.2f} | the best tags that make sense (Viterbi), "
        "then scores |",
        f"| seqeval, strict | {statistics.median(theirs for _, theirs in rows):.2f} | scores, of tags that are "
        "decoded and named already |",
        "",
        f"Numbers on the same tags: {'equal' if same else 'DIFFERENT'} (precision, recall, F1 over all, F1 by type).",
        "",
        f"tags: ratio={middle:.2f}  range={low:.2f}–{high:.2f}  quality={int(same)}/1  target={TARGET:.2f}",
    ]
    print("\n".join(lines), flush=True)
    return show.section("tags", lines, options), same and (options.smoke or middle >= TARGET)


def drawn(words: int, tags: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities `(words, tags)`, true tags that make sense, and where sentences of 5 to 60 words end."""
    random = np.random.default_rng(0)
    lengths = random.integers(5, 61, words // 20)
    splits = np.concatenate([[0], np.cumsum(lengths)])
    splits = np.append(splits[splits < words], words).astype(np.int64)
    usual = np.full(tags, 0.08)
    usual[0] = 1.0  # most words are outside
    true = best_tags(random.dirichlet(usual, words).astype(np.float32), splits)
    scores = 0.6 * random.dirichlet(usual, words).astype(np.float32)
    scores[np.arange(words), true] += 0.4
    return scores, true, splits


def _timed(work: Any) -> tuple[float, dict[str, float]]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def _ours(scores: np.ndarray, true: np.ndarray, splits: np.ndarray) -> dict[str, float]:
    counted = entities.counts(runs(true, splits), runs(best_tags(scores, splits), splits), len(TYPES), splits)
    total = counted.sum(axis=1)
    numbers = {name: float(value) for name, value in entities.scores(total).items() if name != "macro_f1"}
    return numbers | {row["label"]: row["f1"] for row in entities.per_type(total, TYPES)}


def named(codec: EntityCodec, sides: Sequence[np.ndarray], splits: np.ndarray) -> list[list[list[str]]]:
    """Tag ids as seqeval takes them, lists of names; made before its clock starts."""
    names = np.array(codec.tags, dtype=object)
    return [[names[tags[first:last]].tolist() for first, last in itertools.pairwise(splits)] for tags in sides]


def _seqeval(sides: list[list[list[str]]]) -> dict[str, float]:
    from seqeval.metrics import classification_report
    from seqeval.scheme import IOB2

    told = classification_report(*sides, mode="strict", scheme=IOB2, output_dict=True, zero_division=0)
    whole = told["micro avg"]
    numbers = {"precision": whole["precision"], "recall": whole["recall"], "f1": whole["f1-score"]}
    of_type = {kind: told[kind]["f1-score"] for kind in TYPES}
    return {name: float(value) for name, value in (numbers | of_type).items()}


if __name__ == "__main__":
    sys.exit(0 if main()[1] else 1)
