"""How far numbers are from the true ones, and intervals of that by a bootstrap over rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfvertical.evaluating.bootstrap import interval
from tfvertical.evaluating.metrics import Array

RESAMPLED = ("r2", "spearman", "mae", "rmse")
_AT_ONCE = 4_000_000  # drawn numbers held in memory


def summary(true: Array, found: Array) -> dict[str, float]:
    """Each metric as one number, the mean over several quantities.

    Args:
        true: float `(rows, numbers)`.
        found: the same of what is told.

    Returns:
        `r2` (the share of the variance that is explained; below 0 worse than the mean), `spearman` (whether the order
        is right, -1…1), `mae` and `rmse` (mean absolute and root mean squared error), `median_absolute_error`, `bias`
        (how much too high on average). Of numbers that are all the same, the first two are 0.

    Example:
        >>> summary(np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [2.5], [3.0]]))["mae"]
        0.16666666666666666
    """
    return {name: float(np.mean(values)) for name, values in per_number(true, found).items()}


def per_number(true: Array, found: Array) -> dict[str, Array]:
    """The metrics of `summary` for each quantity: float64 `(numbers,)`."""
    apart = np.asarray(found, np.float64) - true
    squared = (apart**2).mean(axis=0)
    return {
        "r2": _explained(squared, true.var(axis=0), 1e-24 * (true**2).mean(axis=0)),
        "spearman": _correlation(_ranks(true), _ranks(found)),
        "mae": np.abs(apart).mean(axis=0),
        "rmse": np.sqrt(squared),
        "median_absolute_error": np.median(np.abs(apart), axis=0),
        "bias": apart.mean(axis=0),
    }


def resampled(true: Array, found: Array, *, resamples: int = 1000, seed: int = 0) -> dict[str, Array]:
    """The metrics of `RESAMPLED` on rows that are drawn anew with replacement: float64 `(resamples, numbers)`.

    Ranks are those of all rows: to rank each draw by itself changes a correlation of ranks less than the draw does.
    """
    rows = len(true)
    apart = np.asarray(found, np.float64) - true
    middle = true.mean(axis=0)  # squares of large numbers that lie close together would lose their digits
    a, b = _ranks(true), _ranks(found)
    each = [apart**2, np.abs(apart), true - middle, (true - middle) ** 2, a, b, a * b, a**2, b**2]
    flat, draw = np.concatenate(each, axis=1), np.random.default_rng(seed)
    step = max(1, _AT_ONCE // rows)
    drawn = [
        draw.multinomial(rows, np.full(rows, 1 / rows), size=min(step, resamples - at)) @ flat
        for at in range(0, resamples, step)
    ]
    means = (np.concatenate(drawn) / rows).reshape(resamples, len(each), true.shape[1])
    squared, absolute, first, second, rank, other, both, of_rank, of_other = means.transpose(1, 0, 2)
    together = np.sqrt(np.maximum((of_rank - rank**2) * (of_other - other**2), 0))
    return {
        "r2": _explained(squared, second - first**2, 1e-12 * second),
        "spearman": np.divide(both - rank * other, together, out=np.zeros_like(both), where=together > 1e-12),
        "mae": absolute,
        "rmse": np.sqrt(squared),
    }


def intervals(drawn: dict[str, Array]) -> dict[str, tuple[float, float]]:
    """The 95 % interval of each metric, of the mean over quantities, from `resampled`."""
    return {name: interval(values.mean(axis=1)) for name, values in drawn.items()}


def of_bounds(true: Array, bounds: Array) -> dict[str, Array]:
    """What bounds `(rows, numbers, 2)` hold: `coverage`, the share of true numbers between them, and mean `width`."""
    low, high = bounds[..., 0], bounds[..., 1]
    return {"coverage": ((true >= low) & (true <= high)).mean(axis=0), "width": (high - low).mean(axis=0)}


def of_levels(true: Array, found: Array, levels: Sequence[float]) -> dict[str, float]:
    """Of an ordinal score `(rows, 1)`: `accuracy`, `within_one` level, and `quadratic_kappa` (Cohen 1968)."""
    known = np.array(levels)
    a, b = (np.abs(each - known).argmin(axis=1) for each in (true, found))
    apart = np.abs(a - b)
    by_chance = ((a[:, None].astype(np.float64) - np.arange(len(known))) ** 2).mean(axis=0)
    expected = float(np.bincount(b, minlength=len(known)) @ by_chance)
    kappa = 1 - float((apart.astype(np.float64) ** 2).sum()) / expected if expected else 0.0
    return {
        "accuracy": float((apart == 0).mean()),
        "within_one": float((apart <= 1).mean()),
        "quadratic_kappa": kappa,
    }


def differences(
    true: Array, ours: Array, theirs: Array, *, resamples: int = 1000, seed: int = 0
) -> dict[str, dict[str, float]]:
    """What ours have over theirs on the same rows: `value`, and the paired bootstrap's 95 % interval, by metric."""
    draws: dict[str, Any] = {"resamples": resamples, "seed": seed}
    now, then = resampled(true, ours, **draws), resampled(true, theirs, **draws)  # one seed: the same rows are drawn
    of_ours, of_theirs = summary(true, ours), summary(true, theirs)
    found = {}
    for name in RESAMPLED:
        low, high = interval((now[name] - then[name]).mean(axis=1))
        found[name] = {"value": of_ours[name] - of_theirs[name], "low": low, "high": high}
    return found


def _explained(squared: Array, variance: Array, bits: Array) -> Array:
    """R²; 0 where there is nothing to explain but the last bits of a sum, however great the error is."""
    return 1 - np.divide(squared, variance, out=np.ones_like(squared), where=variance > bits)


def _correlation(a: Array, b: Array) -> Array:
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    together = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return np.divide((a * b).sum(axis=0), together, out=np.zeros(a.shape[1]), where=together > 1e-12)


def _ranks(values: Array) -> Array:
    """Ranks by column, 0…1, equal values sharing theirs."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(values, axis=0)) / max(len(values), 1)
