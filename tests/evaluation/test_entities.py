"""Entity scores are seqeval's, and every error is told once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfvertical.codecs.entities import EntityCodec, best_tags, runs
from tfvertical.evaluating import entities

NAMES = ("PER", "LOC", "ORG")
CODEC = EntityCodec(NAMES)


def drawn(seed, lengths, strength=1.0):
    """Tag ids of two annotators who agree sometimes: true and found, and where sentences end."""
    random = np.random.default_rng(seed)
    splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    scores = random.dirichlet(np.full(len(CODEC.tags), 0.3), splits[-1])
    true = best_tags(scores, splits)
    found = best_tags(scores + strength * random.dirichlet(np.full(len(CODEC.tags), 0.3), splits[-1]), splits)
    return true, found, splits


def as_tags(ids, splits):
    return [[CODEC.tags[at] for at in ids[a:b]] for a, b in itertools.pairwise(splits)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 12), min_size=1, max_size=12))
def test_scores_are_seqeval_s(seed, lengths):
    from seqeval.metrics.v1 import classification_report
    from seqeval.scheme import IOB2

    true, found, splits = drawn(seed, lengths)
    mine = entities.counts(runs(true, splits), runs(found, splits), len(NAMES), splits).sum(axis=1)
    if not mine[2].any():
        return
    theirs = classification_report(
        as_tags(true, splits), as_tags(found, splits), scheme=IOB2, output_dict=True, zero_division=0
    )
    got = entities.scores(mine)
    for name in ("precision", "recall", "f1"):
        assert got[name] == pytest.approx(theirs["micro avg"]["f1-score" if name == "f1" else name], abs=1e-12)
    assert got["macro_f1"] == pytest.approx(theirs["macro avg"]["f1-score"], abs=1e-12)
    for row in entities.per_type(mine, NAMES):
        if row["label"] in theirs:
            assert row["f1"] == pytest.approx(theirs[row["label"]]["f1-score"], abs=1e-12)
            assert row["support"] == theirs[row["label"]]["support"]
        else:
            assert not row["support"] and not row["found"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 12), min_size=1, max_size=12))
def test_errors_add_up(seed, lengths):
    true, found, splits = drawn(seed, lengths, strength=2.0)
    marked, got = runs(true, splits), runs(found, splits)
    hit, right = entities.matched(marked, got)
    assert hit.sum() == right.sum()
    said = entities.errors(marked, got)
    assert sorted({other for _, _, other in said if other >= 0}) == np.flatnonzero(~right).tolist()
    assert sorted(number for _, number, _ in said if number >= 0) == np.flatnonzero(~hit).tolist()
    assert {kind for kind, _, _ in said} <= set(entities.KINDS)
    for kind, one, other in said:
        a = None if one < 0 else tuple(int(part[one]) for part in marked)
        b = None if other < 0 else tuple(int(part[other]) for part in got)
        words = [set() if each is None else set(range(each[0], each[1])) for each in (a, b)]
        if kind == "missed":
            assert not any(words[0] & set(range(s, e)) for s, e, _ in zip(*got, strict=True))
        elif kind == "spurious":
            assert not any(words[1] & set(range(s, e)) for s, e, _ in zip(*marked, strict=True))
        elif kind == "extra":
            beside = [number for number, (s, e, _) in enumerate(zip(*marked, strict=True)) if words[1] & {*range(s, e)}]
            assert beside and not hit[beside].any()
            assert other not in [found for each, number, found in said if number >= 0]
        else:
            assert words[0] & words[1]
            assert (kind == "wrong_type") == (a[:2] == b[:2])
            assert (kind == "wrong_border") == (a[2] == b[2])
    relaxed = entities.overlaps(marked, got)
    strict = entities.scores(entities.counts(marked, got, len(NAMES), splits).sum(axis=1))
    assert relaxed["overlap_f1"] >= float(strict["f1"]) - 1e-12


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 12), min_size=1, max_size=12))
def test_words_are_counted_by_type_whatever_their_borders(seed, lengths):
    true, found, splits = drawn(seed, lengths)
    places = np.stack([np.arange(splits[-1]), np.arange(splits[-1]) + 1], axis=1)
    counted = entities.of_words(runs(true, splits), runs(found, splits), places, len(NAMES))
    one, other = (true + 1) // 2 - 1, (found + 1) // 2 - 1
    expected = [
        [int(((each == kind) & keep).sum()) for kind in range(3)]
        for each, keep in ((one, one == other), (other, True), (one, True))
    ]
    assert counted.tolist() == expected
    told = entities.word_scores(counted)
    right, got, marked = map(sum, expected)
    assert told["token_precision"] == (right / got if got else 0) and told["token_recall"] == (
        right / marked if marked else 0
    )


def test_a_second_wrong_entity_over_one_that_is_marked_is_told_of():
    marked = tuple(np.array([at]) for at in (0, 9, 0))
    got = tuple(np.array(each) for each in ([0, 4, 8], [2, 6, 12], [0, 0, 1]))
    assert entities.errors(marked, got) == [("wrong_border", 0, 0), ("extra", -1, 1), ("extra", -1, 2)]


def test_nothing_marked_or_nothing_found():
    nothing = tuple(np.zeros(0, np.int64) for _ in range(3))
    one = tuple(np.array([at]) for at in (1, 3, 0))
    splits = np.array([0, 4])
    assert entities.errors(nothing, one) == [("spurious", -1, 0)]
    assert entities.errors(one, nothing) == [("missed", 0, -1)]
    assert entities.counts(one, nothing, 3, splits).sum(axis=(1, 2)).tolist() == [0, 0, 1]
    assert float(entities.scores(entities.counts(nothing, nothing, 3, splits).sum(axis=1))["f1"]) == 0.0
    assert entities.overlaps(nothing, one) == {"overlap_f1": 0.0, "overlap_precision": 0.0, "overlap_recall": 0.0}
