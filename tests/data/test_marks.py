"""Two places of a text, marked in what a model reads; each row that has none is told."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfvertical as tv
from tfvertical import config
from tfvertical.codecs.marking import marked
from tfvertical.data._stream import stream
from tfvertical.errors import ConfigError, DataError

TEXT = "Aspirin causes headaches."
MARKED = "@ Aspirin @ causes # headaches #."


def rows(*places: Any) -> dict[str, list[Any]]:
    return {
        "text": [TEXT] * len(places),
        "head": [place[0] for place in places],
        "tail": [place[1] for place in places],
        "label": [f"label {at}" for at in range(len(places))],
    }


def source(kind: str, folder: Path, columns: dict[str, list[Any]]) -> Any:
    frame = pandas.DataFrame(columns)
    path = folder / f"rows.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in frame.to_dict("records")))
    elif kind == "parquet":
        frame[["tail", "label", "head", "text"]].to_parquet(path)  # in another order
    else:
        return frame
    return path


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "frame"])
def test_both_places_are_marked_whatever_the_source(tmp_path: Path, kind: str):
    lists = kind != "csv"
    columns = rows(([0, 7], [15, 24]), ([15, 24], [0, 7])) if lists else rows(("0:7", "15-24"), ("15:24", "0:7"))
    found = tv.data.load(source(kind, tmp_path, columns), spans=["head", "tail"])
    assert found.inputs == [MARKED, "# Aspirin # causes @ headaches @."]
    assert found.labels == ["label 0", "label 1"] and found.report.kept == 2


def test_predicting_reads_the_same_columns(tmp_path: Path):
    columns = rows(({"start": 0, "end": 7}, {"start": 15, "end": 24}), ({"start": 0, "end": 7}, None))
    found = list(stream(source("jsonl", tmp_path, columns), spans=["head", "tail"]))
    assert found[0].value == MARKED and "second place is missing" in found[1].fault


@pytest.mark.parametrize(
    ("places", "words"),
    [
        (([0, 7], [15, 99]), r"the place 15…99 \('second'\) lies outside the 25 characters"),
        (([0, 0], [15, 24]), "or is empty"),
        (([0, 7], [5, 9]), "the places 0…7 and 5…9 overlap"),
        (([0, 7], [14, 24]), "begins or ends with white space"),
        (([0, 7], None), "the second place is missing"),
        (([0, 7], [1, 2, 3]), r"the second place is .* start and end are wanted"),
        (([0, 7], [True, 3]), "start and end are wanted"),
        (([0, 7], "from 15"), "start and end are wanted"),
        (([-1, 7], [15, 24]), "lies outside"),
    ],
)
def test_a_row_without_two_places_is_told(tmp_path: Path, places: Any, words: str):
    path = source("jsonl", tmp_path, rows(([0, 7], [15, 24]), places, ([0, 7], [8, 14])))
    with pytest.raises(DataError, match=words) as caught:
        tv.data.load(path, spans=["head", "tail"])
    assert "rows.jsonl:2" in str(caught.value)
    kept = tv.data.load(path, spans=["head", "tail"], policy="skip")
    assert kept.report.kept == 2 and len(kept.report.rejected) == 1


def test_cells_as_tables_write_them(tmp_path: Path):
    path = source("csv", tmp_path, rows(([0, 7], (15, 24)), ("[0,7]", "15 - 24")))  # lists, as pandas writes them
    assert tv.data.load(path, spans=["head", "tail"]).inputs == [MARKED, MARKED]
    empty = source("csv", tmp_path, rows(([0, 7], [15, 24]), ([0, 7], " "), ([0, 7], [8, 14])))
    with pytest.raises(DataError, match="the second place is missing"):
        tv.data.load(empty, spans=["head", "tail"])


@pytest.mark.parametrize("cell", [" " * 50_000 + "x", "(" + " " * 50_000 + "x", "0:7" + " " * 50_000 + "x"])
def test_a_cell_of_spaces_takes_no_time(cell: str):
    begun = time.process_time()
    with pytest.raises(DataError, match="the first place is"):
        tv.data.mark(TEXT, cell, (15, 24))
    assert time.process_time() - begun < 2


def test_the_column_at_fault_is_named_and_the_row_is_kept_for_correction(tmp_path: Path):
    path = source("jsonl", tmp_path, rows(([0, 7], [15, 24]), ([0, 7], [15, 99]), ([0, 99], [8, 14])))
    kept = tv.data.load(
        path, spans=["head", "tail"], policy="quarantine", quarantine=tmp_path / "bad.jsonl", labels=["label 0"]
    )
    assert [fault.column for fault in kept.report.rejected] == ["tail", "head"]
    first = json.loads((tmp_path / "bad.jsonl").read_text().splitlines()[0])
    assert first["spans"] == "([0, 7], [15, 99])" and first["input"] == TEXT


def test_rows_of_one_text_stay_together_whatever_is_marked(tmp_path: Path):
    texts = [f"Aspirin causes headaches, {at}." for at in range(20) for _ in range(3)]
    places = [([0, 7], [15, 24]), ([15, 24], [0, 7]), ([0, 7], [8, 14])] * 20
    columns = rows(*places) | {"text": texts, "label": [f"label {at % 3}" for at in range(60)]}
    examples = tv.data.load(source("frame", tmp_path, columns), spans=["head", "tail"])
    assert len(set(examples.inputs)) == 60 and not examples.report.warnings
    parts = tv.data.split(examples, {"train": 0.5, "test": 0.5})
    plain = [{item.plain for item in part.inputs} for part in parts.values()]
    assert plain[0].isdisjoint(plain[1]) and len(plain[0]) + len(plain[1]) == 20
    assert len(tv.data.overlap(examples.take([0]), examples)) == 3
    own = tv.data.load(
        ([tv.data.mark(text, *place) for text, place in zip(texts, places, strict=True)], columns["label"])
    )
    assert own.inputs == examples.inputs and len(tv.data.overlap(own.take([0]), own)) == 3


def test_a_run_file_s_spans_are_checked_with_the_task(tmp_path: Path):
    source("jsonl", tmp_path, rows(([0, 7], [15, 24]), ([0, 7], [8, 14])))
    text = "task: {name: NAME, preset: minilm_l6_v2}\ndata: {train: rows.jsonl, spans: SPANS}\n"
    for name, spans in (
        ("TextClassifier", "[head]"),
        ("TokenClassifier", "[head, tail]"),
        ("ImageClassifier", "[a, b]"),
    ):
        (tmp_path / "run.yaml").write_text(text.replace("NAME", name).replace("SPANS", spans))
        with pytest.raises(ConfigError, match=r"data\.spans: expected two columns of places in a text"):
            config.load(tmp_path / "run.yaml")
    (tmp_path / "run.yaml").write_text(text.replace("NAME", "TextClassifier").replace("SPANS", "[head, tail]"))
    assert config.load(tmp_path / "run.yaml").data.load["spans"] == ["head", "tail"]


def test_what_cannot_be_asked_for(tmp_path: Path):
    path = source("jsonl", tmp_path, rows(([0, 7], [15, 24]), ([0, 7], [8, 14])))
    for options in ({"spans": ["head"]}, {"spans": "head"}, {"spans": ["head", "tail"], "target": "entities"}):
        with pytest.raises(ConfigError, match="two columns of places"):
            tv.data.load(path, **options)
    with pytest.raises(ConfigError, match="two columns of places"):
        tv.data.load(path, kind="pair", spans=["head", "tail"])
    with pytest.raises(DataError, match=r"no column 'hed'(.|\n)*head"):
        tv.data.load(path, spans=["hed", "tail"])
    with pytest.raises(DataError, match="the places are missing"):
        tv.data.load(([TEXT, TEXT], ["a", "b"]), spans=["head", "tail"])


def test_marking_a_text_of_one_s_own():
    assert tv.data.mark(TEXT, (0, 7), (15, 24)) == MARKED
    assert tv.data.mark(TEXT, {"start": 0, "end": 7}, "15:24") == MARKED
    with pytest.raises(DataError, match="the text is missing"):
        tv.data.mark(None, (0, 7), (15, 24))
    for first, second in (((0, 99), (15, 24)), ((0, 7), (3, 9)), ((0, 7), None)):
        with pytest.raises(DataError, match="place"):
            tv.data.mark(TEXT, first, second)
    with pytest.raises(DataError, match="cuts the character"):
        tv.data.mark("cafe\u0301 bar", (0, 4), (6, 9))


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ((0, 4), (2, 6), "0…4 and 2…6 overlap"),
        ((2, 6), (0, 4), "0…4 and 2…6 overlap"),
        ((0, 9), (2, 6), "the 6 characters"),
        ((-2, 2), (3, 6), "lies outside"),
        ((0, 2), (3, 3), "is empty"),
    ],
)
def test_places_that_cannot_be_marked_are_told_without_tensorflow_too(
    first: tuple[int, int], second: tuple[int, int], words: str
):
    with pytest.raises(DataError, match=words):
        marked("abcdef", first, second)
    assert marked("abcdef", (0, 4), (4, 6)) == "@ abcd @# ef #"


@given(st.text(min_size=4), st.data())
def test_nothing_but_the_signs_is_added(text: str, data: st.DataObject):
    one, two, three, four = sorted(data.draw(st.lists(st.integers(0, len(text)), min_size=4, max_size=4, unique=True)))
    found = marked(text, (one, two), (three, four))
    assert found == f"{text[:one]}@ {text[one:two]} @{text[two:three]}# {text[three:four]} #{text[four:]}"
