"""A report without examples shows no text of the data, whatever the task, in any of its files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.core import tiny
from tfvertical.codecs.pairs import Pair
from tfvertical.codecs.tagging import Span
from tfvertical.contracts import DataReport, DataWarning, Examples, Rejected

WORD = "confidential"
REPORT = DataReport(
    "test.csv",
    13,
    12,
    (Rejected("test.csv:999", f"no label beside {WORD}", "text"),),
    (DataWarning("duplicate", f"2 rows are equal: {WORD}", ("test.csv:5",), 2),),
)


def _examples(kind: str) -> Examples:
    """Rows whose texts end in the word, which is also what is to be found in some of them."""
    made = tiny.make_examples(kind, 12)
    inputs, labels = [], list(made.labels or ())
    for at, item in enumerate(made.inputs):
        if isinstance(item, Pair):
            inputs.append(Pair(f"{item.first} {WORD}", f"{item.second} {WORD}"))
            labels[at] = (Span(len(item.second) + 1, len(item.second) + 1 + len(WORD), "answer"),)
        else:
            inputs.append((*item, WORD) if isinstance(item, tuple) else f"{item} {WORD}")
        if kind == "token":
            end = len(inputs[at])
            labels[at] = (*labels[at], Span(end - (1 if isinstance(item, tuple) else len(WORD)), end, "thing"))
    return replace(made, inputs=inputs, labels=labels, report=REPORT)


@pytest.mark.parametrize("kind", ["text", "text labels", "text numbers", "token", "answers"])
def test_no_file_shows_a_text(kind: str, tmp_path: Path):
    task, examples = tiny.make_task(kind, layers=1), _examples(kind)
    if kind == "answers":
        task.threshold = None
    for show in (True, False):
        report = task.evaluate(examples, resamples=10, show_examples=show)
        folder = report.save(tmp_path / str(show))
        pages = {path.name: path.read_text() for path in folder.iterdir()} | {"terminal": str(report)}
        assert report.errors and len(pages) == 5
        found = {name for name, page in pages.items() if WORD in page.lower()}
        assert found >= {"report.json", "report.md", "report.html"} if show else not found
