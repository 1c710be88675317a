"""Every word has one window that answers for it, with as much around it as there is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfvertical.codecs.alignment import Sentence, answering, windows
from tfvertical.codecs.tagging import Span
from tfvertical.errors import DataError


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=200), st.integers(9, 60))
def test_windows_hold_whole_words_and_every_word_has_its_own(counts, room):
    counts = np.array(counts, int)
    found = windows(counts, room)
    assert [w for each in found for w in range(each.own_first, each.own_last)] == list(range(len(counts)))
    for each in found:
        assert each.first <= each.own_first <= each.own_last <= each.last
        assert counts[each.first : each.last].sum() <= room
    for one, other in itertools.pairwise(found):
        assert one.first < other.first <= one.last < other.last
    if counts.sum() <= room:
        assert len(found) == 1
    for every in (True, False):
        word = np.concatenate([answering(each, counts, every) for each in found])
        assert sorted(set(word[word >= 0])) == np.flatnonzero(counts).tolist()
        if not every:
            assert len(word[word >= 0]) == (counts > 0).sum()
    assert all(len(answering(each, counts, True)) == counts[each.first : each.last].sum() for each in found)


def test_context_on_both_sides():
    found = windows(np.ones(1000, int), 100)
    inner = [word for each in found for word in range(each.own_first, each.own_last) if 20 < word < 980]
    by_word = {word: each for each in found for word in range(each.own_first, each.own_last)}
    assert min(min(word - by_word[word].first, by_word[word].last - word) for word in inner) >= 11
    assert len(found) <= 14


def test_sentences():
    sentence = Sentence.of("Wilson's disease, no fever.")
    assert sentence.words == ["Wilson", "'", "s", "disease", ",", "no", "fever", "."]
    assert sentence.in_words([Span(0, 16, "A"), Span(21, 26, "B")]) == (Span(0, 4, "A"), Span(6, 7, "B"))
    assert Sentence.of("abcdef", [2]).in_words([Span(0, 2, "A")]) == (Span(0, 1, "A"),)
    assert Sentence.of("abcdef").in_words([Span(0, 2, "A")]) == (Span(0, 1, "A"),)
    assert Sentence.of([]).places.shape == Sentence.of("").places.shape == (0, 2)
    for wrong in (3, ["a", 3], None):
        with pytest.raises(DataError, match="in a text or in a list of words"):
            Sentence.of(wrong)
