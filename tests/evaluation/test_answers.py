"""Answers are scored as SQuAD v2's rules say, written a second time here, one question after another."""

from __future__ import annotations

import random
import re
import string
from types import SimpleNamespace

import numpy as np
import pytest

from tests.core import tiny
from tfvertical.codecs import answers as codec
from tfvertical.codecs.pairs import Pair
from tfvertical.codecs.tagging import Span
from tfvertical.evaluating import answer_report, answers

WORDS = ["the", "a", "An", "bank's", "Paris,", "1,000", "£5", "of", "(head)", "office", "yes."]
WORDS += ["THE", "century-old", "rätsel", "銀行", "it's"]


def plain(text):
    kept = "".join(character for character in text.lower() if character not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()


def rule_f1(one, other):
    one, other = plain(one), plain(other)
    if not one or not other:
        return float(one == other)
    left, common = list(other), 0
    for word in one:
        if word in left:
            left.remove(word)
            common += 1
    return 0.0 if not common else 2 * common / (len(one) + len(other))


def drawn(count, seed=0):
    """Answers of all kinds: right, nearly, wrong, none where there is one, some where there is none, only articles."""
    draw = random.Random(seed)

    def text():
        return " ".join(draw.choices(WORDS, k=draw.randint(1, 6)))

    right = [[text() for _ in range(draw.randint(1, 3))] if draw.random() < 0.6 else [] for _ in range(count)]
    found = []
    for each in right:
        kind = draw.random()
        same = draw.choice(each) if each else ""
        found.append(same if kind < 0.4 else f"{same} {text()}" if kind < 0.6 else "" if kind < 0.8 else text())
    return found, right, np.array([round(draw.random(), 2) for _ in range(count)])


def test_ten_thousand_answers():
    found, right, no_answer = drawn(10_000)
    got = answers.per_question(found, right)
    sides = [[each for each in some if plain(each)] or [""] for some in right]
    exact = [max(float(plain(one) == plain(each)) for each in side) for one, side in zip(found, sides, strict=True)]
    f1 = [max(rule_f1(one, each) for each in side) for one, side in zip(found, sides, strict=True)]
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
    # as the script goes: from nothing answered, one more question at a time
    now = top = float(sum(not each for each in right))
    at = 0.0
    for row in np.argsort(no_answer):
        now += scores[row] if right[row] else -1 if found[row] else 0
        if now > top:
            top, at = now, float(no_answer[row])
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
