"""A report as a compact table for a terminal."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfvertical.export import _summary
from tfvertical.report import IN_UNITS

if TYPE_CHECKING:
    from rich.table import Table

    from tfvertical.report import Report

NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "log_loss": "log loss",
    "expected_calibration_error": "calibration error",
    "macro_roc_auc": "macro ROC area",
    "macro_average_precision": "macro average precision",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "overlap_f1": "F1, overlapping",
    "overlap_precision": "precision, overlapping",
    "overlap_recall": "recall, overlapping",
    "token_f1": "F1, of words",
    "token_precision": "precision, of words",
    "token_recall": "recall, of words",
    "word_accuracy": "accuracy of words",
    "micro_f1": "micro F1",
    "micro_precision": "micro precision",
    "micro_recall": "micro recall",
    "mean_average_precision": "mean average precision",
    "subset_accuracy": "whole sets that are right",
    "hamming_loss": "answers that are wrong",
    "exact": "exact match",
    "has_answer_exact": "exact match, with an answer",
    "has_answer_f1": "F1, with an answer",
    "no_answer_exact": "exact match, without one",
    "no_answer_f1": "F1, without one",
    "r2": "R²",
    "spearman": "rank correlation",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "median_absolute_error": "median absolute error",
    "bias": "mean error",
    "coverage": "true ones within bounds",
    "width": "width of bounds",
    "within_one": "within one level",
    "quadratic_kappa": "quadratic kappa",
}
# by a report's kind: what comparisons show, the last one drawn
LEADING = {
    "label": ("accuracy", "macro_f1"),
    "labels": ("micro_f1", "macro_f1"),
    "entities": ("f1", "macro_f1"),
    "numbers": ("spearman", "r2"),
    "answers": ("exact", "f1"),
}
# what is counted, and what it is told apart into
NOUNS = {
    "label": ("rows", "labels"),
    "labels": ("rows", "labels"),
    "entities": ("texts", "types"),
    "numbers": ("rows", "numbers"),
    "answers": ("questions", "kinds"),
}
SCORE = {  # of an error
    "label": "score",
    "labels": "surest wrong",
    "entities": "score",
    "numbers": "deviations off",
    "answers": "score",
}
ERRORS = {
    "missed": "missed",
    "spurious": "found where nothing is",
    "wrong_type": "wrong type",
    "wrong_border": "wrong border",
    "wrong_type_and_border": "wrong type and border",
    "extra": "a further one over it",
}
_CLASSES = 12  # most classes shown, the weakest first


def number(value: float | None, digits: int = 3) -> str:
    """A metric to three digits; a dash where it is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"


def amount(value: float | None) -> str:
    """A number in its own unit, to four digits that count."""
    return "–" if value is None else f"{value:.4g}"


def metric(name: str, value: float | None) -> str:
    """A metric as it is shown."""
    return amount(value) if name in IN_UNITS else number(value)


def between(name: str, interval: Sequence[float] | None) -> str:
    """A metric's interval in brackets, or nothing."""
    return "" if interval is None else f"[{metric(name, interval[0])}, {metric(name, interval[1])}]"


def signed(difference: Mapping[str, float]) -> str:
    """A difference and its interval: `+0.024 [+0.011, +0.037]`."""
    return f"{difference['value']:+.3f} [{difference['low']:+.3f}, {difference['high']:+.3f}]"


def span(interval: Sequence[float] | None) -> str:
    """An interval in brackets, or nothing."""
    return "" if interval is None else f"[{interval[0]:.3f}, {interval[1]:.3f}]"


def printable(text: str) -> str:
    """Control and direction characters replaced: a label must not steer the terminal."""
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cf", "Cs") else c for c in text)


def others(report: Report) -> dict[str, Mapping[str, Any]]:
    """Everything the report compares with, by the name to show."""
    before = {} if report.before is None else {"before adaptation": report.before}
    return before | dict(report.baselines)


def counted(report: Report) -> str:
    """How many rows, and what they are told apart into: `120 rows, 3 labels`."""
    rows, labels = NOUNS[report.kind]
    said = f"{report.rows:,} {rows}"
    return said if report.kind == "answers" else f"{said}, {len(report.labels)} {labels}"


COUNTS = ("entities", "found", "of these right", "marked", "of these found")  # columns of `ways`


def ways(report: Report) -> list[tuple[str, int, int, int, int]]:
    """How many entities, or words of them, were found and marked, and how many of each are right, by what counts."""
    if report.kind != "entities" or not all("token_right" in row for row in report.per_class):
        return []  # a report of before these were counted
    columns = {
        "strict": ("found", "right", "support", "right"),
        "overlapping": ("found", "overlap_right", "support", "overlap_covered"),
        "words": ("token_found", "token_right", "token_marked", "token_right"),
    }
    return [(name, *(sum(row[key] for row in report.per_class) for key in keys)) for name, keys in columns.items()]


