"""A task that finds entities, and marked texts, to a `Report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tfvertical.codecs.alignment import Sentence
from tfvertical.codecs.tagging import Span
from tfvertical.contracts import Examples, Task
from tfvertical.errors import ConfigError, DataError, nearest
from tfvertical.evaluating import accounts, bootstrap, entities
from tfvertical.evaluating.entities import Runs
from tfvertical.evaluating.metrics import Array, ratio
from tfvertical.report import Report

COUNTED = ("f1", "precision", "recall", "macro_f1")  # that a bootstrap over texts gives intervals of


@dataclass(frozen=True)
class Found:
    """Entities of all texts, in characters end to end: what is marked, what was found, and where texts end."""

    true: Runs
    found: Runs
    splits: Array
    scores: Array  # of the found ones
    words: Array  # where those of all texts stand, `(words, 2)`

    def counts(self, types: int) -> Array:
        """`entities.counts`."""
        return entities.counts(self.true, self.found, types, self.splits)


def evaluate(
    task: Task,
    examples: Examples,
    *,
    scores: Array | None = None,
    before: Array | None = None,
    overlap: Sequence[int] = (),
    baselines: Mapping[str, Array] | None = None,
    history: Mapping[str, Sequence[float]] | None = None,
    seed: int = 0,
    resamples: int = 1000,
    examples_shown: int = 20,
    show_examples: bool = True,
) -> Report:
    """Find the entities of `examples`, compare them with those that are marked, and account for the result.

    Args:
        task: a `TokenClassifier`.
        examples: texts, or lists of words, with entities.
        scores: as for `evaluation.evaluate`.
        before, baselines: scores as the task's, float `(words, tags)`.
        overlap, history, seed, resamples, examples_shown, show_examples: as for `evaluation.evaluate`.

    Raises:
        DataError: no rows, no entities given, of a type that the task does not know or that overlap; scores that are
            not finite.
        ConfigError: scores of another shape.
    """
    labels = tuple(task.labels)
    _check(examples, labels)
    encoded = task.encode(replace(examples, labels=None))
    draws = {"resamples": resamples, "seed": seed}
    scores = np.asarray(task.scores(encoded) if scores is None else scores, np.float32)
    found = compared(task, examples, scores)
    counted = found.counts(len(labels))
    per_type = entities.per_type(counted.sum(axis=1), labels)
    for row, (low, high) in zip(per_type, bootstrap.sums(_f1, counted, **draws), strict=True):
        row |= {"f1_low": low, "f1_high": high, "roc_auc": None, "average_precision": None}
    of_words = entities.of_words(found.true, found.found, found.words, len(labels))
    _count(per_type, found, of_words)
    said = entities.errors(found.true, found.found)
    others = {name: _compare(task, examples, counted, other, draws) for name, other in (baselines or {}).items()}
    return Report(
        kind="entities",
        rows=len(examples),
        labels=labels,
        metrics=_numbers(counted)
        | entities.overlaps(found.true, found.found)
        | entities.word_scores(of_words)
        | _word_accuracy(task, examples, scores),
        intervals=intervals(counted, **draws),
        per_class=per_type,
        errors=_listed(examples, found, said, labels, examples_shown, show_examples),
        error_kinds=_kinds(said, found, labels),
        before=None if before is None else _compare(task, examples, counted, before, draws),
        baselines=others,
        without_overlap=_without(counted, overlap, draws),
        data=accounts.data_account(examples, encoded, show=show_examples),
        model=accounts.model_account(task),
        history=accounts.history_account(history),
        notes=_notes(per_type),
        bootstrap=draws,
        examples_shown=show_examples,
    )


def compared(task: Task, examples: Examples, scores: Array, own: bool = True) -> Found:
    """The entities that scores stand for beside those that are marked.

    Args:
        task: whose scores they are.
        examples: with entities.
        scores: float `(words, tags)`.
        own: whether the task gave them as it is now: then what it knows of steps between tags belongs to them.

    Raises:
        ConfigError: scores of another shape.
        DataError: scores that are not finite.
    """
    sentences = [Sentence.of(item) for item in examples.inputs]
    words, tags = sum(len(each.places) for each in sentences), len(task.outputs)
    if scores.shape != (words, tags):
        raise ConfigError(
            "The scores do not fit the words and tags.", expected=f"shape {(words, tags)}", received=f"{scores.shape}"
        )
    if not np.isfinite(scores).all():
        raise DataError("The scores are not finite.")
    lengths = [len(each.text) + 1 for each in sentences]  # one more, so that texts do not touch
    splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    number = {label: at for at, label in enumerate(task.labels)}
    decoded = task.decode(scores, examples.inputs) if own else task.codec.decode(scores, sentences)
    got = [
        (start + each.start, start + each.end, number[each.label], each.score)
        for start, row in zip(splits, decoded, strict=False)
        for each in row
    ]
    marked = [
        (start + span.start, start + span.end, number[span.label])
        for start, item, sentence, row in zip(splits, examples.inputs, sentences, examples.labels or (), strict=False)
        for span in sorted(_in_characters(item, sentence, row))  # hand-made ones stand in any order
    ]
    columns = np.array(got, np.float64).reshape(-1, 4)
    true = np.array(marked, np.int64).reshape(-1, 3)
    where = columns[:, :3].astype(np.int64)
    places = [start + each.places for start, each in zip(splits, sentences, strict=False)]
    return Found(
        (true[:, 0], true[:, 1], true[:, 2]),
        (where[:, 0], where[:, 1], where[:, 2]),
        splits,
        columns[:, 3],
        np.concatenate([np.zeros((0, 2), np.int64), *places]),
    )


def f1(task: Task, examples: Examples, scores: Array) -> float:
    """Strict F1 alone."""
    counted = compared(task, examples, np.asarray(scores, np.float32)).counts(len(task.labels))
    return _numbers(counted)["f1"]


def intervals(counted: Array, *, resamples: int = 1000, seed: int = 0) -> dict[str, tuple[float, float]]:
    """The 95 % interval of each metric of `COUNTED`, drawing texts with replacement.

    Args:
        counted: `(3, texts, types)`.
    """
    drawn = bootstrap.resampled_sums(counted, resamples, seed)
    values = entities.scores(drawn)
    return {name: bootstrap.interval(values[name]) for name in COUNTED}


def _compare(task: Task, examples: Examples, counted: Array, other: Array, draws: Mapping[str, int]) -> dict[str, Any]:
    """The numbers of other scores, and what ours have over them on the same texts."""
    theirs = compared(task, examples, np.asarray(other, np.float32), own=False).counts(len(task.labels))
    both = np.concatenate([counted, theirs])
    drawn = bootstrap.resampled_sums(both, draws["resamples"], draws["seed"])
    ours, others = entities.scores(drawn[:3]), entities.scores(drawn[3:])
    now, then = _numbers(counted), _numbers(theirs)
    differences = {}
    for name in COUNTED:
        low, high = bootstrap.interval(ours[name] - others[name])
        differences[name] = {"value": now[name] - then[name], "low": low, "high": high}
    return {"metrics": then, "differences": differences}


def _numbers(counted: Array) -> dict[str, float]:
    return {name: float(value) for name, value in entities.scores(counted.sum(axis=1)).items()}


def _f1(drawn: Array) -> Array:
    """F1 by type of sums `(3, resamples, types)`."""
    return ratio(2 * drawn[0], drawn[1] + drawn[2])


def _count(per_type: Sequence[dict[str, Any]], found: Found, of_words: Array) -> None:
    """Add to each type how many entities touch one of the same type, and how many words are right, found and marked."""
    covering, covered = entities.touched(found.found, found.true), entities.touched(found.true, found.found)
    for at, row in enumerate(per_type):
        row["overlap_right"] = int(covering[found.found[2] == at].sum())
        row["overlap_covered"] = int(covered[found.true[2] == at].sum())
        row |= dict(zip(("token_right", "token_found", "token_marked"), of_words[:, at].tolist(), strict=True))


def _word_accuracy(task: Any, examples: Examples, scores: Array) -> dict[str, float]:
    """The share of words whose most probable tag is right."""
    right = task.probabilities(scores, examples.inputs).argmax(axis=1) == task.truth(examples)
    return {"word_accuracy": float(right.mean()) if len(right) else 0.0}


def _in_characters(item: Any, sentence: Sentence, spans: Sequence[Span]) -> list[Span]:
    if isinstance(item, str):
        return list(spans)
    places = sentence.places
    return [Span(int(places[span.start, 0]), int(places[span.end - 1, 1]), span.label) for span in spans]


def _check(examples: Examples, labels: tuple[str, ...]) -> None:
    if not len(examples):
        raise DataError(f"{examples.report.name}: there is no row to evaluate.", fix="name a file with marked texts")
    if examples.labels is None:
        raise DataError(f"{examples.report.name}: no entities are given.", fix="name the column in which they stand")
    for row, spans in zip(examples.ids, examples.labels, strict=True):
        for span in spans:
            if span.label not in labels:
                raise DataError(
                    f"{row}: the model knows no entities of type {span.label!r}.",
                    expected="one of " + ", ".join(map(repr, labels[:10])) + (", …" if len(labels) > 10 else ""),
                    nearest=nearest(span.label, labels),
                )


def _kinds(said: Sequence[tuple[str, int, int]], found: Found, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    """A row per kind of error: how many, of which types, and the marked and found entities that it tells of first.

    In all kinds, the marked ones are those that were not found as they are; the found ones, those not marked so.
    """
    rows: list[dict[str, Any]] = []
    told: set[int] = set()
    for kind in entities.KINDS:
        here = [(true, got) for each, true, got in said if each == kind]
        of = [labels[int(found.true[2][true] if true >= 0 else found.found[2][got])] for true, got in here]
        counts = {label: of.count(label) for label in labels if label in of}
        new = {got for _, got in here if got >= 0} - told
        told |= new
        marked = sum(true >= 0 for true, _ in here)
        rows.append({"kind": kind, "count": len(of), "marked": marked, "found": len(new), "types": counts})
    return rows


def _listed(
    examples: Examples,
    found: Found,
    said: Sequence[tuple[str, int, int]],
    labels: tuple[str, ...],
    most: int,
    show: bool,
) -> list[dict[str, Any]]:
    """Errors, the surest first: what was found with a high score, then what was missed."""
    ordered = sorted(said, key=lambda each: -(found.scores[each[2]] if each[2] >= 0 else 0.0))
    rows = []
    for kind, true, got in ordered[:most]:
        start, end = _place(found.true, true) if true >= 0 else _place(found.found, got)
        row = int(np.searchsorted(found.splits, start, side="right")) - 1
        entry = {
            "id": accounts.shown_id(examples, row, show=show),
            "kind": kind,
            "true": labels[found.true[2][true]] if true >= 0 else "–",
            "predicted": labels[found.found[2][got]] if got >= 0 else "–",
            "score": float(found.scores[got]) if got >= 0 else 0.0,
        }
        if show:
            text, first = Sentence.of(examples.inputs[row]).text, int(found.splits[row])
            if got >= 0 and true >= 0:
                start, end = min(start, found.found[0][got]), max(end, found.found[1][got])
            entry["text"] = accounts.around(text, int(start) - first, int(end) - first)
        rows.append(entry)
    return rows


def _place(runs: Runs, number: int) -> tuple[int, int]:
    return int(runs[0][number]), int(runs[1][number])


def _without(counted: Array, overlap: Sequence[int], draws: Mapping[str, int]) -> dict[str, Any] | None:
    rows, keep = accounts.apart(overlap, counted.shape[1])
    if not rows:
        return None
    if not len(keep):
        return {"overlap": len(rows), "rows": 0, "metrics": {}, "intervals": {}}
    return {
        "overlap": len(rows),
        "rows": len(keep),
        "metrics": _numbers(counted[:, keep]),
        "intervals": intervals(counted[:, keep], **draws),
    }


def _notes(per_type: Sequence[Mapping[str, Any]]) -> list[str]:
    absent = [row["label"] for row in per_type if not row["support"]]
    if not absent:
        return []
    named = ", ".join(absent[:10]) + (", …" if len(absent) > 10 else "")
    return [f"{len(absent)} of {len(per_type)} types are marked nowhere here ({named}): their recall is not known."]
