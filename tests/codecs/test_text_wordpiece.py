"""WordPiece without TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest

from tfvertical.codecs.wordpiece import WordPiece

VOCABULARY = ["[PAD]", "[UNK]", "un", "##aff", "##able", "##a", "a", "able", "é", "##é", ".", "x", "##x"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("unaffable .", [2, 3, 4, 10]),
        ("a able unz", [6, 7, 1]),
        ("z", [1]),
        ("éé", [8, 9]),
        ("x" * 100, [11] + [12] * 99),
        ("x" * 101, [1]),
        ("é" * 51, [1]),  # 51 characters, 102 bytes
    ],
)
def test_the_longest_piece_first(text: str, expected: list[int]) -> None:
    ids = WordPiece(VOCABULARY)(text)
    assert ids.dtype == np.int32
    assert ids.tolist() == expected


def test_a_word_is_cut_the_same_way_each_time() -> None:
    pieces = WordPiece(VOCABULARY)
    assert pieces("unaffable unaffable").tolist() == [2, 3, 4, 2, 3, 4]


def test_words_that_are_longer_than_any_known_are_not_remembered() -> None:
    pieces = WordPiece(VOCABULARY)
    for number in range(30):
        assert pieces(f"a {number}{'x' * 100_000}").tolist() == [6, 1]
    assert list(pieces._remembered) == ["a"]


def test_the_unknown_piece_must_exist() -> None:
    with pytest.raises(ValueError, match=r"\[UNK\]"):
        WordPiece(["a"])
