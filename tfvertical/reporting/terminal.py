"""A report as a compact table for a terminal."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
    "word_accuracy": "accuracy of words",
}
LEADING = {"label": ("accuracy", "macro_f1"), "entities": ("f1", "macro_f1")}  # by a report's kind
NOUNS = {"label": ("rows", "labels"), "entities": ("texts", "types")}  # what is counted, and what it is told apart into
ERRORS = {
    "missed": "missed",
    "spurious": "found where nothing is",
    "wrong_type": "wrong type",
    "wrong_border": "wrong border",
    "wrong_type_and_border": "wrong type and border",
}
_CLASSES = 12  # most classes shown, the weakest first


def number(value: float | None, digits: int = 3) -> str:
    """A metric to three digits; a dash where it is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"


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


def table(report: Report) -> str:
    """Metrics with intervals, comparisons, and the weakest classes, as text without colours."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=100, color_system=None, markup=False, highlight=False, emoji=False)
    rows, labels = NOUNS[report.kind]
    console.print(f"{report.rows:,} {rows}, {len(report.labels)} {labels}; 95 % bootstrap intervals in brackets")
    console.print(_metrics(report))
    if others(report):
        console.print(_comparisons(report))
    if report.without_overlap is not None:
        rest = report.without_overlap
        left = ", ".join(f"{NAMES[name]} {number(rest['metrics'].get(name))}" for name in LEADING[report.kind])
        console.print(
            f"{rest['overlap']:,} {rows} were in the training data too. "
            f"Without them ({rest['rows']:,} {rows}): {left}\n"
        )
    if report.per_class:
        console.print(_classes(report))
    if report.error_kinds:
        console.print(_error_kinds(report))
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
        made.add_row(NAMES.get(name, name), number(value), span(report.intervals.get(name)))
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


def _error_kinds(report: Report) -> Table:
    made = _table("errors", "entities", "of types")
    for row in report.error_kinds:
        most = sorted(row["types"].items(), key=lambda each: -each[1])[:3]
        of = ", ".join(f"{printable(label)} {count:,}" for label, count in most)
        made.add_row(ERRORS[row["kind"]], f"{row['count']:,}", of + ", …" * (len(row["types"]) > 3))
    return made
