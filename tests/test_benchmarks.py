"""The benchmarks run, in a tiny form; their figures are not looked at here."""

from __future__ import annotations

import re

import pytest


@pytest.mark.real
@pytest.mark.shared
@pytest.mark.slow
def test_quality_runs(shared_data, capsys):
    from benchmarks import quality

    table = quality.main(("banking77_head",), seeds=(0,), smoke=True)
    assert re.search(r"^quality: ratio=0\.\d+  range=0\.0000  quality=0/1  target=1\.0000$", table, re.MULTILINE)
