"""A multi-label task and labelled rows to a `Report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfvertical.contracts import Examples, Task
from tfvertical.errors import ConfigError, DataError
from tfvertical.evaluating import accounts, bootstrap, label_sets, metrics, per_label
from tfvertical.evaluating.metrics import Array
from tfvertical.report import Report

COUNTED = ("micro_f1", "macro_f1", "weighted_f1")  # that a bootstrap over rows gives intervals of
_NONE = "–"


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
    """Tell which labels apply to `examples`, compare them with those that do, and account for the result.

    Args:
        task: a multi-label classifier.
        examples: rows with sets of labels.
        scores: as for `evaluation.evaluate`.
        before, baselines: scores as the task's, float `(rows, labels)`, held against the task's own thresholds.
        overlap, history, seed, resamples, examples_shown, show_examples: as for `evaluation.evaluate`.

    Raises:
        DataError: no rows, no labels, an unknown one, scores that are not finite.
        ConfigError: scores of another shape.
    """
    _check(examples)
    labels, codec = tuple(task.labels), task.codec
    true, encoded = task.truth(examples), task.encode(examples)
    scores = _checked("the task", task.scores(encoded) if scores is None else scores, true)
    applies = codec.applies(scores)
    counted, draws = label_sets.counts(true, applies), {"resamples": resamples, "seed": seed}
    per_class = _table(codec, true, scores, counted, draws)
    flat_true, flat = (true > 0).ravel().astype(np.int64), scores.ravel()
    both = np.stack([1 - flat, flat], axis=1)  # "does it apply?" as a label of its own
    others = {
        name: _compare(codec, true, counted, _checked(f"baseline {name!r}", other, true), draws)
        for name, other in (baselines or {}).items()
    }
    return Report(
        kind="labels",
        rows=len(examples),
        labels=labels,
        metrics=_numbers(true, applies, scores, counted)
        | {"expected_calibration_error": metrics.expected_calibration_error(flat_true, both)},
        intervals=_intervals(counted, **draws),
        per_class=per_class,
        reliability=metrics.reliability(flat_true, both),
        curves=per_label.curves(true > 0, scores, per_class),
        errors=_worst(examples, labels, true > 0, applies, scores, examples_shown, show_examples),
        before=None if before is None else _compare(codec, true, counted, _checked("`before`", before, true), draws),
        baselines=others,
        without_overlap=_without(true, applies, scores, counted, overlap, draws),
        data=accounts.data_account(examples, encoded, show=show_examples),
        model=accounts.model_account(task),
        history=accounts.history_account(history),
        notes=_notes(true, per_class),
        bootstrap=draws,
        examples_shown=show_examples,
    )


def _check(examples: Examples) -> None:
    if not len(examples):
        raise DataError(f"{examples.report.name}: there is no row to evaluate.", fix="name a file with labelled rows")
    if examples.labels is None:
        raise DataError(f"{examples.report.name}: the rows have no labels.", fix="name the column of the labels")


def _checked(whose: str, scores: Array, true: Array) -> Array:
    scores = np.asarray(scores, np.float32)
    if scores.shape != true.shape:
        raise ConfigError(
            f"The scores of {whose} do not fit the rows and labels.",
            expected=f"shape {true.shape}",
            received=f"shape {scores.shape}",
        )
    bad = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(bad):
        raise DataError(f"The scores of {whose} are not finite in {len(bad)} rows, the first being row {bad[0]}.")
    return scores


def _numbers(true: Array, applies: Array, scores: Array, counted: Array) -> dict[str, float | None]:
    """Every metric of one number."""
    found: dict[str, float | None] = {
        name: float(value) for name, value in label_sets.scores(counted.sum(axis=1)).items()
    }
    curves = [metrics.pr_curve(true[:, at] > 0, scores[:, at]) for at in range(true.shape[1])]
    areas = [curve[2] for curve in curves if curve is not None]
    found["mean_average_precision"] = float(np.mean(areas)) if areas else None
    return found | label_sets.of_rows(true, applies, scores)


def _table(codec: Any, true: Array, scores: Array, counted: Array, draws: Mapping[str, int]) -> list[dict[str, Any]]:
    """A row per label."""
    right, predicted, support = counted.sum(axis=1)
    spread, thresholds = bootstrap.sums(label_sets.f1, counted, **draws), codec.config()["thresholds"]
    rows = []
    for at, name in enumerate(codec.names):
        roc, pr = (curve(true[:, at] > 0, scores[:, at]) for curve in (metrics.roc_curve, metrics.pr_curve))
        rows.append(
            {
                "label": name,
                "precision": float(metrics.ratio(right[at], predicted[at])),
                "recall": float(metrics.ratio(right[at], support[at])),
                "f1": float(metrics.ratio(2 * right[at], predicted[at] + support[at])),
                "f1_low": spread[at][0],
                "f1_high": spread[at][1],
                "support": int(support[at]),
                "threshold": thresholds[at],
                "roc_auc": roc and roc[2],
                "average_precision": pr and pr[2],
            }
        )
    return rows


def _intervals(counted: Array, *, resamples: int, seed: int) -> dict[str, tuple[float, float]]:
    values = label_sets.scores(bootstrap.resampled_sums(counted, resamples, seed))
    return {name: bootstrap.interval(values[name]) for name in COUNTED}


def _compare(codec: Any, true: Array, counted: Array, other: Array, draws: Mapping[str, int]) -> dict[str, Any]:
    """The numbers of other scores, and what ours have over them on the same rows."""
    applies = codec.applies(other)
    theirs = label_sets.counts(true, applies)
    drawn = bootstrap.resampled_sums(np.concatenate([counted, theirs]), draws["resamples"], draws["seed"])
    ours, others = label_sets.scores(drawn[:3]), label_sets.scores(drawn[3:])
    now = label_sets.scores(counted.sum(axis=1))
    then = _numbers(true, applies, other, theirs)
    differences = {}
    for name in COUNTED:
        low, high = bootstrap.interval(ours[name] - others[name])
        differences[name] = {"value": float(now[name]) - (then[name] or 0.0), "low": low, "high": high}
    return {"metrics": then, "differences": differences}


def _worst(
    examples: Examples, labels: tuple[str, ...], true: Array, applies: Array, scores: Array, most: int, show: bool
) -> list[dict[str, Any]]:
    """The rows whose set is wrong, the greatest loss first; `score` is that of the surest wrong answer."""
    wrong = np.flatnonzero((true != applies).any(axis=1))
    sure = np.where(true, 1 - scores, scores)  # of the wrong answer
    losses = -np.log(np.clip(1 - sure[wrong], 1e-7, 1)).sum(axis=1)
    rows = []
    for row in wrong[np.argsort(-losses, kind="stable")][:most]:
        entry = {
            "id": accounts.shown_id(examples, int(row), show=show),
            "true": _named(labels, true[row]),
            "predicted": _named(labels, applies[row]),
            "score": float(np.where(true[row] != applies[row], sure[row], 0).max()),
        }
        rows.append(entry | (accounts.shown(examples.inputs[row]) if show else {}))
    return rows


def _named(labels: tuple[str, ...], chosen: Array) -> str:
    return ", ".join(labels[at] for at in np.flatnonzero(chosen)) or _NONE


def _without(
    true: Array, applies: Array, scores: Array, counted: Array, overlap: Sequence[int], draws: Mapping[str, int]
) -> dict[str, Any] | None:
    rows, keep = accounts.apart(overlap, len(true))
    if not rows:
        return None
    if not len(keep):
        return {"overlap": len(rows), "rows": 0, "metrics": {}, "intervals": {}}
    return {
        "overlap": len(rows),
        "rows": len(keep),
        "metrics": _numbers(true[keep], applies[keep], scores[keep], counted[:, keep]),
        "intervals": _intervals(counted[:, keep], **draws),
    }


def _notes(true: Array, per_class: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a reader must know of the rows."""
    said, none = [], int((true.sum(axis=1) == 0).sum())
    if none:
        said.append(f"To {none:,} of {len(true):,} rows no label applies.")
    absent = [row["label"] for row in per_class if not row["support"]]
    if absent:
        named = ", ".join(absent[:10]) + (", …" if len(absent) > 10 else "")
        said.append(f"{len(absent)} of {len(per_class)} labels apply to no row here ({named}): they have no recall.")
    return said
