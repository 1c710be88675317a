"""A task that tells numbers, and rows with the true ones, to a `Report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfvertical.contracts import Examples, Task
from tfvertical.errors import ConfigError, DataError
from tfvertical.evaluating import accounts, numbers
from tfvertical.evaluating.bootstrap import interval
from tfvertical.evaluating.metrics import Array
from tfvertical.report import IN_UNITS, Report

POINTS = 500  # rows that are drawn
_COVERED = 0.1  # how far the share of covered rows may be from what was asked for before a person is told


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
    """Tell the numbers of `examples`, compare them with the true ones, and account for the result.

    Args:
        task: a regressor.
        examples: rows with numbers.
        scores: as for `evaluation.evaluate`.
        before, baselines: scores as the task's, float `(rows, outputs)`; of a baseline also numbers, `(rows, numbers)`.
        overlap, history, seed, resamples, examples_shown, show_examples: as for `evaluation.evaluate`.

    Raises:
        DataError: no rows, no numbers, another count of them; scores that are not finite.
        ConfigError: scores of another shape.
    """
    _check(examples)
    codec = task.codec
    true, encoded = task.truth(examples), task.encode(examples)
    scores = np.asarray(task.scores(encoded) if scores is None else scores, np.float32)
    found, bounds = _values(codec, scores, "the task", true), codec.bounds(scores)
    draws: dict[str, Any] = {"resamples": resamples, "seed": seed}
    drawn = numbers.resampled(true, found, **draws)
    per_number = _table(codec, true, found, bounds, drawn)
    others = {
        name: _compare(true, found, _values(codec, other, f"baseline {name!r}", true), draws)
        for name, other in (baselines or {}).items()
    }
    return Report(
        kind="numbers",
        rows=len(examples),
        labels=tuple(task.labels),
        metrics=_together(numbers.summary(true, found) | _more(codec, true, found, per_number), true),
        intervals=_together(numbers.intervals(drawn), true),
        per_class=per_number,
        points=_points(codec, true, found, seed) if show_examples else (),
        errors=_worst(examples, codec, true, found, examples_shown, show_examples),
        before=None if before is None else _compare(true, found, _values(codec, before, "`before`", true), draws),
        baselines=others,
        without_overlap=_without(true, found, overlap, draws),
        data=accounts.data_account(examples, encoded, show=show_examples),
        model=accounts.model_account(task),
        history=accounts.history_account(history),
        notes=_notes(codec, per_number),
        bootstrap=draws,
        examples_shown=show_examples,
    )


def _check(examples: Examples) -> None:
    if not len(examples):
        raise DataError(f"{examples.report.name}: there is no row to evaluate.", fix="name a file with numbers")
    if examples.labels is None:
        raise DataError(f"{examples.report.name}: the rows have no numbers.", fix="name their columns: label=[…]")


def _values(codec: Any, scores: Array, whose: str, true: Array) -> Array:
    """The numbers that scores stand for; those that are numbers already, as they are."""
    scores = np.asarray(scores)
    shapes = {(len(true), len(codec.outputs)), (len(true), len(codec.names))}
    if scores.shape not in shapes:
        raise ConfigError(
            f"The scores of {whose} do not fit the rows and numbers.",
            expected=" or ".join(f"shape {shape}" for shape in sorted(shapes)),
            received=f"shape {scores.shape}",
        )
    bad = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(bad):
        raise DataError(f"The scores of {whose} are not finite in {len(bad)} rows, the first being row {bad[0]}.")
    told = scores.shape[1] == len(codec.outputs)
    return np.asarray(codec.values(scores) if told else scores, np.float64)


def _compare(true: Array, ours: Array, theirs: Array, draws: Mapping[str, Any]) -> dict[str, Any]:
    differences = numbers.differences(true, ours, theirs, **draws)
    return {"metrics": _together(numbers.summary(true, theirs), true), "differences": _together(differences, true)}


def _together(values: Mapping[str, Any], true: Array) -> dict[str, Any]:
    """What can be said of all quantities at once: a mean over several units would be in none."""
    return {name: value for name, value in values.items() if true.shape[1] == 1 or name not in IN_UNITS}


def _table(
    codec: Any, true: Array, found: Array, bounds: Array | None, drawn: Mapping[str, Array]
) -> list[dict[str, Any]]:
    """A row for each quantity."""
    columns = numbers.per_number(true, found) | ({} if bounds is None else numbers.of_bounds(true, bounds))
    units = codec.units or ("",) * len(codec.names)
    rows = []
    for at, (name, unit) in enumerate(zip(codec.names, units, strict=True)):
        low, high = interval(drawn["mae"][:, at])
        row = {"label": name, "unit": unit, "support": len(true), "mae_low": low, "mae_high": high}
        row |= {"low": float(true[:, at].min()), "high": float(true[:, at].max())}
        rows.append(row | {key: float(values[at]) for key, values in columns.items()})
    return rows


def _more(codec: Any, true: Array, found: Array, per_number: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What only some kinds of numbers have."""
    if codec.levels:
        return numbers.of_levels(true, found, codec.levels)
    if codec.quantiles:
        return {key: float(np.mean([row[key] for row in per_number])) for key in ("coverage", "width")}
    return {}


