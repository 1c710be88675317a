"""One normalizer in front of every tokenizer, so that training, the exported graph and the phone read the same text.

It is a map from each code point to what stands in its place, without context. That is what makes it cheap (Python's
`str.translate`), and exactly repeatable in a TensorFlow graph, which looks the same map up in a table (`Table`)
instead of relying on another library's idea of Unicode.
"""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass

import numpy as np

JOINERS = "\u200c\u200d"  # they change the word in Persian and Hindi, and join emoji

# Planes without a single assigned character are left as they are; the private ones are dropped without looking.
_UNASSIGNED = range(0x40000, 0xE0000)
_PRIVATE = range(0xF0000, 0x110000)
_CJK = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


@dataclass(frozen=True)
class Normalizer:
    """Texts as tokenizers expect them: no control characters, one kind of space, and case and accents by choice.

    Args:
        lowercase: lower-case every character by itself (a final sigma becomes a plain one).
        strip_accents: decompose and drop combining marks: `Café` becomes `Cafe`.
        words: put spaces around punctuation and drop joiners, which is the WordPiece way: what spaces separate are
            words. Without it, spacing and joiners stay as they are, for tokenizers that look at them.
        cjk: with `words`, make every Chinese character a word.

    Example:
        >>> Normalizer(lowercase=True, strip_accents=True)("Crème\\tbrûlée, s'il vous plaît!")
        "creme brulee , s ' il vous plait !"
    """

    lowercase: bool = False
    strip_accents: bool = False
    words: bool = True
    cjk: bool = True

    def __call__(self, text: str) -> str:
        """`text` normalized. With `words`, the words are separated by exactly one space."""
        mapped = text.translate(_mapping(self))
        return " ".join(mapped.split()) if self.words else mapped

    def replacement(self, code: int) -> str:
        """What stands in the place of one code point; may be empty, or several characters with spaces around."""
        character = chr(code)
        category = unicodedata.category(character)
        if character in "\t\n\r" or category in ("Zs", "Zl", "Zp"):
            return " "
        if code == 0xFFFD or code in _PRIVATE or category in ("Cc", "Co", "Cs"):
            return ""
        if category == "Cf":
            return character if character in JOINERS and not self.words else ""
        text = character
        if self.strip_accents:
            text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
        if self.lowercase:
            text = "".join(c.lower() for c in text)
        if self.words:
            if self.cjk and is_cjk(code):
                return f" {text} "
            text = "".join(f" {c} " if is_punctuation(c) else c for c in text)
        return text


def is_cjk(code: int) -> bool:
    """Whether the code point is a Chinese character that counts as a word of its own."""
    return any(first <= code <= last for first, last in _CJK)


def is_punctuation(character: str) -> bool:
    """Every ASCII symbol, and what Unicode calls punctuation."""
    code = ord(character)
    if code < 128:
        return 33 <= code <= 126 and not character.isalnum()
    return unicodedata.category(character).startswith("P")


class _Mapping(dict[int, str]):
    """A translation table that fills itself with the characters that occur."""

    def __init__(self, normalizer: Normalizer):
        self._normalizer = normalizer

    def __missing__(self, code: int) -> str:
        self[code] = value = self._normalizer.replacement(code)
        return value


@functools.lru_cache(maxsize=16)
def _mapping(normalizer: Normalizer) -> _Mapping:
    return _Mapping(normalizer)


@dataclass(frozen=True, eq=False)
class Table:
    """A normalizer as arrays, for a graph: `codes[pages[c >> 8] * 256 + (c & 255)]` tells what becomes of `c`.

    The two low bits of a code are its kind, the others (arithmetic shift by 2) its value: 0, the character
    `c + value`; 1, nothing; 2, `c + value` between spaces; 3, row `value` of `extras`, up to its first -1.

    Args:
        pages: int32 `(4352,)`.
        codes: int32 `(different pages * 256,)`.
        extras: int32 `(rows, longest replacement)`, filled up with -1.
    """

    pages: np.ndarray
    codes: np.ndarray
    extras: np.ndarray


@functools.lru_cache(maxsize=16)
def table(normalizer: Normalizer) -> Table:
    """The whole of Unicode as a `Table` (some 100 kB); takes about half a second, once a process."""
    extras: dict[str, int] = {}
    known: dict[bytes, int] = {}
    pages = np.zeros(0x1100, np.int32)
    blocks: list[np.ndarray] = []
    for page in range(0x1100):
        first = page * 256
        if first in _UNASSIGNED:
            block = np.zeros(256, np.int32)
        elif first in _PRIVATE:
            block = np.ones(256, np.int32)
        else:
            block = np.array([_code(normalizer, code, extras) for code in range(first, first + 256)], np.int32)
        key = block.tobytes()
        if key not in known:
            known[key] = len(blocks)
            blocks.append(block)
        pages[page] = known[key]
    rows = np.full((max(len(extras), 1), max([3, *map(len, extras)])), -1, np.int32)
    for text, row in extras.items():
        rows[row, : len(text)] = [ord(character) for character in text]
    return Table(pages, np.concatenate(blocks), rows)


def _code(normalizer: Normalizer, code: int, extras: dict[str, int]) -> int:
    text = normalizer.replacement(code)
    if not text:
        return 1
    if len(text) == 1:
        return (ord(text) - code) * 4
    if len(text) == 3 and text[0] == text[2] == " ":
        return (ord(text[1]) - code) * 4 + 2
    return extras.setdefault(text, len(extras)) * 4 + 3
