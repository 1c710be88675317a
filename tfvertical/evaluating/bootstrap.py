"""Bootstrap intervals of metrics that are functions of label counts.

To draw rows with replacement and count them is to draw the cells of the confusion matrix from a multinomial: the same
distribution, without touching a row. A thousand resamples of 77 classes take a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tfvertical.evaluating.metrics import COUNTED, Array, Counts, counts, f1_of, predictions

LEVEL = 95.0  # percent
_CELLS_AT_ONCE = 4_000_000  # drawn counts held in memory: 32 MB


def intervals(y_true: Array, scores: Array, *, resamples: int = 1000, seed: int = 0) -> dict[str, tuple[float, float]]:
    """The 95 % percentile interval of each metric of `metrics.COUNTED`.

    Args:
        y_true: int `(rows,)`.
        scores: float `(rows, classes)`.
        resamples: how often the rows are drawn anew.
        seed: of the draws; equal seeds give equal intervals.

    Example:
        >>> intervals(np.array([0, 1] * 50), np.tile([0.9, 0.1], (100, 1)))["accuracy"][1] < 0.65
        True
    """
    samples = [sample for (sample,) in _resampled(y_true, [scores], resamples, seed)]
    return {name: interval(_values(metric, samples)) for name, metric in COUNTED.items()}


def f1_intervals(y_true: Array, scores: Array, *, resamples: int = 1000, seed: int = 0) -> list[tuple[float, float]]:
    """The 95 % percentile interval of each class's F1, in the order of the labels."""
    values = _values(f1_of, [sample for (sample,) in _resampled(y_true, [scores], resamples, seed)])
    return [interval(values[:, i]) for i in range(values.shape[1])]


def mean_interval(values: Array, *, resamples: int = 1000, seed: int = 0) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of float `(rows,)`.

    Example:
        >>> mean_interval(np.array([1.0, 1.0, 1.0]))
        (1.0, 1.0)
    """
    draw, rows = np.random.default_rng(seed), len(values)
    return interval(np.array([values[draw.integers(0, rows, rows)].mean() for _ in range(resamples)]))


def differences(
    y_true: Array, scores: Array, other: Array, *, resamples: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float, float]]:
    """What `scores` have over `other` on the same rows, per metric: difference, and its paired 95 % interval.

    Paired: each resample takes the same rows for both, so that what makes a row hard cancels out.
    """
    ours, theirs = counts(y_true, scores), counts(y_true, other)
    pairs = list(_resampled(y_true, [scores, other], resamples, seed))
    found = {}
    for name, metric in COUNTED.items():
        spread = _values(metric, [a for a, _ in pairs]) - _values(metric, [b for _, b in pairs])
        found[name] = (float(metric(ours) - metric(theirs)), *interval(spread))
    return found


def resampled_sums(counted: Array, resamples: int, seed: int) -> Array:
    """Sums over rows that are drawn with replacement: float64 `(counts, resamples, classes)`.

    Args:
        counted: float64 `(counts, rows, classes)`, of each row by itself.
        resamples: how often all rows are drawn.
        seed: of the draws.
    """
    kinds, rows, classes = counted.shape
    draw, flat = np.random.default_rng(seed), counted.transpose(1, 0, 2).reshape(rows, -1)
    step = max(1, _CELLS_AT_ONCE // max(rows, 1))
    drawn = [
        draw.multinomial(rows, np.full(rows, 1 / rows), size=min(step, resamples - at)) @ flat
        for at in range(0, resamples, step)
    ]
    return np.concatenate(drawn).reshape(resamples, kinds, classes).transpose(1, 0, 2)


def sums(
    metric: Callable[[Array], Array], counted: Array, *, resamples: int = 1000, seed: int = 0
) -> list[tuple[float, float]]:
    """The 95 % interval of each class's `metric`, a function of sums `(counts, resamples, classes)`."""
    values = metric(resampled_sums(counted, resamples, seed))
    return [interval(values[:, at]) for at in range(values.shape[1])]


def _values(metric: Callable[[Counts], Array], samples: list[Counts]) -> Array:
    return np.concatenate([metric(sample) for sample in samples])


def interval(values: Array) -> tuple[float, float]:
    """The middle 95 % of float `(resamples,)`."""
    tail = (100 - LEVEL) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def _resampled(y_true: Array, sets: list[Array], resamples: int, seed: int) -> Iterator[tuple[Counts, ...]]:
    """Counts `(some resamples, classes)` per set of scores, until there are `resamples` in all."""
    classes = sets[0].shape[1]
    cells, frequency = np.unique(
        np.stack([np.asarray(y_true, np.int64), *map(predictions, sets)]), axis=1, return_counts=True
    )
    draw = np.random.default_rng(seed)
    step = max(1, _CELLS_AT_ONCE // cells.shape[1])
    for start in range(0, resamples, step):
        drawn = draw.multinomial(len(y_true), frequency / len(y_true), size=min(step, resamples - start))
        yield _count(list(cells), classes, drawn)


def _count(cells: list[Array], classes: int, drawn: Array) -> tuple[Counts, ...]:
    """Counts of each set of predictions; `cells` are true labels and predictions, `drawn` `(resamples, cells)`."""
    true, *predicted = cells
    support = _sums(drawn, true, classes)
    return tuple(
        Counts(_sums(drawn * (pred == true), true, classes), _sums(drawn, pred, classes), support) for pred in predicted
    )


def _sums(drawn: Array, label: Array, classes: int) -> Array:
    """Sum the columns of `drawn` that have the same label: float64 `(resamples, classes)`."""
    order = np.argsort(label, kind="stable")
    starts = np.flatnonzero(np.diff(label[order], prepend=-1))
    total = np.zeros((len(drawn), classes))
    total[:, label[order][starts]] = np.add.reduceat(drawn[:, order], starts, axis=1)
    return total