def table(report: Report) -> str:
    """Metrics with intervals, comparisons, and the weakest classes, as text without colours."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=100, color_system=None, markup=False, highlight=False, emoji=False)
    rows = NOUNS[report.kind][0]
    console.print(f"{counted(report)}; 95 % bootstrap intervals in brackets")
    console.print(_metrics(report))
    if others(report):
        console.print(_comparisons(report))
    if report.without_overlap is not None:
        rest = report.without_overlap
        left = ", ".join(f"{NAMES[name]} {number(rest['metrics'].get(name))}" for name in LEADING[report.kind])
        console.print(
            f"{rest['overlap']:,} {rows} were in the training data too, or belong to a group or context that was. "
            f"Without them ({rest['rows']:,} {rows}): {left}\n"
        )
    if report.per_class:
        tables = {"numbers": _numbers, "answers": _questions}
        console.print(tables.get(report.kind, _classes)(report))
    if found := ways(report):
        console.print(_ways(found))
    if report.error_kinds:
        console.print(_error_kinds(report))
    if report.exports:
        console.print(_exports(report))
    for note in report.notes:
        console.print(printable(note))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    lines = [line.rstrip() for line in text.splitlines()]
    return "\n".join(line for i, line in enumerate(lines) if line or (i and lines[i - 1])).rstrip()


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        made.add_column(column, justify="right" if i else "left", overflow="fold")
    return made


def _metrics(report: Report) -> Table:
    made = _table("metric", "value", "interval")
    for name, value in report.metrics.items():
        made.add_row(NAMES.get(name, name), metric(name, value), between(name, report.intervals.get(name)))
    return made


def _comparisons(report: Report) -> Table:
    leading = LEADING[report.kind]
    made = _table("compared with", *(column for name in leading for column in (NAMES[name], "ours minus it")))
    for name, other in others(report).items():
        cells = []
        for metric in leading:
            cells += [number(other["metrics"][metric]), signed(other["differences"][metric])]
        made.add_row(printable(name), *cells)
    return made


def _classes(report: Report) -> Table:
    weakest = sorted(report.per_class, key=lambda row: row["f1"])[:_CLASSES]
    more = len(report.per_class) - len(weakest)
    rows, labels = NOUNS[report.kind]
    counted = "rows" if rows == "rows" else "marked"
    what = f"weakest {len(weakest)} {labels}" if more else labels.removesuffix("s")
    made = _table(what, "precision", "recall", "F1", "interval", counted)
    for row in weakest:
        cells = [number(row[key]) for key in ("precision", "recall", "f1")]
        made.add_row(printable(row["label"]), *cells, span((row["f1_low"], row["f1_high"])), f"{row['support']:,}")
    return made


def _numbers(report: Report) -> Table:
    made = _table("number", "R²", "mean absolute error", "interval", "true ones from", "to")
    for row in report.per_class:
        name = printable(f"{row['label']} ({row['unit']})" if row["unit"] else row["label"])
        cells = [amount(row["mae"]), between("mae", (row["mae_low"], row["mae_high"]))]
        made.add_row(name, number(row["r2"]), *cells, amount(row["low"]), amount(row["high"]))
    return made


def _questions(report: Report) -> Table:
    made = _table("questions", "exact match", "F1", "interval", "rows")
    for row in report.per_class:
        cells = [number(row["exact"]), number(row["f1"]), span((row["f1_low"], row["f1_high"]))]
        made.add_row(row["label"], *cells, f"{row['support']:,}")
    return made


def _ways(found: Sequence[tuple[str, int, int, int, int]]) -> Table:
    made = _table(*COUNTS)
    for name, *counts in found:
        made.add_row(name, *(f"{count:,}" for count in counts))
    return made


def _error_kinds(report: Report) -> Table:
    made = _table("errors", "marked", "found", "of types")
    for row in report.error_kinds:
        most = sorted(row["types"].items(), key=lambda each: -each[1])[:3]
        of = ", ".join(f"{printable(label)} {count:,}" for label, count in most)
        made.add_row(ERRORS[row["kind"]], *sides(row), of + ", …" * (len(row["types"]) > 3))
    return made


def sides(row: Mapping[str, Any]) -> tuple[str, str]:
    """How many marked and how many found entities a kind of error tells of."""
    if "marked" not in row:  # a report of before they were told apart
        return ("–", f"{row['count']:,}") if row["kind"] == "spurious" else (f"{row['count']:,}", "–")
    return f"{row['marked']:,}", f"{row['found']:,}"


def _exports(report: Report) -> Table:
    shown = (0, 1, 3, 6, 7)  # what fits into a terminal's width
    made = _table(*(_summary.COLUMNS[at] for at in shown))
    for row in report.exports:
        cells = _summary.cells(row)
        made.add_row(*("\n".join(map(printable, cells[at])) for at in shown))
    return made