def _points(codec: Any, true: Array, found: Array, seed: int) -> list[dict[str, Any]]:
    """For each quantity the true and the told numbers of some rows."""
    some = np.sort(np.random.default_rng(seed).permutation(len(true))[:POINTS])
    return [
        {"label": name, "true": true[some, at].tolist(), "found": found[some, at].tolist()}
        for at, name in enumerate(codec.names)
    ]


def _worst(examples: Examples, codec: Any, true: Array, found: Array, most: int, show: bool) -> list[dict[str, Any]]:
    """The rows that are furthest off, in deviations of the true numbers; of one that never changes, in its own size."""
    same = np.ptp(true, axis=0) == 0
    scale = np.where(same, np.abs(true[0]), true.std(axis=0))
    apart = np.abs(found - true) / np.where(scale > 0, scale, 1.0)
    furthest = apart.max(axis=1)
    rows = []
    for row in np.argsort(-furthest, kind="stable")[: min(most, int((furthest > 0).sum()))]:
        at = int(apart[row].argmax())
        unit = f" {codec.units[at]}" if codec.units and codec.units[at] else ""
        name = f"{codec.names[at]} " if len(codec.names) > 1 else ""
        entry = {
            "id": accounts.shown_id(examples, int(row), show=show),
            "true": f"{name}{true[row, at]:.6g}{unit}",
            "predicted": f"{found[row, at]:.6g}{unit}",
            "score": float(apart[row, at]),
        }
        rows.append(entry | (accounts.shown(examples.inputs[row]) if show else {}))
    return rows


def _without(true: Array, found: Array, overlap: Sequence[int], draws: Mapping[str, Any]) -> dict[str, Any] | None:
    rows, keep = accounts.apart(overlap, len(true))
    if not rows:
        return None
    if not len(keep):
        return {"overlap": len(rows), "rows": 0, "metrics": {}, "intervals": {}}
    return {
        "overlap": len(rows),
        "rows": len(keep),
        "metrics": _together(numbers.summary(true[keep], found[keep]), true),
        "intervals": _together(numbers.intervals(numbers.resampled(true[keep], found[keep], **draws)), true),
    }


def _notes(codec: Any, per_number: Sequence[Mapping[str, Any]]) -> list[str]:
    said = [
        f"{row['label']} is told worse than by its mean: the model explains nothing of it."
        for row in per_number
        if row["r2"] < 0
    ]
    for row in per_number:
        if codec.interval is not None and abs(row["coverage"] - codec.interval) > _COVERED:
            said.append(
                f"{row['coverage']:.0%} of the true numbers of {row['label']} lie within its bounds; they were meant "
                f"for {codec.interval:.0%}."
            )
    return said
