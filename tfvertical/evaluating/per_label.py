"""What a report says of each label, against all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfvertical.evaluating import bootstrap, metrics
from tfvertical.evaluating.metrics import Array

_CURVES = 6  # labels whose curves are kept, those of the smallest areas; the areas are kept of all
_POINTS = 101


def table(y_true: Array, scores: Array, labels: tuple[str, ...], draws: Mapping[str, int]) -> list[dict[str, Any]]:
    """A row per label: precision, recall, F1 with its interval, support, and the areas under its curves."""
    counted = metrics.counts(y_true, scores)
    spread = bootstrap.f1_intervals(y_true, scores, **draws)
    rows = []
    for i, label in enumerate(labels):
        roc = metrics.roc_curve(y_true == i, scores[:, i])
        pr = metrics.pr_curve(y_true == i, scores[:, i])
        rows.append(
            {
                "label": label,
                "precision": float(metrics.precision_of(counted)[i]),
                "recall": float(metrics.recall_of(counted)[i]),
                "f1": float(metrics.f1_of(counted)[i]),
                "f1_low": spread[i][0],
                "f1_high": spread[i][1],
                "support": int(counted.support[i]),
                "roc_auc": roc and roc[2],
                "average_precision": pr and pr[2],
            }
        )
    return rows


def mean_areas(per_class: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """The areas' means over the classes that have one."""
    means: dict[str, float | None] = {}
    for name in ("roc_auc", "average_precision"):
        defined = [row[name] for row in per_class if row[name] is not None]
        means[f"macro_{name}"] = float(np.mean(defined)) if defined else None
    return means


def curves(true: Array, scores: Array, per_class: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """All classes taken together, then those of the smallest areas, each thinned to be drawn.

    Args:
        true: bool `(rows, labels)`: whether it is each row's.
        scores: float, the same.
        per_class: what `table` says of each label.
    """
    found: dict[str, list[dict[str, Any]]] = {"roc": [], "pr": []}
    for kind, curve, area in (("roc", metrics.roc_curve, "roc_auc"), ("pr", metrics.pr_curve, "average_precision")):
        defined = [i for i, row in enumerate(per_class) if row[area] is not None]
        weakest = sorted(defined, key=lambda i: per_class[i][area])[:_CURVES]
        sets = [("all classes together", true.ravel(), scores.ravel())]
        sets += [(per_class[i]["label"], true[:, i], scores[:, i]) for i in weakest]
        for name, positive, score in sets:
            points = curve(positive, score)
            if points is not None:
                x, y, size = points
                at = np.unique(np.linspace(0, len(x) - 1, _POINTS).astype(int))
                found[kind].append({"label": name, "area": size, "x": x[at].tolist(), "y": y[at].tolist()})
    return found


def notes(per_class: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence on the labels that have no row."""
    absent = [row["label"] for row in per_class if not row["support"]]
    if not absent:
        return []
    named = ", ".join(absent[:10]) + (", …" if len(absent) > 10 else "")
    return [
        f"{len(absent)} of {len(per_class)} labels have no row here ({named}). They have no recall and no curves; "
        "balanced accuracy leaves them out, and macro F1 too unless they were predicted."
    ]
