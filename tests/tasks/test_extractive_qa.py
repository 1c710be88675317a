"""Answers in texts of any length: which positions are marked, which window tells, what is learned, what a file says."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfvertical as tv
from tests.core import tiny
from tfvertical import jobs
from tfvertical.codecs.alignment import Sentence
from tfvertical.codecs.pairs import Pair
from tfvertical.codecs.tagging import Span
from tfvertical.errors import ConfigError, DataError
from tfvertical.objectives.span_cross_entropy import SpanCrossEntropy
from tfvertical.runtime import Answerer, Predictor
from tfvertical.tasks._metrics import SpanAccuracy


def _one(context: str, answer: str | None, question: str = "the card") -> tv.Examples:
    start = context.index(answer) if answer else 0
    label = (Span(start, start + len(answer), "answer"),) if answer else ()
    return tiny.labelled([Pair(question, context)], [label])


def test_the_first_piece_of_the_first_and_last_word_is_marked():
    task = tiny.answer_task(layers=1)
    encoded = task.encode(_one("very good card never", "good card"))
    ids = encoded.columns["token_ids"].take(np.arange(1), None)[0]
    assert [tiny.VOCABULARY[at] for at in ids] == [
        "[CLS]",
        "the",
        "card",
        "[SEP]",
        *["very", "good", "card", "never"],
        "[SEP]",
    ]
    assert encoded.labels.take(np.arange(1), None).tolist() == [[0, -1, -1, -1, 0, 1, 2, 0, -1]]
    assert encoded.units.column.take(np.arange(1), None).tolist() == [[0, -1, -1, -1, 1, 2, 3, 4, -1]]
    assert encoded.units.splits.tolist() == [0, 5]
    none = task.encode(_one("very good", None)).labels.take(np.arange(1), None)
    assert none.tolist() == [[3, -1, -1, -1, 0, 0, -1]]
    one = task.encode(_one("very good", "good")).labels.take(np.arange(1), None)
    assert one.tolist() == [[0, -1, -1, -1, 0, 3, -1]]
    assert task.truth(_one("very good card", "good card")).tolist() == [[1, 2]]
    assert task.truth(_one("very good card", None)).tolist() == [[-1, -1]]


@pytest.mark.parametrize("words", [1, 17, 18, 19, 40, 200])
def test_every_word_is_told_of_by_one_window(words: int):
    task = tiny.answer_task(layers=1)
    context = " ".join(tiny.WORDS[at % 10] for at in range(words))
    encoded = task.encode(tiny.labelled([Pair("the card", context), Pair("was", "good")], None))
    taken = encoded.units.column.take(np.arange(len(encoded)), 24)
    told = taken[taken >= 0]
    counted = np.bincount(told, minlength=words + 3)
    windows = int((encoded.rows == 0).sum())
    assert counted[0] == windows and counted[words + 1] == 1  # "there is none", once a window
    assert (np.delete(counted, [0, words + 1]) == 1).all()
    np.testing.assert_allclose(np.bincount(encoded.rows, encoded.weights), 1, rtol=1e-6)
    assert encoded.lengths.max() <= 24 and encoded.truncated == 0


def test_an_answer_is_marked_in_each_window_that_holds_all_of_it():
    task = tiny.answer_task(layers=1)
    context = " ".join(["the"] * 30 + ["good", "card"] + ["the"] * 30)
    encoded = task.encode(_one(context, "good card"))
    labels = encoded.labels.take(np.arange(len(encoded)), 24)
    ids = encoded.columns["token_ids"].take(np.arange(len(encoded)), 24)
    good, card = (tiny.VOCABULARY.index(word) for word in ("good", "card"))
    whole = 0
    for row, marks in zip(ids, labels, strict=True):
        body = row[4:]
        if good in body and card in body:
            whole += 1
            assert marks[0] == 0 and marks[4:][body == good] == 1 and marks[4:][body == card] == 2
        else:
            assert marks[0] == 3 and (marks[1:] <= 0).all()
    assert whole >= 1


def test_an_answer_that_no_window_holds_whole_is_counted_and_taught_as_no_missing_one():
    task = tiny.answer_task(layers=1)
    context = " ".join(["the"] * 33 + ["good"] * 19 + ["the"] * 30)
    encoded = task.encode(_one(context, " ".join(["good"] * 19)))
    ids, good = encoded.columns["token_ids"].take(np.arange(len(encoded)), 24), tiny.VOCABULARY.index("good")
    touched = (ids == good).any(axis=1)
    assert encoded.truncated == 1 and touched.sum() > 1 and not touched.all()
    assert encoded.weights.dtype == np.float32 and ((encoded.weights == 0) == touched).all()
    whole = task.encode(_one(context, "good good"))
    assert whole.truncated == 0 and (whole.weights > 0).all()


def test_the_loss_is_the_mean_of_two_cross_entropies_over_words():
    draw = np.random.default_rng(0)
    logits = draw.normal(0, 2, (2, 6, 2)).astype(np.float32)
    labels = np.array([[0, -1, 0, 1, 2, -1], [3, -1, 0, 0, -1, -1]])
    found = SpanCrossEntropy().loss(tf.constant(logits), tf.constant(labels)).numpy()
    expected = []
    for row, begin, end in ((0, 3, 4), (1, 0, 0)):
        here = labels[row] >= 0
        total = [np.log(np.exp(logits[row, here, side]).sum()) for side in (0, 1)]
        expected.append((total[0] - logits[row, begin, 0] + total[1] - logits[row, end, 1]) / 2)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    far = np.full((2, 6, 2), -50, np.float32)
    far[0, 3, 0] = far[0, 4, 1] = far[1, 0] = 50
    far[:, [1, 5]] = 99  # no words
    assert SpanCrossEntropy().loss(tf.constant(far), tf.constant(labels)).numpy() == pytest.approx([0, 0])
    metric = SpanAccuracy()
    metric.update_state(labels, far)
    assert float(metric.result()) == 1
    far[0, 4, 1], far[0, 2, 1] = 0, 9
    metric.update_state(labels, far)
    assert float(metric.result()) == 0.75


def test_it_learns_and_leaves_what_has_no_answer():
    task = tiny.answer_task(layers=1, body_dropout=0.0, dropout=0.0)
    options: dict[str, Any] = {"epochs": 20, "batch_size": 8, "learning_rate": 0.02, "verbose": 0}
    task.fit(tiny.questions(240), tiny.questions(60, seed=1), adaptation=tv.FullFineTuning(), **options)
    test = tiny.questions(80, seed=2)
    report = task.evaluate(test, resamples=50)
    assert report.kind == "answers" and report.metrics["f1"] > 0.8, report
    assert {row["label"]: row["support"] for row in report.per_class} == {"with an answer": 60, "without one": 20}
    assert report.metrics["f1"] == pytest.approx(task.quality(test, task.scores(test)))
    assert "F1, with an answer" in str(report) and report.intervals["f1"][0] <= report.metrics["f1"]


def test_the_threshold_is_chosen_by_validation_data_and_saved(tmp_path: Path):
    task = tiny.answer_task(layers=1)
    options: dict[str, Any] = {"epochs": 1, "batch_size": 8, "verbose": 0}
    every = tiny.questions(40)
    with_answer = every.take([at for at in range(40) if at % 4])
    task.fit(every, with_answer, **options)
    assert task.threshold is None and all(each.text for each in task.predict(every.inputs))
    task.fit(every, tiny.questions(40, seed=1), **options)
    assert task.threshold is not None
    task.threshold = 1e9
    assert not any(each.text for each in task.predict(every.inputs))
    task.save(tmp_path / "qa")
    assert tv.load(tmp_path / "qa").threshold == 1e9


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match=r"max_question is 20(.|\n)*lower max_question to 13"):
        tiny.answer_task(layers=1, max_question=20)
    task = tiny.answer_task(layers=1)
    with pytest.raises(DataError, match="two texts are wanted"):
        task.predict(["good card"])
    with pytest.raises(ConfigError, match="label_smoothing and focal are for labels"):
        task.fit(tiny.questions(8), label_smoothing=0.1, verbose=0)
    with pytest.raises(ConfigError, match="class_weight is for labels"):
        task.fit(tiny.questions(8), class_weight="balanced", verbose=0)


def test_a_long_question_is_cut_and_counted():
    task = tiny.answer_task(layers=1)
    encoded = task.encode(tiny.labelled([Pair("the " * 30, "good card"), Pair("the", "good")], None))
    assert encoded.truncated == 1 and encoded.lengths.max() == 1 + 8 + 1 + 2 + 1


def test_a_report_without_examples_keeps_answers_back():
    task = tiny.answer_task(layers=1)
    report = task.evaluate(tiny.questions(12), resamples=10, show_examples=False)
    assert all(row["true"] == row["predicted"] == "…" and "text" not in row for row in report.errors)


def test_a_report_cuts_long_questions_and_answers_and_can_be_saved(tmp_path: Path):
    task = tiny.answer_task(layers=1, most_words=2000)
    task.threshold = None
    context = "card \ud83d " + "good " * 2000
    asked = [Pair("the \ud83d " + "the " * 5000, context), Pair("was", context)]
    labels = [(Span(7, 7 + 8000, "answer"),), ()]
    report = task.evaluate(tiny.labelled(asked, labels), resamples=10)
    assert len(report.errors) == 2
    for row in report.errors:
        assert all(len(value) <= 420 for value in row.values() if isinstance(value, str)), row
        assert row["text"].startswith(("the ? the", "was ⏐ ")) and "⏐" in row["text"]
    report.save(tmp_path / "report")


def test_questions_in_a_table_are_answered_by_the_command(tmp_path: Path):
    task = tiny.answer_task(layers=1)
    task.threshold = None
    task.save(tmp_path / "qa")
    (tmp_path / "a.csv").write_text("question,context,q,c\nthe card,very good card,,\nwas,,the card,bad card\n")
    found = list(jobs.predict(tmp_path / "qa", str(tmp_path / "a.csv")))
    assert [set(row) for row in found] == [{"id", "answer", "start", "end", "score"}, {"id", "error"}]
    assert "very good card"[found[0]["start"] : found[0]["end"]] == found[0]["answer"]
    found = list(jobs.predict(tmp_path / "qa", str(tmp_path / "a.csv"), text="q, c"))
    assert [set(row) for row in found] == [{"id", "error"}, {"id", "answer", "start", "end", "score"}]
    (tmp_path / "b.json").write_text(
        json.dumps({"data": [{"paragraphs": [{"context": "good card", "qas": [{"id": 7, "question": "the"}]}]}]})
    )
    assert [row["id"] for row in jobs.predict(tmp_path / "qa", str(tmp_path / "b.json"))] == ["b.json:7"]


@pytest.mark.slow
def test_a_file_answers_as_the_task_does(tmp_path: Path):
    task = tiny.answer_task(layers=1)
    examples = tiny.questions(60, seed=3)
    task.threshold = None
    task.save(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the converter's own
        folder = task.export(tmp_path, "litert", length=[20, 24], examples=examples)
    answerer = Answerer(folder)
    items = [*examples.inputs, Pair("the", "good card " * 30), Pair("the " * 30, "never came")]
    scores = task.scores(tiny.labelled(items, None))
    found = np.concatenate([answerer.scores(*item) for item in items])
    np.testing.assert_allclose(found, scores, atol=1e-4)
    told = task.predict(items)
    for ours, theirs in zip(told, answerer.predict(items), strict=True):
        assert (ours.text, ours.start, ours.end) == (theirs.text, theirs.start, theirs.end)
    golden = [json.loads(line) for line in (folder / "golden.jsonl").read_text().splitlines()]
    assert len(golden) >= 50 and any(len(line.get("windows", ())) > 2 for line in golden)
    for line in golden:
        (again,) = answerer.predict([line["texts"]])
        assert (again.text, again.start, again.end) == (line["answer"], line["start"], line["end"])
        assert line["texts"][1][again.start : again.end] == again.text
    with pytest.raises(tv.errors.BundleError, match="Answerer"):
        Predictor(folder)
    assert len(Sentence.of(items[-2].second).places) == 60
