"""Numbers of a classifier, from true label ids and scores alone; each equals scikit-learn's.

Shapes, everywhere: `y_true` int `(rows,)` in 0…classes-1, `scores` float `(rows, classes)`. A class that neither
occurs nor is predicted counts in no average, as scikit-learn does by default. What is undefined is None (a class
without rows has no ROC), never a warning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Counts:
    """Per class, how many rows were right, predicted and true: float64 `(…, classes)`, any leading axes.

    Accuracy, recall, precision and F1 follow from these three, which is why a thousand resamples of them are cheap.
    """

    right: Array
    predicted: Array
    support: Array


def predictions(scores: Array) -> Array:
    """The label id of the highest score, the first of equals: int64 `(rows,)`."""
    return np.argmax(scores, axis=1).astype(np.int64)


def confusion_matrix(y_true: Array, y_pred: Array, classes: int) -> Array:
    """int64 `(classes, classes)`: rows are true labels, columns predicted ones."""
    cells = np.asarray(y_true, np.int64) * classes + np.asarray(y_pred, np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def counts(y_true: Array, scores: Array) -> Counts:
    """The counts of the highest-scored labels."""
    matrix = confusion_matrix(y_true, predictions(scores), scores.shape[1]).astype(np.float64)
    return Counts(np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1))


def ratio(upper: Array, lower: Array) -> Array:
    """`upper / lower`, 0 where the denominator is."""
    return np.divide(upper, lower, out=np.zeros(np.broadcast(upper, lower).shape), where=lower > 0)


def precision_of(c: Counts) -> Array:
    """Per class, 0 where nothing was predicted: float64 `(…, classes)`."""
    return ratio(c.right, c.predicted)


def recall_of(c: Counts) -> Array:
    """Per class, 0 where nothing was true: float64 `(…, classes)`."""
    return ratio(c.right, c.support)


def f1_of(c: Counts) -> Array:
    """Per class, 0 where nothing was right: float64 `(…, classes)`."""
    return ratio(2 * c.right, c.predicted + c.support)


def accuracy_of(c: Counts) -> Array:
    """Share of rows that are right."""
    return ratio(c.right.sum(axis=-1), c.support.sum(axis=-1))


def balanced_accuracy_of(c: Counts) -> Array:
    """Mean recall of the classes that occur."""
    return ratio(recall_of(c).sum(axis=-1), (c.support > 0).sum(axis=-1))


def macro_f1_of(c: Counts) -> Array:
    """Mean F1 of the classes that occur or are predicted."""
    return ratio(f1_of(c).sum(axis=-1), (c.support + c.predicted > 0).sum(axis=-1))


def weighted_f1_of(c: Counts) -> Array:
    """Mean F1, each class weighted by its rows."""
    return ratio((f1_of(c) * c.support).sum(axis=-1), c.support.sum(axis=-1))


COUNTED: dict[str, Callable[[Counts], Array]] = {
    "accuracy": accuracy_of,
    "balanced_accuracy": balanced_accuracy_of,
    "macro_f1": macro_f1_of,
    "weighted_f1": weighted_f1_of,
}


def log_losses(y_true: Array, scores: Array) -> Array:
    """Per row minus the logarithm of the true label's score, which is kept off 0 and 1 by its dtype's epsilon."""
    eps = np.finfo(scores.dtype).eps
    picked = np.take_along_axis(scores, np.asarray(y_true, np.int64)[:, None], axis=1)[:, 0]
    return -np.log(np.clip(picked, eps, 1 - eps).astype(np.float64))


def reliability(y_true: Array, scores: Array, bins: int = 15) -> list[dict[str, float]]:
    """The filled bins of the highest score, equally wide: their bounds, row count, mean score and accuracy."""
    confidence = scores.max(axis=1).astype(np.float64)
    right = predictions(scores) == y_true
    edges = np.linspace(0.0, 1.0, bins + 1)
    index = np.searchsorted(edges[1:-1], confidence)
    filled = []
    for i in np.unique(index):
        rows = index == i
        filled.append(
            {
                "low": float(edges[i]),
                "high": float(edges[i + 1]),
                "count": int(rows.sum()),
                "confidence": float(confidence[rows].mean()),
                "accuracy": float(right[rows].mean()),
            }
        )
    return filled


def expected_calibration_error(y_true: Array, scores: Array, bins: int = 15) -> float:
    """Mean distance between the score a row was given and how often such rows are right, 0…1."""
    filled = reliability(y_true, scores, bins)
    return sum(b["count"] * abs(b["accuracy"] - b["confidence"]) for b in filled) / len(y_true)


def summary(y_true: Array, scores: Array) -> dict[str, float]:
    """Every metric of one number, by name: those of `COUNTED`, `log_loss` and `expected_calibration_error`.

    Example:
        >>> summary(np.array([0, 1, 1]), np.array([[0.8, 0.2], [0.4, 0.6], [0.7, 0.3]]))["balanced_accuracy"]
        0.75
    """
    counted = counts(y_true, scores)
    numbers = {name: float(metric(counted)) for name, metric in COUNTED.items()}
    numbers["log_loss"] = float(log_losses(y_true, scores).mean())
    numbers["expected_calibration_error"] = expected_calibration_error(y_true, scores)
    return numbers


def roc_curve(positive: Array, score: Array) -> tuple[Array, Array, float] | None:
    """False and true positive rates and the area, of bool `(rows,)` against one score a row; None where undefined."""
    from sklearn import metrics as sk

    if positive.all() or not positive.any():
        return None
    x, y, _ = sk.roc_curve(positive, score)
    return x, y, float(sk.auc(x, y))


def pr_curve(positive: Array, score: Array) -> tuple[Array, Array, float] | None:
    """Recall, precision and average precision, of bool `(rows,)` against one score a row; None without positives."""
    from sklearn import metrics as sk

    if not positive.any():
        return None
    y, x, _ = sk.precision_recall_curve(positive, score)
    return x, y, float(-np.sum(np.diff(x) * y[:-1]))
