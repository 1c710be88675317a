"""A bundle on labelled data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfvertical import bundle, data
from tfvertical._console import load_tensorflow
from tfvertical.jobs import trained
from tfvertical.jobs.declared import kind_of, target_of
from tfvertical.report import Report


def evaluate(
    path: str | Path, source: str, *, text: str | None = None, label: str | None = None, examples: bool = True
) -> Report:
    """A report of the bundle at `path` on labelled data.

    Args:
        path: the bundle.
        source: what `data.load` reads.
        text: column of the text; None for the one that the bundle was trained on.
        label: column of the label; None for the one that the bundle was trained on.
        examples: False keeps every text and picture out of the report.
    """
    name, labels = bundle.description(path)
    columns = trained.columns(path, source, text=text, label=label)
    if source.startswith("tfds:"):
        load_tensorflow()
    what: dict[str, Any] = {"kind": kind_of(name), "target": target_of(name), "labels": labels}
    if what["target"] == "numbers":
        columns.setdefault("label", list(labels))
    rows = data.load(source, **what, **columns)  # before TensorFlow: mistakes are told
    report: Report = trained.loaded(path).evaluate(rows, show_examples=examples)
    return report
