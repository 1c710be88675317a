"""Questions and answers from SQuAD's files, tables and lines; answers that do not stand in the context are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfvertical import data
from tfvertical.codecs.pairs import Pair
from tfvertical.codecs.tagging import Span
from tfvertical.errors import ConfigError, DataError

CONTEXT = "The rent is due by 6 May. The rent is 900 EUR."
KIND = {"kind": "pair", "target": "answers"}


def _squad(path: Path, *asked: dict[str, Any], context: Any = CONTEXT) -> Path:
    path.write_text(
        json.dumps({"version": "v2.0", "data": [{"title": "a", "paragraphs": [{"context": context, "qas": asked}]}]})
    )
    return path


def _asked(name: str = "q1", answers: Any = (), **more: Any) -> dict[str, Any]:
    return {"id": name, "question": "When is it due?", "answers": list(answers)} | more


def test_a_file_of_squad(tmp_path: Path):
    due = {"text": "6 May", "answer_start": 19}
    path = _squad(
        tmp_path / "dev.json",
        _asked("q1", [due, due, {"text": "by 6 May", "answer_start": 16}]),
        _asked("q2", is_impossible=True, plausible_answers=[due]),
    )
    found = data.load(path, **KIND)
    assert found.inputs == [Pair("When is it due?", CONTEXT)] * 2 and found.ids == ["dev.json:q1", "dev.json:q2"]
    assert found.labels == [(Span(19, 24, "answer"), Span(16, 24, "answer")), ()]
    assert data.label_names(found) == ("answer",)
    assert data.load(path, label=None, **KIND).labels is None


def test_lines_tables_and_lists(tmp_path: Path):
    lines = [
        {"q": "When?", "c": CONTEXT, "answers": {"text": ["6 May"], "answer_start": [19]}},
        {"q": "Who?", "c": CONTEXT, "answers": {"text": [], "answer_start": []}},
        {"q": "How much?", "c": CONTEXT, "answers": [{"text": "900 EUR"}]},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = data.load(tmp_path / "a.jsonl", text=["q", "c"], label="answers", **KIND)
    assert [[(span.start, span.end) for span in row] for row in found.labels] == [[(19, 24)], [], [(38, 45)]]
    (tmp_path / "a.csv").write_text(f"q,c,label\nWhen?,{CONTEXT},6 May\nWho?,{CONTEXT},\n")
    assert [len(row) for row in data.load(tmp_path / "a.csv", text=["q", "c"], **KIND).labels] == [1, 0]
    lists = data.load(([("When?", CONTEXT), ("Who?", CONTEXT)], ["6 May", []]), **KIND)
    assert lists.labels == [(Span(19, 24, "answer"),), ()]


def test_answers_as_tensorflow_gives_them():
    texts, starts = np.array([b"6 May"], object), np.array([19], np.int32)
    given = [{"text": texts, "answer_start": starts}, b"6 May", [{"text": b"6 May"}], b""]
    found = data.load(([("When?", CONTEXT)] * 4, given), **KIND)
    assert found.labels == [(Span(19, 24, "answer"),)] * 3 + [()]
    for answer in (b"caf\xe9", [{"text": b"caf\xe9"}]):
        with pytest.raises(DataError, match=r"arrays:1: .* not utf-8"):
            data.load(([("When?", CONTEXT)] * 2, [b"6 May", answer]), **KIND)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([{"text": "7 May", "answer_start": 19}], "'7 May' does not stand in the context at 19"),
        ([{"text": "6 May", "answer_start": 18}], "at 18; it stands at 19"),
        ([{"text": "6 May", "answer_start": -1}], "at -1; it stands at 19"),
        ([{"text": "6 May", "answer_start": 19.0}], "stands at 19.0; a whole number"),
        ([{"text": "6 May", "answer_start": True}], "a whole number"),
        ([{"text": "", "answer_start": 0}], "does not stand"),
        ([{"answer_start": 0}], "text and answer_start are wanted"),
        ([{"text": "The rent"}], "stands in the context 2 times; give its place"),
        (["6 May"], "text and answer_start are wanted"),
        (None, "the answers are missing"),
        (7, "a list of answers is wanted"),
        ({"text": ["6 May"], "answer_start": []}, "1 texts of answers and 0 places"),
        ("nowhere", "'nowhere' does not stand in the context"),
    ],
)
def test_an_answer_that_does_not_stand_there_is_named(tmp_path: Path, answers: Any, words: str):
    good = _asked("q0", [{"text": "6 May", "answer_start": 19}])
    path = _squad(tmp_path / "dev.json", good, {"id": "q1", "question": "When?", "answers": answers})
    with pytest.raises(DataError, match=rf"dev.json:q1(.|\n)*{words}"):
        data.load(path, **KIND)
    kept = data.load(path, policy="skip", **KIND)
    assert (kept.report.read, kept.report.kept) == (2, 1) and kept.ids == ["dev.json:q0"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "the file has another form"),
        ('{"data": 3}', "the file has another form"),
        ('{"data": [{"paragraphs": [3]}]}', r"data\[0\].paragraphs\[0\] has another form"),
        ('{"data": [{"paragraphs": [{"context": "a", "qas": [3]}]}]}', r"qas\[0\] has another form"),
        ("{", "is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"data": []}', "has no rows"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: str, words: str):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=words):
        data.load(tmp_path / "a.json", **KIND)


def test_a_missing_context_or_question_is_named(tmp_path: Path):
    path = _squad(tmp_path / "a.json", _asked(), {"id": "q2", "answers": []}, context=None)
    with pytest.raises(
        DataError, match=r"a.json:q1: the second text is missing(.|\n)*a.json:q2: the first text is miss"
    ):
        data.load(path, **KIND)
    with pytest.raises(DataError, match="read as questions"):
        data.load(path)
    with pytest.raises(ConfigError, match="Answers are of kind 'pair'"):
        data.load(path, target="answers")


def test_questions_of_one_name_are_told_apart(tmp_path: Path):
    path = _squad(tmp_path / "a.json", _asked("q", [{"text": "6 May", "answer_start": 19}]), _asked("q"))
    assert data.load(path, **KIND).ids == ["a.json:q", "a.json:q:2"]
