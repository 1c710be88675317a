"""The normalizer: what every tokenizer of ours reads."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfvertical.codecs.text import Normalizer, is_cjk, is_punctuation, table

UNCASED = Normalizer(lowercase=True, strip_accents=True)
CASED = Normalizer()
PLAIN = Normalizer(words=False)
ALL = [UNCASED, CASED, PLAIN, Normalizer(lowercase=True), Normalizer(strip_accents=True), Normalizer(cjk=False)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("   ", ""),
        ("The card never arrived.", "the card never arrived ."),
        ("Café naïve ÅNGSTRÖM", "cafe naive angstrom"),
        ("cafe\u0301", "cafe"),
        ("tab\tline\r\nno-break\u00a0ideographic\u3000end", "tab line no - break ideographic end"),
        ("nul\0bell\x07zero\u200bwidth\ufeff", "nulbellzerowidth"),
        ("re\ufffdplaced pri\ue000vate \U000f0000\U0010ffff", "replaced private"),
        ("中文card", "中 文 card"),
        ("[SEP] </s>", "[ sep ] < / s >"),
        ("ΟΔΥΣΣΕΥΣ İstanbul", "οδυσσευσ istanbul"),
        ("👨\u200d👩\u200d👧", "👨👩👧"),
        ("lone\ud800surrogate", "lonesurrogate"),
        ("한글", unicodedata.normalize("NFD", "한글")),
    ],
)
def test_uncased(text: str, expected: str) -> None:
    assert UNCASED(text) == expected


def test_cased_keeps_case_and_accents() -> None:
    assert CASED("Café [SEP]\0!") == "Café [ SEP ] !"


def test_plain_keeps_spacing_joiners_and_punctuation() -> None:
    assert PLAIN("A  b,\tc\u200cd\0\u200b\n") == "A  b, c\u200cd "


def test_only_ascii_symbols_and_unicode_punctuation_are_words() -> None:
    assert all(is_punctuation(c) for c in "!$+<>^`|~«—。")
    assert not any(is_punctuation(c) for c in "aZ0 €\u0301中\x00\x7f")
    assert is_cjk(ord("中")) and not is_cjk(ord("あ"))


@given(st.text())
def test_normalizing_twice_changes_nothing(text: str) -> None:
    for normalizer in ALL:
        once = normalizer(text)
        assert normalizer(once) == once
        assert not any(unicodedata.category(c) in ("Cc", "Co", "Cs") for c in once)


@given(st.text(), st.text())
def test_it_has_no_context(left: str, right: str) -> None:
    assert PLAIN(left + right) == PLAIN(left) + PLAIN(right)
    assert UNCASED(left + " " + right).split() == UNCASED(left).split() + UNCASED(right).split()


@pytest.mark.parametrize("normalizer", ALL)
def test_the_table_says_the_same(normalizer: Normalizer) -> None:
    known = table(normalizer)
    assert {a.dtype for a in (known.pages, known.codes, known.extras)} == {np.dtype(np.int32)}
    codes = [*range(0x3400), *range(0x4DB0, 0x4E10), *range(0xABF0, 0xAC20), *range(0xF8F0, 0x10400), 0x1F600, 0x10FFFF]
    for code in codes:
        entry = int(known.codes[known.pages[code >> 8] * 256 + (code & 255)])
        kind, value = entry & 3, entry >> 2
        if kind == 3:
            row = known.extras[value]
            found = "".join(chr(c) for c in row[row >= 0])
        else:
            found = ["" if kind == 1 else chr(code + value), "", f" {chr(code + value)} "][kind]
        assert found == normalizer.replacement(code), hex(code)
