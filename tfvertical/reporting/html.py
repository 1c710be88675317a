"""A report as one HTML page with nothing outside it: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from tfvertical.export import _summary
from tfvertical.reporting import plots
from tfvertical.reporting.terminal import (
    COUNTS,
    ERRORS,
    LEADING,
    NAMES,
    NOUNS,
    SCORE,
    amount,
    between,
    counted,
    metric,
    number,
    others,
    sides,
    signed,
    span,
    ways,
)

if TYPE_CHECKING:
    from jinja2 import Template

    from tfvertical.report import Report

MATRIX = 30  # most labels of a confusion matrix that can still be read
_MATRIX_OF_MANY = 20
_BARS = 30
_HEADLINES = {
    "label": ("accuracy", "macro_f1", "balanced_accuracy", "expected_calibration_error"),
    "labels": ("micro_f1", "macro_f1", "mean_average_precision", "subset_accuracy"),
    "entities": ("f1", "precision", "recall", "overlap_f1"),
    "answers": ("f1", "exact", "has_answer_f1", "no_answer_f1"),
    "numbers": ("r2", "mae", "spearman", "coverage", "quadratic_kappa", "within_one"),
}


def page(report: Report) -> str:
    """The whole page. Every name and text is escaped; a policy in the page forbids it to load or run anything."""
    text: str = _template().render(
        report=report,
        names=NAMES,
        headlines=[name for name in _HEADLINES[report.kind] if name in report.metrics],
        leading=LEADING[report.kind],
        nouns=NOUNS[report.kind],
        counted=counted(report),
        error_names=ERRORS,
        ways=ways(report),
        count_columns=COUNTS,
        score=SCORE[report.kind],
        drawn=NAMES[LEADING[report.kind][-1]],
        others=others(report),
        pairs=report.confused_pairs(),
        weakest_first=sorted(report.per_class, key=lambda row: row["r2" if report.kind == "numbers" else "f1"]),
        matrix_labels=len(_matrix(report)),
        plots=_plots(report),
        errors=report.errors,
        exports=[_summary.cells(row) for row in report.exports],
        export_columns=_summary.COLUMNS,
        max_bars=_BARS,
    )
    return text


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "sides": sides, "span": span, "signed": signed, "amount": amount}
    environment.globals |= {"metric": metric, "between": between}
    return environment.from_string(resources.files("tfvertical.reporting").joinpath("report.html").read_text("utf-8"))


def _matrix(report: Report) -> list[int]:
    """The ids of the labels whose confusions are drawn: all, or the most confused of many."""
    count = len(report.labels)
    if count <= MATRIX or not report.confusion:
        return list(range(count))
    matrix = report.confusion
    wrong = [sum(matrix[i]) + sum(row[i] for row in matrix) - 2 * matrix[i][i] for i in range(count)]
    return sorted(sorted(range(count), key=lambda i: -wrong[i])[:_MATRIX_OF_MANY])


def _plots(report: Report) -> Mapping[str, Any]:
    """SVG by name; a plot without anything to show is absent."""
    shown = _matrix(report)
    weakest = [] if report.kind in ("numbers", "answers") else sorted(report.per_class, key=lambda row: row["f1"])
    found = {"reliability": plots.reliability(report.reliability)} if report.reliability else {}
    if report.confusion:
        counts = [[report.confusion[i][j] for j in shown] for i in shown]
        found["confusion"] = plots.confusion(
            counts, [report.labels[i] for i in shown], [sum(report.confusion[i]) for i in shown]
        )
    if weakest:
        found["f1"] = plots.bars([(r["label"], r["f1"], r["f1_low"], r["f1_high"]) for r in weakest[:_BARS]])
    for kind, x, y in (("roc", "false positive rate", "true positive rate"), ("pr", "recall", "precision")):
        if report.curves.get(kind):
            found[kind] = plots.lines([(c["label"], c["x"], c["y"], c["area"]) for c in report.curves[kind]], x, y)
    rows = [
        (name, d["value"], d["low"], d["high"])
        for name, other in others(report).items()
        for d in [other["differences"][LEADING[report.kind][-1]]]
    ]
    if rows:
        found["differences"] = plots.differences(rows, f"Difference in {NAMES[LEADING[report.kind][-1]]}")
    for points in report.points:
        found[f"points {points['label']}"] = plots.scatter(points["true"], points["found"], points["label"])
    for quantity, curves in _histories(report).items():
        found[f"history {quantity}"] = plots.history(curves, quantity)
    return found


def _histories(report: Report) -> dict[str, dict[str, list[float | None]]]:
    """Curves by what they measure: `loss` -> {"training": …, "validation": …}."""
    grouped: dict[str, dict[str, list[float | None]]] = {}
    for name, values in report.history.items():
        quantity, who = (name[4:], "validation") if name.startswith("val_") else (name, "training")
        if len(values) > 1:
            grouped.setdefault(quantity, {})[who] = list(values)
    return grouped
