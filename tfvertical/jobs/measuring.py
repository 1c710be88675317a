"""A bundle on labelled data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfvertical import data
from tfvertical.jobs import trained
from tfvertical.jobs.training import Say
from tfvertical.report import Report


def evaluate(
    path: str | Path,
    source: str,
    *,
    text: str | None = None,
    label: str | None = None,
    reading: Mapping[str, Any] | None = None,
    examples: bool = True,
    say: Say = print,
) -> Report:
    """A report of the bundle at `path` on labelled data.

    Args:
        path: the bundle.
        source: what `data.load` reads.
        text: column of the text; None for the one that the bundle was trained on.
        label: column of the label; None for the one that the bundle was trained on.
        reading: other keywords of `data.load`, in the place of those that the bundle was trained with.
        examples: False keeps every text and picture out of the report.
        say: is told how many rows could not be used, where the policy leaves them out.
    """
    # before TensorFlow: mistakes are told
    rows = trained.rows(path, source, text=text, label=label, reading=reading)
    if rows.report.rejected:
        say(data.describe(rows.report, show=examples))
    report: Report = trained.loaded(path).evaluate(rows, show_examples=examples)
    return report
