"""Words stand where their characters do."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tfvertical.codecs.text import JOINERS, Normalizer
from tfvertical.codecs.words import joined, split

ALIKE = Normalizer(lowercase=False, strip_accents=False)


def pieces(text, cuts=()):
    return [text[start:end] for start, end in split(text, cuts)]


def test_words_of_several_scripts():
    assert pieces("APC2 (a homologue) isn't") == ["APC2", "(", "a", "homologue", ")", "isn", "'", "t"]
    assert pieces("नमस्ते दुनिया") == ["नमस्ते", "दुनिया"]
    assert pieces("cafe\u0301 au\u00a0lait") == ["cafe\u0301", "au", "lait"]
    assert pieces("病院で🙂") == ["病", "院", "で🙂"]
    assert pieces(" \t\n") == []


def test_cuts_inside_words():
    assert pieces("non-smoker2020 x", [4, 10, 14]) == ["non", "-", "smoker", "2020", "x"]
    assert pieces("ab", [0, 2, 99]) == ["ab"]


def test_no_word_begins_or_ends_with_what_nobody_sees():
    assert pieces("\ufeffRome \u200bis\u200b") == ["Rome", "is"]
    assert pieces("\x0cWilson's\x0c \ue000\U000f0000") == ["Wilson", "'", "s"]
    assert pieces("Ro\u00adme\u200e\u00ad.\ufffd") == ["Ro\u00adme", "."]
    assert pieces("Ro\u00ad\u00adme", [2, 3, 4]) == ["Ro", "me"]
    assert pieces("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 a\u200d") == [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "a\u200d",
    ]


@given(st.text(max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_nothing_is_lost_and_the_normalizer_sees_the_same_words(text, cuts):
    places = split(text, cuts)
    assert (places[:, 0] < places[:, 1]).all() and (places[1:, 0] >= places[:-1, 1]).all()
    covered = np.zeros(len(text), bool)
    for start, end in places:
        covered[start:end] = True
    assert all(text[at].isspace() or ALIKE(text[at]) == "" for at in np.flatnonzero(~covered))
    assert all(covered[at] for at, c in enumerate(text) if not c.isspace() and (ALIKE(c) or c in JOINERS))
    if not cuts:
        one_by_one = " ".join(filter(None, (ALIKE(text[start:end]) for start, end in places)))
        assert one_by_one == ALIKE(text)


@given(st.lists(st.text(min_size=1, max_size=5), max_size=6))
def test_joined(words):
    text, places = joined(words)
    assert [text[start:end] for start, end in places] == words and places.shape == (len(words), 2)
