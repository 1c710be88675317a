"""The evaluation that stands in a bundle, and what the exports beside it measured, on one page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tfvertical.errors import BundleError
from tfvertical.export import _summary
from tfvertical.files import write_text
from tfvertical.report import Report
from tfvertical.reporting import html

NAME = "report.html"


def renew(path: Path, bundle_hash: str | None) -> Report | None:
    """Write `<path>/exports/report.html`; the report that it shows, or None where the bundle has none that can be read.

    The bundle's own pages stay as they were sealed, before there was an export.

    Args:
        path: the folder that holds `bundle/` and `exports/`.
        bundle_hash: of that bundle.
    """
    inner = path / "bundle" / "report"
    if not (inner / "report.json").is_file():
        return None
    try:
        found = Report.load(inner)
    except BundleError:  # of another version: no reason to fail an export that is written
        return None
    report = replace(found, exports=_summary.rows(path / "exports", bundle_hash))
    write_text(path / "exports" / NAME, html.page(report))
    return report
