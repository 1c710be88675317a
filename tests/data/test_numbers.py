"""Numbers from tables, lists and frames; bad ones are named by file and row."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfvertical import data
from tfvertical.errors import ConfigError, DataError

NUMBERS = {"target": "numbers"}


def test_one_column_or_several(tmp_path: Path):
    (tmp_path / "a.csv").write_text("text,price,age\nsmall,12.5,3\nlarge, 1e3 ,-4\n")
    one = data.load(tmp_path / "a.csv", label="price", **NUMBERS)
    assert one.labels == [(12.5,), (1000.0,)] and one.ids == ["a.csv:2", "a.csv:3"]
    two = data.load(tmp_path / "a.csv", label=["price", "age"], labels=["price", "age"], **NUMBERS)
    assert two.labels == [(12.5, 3.0), (1000.0, -4.0)]
    assert data.label_names(two) == ()
    parts = data.split(two, {"train": 0.5, "test": 0.5})
    assert [len(part) for part in parts.values()] == [1, 1]


def test_lists_arrays_frames_and_lines(tmp_path: Path):
    import pandas

    texts = ["a", "b"]
    for given in ([1, 2.5], np.array([1, 2.5]), np.array([[1], [2.5]]), [(1,), [2.5]]):
        assert data.load((texts, given), **NUMBERS).labels == [(1.0,), (2.5,)]
    assert data.load((texts, np.array([[1, 2], [3, 4]])), **NUMBERS).labels == [(1.0, 2.0), (3.0, 4.0)]
    frame = pandas.DataFrame({"text": texts, "x": [1, 2], "y": [0.5, 0.25]})
    assert data.load(frame, label=["x", "y"], **NUMBERS).labels == [(1.0, 0.5), (2.0, 0.25)]
    frame.to_parquet(tmp_path / "a.parquet")
    assert data.load(tmp_path / "a.parquet", label=["y", "x"], **NUMBERS).labels == [(0.5, 1.0), (0.25, 2.0)]
    lines = "".join(json.dumps({"text": text, "x": [1, 2]}) + "\n" for text in texts)
    (tmp_path / "a.jsonl").write_text(lines)
    assert data.load(tmp_path / "a.jsonl", label="x", **NUMBERS).labels == [(1.0, 2.0)] * 2


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("", "the number 'price' is missing"),
        (" ", "the number 'price' is missing"),
        ("cheap", "the number 'price' is 'cheap', no number"),
        ('"12,5"', "write a point for the comma"),
        ("nan", "the number 'price' is 'nan', no number"),
        ("1e999", "not a finite number"),
        ("-1e31", "not a finite number of at most"),
    ],
)
def test_a_cell_that_is_no_number_is_named(tmp_path: Path, cell: str, words: str):
    (tmp_path / "a.csv").write_text(f"text,price\nsmall,1\nlarge,{cell}\nmiddle,2\n")
    with pytest.raises(DataError, match=rf"a.csv:3(.|\n)*{words}"):
        data.load(tmp_path / "a.csv", label="price", labels=["price"], **NUMBERS)
    kept = data.load(tmp_path / "a.csv", label="price", labels=["price"], policy="skip", **NUMBERS)
    assert (kept.report.read, kept.report.kept, len(kept.report.rejected)) == (3, 2, 1)
    assert kept.report.rejected[0].column == "price"


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (None, "is missing"),
        (float("nan"), "is missing"),
        (float("inf"), "not a finite number"),
        pytest.param(10**400, "not a finite number", id="long"),
        (True, "of type bool"),
        ((1, 2), "2 numbers where 1 are wanted"),
        ((), "0 numbers where 1 are wanted"),
        ({"a": 1}, "of type dict"),
        ([[1]], "of type list"),
    ],
)
def test_a_label_that_is_no_number_is_named(label: object, words: str):
    with pytest.raises(DataError, match=rf"arrays:1(.|\n)*{words}"):
        data.load((["a", "b"], [1.0, label]), labels=["price"], **NUMBERS)


@pytest.mark.parametrize("asked", [{"label": "price", **NUMBERS}, {"time": "price", "label": None}])
def test_a_long_cell_takes_no_time(tmp_path: Path, asked: dict[str, Any]):
    cells = ["1", "9" * 50_000 + "x", "9" * 50_000 + ",5", "2"]
    (tmp_path / "a.csv").write_text("text;price\n" + "".join(f"text {cell[:2]};{cell}\n" for cell in cells))
    begun = time.process_time()
    found = data.load(tmp_path / "a.csv", delimiter=";", policy="skip", **asked)
    assert found.report.kept == 2 and time.process_time() - begun < 2


def test_columns_that_are_not_there_and_several_for_a_name(tmp_path: Path):
    (tmp_path / "a.csv").write_text("text,price,ages\nsmall,1,2\n")
    with pytest.raises(DataError, match=r"no column 'age'(.|\n)*ages(.|\n)*label='…'"):
        data.load(tmp_path / "a.csv", label=["price", "age"], **NUMBERS)
    with pytest.raises(ConfigError, match="several are for target 'labels' and 'numbers'"):
        data.load(tmp_path / "a.csv", label=["price", "ages"])
    with pytest.raises(ConfigError, match="one column"):
        data.load(tmp_path / "a.csv", label=[], **NUMBERS)


def test_numbers_that_never_change_are_worth_a_look():
    found = data.load((["a", "b", "c"], [2.0, 2.0, 2.0]), **NUMBERS)
    assert [each.kind for each in found.report.warnings] == ["constant"]
    assert not data.load((["a", "b", "c"], [2.0, 2.0, 2.5]), **NUMBERS).report.warnings
    torn = data.load((["a", "a", "c"], [1.0, 2.0, 2.5]), **NUMBERS)
    assert [each.kind for each in torn.report.warnings] == ["duplicate", "conflicting_label"]
