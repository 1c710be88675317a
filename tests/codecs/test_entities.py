"""Tags to entities as seqeval has them, and decoding that equals trying everything."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfvertical.codecs.entities import EntityCodec, best_tags, runs
from tfvertical.codecs.tagging import Span, spans
from tfvertical.errors import ConfigError, DataError

CODEC = EntityCodec(["PER", "LOC"])


def allowed(tags):
    return all(
        tag == 0 or tag % 2 or (before is not None and before in (tag, tag - 1))
        for before, tag in zip([None, *tags], tags, strict=False)
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 5), min_size=1, max_size=5))
def test_decoding_finds_the_best_of_all_allowed_sequences(seed, lengths):
    splits = np.concatenate([[0], np.cumsum(lengths)])
    scores = np.random.default_rng(seed).dirichlet(np.full(5, 0.3), splits[-1]).astype(np.float32)
    found = best_tags(scores, splits)
    logs = np.log(np.maximum(scores, np.finfo(np.float32).tiny))
    for first, last in itertools.pairwise(splits):
        words = range(first, last)
        best = max(
            (sum(logs[word, tag] for word, tag in zip(words, tags, strict=True)), tags)
            for tags in itertools.product(range(5), repeat=len(words))
            if allowed(tags)
        )
        mine = tuple(found[first:last])
        assert allowed(mine)
        assert sum(logs[word, tag] for word, tag in zip(words, mine, strict=True)) == pytest.approx(best[0], abs=1e-4)


def test_decoding_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch):
    lengths = np.random.default_rng(0).integers(0, 30, 200)
    splits = np.concatenate([[0], np.cumsum(lengths)])
    scores = np.random.default_rng(1).dirichlet(np.full(5, 0.3), splits[-1])
    whole = best_tags(scores, splits)
    monkeypatch.setattr("tfvertical.codecs.entities._AT_ONCE", 300)
    np.testing.assert_array_equal(best_tags(scores, splits), whole)
    assert best_tags(np.zeros((0, 5)), np.array([0, 0, 0])).shape == (0,)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), max_size=8), min_size=1, max_size=6))
def test_runs_are_seqeval_s_entities_in_strict_mode(sentences):
    from seqeval.scheme import IOB2, Entities

    splits = np.concatenate([[0], np.cumsum([len(tags) for tags in sentences])]).astype(int)
    flat = np.array([tag for tags in sentences for tag in tags], int)
    theirs = Entities([[CODEC.tags[tag] for tag in tags] for tags in sentences], IOB2).entities
    expected = [
        (splits[number] + each.start, splits[number] + each.end, each.tag)
        for number, found in enumerate(theirs)
        for each in found
    ]
    mine = [(start, end, CODEC.names[kind]) for start, end, kind in zip(*runs(flat, splits), strict=True)]
    assert mine == expected


def test_there_and_back():
    tags = ["O", "B-PER", "I-PER", "B-PER", "O", "B-LOC"]
    ids = CODEC.encode(6, spans(tags, "iob2"))
    assert [CODEC.tags[at] for at in ids] == tags and ids.dtype == np.int32
    text, places = "a bb c d e f", np.array([[0, 1], [2, 4], [5, 6], [7, 8], [9, 10], [11, 12]])
    found = CODEC.entities(text, places, ids, np.array([1, 0.5, 1, 0.9, 1, 0.8]))
    assert [(each.text, each.label, each.start, each.end, each.score) for each in found] == [
        ("bb c", "PER", 2, 6, 0.75),
        ("d", "PER", 7, 8, pytest.approx(0.9)),
        ("f", "LOC", 11, 12, pytest.approx(0.8)),
    ]


def test_names_that_cannot_be():
    for names in ("PER", [], ["A", "A"], ["A", " "], [1]):
        with pytest.raises(ConfigError):
            EntityCodec(names)
    with pytest.raises(DataError, match=r"a.tsv:3: the task knows no entities of type 'LOK'(.|\n)*LOC"):
        CODEC.encode(2, [Span(0, 1, "LOK")], "a.tsv:3")
