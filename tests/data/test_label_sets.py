"""Sets of labels from cells, lists and columns of zeros and ones; bad ones are named by file and row."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tfvertical import data
from tfvertical.errors import ConfigError, DataError

SETS = {"target": "labels"}


def test_a_cell_holds_several_and_an_empty_one_none(tmp_path: Path):
    (tmp_path / "a.csv").write_text("text,label\none,late|rude\ntwo,\nthree, rude \nfour,thanks\n")
    found = data.load(tmp_path / "a.csv", **SETS)
    assert found.labels == [("late", "rude"), (), ("rude",), ("thanks",)]
    assert data.label_names(found) == ("late", "rude", "thanks")
    (tmp_path / "b.csv").write_text("text,label\none,late; rude\ntwo,late\n")
    assert data.load(tmp_path / "b.csv", separator=";", **SETS).labels == [("late", "rude"), ("late",)]
    with pytest.raises(ConfigError, match="separator is empty"):
        data.load(tmp_path / "b.csv", separator="", **SETS)


def test_another_separator_is_worth_a_look(tmp_path: Path):
    (tmp_path / "a.csv").write_text("text,label\none,late;rude\ntwo,thanks\nthree,\n")
    found = data.load(tmp_path / "a.csv", **SETS).report.warnings
    assert [(each.kind, each.count, each.ids) for each in found if each.kind == "separator"] == [
        ("separator", 1, ("a.csv:2",))
    ]
    assert "separator=';'?" in next(each.message for each in found if each.kind == "separator")
    right = data.load(tmp_path / "a.csv", separator=";", **SETS)
    assert "separator" not in {each.kind for each in right.report.warnings}


def test_lists_and_arrays(tmp_path: Path):
    lines = [{"text": "a", "label": ["x", "y"]}, {"text": "b", "label": []}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert data.load(tmp_path / "a.jsonl", **SETS).labels == [("x", "y"), ()]
    assert data.load((["a", "b"], [["y", "x"], ("x",)]), **SETS).labels == [("x", "y"), ("x",)]
    assert data.load((["a", "b"], [b"y|x", [b"x"]]), **SETS).labels == [("x", "y"), ("x",)]
    hot = np.array([[1, 0], [0, 0]])
    assert data.load((["a", "b"], hot), labels=["x", "y"], **SETS).labels == [("x",), ()]
    assert data.load((["a", "b"], [[1, 1], (False, 1.0)]), labels=["x", "y"], **SETS).labels == [("x", "y"), ("y",)]
    assert data.load((["a", "b"], [[1, 0], [0]]), labels=["0", "1"], **SETS).labels == [("0", "1"), ("0",)]  # names


def test_a_column_a_label(tmp_path: Path):
    (tmp_path / "a.csv").write_text("text,toxic,insult\none,1,0\ntwo,0,0\nthree,yes,TRUE\n")
    found = data.load(tmp_path / "a.csv", label=["toxic", "insult"], **SETS)
    assert found.labels == [("toxic",), (), ("insult", "toxic")]
    (tmp_path / "a.csv").write_text("text,toxic,insult\none,1,0\ntwo,2,0\nthree,,1\nfour,1,1\n")
    with pytest.raises(
        DataError, match=r"a.csv:3: 'toxic' is '2', neither 0 nor 1(.|\n)*a.csv:4: whether 'toxic' appl"
    ):
        data.load(tmp_path / "a.csv", label=["toxic", "insult"], **SETS)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (None, "the labels are missing; write an empty"),
        (float("nan"), "the labels are missing"),
        (3, "a list of labels is wanted"),
        (["x", "x"], "stands there twice: x, x"),
        (["x", None], "the label is missing"),
        (["z"], r"the label 'z' is unknown"),
        (b"caf\xe9", "the labels are not utf-8"),
        ([b"caf\xe9"], "the label is not utf-8"),
        ({"x": 1}, "of type dict"),
    ],
)
def test_what_is_no_set_is_named(label: object, words: str):
    with pytest.raises(DataError, match=rf"arrays:1(.|\n)*{words}"):
        data.load((["a", "b"], [["x"], label]), labels=["x", "y"], **SETS)
    kept = data.load((["a", "b"], [["x"], label]), labels=["x", "y"], policy="skip", **SETS)
    assert kept.report.kept == 1 and kept.report.read == 2


def test_nothing_to_tell_apart():
    with pytest.raises(DataError, match="no label applies"):
        data.load((["a", "b"], [[], []]), **SETS)
    with pytest.raises(DataError, match=r"only 'x' applies(.|\n)*separator"):
        data.load((["a", "b"], [["x"], []]), **SETS)
    assert data.load((["a", "b"], [[], []]), labels=["x", "y"], **SETS).labels == [(), ()]


def test_splits_share_out_the_rarest_label():
    labels = [["often"] + ["rare"] * (at % 5 == 0) for at in range(50)]
    parts = data.split(data.load(([f"t{at}" for at in range(50)], labels), **SETS), {"train": 0.5, "test": 0.5})
    assert [sum("rare" in row for row in part.labels) for part in parts.values()] == [5, 5]
