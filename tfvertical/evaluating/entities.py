"""Numbers of found entities against marked ones: strict as seqeval counts, and what kind of error each one is.

Entities are given as `runs` returns them: start, end (in words, sentences end to end) and type, int64, sorted by start
and free of overlaps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfvertical.evaluating.metrics import Array, ratio

Runs = tuple[Array, Array, Array]
KINDS = ("missed", "spurious", "wrong_type", "wrong_border", "wrong_type_and_border", "extra")


def matched(true: Runs, found: Runs) -> tuple[Array, Array]:
    """Which of the marked entities were found, and which of the found ones are marked: bool, same borders and type."""
    at = _same_start(true, found)
    hit = at >= 0
    hit[hit] = (found[1][at[hit]] == true[1][hit]) & (found[2][at[hit]] == true[2][hit])
    right = np.zeros(len(found[0]), bool)
    right[at[hit]] = True
    return hit, right


def counts(true: Runs, found: Runs, types: int, splits: Array) -> Array:
    """Per sentence and type how many were right, found and marked: float64 `(3, sentences, types)`.

    Args:
        true: marked entities.
        found: those of the model.
        types: how many types there are.
        splits: int64 `(sentences + 1,)`, the words at which sentences begin and end.
    """
    hit, _ = matched(true, found)
    sentences = len(splits) - 1

    def per_sentence(runs: Runs, chosen: Array | slice = slice(None)) -> Array:
        sentence = np.searchsorted(splits, runs[0][chosen], side="right") - 1
        cells = np.bincount(sentence * types + runs[2][chosen], minlength=sentences * types)
        return cells.reshape(sentences, types).astype(np.float64)

    return np.stack([per_sentence(true, hit), per_sentence(found), per_sentence(true)])


def scores(counted: Array) -> dict[str, Array]:
    """Precision, recall and F1 over all types together, and F1's mean over types that occur.

    Args:
        counted: `(3, …, types)` right, found, marked.

    Returns:
        `precision`, `recall`, `f1`, `macro_f1`, float64 `(…)`; 0 where the denominator is.
    """
    right, found, marked = counted.sum(axis=-1)
    of_type = ratio(2 * counted[0], counted[1] + counted[2])
    occurs = (counted[1] + counted[2]) > 0
    return {
        "f1": ratio(2 * right, found + marked),
        "precision": ratio(right, found),
        "recall": ratio(right, marked),
        "macro_f1": ratio((of_type * occurs).sum(axis=-1), occurs.sum(axis=-1)),
    }


def errors(true: Runs, found: Runs) -> list[tuple[str, int, int]]:
    """Every error: its kind, the number of the marked entity, the number of the found one (-1 where there is none).

    A marked entity that was not found as it is counts once, by the best that stands in its place: the same borders
    (`wrong_type`), else its type (`wrong_border`), else anything (`wrong_type_and_border`), else nothing (`missed`). A
    found entity in whose place nothing is marked is `spurious`, and one in whose place stands what was told of already,
    by another found one, is `extra`. So each marked entity that was not found as it is, and each found one that is not
    marked as it is, is told of; a found one may stand in the place of several.
    """
    hit, right = matched(true, found)
    said: list[tuple[str, int, int]] = []
    for number in np.flatnonzero(~hit):
        first, last = _overlapping(found, true[0][number], true[1][number])
        beside = range(first, last)
        same_borders = [at for at in beside if found[0][at] == true[0][number] and found[1][at] == true[1][number]]
        same_type = [at for at in beside if found[2][at] == true[2][number]]
        if same_borders:
            said.append(("wrong_type", int(number), same_borders[0]))
        elif same_type:
            said.append(("wrong_border", int(number), same_type[0]))
        elif beside:
            said.append(("wrong_type_and_border", int(number), first))
        else:
            said.append(("missed", int(number), -1))
    told = {got for _, _, got in said}
    for number in np.flatnonzero(~right):
        first, last = _overlapping(true, found[0][number], found[1][number])
        if first == last:
            said.append(("spurious", -1, int(number)))
        elif number not in told:
            said.append(("extra", -1, int(number)))
    return said


def overlaps(true: Runs, found: Runs) -> dict[str, float]:
    """Precision, recall and F1 where it is enough that an entity of the same type covers a word of the other."""
    covered = touched(true, found).mean() if len(true[0]) else 0.0
    covering = touched(found, true).mean() if len(found[0]) else 0.0
    return _three("overlap", float(covering), float(covered))


def touched(runs: Runs, others: Runs) -> Array:
    """Which entities are covered, in a word at least, by one of the same type among the others: bool."""
    return np.array(
        [_touched(one, runs[2][i], others) for i, one in enumerate(zip(runs[0], runs[1], strict=True))], bool
    )


def of_words(true: Runs, found: Runs, words: Array, types: int) -> Array:
    """Per type how many words of entities were right, found and marked, their borders aside: int64 `(3, types)`.

    Args:
        true: marked entities.
        found: those of the model.
        words: int64 `(words, 2)`, where words begin and end, in the units of the entities.
        types: how many types there are.

    Example:
        >>> one, other = ((np.array([0]), np.array([2]), np.array([0])), (np.array([1]), np.array([3]), np.array([0])))
        >>> of_words(one, other, np.array([[0, 1], [1, 2], [2, 3]]), 1).tolist()
        [[1], [2], [2]]
    """
    marked, got = _types_of(true, words), _types_of(found, words)
    chosen = (marked[(marked == got)], got, marked)
    return np.stack([np.bincount(each[each >= 0], minlength=types) for each in chosen])


def word_scores(counted: Array) -> dict[str, float]:
    """Precision, recall and F1 of `of_words`, all types together."""
    right, found, marked = counted.sum(axis=1)
    return _three("token", float(ratio(right, found)), float(ratio(right, marked)))


def per_type(counted: Array, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """A row per type: label, precision, recall, f1, support, found, right.

    Args:
        counted: `(3, types)` right, found, marked.
        names: of the types.
    """
    right, found, marked = counted
    precision, recall, f1 = ratio(right, found), ratio(right, marked), ratio(2 * right, found + marked)
    return [
        {
            "label": name,
            "precision": float(precision[at]),
            "recall": float(recall[at]),
            "f1": float(f1[at]),
            "support": int(marked[at]),
            "found": int(found[at]),
            "right": int(right[at]),
        }
        for at, name in enumerate(names)
    ]


def _three(name: str, precision: float, recall: float) -> dict[str, float]:
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {f"{name}_f1": f1, f"{name}_precision": precision, f"{name}_recall": recall}


def _types_of(runs: Runs, words: Array) -> Array:
    """The type of the entity that touches each word, or -1: int64 `(words,)`."""
    if not len(runs[0]):
        return np.full(len(words), -1, np.int64)
    at = np.searchsorted(runs[1], words[:, 0], side="right")  # the first that ends behind the word's beginning
    here = np.minimum(at, len(runs[0]) - 1)
    return np.where((at < len(runs[0])) & (runs[0][here] < words[:, 1]), runs[2][here], -1)


def _same_start(true: Runs, found: Runs) -> Array:
    """For each marked entity the number of the found one that begins with the same word, or -1."""
    at = np.searchsorted(found[0], true[0])
    at[at == len(found[0])] = 0
    if not len(found[0]):
        return np.full(len(true[0]), -1)
    return np.where(found[0][at] == true[0], at, -1)


def _overlapping(runs: Runs, start: int, end: int) -> tuple[int, int]:
    """The numbers of the entities that cover a word of `start…end`, as a range."""
    return int(np.searchsorted(runs[1], start, side="right")), int(np.searchsorted(runs[0], end, side="left"))


def _touched(borders: tuple[int, int], kind: int, others: Runs) -> bool:
    first, last = _overlapping(others, *borders)
    return bool((others[2][first:last] == kind).any())
