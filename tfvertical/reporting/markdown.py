"""A report as Markdown, and the model card made from it. Names and texts are shown as they are, never as Markdown."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tfvertical.export import _summary
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
    printable,
    sides,
    signed,
    span,
    ways,
)

if TYPE_CHECKING:
    from tfvertical.report import Report


def escape(text: Any) -> str:
    """Text that Markdown shows as it stands, on one line: every ASCII punctuation character escaped.

    Example:
        >>> print(escape("<b> *a*|b"))
        \\<b\\> \\*a\\*\\|b
    """
    line = printable(" ".join(str(text).split()))
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", line)


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the first column to the left, the others to the right. Cells must be escaped already."""
    lines = [head, [":--"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def report(found: Report) -> str:
    """The report as one Markdown page."""
    parts = ["# Evaluation report\n", _opening(found), "## Scores\n", scores(found)]
    if others(found):
        parts += ["## Compared on the same rows\n", comparisons(found)]
    if found.without_overlap is not None:
        parts += ["## Without rows that were trained on\n", overlap(found)]
    if found.kind == "entities":
        parts += ["## Per type\n", _per_type(found)]
        parts += ["## Counts\n", _ways(found)] if ways(found) else []
        parts += ["## Kinds of errors\n", _error_kinds(found)]
    elif found.kind == "labels":
        parts += ["## Per label\n", _per_class(found)]
    elif found.kind == "answers":
        parts += ["## Per kind of question\n", _per_question(found)]
    elif found.kind == "numbers":
        parts += ["## Per number\n", _per_number(found)]
    else:
        parts += ["## Per label\n", _per_class(found), "## Most confused pairs\n", _confused(found)]
    parts += ["## Exports\n", _exports(found)] if found.exports else []
    parts += ["## Worst errors\n", _errors(found), "## Data\n", data(found)]
    return "\n".join(parts)


def model_card(found: Report) -> str:
    """What the model is, how it was measured, and the blanks that only its makers can fill in."""
    model = {name: value for name, value in found.model.items() if value and not isinstance(value, dict)}
    versions = found.model.get("versions") or {}
    rows = [[escape(name.replace("_", " ")), escape(value)] for name, value in model.items()]
    rows += [[escape(name), escape(version)] for name, version in versions.items()]
    labels = ", ".join(escape(label) for label in found.labels)
    return "\n".join(
        [
            "# Model card\n",
            "## Model\n",
            grid(["what", "value"], rows) if rows else "Not stated.\n",
            f"{NOUNS[found.kind][1].capitalize()} ({len(found.labels)}): {labels}\n",
            "## Intended use\n",
            "*To be written by the makers: what it is for, who uses it, and what it must not decide alone.*\n",
            "## Measured on\n",
            _opening(found),
            data(found),
            "## Scores\n",
            scores(found),
            *(["## Compared on the same rows\n", comparisons(found)] if others(found) else []),
            *(["## Without rows that were trained on\n", overlap(found)] if found.without_overlap is not None else []),
            "## Limits\n",
            _limits(found),
            "*To be written by the makers: whom the data leaves out, what was not tested, who answers for errors.*\n",
        ]
    )


def scores(found: Report) -> str:
    """The metrics with their intervals."""
    rows = [
        [NAMES.get(name, escape(name)), metric(name, value), escape(between(name, found.intervals.get(name)))]
        for name, value in found.metrics.items()
    ]
    return grid(["metric", "value", "95 % interval"], rows)


def comparisons(found: Report) -> str:
    """Before adaptation and the baselines, with what ours have over each."""
    leading = LEADING[found.kind]
    rows = []
    for name, other in others(found).items():
        cells = [(number(other["metrics"][key]), escape(signed(other["differences"][key]))) for key in leading]
        rows.append([escape(name), *itertools.chain(*cells)])
    head = [column for key in leading for column in (NAMES[key], "ours minus it")]
    return grid(["compared with", *head], rows)


def overlap(found: Report) -> str:
    """How the score changes without the rows that stood in the training data."""
    rest = found.without_overlap or {}
    rows = [
        [
            name,
            metric(key, found.metrics.get(key)),
            metric(key, rest["metrics"].get(key)),
            escape(between(key, rest["intervals"].get(key))),
        ]
        for key, name in NAMES.items()
        if key in rest["metrics"]
    ]
    counts = f"{rest['overlap']:,} of {found.rows:,} rows"
    said = f"{counts} were in the training data too, or belong to a group or context that was.\n"
    if not rows:
        return said
    return said + "\n" + grid(["metric", "all rows", f"the other {rest['rows']:,}", "95 % interval"], rows)


def data(found: Report) -> str:
    """What was read, kept and rejected, and what a person should look at."""
    account = found.data
    lines = []
    if account.get("read"):
        counts = f"{account['read']:,} rows read, {account['kept']:,} kept, {account['rejected']:,} rejected"
        lines.append(f"- {escape(account['name'])}: {counts}")
    if account.get("truncated") is not None:
        lines.append(f"- cut to the model's length: {account['truncated']:,} rows")
        lines.append(f"- tokens the vocabulary lacks: {account['unknown_tokens']:.2%}")
    for warning in account.get("warnings", ()):
        lines.append(f"- warning: {escape(warning['kind'])}, {warning['count']:,} rows. {escape(warning['message'])}")
    for row in account.get("rejected_rows", ()):
        lines.append(f"- rejected: {escape(row['id'])}: {escape(row['reason'])}")
    return "\n".join(lines or ["Nothing was noted."]) + "\n"


def _opening(found: Report) -> str:
    boot = found.bootstrap
    drawn = f"; 95 % percentile bootstrap, {boot['resamples']:,} resamples, seed {boot['seed']}" if boot else ""
    lines = [f"{counted(found)}{drawn}.\n"]
    return "\n".join(lines + [escape(note) + "\n" for note in found.notes])


def _per_class(found: Report) -> str:
    rows = [
        [
            escape(row["label"]),
            *(number(row[key]) for key in ("precision", "recall", "f1")),
            escape(span((row["f1_low"], row["f1_high"]))),
            *(number(row[key]) for key in ("roc_auc", "average_precision")),
            *([amount(row["threshold"])] if found.kind == "labels" else []),
            f"{row['support']:,}",
        ]
        for row in sorted(found.per_class, key=lambda row: row["f1"])
    ]
    head = ["label", "precision", "recall", "F1", "95 % interval", "ROC area", "avg. precision"]
    return grid([*head, *(["threshold"] if found.kind == "labels" else []), "rows"], rows)


def _per_type(found: Report) -> str:
    rows = [
        [
            escape(row["label"]),
            *(number(row[key]) for key in ("precision", "recall", "f1")),
            escape(span((row["f1_low"], row["f1_high"]))),
            f"{row['support']:,}",
            f"{row['found']:,}",
        ]
        for row in sorted(found.per_class, key=lambda row: row["f1"])
    ]
    return grid(["type", "precision", "recall", "F1", "95 % interval", "marked", "found"], rows)


def _per_number(found: Report) -> str:
    rows = [
        [
            escape(row["label"]),
            escape(row["unit"]),
            *(number(row[key]) for key in ("r2", "spearman")),
            amount(row["mae"]),
            escape(between("mae", (row["mae_low"], row["mae_high"]))),
            f"{amount(row['low'])} to {amount(row['high'])}",
        ]
        for row in found.per_class
    ]
    return grid(["number", "unit", "R²", "rank corr.", "mean abs. error", "95 % interval", "true ones"], rows)


def _per_question(found: Report) -> str:
    rows = [
        [
            row["label"],
            *(number(row[key]) for key in ("exact", "f1")),
            escape(span((row["f1_low"], row["f1_high"]))),
            f"{row['support']:,}",
        ]
        for row in found.per_class
    ]
    return grid(["questions", "exact match", "F1", "95 % interval", "rows"], rows)


def _error_kinds(found: Report) -> str:
    rows = []
    for row in found.error_kinds:
        of = ", ".join(f"{escape(label)} {count:,}" for label, count in row["types"].items())
        rows.append([ERRORS[row["kind"]], *sides(row), of])
    return grid(["error", "marked", "found", "of types"], rows)


def _ways(found: Report) -> str:
    return grid(COUNTS, [[name, *(f"{count:,}" for count in counts)] for name, *counts in ways(found)])


def _exports(found: Report) -> str:
    rows = ([", ".join(map(escape, cell)) for cell in _summary.cells(row)] for row in found.exports)
    return grid(_summary.COLUMNS, rows)


def _confused(found: Report) -> str:
    pairs = found.confused_pairs()
    if not pairs:
        return "No row was predicted wrongly.\n"
    rows = [[escape(p["true"]), escape(p["predicted"]), str(p["count"]), f"{p['share']:.1%}"] for p in pairs]
    return grid(["true", "predicted as", "rows", "of the true label's"], rows)


def _errors(found: Report) -> str:
    if not found.errors:
        return "None are listed.\n"
    rows, kinds = [], "kind" in found.errors[0]
    for error in found.errors:
        cells = [escape(error["id"]), *([ERRORS[error["kind"]]] if kinds else [])]
        cells += [escape(error["true"]), escape(error["predicted"]), number(error["score"])]
        shown = error.get("text") or error.get("file") or ""
        rows.append([*cells, escape(shown)] if found.examples_shown else cells)
    head = ["row", *(["kind"] if kinds else []), "true", "predicted", SCORE[found.kind]]
    return grid([*head, "example"] if found.examples_shown else head, rows)


def _limits(found: Report) -> str:
    if found.kind == "numbers":
        each = [
            f"{escape(row['label'])} {amount(row['mae'])} {escape(row['unit'])}".rstrip() for row in found.per_class
        ]
        return f"Off by, on average: {', '.join(each)}.\n"
    weakest = sorted((row for row in found.per_class if row["support"]), key=lambda row: row["f1"])[:3]
    counted = "marked" if found.kind == "entities" else "rows"
    named = ", ".join(
        f"{escape(row['label'])} (F1 {number(row['f1'])}, {row['support']:,} {counted})" for row in weakest
    )
    lines = [f"Weakest {NOUNS[found.kind][1]}: {named}.\n"] if named else []
    error = found.metrics.get("expected_calibration_error")
    if error is not None:
        lines.append(f"Its scores are off by {error:.3f} on average from how often it is right.\n")
    return "\n".join(lines)
