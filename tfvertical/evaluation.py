"""A task and labelled rows to a `Report`; a task is asked for nothing but its labels and its scores."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from tfvertical.contracts import Encoded, Examples, Task
from tfvertical.errors import ConfigError, DataError, nearest
from tfvertical.evaluating import bootstrap, metrics, per_label
from tfvertical.evaluating.accounts import apart, data_account, history_account, model_account, worst_errors
from tfvertical.evaluating.metrics import Array
from tfvertical.report import Report

_REPORTS = {  # by a task's target
    "labels": "label_set_report",
    "entities": "entity_report",
    "numbers": "number_report",
    "answers": "answer_report",
}


class Scorer(Protocol):
    """The part of `contracts.Task` that is evaluated."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    def scores(self, examples: Examples) -> np.ndarray: ...


def evaluate(
    task: Task | Scorer,
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
    """Score `examples` and account for the result.

    Args:
        task: has `labels` and `scores(examples)`, float `(rows, labels)`; or has a report of its own, see
            `label_set_report`, `entity_report`, `number_report`,
            `answer_report`.
        examples: rows with label names.
        scores: the task's own of these rows, where they are known already.
        before: scores of the same rows before adaptation, `(rows, labels)`.
        overlap: positions of rows that were in the training data too; everything is also scored without them.
        baselines: name -> scores of the same rows by something simpler, `(rows, labels)`.
        history: name -> one number per epoch (`loss`, `val_loss`, …), drawn in the page.
        seed: of the bootstrap.
        resamples: how often the bootstrap draws the rows anew.
        examples_shown: how many of the worst errors are listed.
        show_examples: False keeps every text, picture and file name of one out of the report.

    Raises:
        DataError: no rows, no labels, an unknown label, or scores that are not finite.
        ConfigError: scores of another shape, or an overlap that is not a row.

    Example:
        >>> class Coin:
        ...     labels = ("heads", "tails")
        ...     def scores(self, examples): return np.tile(np.float32([0.6, 0.4]), (len(examples), 1))
        >>> evaluate(Coin(), Examples(["a", "b"], ["heads", "tails"], ["1", "2"])).metrics["accuracy"]
        0.5
    """
    if isinstance(task, Task) and task.target != "label":
        own = importlib.import_module(f"tfvertical.evaluating.{_REPORTS[task.target]}")
        report: Report = own.evaluate(
            task,
            examples,
            scores=scores,
            before=before,
            overlap=overlap,
            baselines=baselines,
            history=history,
            seed=seed,
            resamples=resamples,
            examples_shown=examples_shown,
            show_examples=show_examples,
        )
        return report
    labels = tuple(task.labels)
    y_true = _label_ids(examples, labels)
    encoded = task.encode(examples) if isinstance(task, Task) else None
    scores = _scores(task, examples, encoded) if scores is None else scores
    scores = _checked("the task", scores, y_true, labels)
    others = {name: _checked(f"baseline {name!r}", other, y_true, labels) for name, other in (baselines or {}).items()}
    draws = {"resamples": resamples, "seed": seed}
    per_class = per_label.table(y_true, scores, labels, draws)
    return Report(
        rows=len(y_true),
        labels=labels,
        metrics=metrics.summary(y_true, scores) | per_label.mean_areas(per_class),
        intervals=bootstrap.intervals(y_true, scores, **draws),
        per_class=per_class,
        confusion=metrics.confusion_matrix(y_true, metrics.predictions(scores), len(labels)).tolist(),
        reliability=metrics.reliability(y_true, scores),
        curves=per_label.curves(np.eye(len(labels), dtype=bool)[y_true], scores, per_class),
        before=None
        if before is None
        else compare(y_true, scores, _checked("`before`", before, y_true, labels), **draws),
        baselines={name: compare(y_true, scores, other, **draws) for name, other in others.items()},
        without_overlap=_without(y_true, scores, overlap, draws),
        errors=worst_errors(examples, y_true, scores, labels, examples_shown, show=show_examples),
        data=data_account(examples, encoded, show=show_examples),
        model=model_account(task),
        history=history_account(history),
        notes=per_label.notes(per_class),
        bootstrap=draws,
        examples_shown=show_examples,
    )


def compare(y_true: Array, scores: Array, other: Array, *, resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """The numbers of `other`, and what `scores` have over it on the same rows.

    Args:
        y_true: int `(rows,)`.
        scores: float `(rows, labels)`, ours.
        other: float `(rows, labels)`, what ours are compared with.

    Returns:
        `metrics`: name -> number of `other`; `differences`: name -> `value` (ours minus other's), `low`, `high`: the
        paired bootstrap's 95 % interval.
    """
    found = bootstrap.differences(y_true, scores, other, resamples=resamples, seed=seed)
    return {
        "metrics": metrics.summary(y_true, other),
        "differences": {n: {"value": value, "low": low, "high": high} for n, (value, low, high) in found.items()},
    }


def _label_ids(examples: Examples, labels: tuple[str, ...]) -> Array:
    if not len(examples):
        raise DataError(f"{examples.report.name}: there is no row to evaluate.", fix="name a file with labelled rows")
    if examples.labels is None:
        raise DataError(f"{examples.report.name}: the rows have no labels.", fix="name the column of the labels")
    known = {label: i for i, label in enumerate(labels)}
    for row, label in zip(examples.ids, examples.labels, strict=True):
        if label not in known:
            raise DataError(
                f"{row}: the model knows no label {label!r}.",
                expected="one of " + ", ".join(map(repr, labels[:10])) + (", …" if len(labels) > 10 else ""),
                nearest=nearest(str(label), labels),
            )
    return np.array([known[label] for label in examples.labels], np.int64)


def _scores(task: Task | Scorer, examples: Examples, encoded: Encoded | None) -> Array:
    """Rows are encoded once, where the task encodes."""
    if isinstance(task, Task) and encoded is not None:
        return task.scores(encoded)
    return task.scores(examples)


def _checked(whose: str, scores: Array, y_true: Array, labels: tuple[str, ...]) -> Array:
    scores = np.asarray(scores)
    if scores.shape != (len(y_true), len(labels)):
        raise ConfigError(
            f"The scores of {whose} do not fit the rows and labels.",
            expected=f"shape {(len(y_true), len(labels))}",
            received=f"shape {scores.shape}",
        )
    bad = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(bad):
        raise DataError(f"The scores of {whose} are not finite in {len(bad)} rows, the first being row {bad[0]}.")
    return scores.astype(np.float32)


def _without(y_true: Array, scores: Array, overlap: Sequence[int], draws: Mapping[str, int]) -> dict[str, Any] | None:
    """The score on the rows that were not in the training data, or None where all are such."""
    rows, keep = apart(overlap, len(y_true))
    if not rows:
        return None
    if not len(keep):
        return {"overlap": len(rows), "rows": 0, "metrics": {}, "intervals": {}}
    return {
        "overlap": len(rows),
        "rows": len(keep),
        "metrics": metrics.summary(y_true[keep], scores[keep]),
        "intervals": bootstrap.intervals(y_true[keep], scores[keep], **draws),
    }
