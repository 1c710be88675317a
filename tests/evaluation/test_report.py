"""The pages: whole, readable, and unable to be steered by the texts they show."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt

from tests.evaluation.conftest import HOSTILE, Fake, random_scores
from tfvertical import evaluation
from tfvertical.contracts import Examples
from tfvertical.errors import BundleError
from tfvertical.report import FILES, Report
from tfvertical.reporting import html
from tfvertical.reporting.markdown import escape

Build = Callable[..., tuple[Fake, Examples, np.ndarray]]


class _Page(HTMLParser):
    """Every tag and attribute of a page, and its text."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def _full(build: Build, classes: int = 4, rows: int = 200, **options: Any) -> Report:
    task, examples, y_true = build(classes, rows, **options)
    return evaluation.evaluate(
        task,
        examples,
        before=random_scores(rows, classes, y_true, 0, seed=8),
        overlap=[1, 2],
        baselines={f"simple {HOSTILE}": random_scores(rows, classes, y_true, 1, seed=9)},
        history={"loss": [1.0, 0.5, float("nan")], "val_loss": [1.1, 0.7, 0.6], "accuracy": [0.5, 0.6, 0.7]},
        resamples=50,
    )


def test_saved_whole_and_loaded_equal(build: Build, tmp_path: Path) -> None:
    report = _full(build)
    folder = report.save(tmp_path / "report")
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    for path in (folder, folder / "report.json"):
        assert json.dumps(Report.load(path).to_json()) == json.dumps(report.to_json())
    assert str(Report.load(folder)) == str(report)
    assert html.page(Report.load(folder)) == (folder / "report.html").read_text()


def test_a_filled_folder_is_kept_unless_told(build: Build, tmp_path: Path) -> None:
    report = _full(build)
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(BundleError, match="not empty"):
        report.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    report.save(tmp_path / "sub")
    report.save(tmp_path / "sub", overwrite=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "There is no report"),
        ("{", "is not JSON"),
        ("[]", "schema_version None"),
        ('{"schema_version": 99}', "schema_version 99"),
        ('{"schema_version": 1, "rows": 3}', "missing or unknown: baselines"),
    ],
)
def test_what_is_not_a_report_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(BundleError, match=message):
        Report.load(tmp_path)


def test_page_runs_and_loads_nothing_whatever_the_texts(build: Build) -> None:
    labels = (HOSTILE, '"><img src=x onerror=alert(1)>', "</title></svg></style><script>", "$x^2$ \x1b[31m日本語")
    report = _full(build, labels=labels)
    raw = html.page(report)
    page = _Page(raw)
    assert "script" not in page.tags and "iframe" not in page.tags and "link" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    outside = [value for name, value in page.attributes if name in ("src", "href", "srcset", "action", "data")]
    assert all(value and value.startswith("data:image/png;base64,") for value in outside)
    assert not re.search(r"@import|url\(", raw)
    assert "default-src 'none'" in raw
    for label in labels[:3]:
        assert label in page.text  # shown as it stands
    assert page.tags.count("svg") == 8  # F1, differences, matrix, reliability, ROC, PR, two of training


def test_markdown_shows_texts_as_they_stand(build: Build, tmp_path: Path) -> None:
    report = _full(build, labels=(HOSTILE, "a|b", "# not a title", "1. no list"))
    folder = report.save(tmp_path / "r")
    for name in ("report.md", "model_card.md"):
        tokens = MarkdownIt("gfm-like", {"linkify": False}).parse((folder / name).read_text())
        inner = [child for token in tokens for child in token.children or []]
        kinds = {token.type for token in tokens} | {child.type for child in inner}
        assert not kinds & {"html_block", "html_inline", "link_open", "image", "code_inline", "strong_open"}
        heads = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]
        assert "not a title" not in " ".join(heads)
        assert "<script>alert(1)</script>" in "".join(child.content for child in inner)


@pytest.mark.parametrize("text", [HOSTILE, "a\nb|c", "\\", "https://x.y/z_w", "&lt;", "~~x~~ ![i](j) <!-- -->"])
def test_escaped_text_round_trips_through_markdown(text: str) -> None:
    (_, inline, _) = MarkdownIt("gfm-like", {"linkify": False}).parse(escape(text))
    shown = "".join(child.content for child in inline.children or [])
    assert shown == " ".join(text.split()).replace("\u202e", "\N{REPLACEMENT CHARACTER}")


def test_terminal_table_is_compact_and_cannot_be_steered(build: Build) -> None:
    text = str(_full(build, labels=("\x1b[2J", "[bold]x[/bold]", "日本語", "d")))
    assert "\x1b" not in text and "[bold]x[/bold]" in text
    assert "macro F1" in text and "before adaptation" in text and "2 rows were in the training data too" in text
    assert len(text.splitlines()) < 45


def test_no_examples_leaves_no_text_anywhere(build: Build, tmp_path: Path) -> None:
    task, examples, _ = build(3, 80, text="CONFIDENTIAL")
    report = evaluation.evaluate(task, examples, show_examples=False, resamples=20)
    folder = report.save(tmp_path / "r")
    everything = "".join(path.read_text() for path in folder.iterdir()) + str(report)
    assert "CONFIDENTIAL" not in everything
    assert set(report.errors[0]) == {"id", "true", "predicted", "score", "true_score"}
    assert report.data["rejected"] == 1 and report.data["warnings"][0]["count"] == 2
    shown = evaluation.evaluate(task, examples, resamples=20).save(tmp_path / "shown")
    assert all("CONFIDENTIAL" in (shown / name).read_text() for name in ("report.json", "report.md", "report.html"))


def test_77_classes_stay_readable(build: Build) -> None:
    task, examples, _ = build(77, 1500, skill=3)
    report = evaluation.evaluate(task, examples, resamples=50)
    page = html.page(report)
    assert "The 20 labels with the most confusions, of 77" in page
    assert "All 77 labels" in page
    assert len(page) < 400_000
    pairs = report.confused_pairs()
    assert len(pairs) == 15 and [p["count"] for p in pairs] == sorted((p["count"] for p in pairs), reverse=True)
    assert all(pair["true"] != pair["predicted"] for pair in pairs)
    assert "weakest 12 labels" in str(report)


def test_a_perfect_score_and_a_bare_report_have_pages_too(build: Build, tmp_path: Path) -> None:
    task, examples, _ = build(2, 30, skill=50)
    perfect = evaluation.evaluate(task, examples, resamples=20)
    assert perfect.metrics["accuracy"] == 1 and not perfect.errors
    assert "No row was predicted wrongly" in perfect.save(tmp_path / "a").joinpath("report.md").read_text()
    Report(rows=2, labels=("a", "b"), metrics={"accuracy": 0.5}).save(tmp_path / "b")


def test_half_a_surrogate_pair_does_not_break_saving(build: Build, tmp_path: Path) -> None:
    task, examples, _ = build(2, 30, skill=0, text="broken \ud83d escape")
    evaluation.evaluate(task, examples, resamples=20).save(tmp_path / "r")


def test_notebooks_frame_the_page(build: Build) -> None:
    framed = _Page(_full(build)._repr_html_())
    assert framed.tags == ["iframe"]
    assert dict(framed.attributes)["srcdoc"].startswith("<!doctype html>")  # type: ignore[union-attr]


def test_the_documentation_runs(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (root / "docs" / "evaluation.md").read_text(), re.DOTALL)
    exec(code, {})
    assert (tmp_path / "report" / "report.html").is_file()
