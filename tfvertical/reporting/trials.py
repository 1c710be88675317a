"""Trials of a sweep side by side: grouped over seeds, best first, as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

SEED = "training.seed"
LOWER_IS_BETTER = ("loss",)
_NAMES = {"macro_f1": "macro F1", "micro_f1": "micro F1", "f1": "F1", "r2": "R²", "mae": "MAE", "rmse": "RMSE"}


@dataclass(frozen=True)
class Trial:
    """One training of a sweep.

    Args:
        options: the swept keys with this trial's values.
        metrics: `accuracy`, `macro_f1` and `loss` on the validation data, or those that the task's report has intervals
            of; empty where it failed.
        intervals: their 95 % bootstrap intervals.
        seconds: that it took.
        error: why it failed, or None.
    """

    options: Mapping[str, Any]
    metrics: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None

    def written(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Group:
    """Trials that differ in nothing but their seed.

    Args:
        options: what they have in common.
        trials: those that finished and those that failed.
    """

    options: Mapping[str, Any]
    trials: tuple[Trial, ...]

    @property
    def finished(self) -> list[Trial]:
        """Those with metrics."""
        return [trial for trial in self.trials if trial.error is None]

    @property
    def errors(self) -> list[str]:
        """Why the others failed, each reason once."""
        return list(dict.fromkeys(trial.error for trial in self.trials if trial.error is not None))

    def mean(self, metric: str) -> float:
        """Over the seeds that finished."""
        return fmean(trial.metrics[metric] for trial in self.finished)

    def range(self, metric: str) -> tuple[float, float]:
        """Lowest and highest of the seeds."""
        values = [trial.metrics[metric] for trial in self.finished]
        return min(values), max(values)

    def interval(self, metric: str) -> tuple[float, float]:
        """The seeds' bootstrap intervals, each bound averaged."""
        low, high = zip(*(trial.intervals[metric] for trial in self.finished), strict=True)
        return fmean(low), fmean(high)

    def best(self, metric: str) -> Trial:
        """The seed that came out best."""
        return min(self.finished, key=lambda trial: _cost(trial.metrics[metric], metric))


def groups(trials: Sequence[Trial], metric: str) -> list[Group]:
    """Trials grouped over seeds, best mean first; groups in which a seed failed after those in which none did."""
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        found.setdefault(json.dumps(_common(trial), sort_keys=True), []).append(trial)
    grouped = [Group(_common(members[0]), tuple(members)) for members in found.values()]
    return sorted(
        grouped,
        key=lambda group: (
            (len(group.errors), _cost(group.mean(metric), metric)) if group.finished else (len(trials) + 1, 0.0)
        ),
    )


def table(trials: Sequence[Trial], metric: str) -> str:
    """Best first, as text without colours."""
    import io

    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(file=io.StringIO(), width=160, color_system=None, markup=False, highlight=False, emoji=False)
    rows = groups(trials, metric)
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    keys = list(dict.fromkeys(key for group in rows for key in group.options))
    known = dict.fromkeys(name for group in rows for trial in group.finished for name in trial.metrics)
    shown = [metric, *(name for name in known if name != metric)]
    for key in keys:
        made.add_column(key.removeprefix("training.").removeprefix("task."), overflow="fold")
    for name in (_called(shown[0]), "seeds", "interval", *map(_called, shown[1:]), "seconds"):
        made.add_column(name, justify="right", overflow="fold")
    for group in rows:
        made.add_row(*(_plain(group.options[key]) for key in keys), *_cells(group, shown))
    console.print(made)
    for group in rows:
        for error in group.errors:
            console.print(f"{said(group.options) or 'the trial'}: {error}")
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")


def _called(metric: str) -> str:
    return _NAMES.get(metric, metric.replace("_", " "))


def said(options: Mapping[str, Any]) -> str:
    """Options in a line."""
    return ", ".join(f"{key} {_plain(value)}" for key, value in options.items())


def _cells(group: Group, shown: Sequence[str]) -> list[str]:
    seconds = f"{sum(trial.seconds for trial in group.trials):.1f}"
    if not group.finished:
        return ["failed", "", "", *[""] * (len(shown) - 1), seconds]
    low, high = group.range(shown[0])
    seeds = f"{low:.3f}…{high:.3f}" if len(group.finished) > 1 else ""
    seeds += f" {len(group.trials) - len(group.finished)} failed" if group.errors else ""
    bounds = "[{:.3f}, {:.3f}]".format(*group.interval(shown[0]))
    return [f"{group.mean(shown[0]):.3f}", seeds, bounds, *(f"{group.mean(name):.3f}" for name in shown[1:]), seconds]


def _common(trial: Trial) -> dict[str, Any]:
    return {key: value for key, value in trial.options.items() if key != SEED}


def _cost(value: float, metric: str) -> float:
    return value if metric in LOWER_IS_BETTER else -value


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
