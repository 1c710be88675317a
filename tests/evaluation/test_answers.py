"""Answers are scored as SQuAD v2's rules say, written a second time here, one question after another."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.contenders import squad_rules as rules
from tests.core import tiny
from tfvertical.codecs import answers as codec
from tfvertical.codecs.pairs import Pair
from tfvertical.codecs.tagging import Span
from tfvertical.evaluating import answer_report, answers


def drawn(count, seed=0):
    found, right, no_answer = rules.drawn(count, seed)
    return found, right, np.array(no_answer)


def test_ten_thousand_answers():
    found, right, no_answer = drawn(10_000)
    got = answers.per_question(found, right)
    exact, f1 = rules.scores(found, right)
    np.testing.assert_array_equal(got["exact"], exact)
    np.testing.assert_allclose(got["f1"], f1, atol=1e-15)
    told = answers.summary(got, right)
    has = [bool(each) for each in right]
    assert told["exact"] == pytest.approx(100 * sum(exact) / 10_000)
    assert told["has_answer_f1"] == pytest.approx(100 * sum(np.array(f1)[has]) / sum(has))
    assert told["no_answer_total"] == 10_000 - sum(has)
    for threshold in (-1.0, 0.0, 0.3, 1.0):
        kept = answers.answered(got["f1"], right, no_answer, threshold)
        rule = [float(not one) if p > threshold else s for s, one, p in zip(f1, right, no_answer, strict=True)]
        np.testing.assert_allclose(kept, rule, atol=1e-15)


@pytest.mark.parametrize("seed", range(5))
def test_the_best_threshold(seed):
    found, right, no_answer = drawn(300, seed)
    no_answer = no_answer + np.linspace(0, 1e-6, 300)  # no two alike, so that each question is a threshold of its own
    scores = answers.per_question(found, right)["f1"]
    best, threshold = answers.best_threshold(scores, found, right, no_answer)
    top, at = rules.best(scores, found, right, no_answer)
    assert best == pytest.approx(100 * top / 300) and threshold == at
    reached = 100 * float(answers.answered(scores, right, no_answer, threshold).mean())
    assert reached >= best - 1e-9  # more where an article alone, which counts as no answer, is given and none is right


def test_special_cases():
    assert codec.normalized("A an THE.") == "" and codec.f1("the", "a") == 1.0 and codec.f1("the", "x") == 0.0
    assert answers.per_question([""], [["the"]])["exact"].tolist() == [1.0]  # an answer of nothing but an article
    assert answers.best_threshold(np.array([0.0]), ["x"], [[]], np.array([0.5])) == (100.0, 0.0)


@pytest.mark.parametrize(
    ("sure", "answerable", "expected"),
    [
        ([40.0] * 6 + [30.0] * 6, [True] * 6 + [False] * 6, 35.0),
        ([40.0] * 6 + [50.0] * 6, [True] * 6 + [False] * 6, 50.5),  # answering none is as good, and is told first
        ([-40.0] * 6 + [-50.0] * 6, [False] * 6 + [True] * 6, 0.0),  # none, and 0 already says so
        ([40.0] * 9 + [50.0] * 5, [True] * 9 + [False] * 5, 0.0),  # all
        ([-40.0] * 9 + [-30.0] * 5, [True] * 9 + [False] * 5, -40.5),
        ([40.0] * 9 + [30.0] * 4, [True] * 9 + [False] * 4, 0.0),  # too few without an answer
        ([40.0] * 4 + [30.0] * 9, [True] * 4 + [False] * 9, 0.0),  # too few with one
        ([40.0] * 9, [True] * 9, None),
    ],
)
def test_a_threshold_at_an_open_end_is_the_one_nearest_0(sure, answerable, expected):
    task = SimpleNamespace(labels=("answer",), codec=codec.AnswerCodec())
    labels = [(Span(0, 4, "answer"),) if each else () for each in answerable]
    asked = tiny.labelled([Pair("what", "card lost")] * len(sure), labels)
    scores = np.concatenate([np.float32([[0, 0], [each, 0], [-99, -99]]) for each in sure])
    assert answer_report.best_threshold(task, asked, scores) == expected
