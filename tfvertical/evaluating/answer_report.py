"""A task that answers questions, and rows with the right answers, to a `Report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfvertical.codecs.alignment import Sentence
from tfvertical.codecs.answers import Answer
from tfvertical.contracts import Examples, Task
from tfvertical.errors import ConfigError, DataError
from tfvertical.evaluating import accounts, answers, bootstrap
from tfvertical.evaluating.metrics import Array
from tfvertical.report import Report

_COUNTED = ("f1", "exact")
_PARTS = ("with an answer", "without one")
_NONE = "–"
_FEWEST = 5  # questions of a kind by which a threshold is chosen


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
    """Answer the questions of `examples`, compare with the right answers, and account for the result.

    Args:
        task: an `ExtractiveQA`.
        examples: questions and contexts, with the answers that are right; none where the context holds none.
        scores: as for `evaluation.evaluate`.
        before, baselines: scores as the task's, float `(words, 2)`.
        overlap, history, seed, resamples, examples_shown, show_examples: as for `evaluation.evaluate`.

    Raises:
        DataError: no rows, no answers given, scores that are not finite.
        ConfigError: scores of another shape.
    """
    if not len(examples):
        raise DataError(f"{examples.report.name}: there is no row to evaluate.", fix="name a file with questions")
    if examples.labels is None:
        raise DataError(f"{examples.report.name}: the rows have no answers.", fix="name the column of the answers")
    encoded = task.encode(examples)
    told = answers_of(task, examples, task.scores(encoded) if scores is None else scores)
    right, each = _right(examples), _per_question(told, examples)
    draws: dict[str, Any] = {"resamples": resamples, "seed": seed}
    others = {
        name: _compare(each, answers_of(task, examples, other), examples, draws)
        for name, other in (baselines or {}).items()
    }
    was = None if before is None else _compare(each, answers_of(task, examples, before), examples, draws)
    return Report(
        kind="answers",
        rows=len(examples),
        labels=tuple(task.labels),
        metrics=_numbers(each, right),
        intervals={name: bootstrap.mean_interval(each[name], **draws) for name in _COUNTED},
        per_class=_table(each, right, draws),
        errors=_worst(examples, told, each["f1"], examples_shown, show_examples),
        before=was,
        baselines=others,
        without_overlap=_without(each, right, overlap, draws),
        data=accounts.data_account(examples, encoded, show=show_examples),
        model=accounts.model_account(task),
        history=accounts.history_account(history),
        bootstrap=draws,
        examples_shown=show_examples,
    )


def answers_of(task: Task, examples: Examples, scores: Array) -> list[Answer]:
    """What scores of words say to each question.

    Raises:
        ConfigError: scores of another shape.
        DataError: scores that are not finite.
    """
    scores = np.asarray(scores, np.float32)
    words = sum(1 + len(Sentence.of(item[1]).places) for item in examples.inputs)
    if scores.shape != (words, 2):
        raise ConfigError(
            "The scores do not fit the words.", expected=f"shape {(words, 2)}", received=f"{scores.shape}"
        )
    if not np.isfinite(scores).all():
        raise DataError("The scores are not finite.")
    return task.decode(scores, examples.inputs)


def f1(task: Task, examples: Examples, scores: Array) -> float:
    """F1 alone, 0…1."""
    return float(_per_question(answers_of(task, examples, scores), examples)["f1"].mean())


def best_threshold(task: Task, examples: Examples, scores: Array) -> float | None:
    """What first and last word must score together for the F1 to be highest; None where each question has an answer.

    Where it is highest for answering all of them, or none, every threshold beyond the last score does as well: then the
    one nearest 0. Questions of which fewer than `_FEWEST` have an answer, or have none, say too little: 0.
    """
    right = _right(examples)
    if all(right):
        return None
    if min(sum(map(bool, right)), sum(not each for each in right)) < _FEWEST:
        return 0.0
    contexts = [Sentence.of(item[1]) for item in examples.inputs]
    splits = np.concatenate([[0], np.cumsum([1 + len(each.places) for each in contexts])]).astype(np.int64)
    best = task.codec.spans(np.asarray(scores, np.float32), splits)
    always = type(task.codec)(task.labels, task.codec.most_words, None)
    told = [always.told(row, context).text for row, context in zip(best, contexts, strict=True)]
    gain = np.where([bool(each) for each in right], answers.per_question(told, right)["f1"], -1.0)
    order = np.argsort(-best[:, 2], kind="stable")
    reached = np.concatenate([[0.0], np.cumsum(gain[order])])  # once so many are answered, the surest first
    sure = best[order, 2]
    last = np.concatenate([[True], np.append(sure[:-1] > sure[1:], True)])  # equal scores are answered together
    at = int(np.where(last, reached, -np.inf).argmax())
    # halfway, and half a point beyond the last score, so that no question stands on the border
    if not at:
        return max(0.0, float(sure[0]) + 0.5)
    if at == len(sure):
        return min(0.0, float(sure[-1]) - 0.5)
    return float(sure[at - 1] + sure[at]) / 2


def _right(examples: Examples) -> list[list[str]]:
    """The right answers' texts."""
    pairs = zip(examples.inputs, examples.labels or (), strict=True)
    return [[item[1][span.start : span.end] for span in label] for item, label in pairs]


