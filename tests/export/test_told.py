"""What exports measured stands with the evaluation: on a page beside them, and in every form of a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tfvertical as tv
from tfvertical import bundle
from tfvertical.contracts import Examples
from tfvertical.export import _summary
from tfvertical.report import Report
from tfvertical.reporting import exported, html, markdown

TEXTS = ["the card never arrived", "card", "the the never", "arrived 12 .", "a b c"]


@pytest.fixture
def judged(text_classifier: Any, monkeypatch: Any) -> Any:
    """The task with a report of its own."""
    rows = [f"row:{at}" for at in range(30)]
    test = Examples(TEXTS * 6, [text_classifier.labels[at % 3] for at in range(30)], rows)
    monkeypatch.setattr(text_classifier, "report", text_classifier.report)  # put back afterwards
    text_classifier.evaluate(test, resamples=10)
    return text_classifier


def test_a_page_beside_the_exports_shows_the_evaluation_and_what_they_measured(tmp_path: Path, judged: Any):
    judged.save(tmp_path)
    sealed = bundle.verify(tmp_path).hash
    judged.export(tmp_path)
    page = (tmp_path / "exports" / "report.html").read_text()
    assert "<h2>Exports</h2>" in page and "litert-float32" in page and "30 rows" in page
    judged.export(tmp_path, precision="dynamic", examples=Examples(TEXTS * 20, None, [str(at) for at in range(100)]))
    page = (tmp_path / "exports" / "report.html").read_text()
    assert "litert-float32" in page and "litert-dynamic" in page and "100 given" in page
    assert bundle.verify(tmp_path).hash == sealed and len(bundle.exports(tmp_path)) == 2


def test_without_an_evaluation_there_is_no_page(tmp_path: Path, text_classifier: Any):
    text_classifier.save(tmp_path)
    text_classifier.export(tmp_path)
    assert [each.name for each in (tmp_path / "exports").iterdir() if each.is_file()] == ["README.md"]


def test_every_form_of_a_report_shows_exports(tmp_path: Path, judged: Any):
    judged.save(tmp_path)
    judged.export(tmp_path, length=[4, 8], examples=["card", "the card never"])
    report = exported.renew(tmp_path, bundle.verify(tmp_path).hash)
    assert report is not None and not judged.report.exports
    (row,) = report.exports
    assert row["name"] == "litert-float32" and not row["stale"] and set(row["milliseconds"]) == {"4", "8"}
    assert row["bytes"] == (tmp_path / "exports" / "litert-float32" / "model.tflite").stat().st_size
    for shown in (str(report), markdown.report(report), html.page(report)):
        assert "litert" in shown and "(8 tokens)" in shown.replace("\\", "")
    assert Report.load(report.save(tmp_path / "again")) == report
    assert "## Exports" not in markdown.report(judged.report) and "<h2>Exports</h2>" not in html.page(judged.report)


def test_an_export_of_an_earlier_bundle_is_said_so(tmp_path: Path, judged: Any):
    judged.save(tmp_path)
    judged.export(tmp_path)
    (row,) = _summary.rows(tmp_path / "exports", "another")
    assert row["stale"] and "of an earlier bundle" in _summary.cells(row)[0][0]
    assert _summary.rows(tmp_path / "none") == []


def test_the_table_beside_exports_says_so_too(tmp_path: Path, text_classifier: Any):
    text_classifier.export(tmp_path, bundle_hash="one")
    text_classifier.export(tmp_path, "saved_model", bundle_hash="two")
    written = (tmp_path / "exports" / "README.md").read_text()
    assert "| litert-float32 (of an earlier bundle) |" in written and written.count("earlier") == 1
    told = json.loads((tmp_path / "exports" / "saved_model-float32" / "parity.json").read_text())
    assert told["milliseconds"].keys() == {"process"} and told["milliseconds"]["process"]["p50"] > 0
    (line,) = (line for line in written.splitlines() if line.startswith("| saved_model"))
    assert line.endswith(" ms (the process' threads) |") and "| – | " in line


@pytest.mark.parametrize(
    "wrong", [{"milliseconds": {"1": None}}, {"drop": "much"}, {"bytes": None}, {"by_length": [1]}]
)
def test_a_neighbour_that_makes_no_sense_is_only_named(tmp_path: Path, text_classifier: Any, wrong: dict[str, Any]):
    folder = text_classifier.export(tmp_path)
    told = json.loads((folder / "parity.json").read_text())
    (folder / "parity.json").write_text(json.dumps(told | wrong))
    (row,) = _summary.rows(tmp_path / "exports")
    assert _summary.cells(row)[1:] == [["–"]] * 8


def test_a_report_of_another_version_fails_no_export(tmp_path: Path, judged: Any):
    judged.save(tmp_path)
    path = tmp_path / "bundle" / "report" / "report.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 99}))
    (tmp_path / "exports").mkdir()
    assert exported.renew(tmp_path, None) is None and not list((tmp_path / "exports").iterdir())


def test_the_page_is_written_for_people_with_a_script(tmp_path: Path, judged: Any):
    judged.save(tmp_path)
    tv.load(tmp_path).export(tmp_path)
    assert (tmp_path / "exports" / "report.html").is_file()
