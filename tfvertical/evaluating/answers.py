"""Scores of answers to questions, of which some have none: those of the SQuAD v2 script, on the same rules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfvertical.codecs import answers as codec
from tfvertical.evaluating.metrics import Array


def per_question(found: Sequence[str], right: Sequence[Sequence[str]]) -> dict[str, Array]:
    """`exact` and `f1` of each answer against the best of the right ones, float64 `(questions,)`, 0…1.

    Args:
        found: answers; `""` says that there is none.
        right: of each question, the answers that are right; none where the context holds none.

    Example:
        >>> per_question(["the bank", ""], [["bank", "a bank"], []])["exact"].tolist()
        [1.0, 1.0]
    """
    measures = {"exact": codec.exact, "f1": codec.f1}
    sides = [[each for each in answers if codec.normalized(each)] or [""] for answers in right]
    return {
        name: np.array([max(measure(one, each) for each in side) for one, side in zip(found, sides, strict=True)])
        for name, measure in measures.items()
    }


def answered(scores: Array, right: Sequence[Sequence[str]], no_answer: Array, threshold: float) -> Array:
    """Scores once questions whose `no_answer` is above the threshold are left unanswered: right where there is none.

    Args:
        scores: float `(questions,)`, of `per_question`.
        right: as there.
        no_answer: float `(questions,)`: how sure the model is that there is none.
        threshold: above which it does not answer.
    """
    none = np.array([not each for each in right], np.float64)
    return np.where(np.asarray(no_answer) > threshold, none, scores)


def summary(scores: dict[str, Array], right: Sequence[Sequence[str]]) -> dict[str, float]:
    """Means in percent over all questions, over those that have an answer (`has_answer_…`) and those that have none.

    Args:
        scores: `exact` and `f1`, of `per_question` or `answered`.
        right: as there.
    """
    has = np.array([bool(each) for each in right])
    found: dict[str, float] = {}
    for prefix, rows in (("", np.ones(len(has), bool)), ("has_answer_", has), ("no_answer_", ~has)):
        if rows.any():
            found |= {f"{prefix}{name}": 100.0 * float(values[rows].mean()) for name, values in scores.items()}
            found[f"{prefix}total"] = float(rows.sum())
    return found


def best_threshold(
    scores: Array, found: Sequence[str], right: Sequence[Sequence[str]], no_answer: Array
) -> tuple[float, float]:
    """The best mean in percent that any threshold gives, and the first one, from below, that gives it.

    A threshold below all leaves every question unanswered; each one that is answered adds its score where there is an
    answer, and takes away what was right where there is none.

    Args:
        scores: float `(questions,)`, `exact` or `f1` of `per_question`.
        found, right, no_answer: as there.
    """
    has = np.array([bool(each) for each in right])
    gain = np.where(has, scores, np.where([bool(each) for each in found], -1.0, 0.0))
    order = np.argsort(no_answer, kind="stable")
    reached = float((~has).sum()) + np.concatenate([[0.0], np.cumsum(gain[order])])
    at = int(np.argmax(reached))
    threshold = 0.0 if at == 0 else float(np.asarray(no_answer)[order[at - 1]])
    return 100.0 * float(reached[at]) / len(scores), threshold