def _per_question(told: Sequence[Answer], examples: Examples) -> dict[str, Array]:
    return answers.per_question([each.text for each in told], _right(examples))


def _numbers(each: Mapping[str, Array], right: Sequence[Sequence[str]]) -> dict[str, float]:
    """Means as shares."""
    percent = answers.summary(dict(each), right)
    return {name: value / 100 for name, value in percent.items() if not name.endswith("total")}


def _table(each: Mapping[str, Array], right: Sequence[Sequence[str]], draws: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for questions with an answer, and one for those without."""
    has, rows = np.array([bool(texts) for texts in right]), []
    for name, chosen in zip(_PARTS, (has, ~has), strict=True):
        if chosen.any():
            low, high = bootstrap.mean_interval(each["f1"][chosen], **draws)
            numbers = {key: float(each[key][chosen].mean()) for key in _COUNTED}
            rows.append({"label": name, "support": int(chosen.sum()), "f1_low": low, "f1_high": high, **numbers})
    return rows


def _compare(
    each: Mapping[str, Array], other: Sequence[Answer], examples: Examples, draws: Mapping[str, Any]
) -> dict[str, Any]:
    theirs = _per_question(other, examples)
    differences = {}
    for name in _COUNTED:
        apart = each[name] - theirs[name]
        low, high = bootstrap.mean_interval(apart, **draws)
        differences[name] = {"value": float(apart.mean()), "low": low, "high": high}
    return {"metrics": _numbers(theirs, _right(examples)), "differences": differences}


def _worst(examples: Examples, told: Sequence[Answer], scores: Array, most: int, show: bool) -> list[dict[str, Any]]:
    """The questions that were answered worst, of those equally bad the surest first."""
    wrong = np.flatnonzero(scores < 1)
    order = sorted(wrong.tolist(), key=lambda row: (scores[row], -told[row].score))
    rows = []
    for row in order[:most]:
        question, context = examples.inputs[row]
        span = (examples.labels or ())[row][:1]
        right = context[span[0].start : span[0].end] if span else _NONE
        entry: dict[str, Any] = {"id": accounts.shown_id(examples, row, show=show)}
        # answers are pieces of texts: they are cut as these are, and kept back with them
        entry |= {"true": _cut(right) if show else "…", "predicted": _cut(told[row].text or _NONE) if show else "…"}
        entry |= {"score": told[row].score}
        if show:
            at = (span[0].start, span[0].end) if span else (told[row].start, told[row].end)
            place = accounts.around(context, *at) if at[1] else _cut(context)
            entry["text"] = f"{_cut(question)} ⏐ {place}"
        rows.append(entry)
    return rows


def _cut(text: str) -> str:
    """As much of a text as a report shows."""
    return str(accounts.shown(text)["text"])


def _without(
    each: Mapping[str, Array], right: Sequence[Sequence[str]], overlap: Sequence[int], draws: Mapping[str, Any]
) -> dict[str, Any] | None:
    rows, keep = accounts.apart(overlap, len(right))
    if not rows:
        return None
    if not len(keep):
        return {"overlap": len(rows), "rows": 0, "metrics": {}, "intervals": {}}
    left = {name: values[keep] for name, values in each.items()}
    return {
        "overlap": len(rows),
        "rows": len(keep),
        "metrics": _numbers(left, [right[row] for row in keep]),
        "intervals": {name: bootstrap.mean_interval(left[name], **draws) for name in _COUNTED},
    }
