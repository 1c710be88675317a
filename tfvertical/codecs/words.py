"""Where the words of a text stand: the same words that the normalizer will make of it, with their own characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import numpy as np

from tfvertical.codecs.text import JOINERS, Normalizer, is_cjk, is_punctuation

_WORD = re.compile("w+(?:i+w+)*|[pc]")
_ALIKE = Normalizer(lowercase=False, strip_accents=False)


class _Classes(dict[int, str]):
    """One letter in the place of each character, so that offsets stay.

    `w` of a word; `i` of what nobody sees and the normalizer drops, inside a word or beside it; `p` and `c` alone; `s`
    space.
    """

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character in "\t\n\r" or unicodedata.category(character) in ("Zs", "Zl", "Zp"):
            found = "s"
        elif is_cjk(code):
            found = "c"
        elif character not in JOINERS and not _ALIKE.replacement(code):
            found = "i"
        else:
            found = "p" if is_punctuation(character) else "w"
        self[code] = found
        return found


_CLASSES = _Classes()


def split(text: str, cuts: Iterable[int] = ()) -> np.ndarray:
    """The words of `text`, int64 `(words, 2)`: where each begins and ends, in characters.

    White space separates words; a punctuation mark or a Chinese character is one by itself; marks and joiners belong to
    the letter before them. What nobody sees (a byte order mark, a zero-width space, a soft hyphen) may stand inside a
    word, but none begins or ends with it.

    Args:
        text: as it was written.
        cuts: characters at which a word ends in any case: where an annotated entity begins or ends inside one.

    Example:
        >>> text = "Dr. Müller-Groß"
        >>> [text[start:end] for start, end in split(text)]
        ['Dr', '.', 'Müller', '-', 'Groß']
    """
    borders = sorted(set(cuts))
    found: list[tuple[int, int]] = []
    at = 0
    classes = text.translate(_CLASSES)
    for match in _WORD.finditer(classes):
        start, end = match.span()
        while at < len(borders) and borders[at] <= start:
            at += 1
        while at < len(borders) and borders[at] < end:
            found += _seen(classes, start, borders[at])
            start, at = borders[at], at + 1
        found += _seen(classes, start, end)
    return np.array(found, np.int64).reshape(-1, 2)


def _seen(classes: str, start: int, end: int) -> list[tuple[int, int]]:
    """A part of a word, without what nobody sees at its edges, where a cut may have left some; none if that is all."""
    while start < end and classes[start] == "i":
        start += 1
    while start < end and classes[end - 1] == "i":
        end -= 1
    return [(start, end)] if start < end else []


def joined(words: Iterable[str]) -> tuple[str, np.ndarray]:
    """Words as one text, a space between each two, and where they stand in it: int64 `(words, 2)`.

    Example:
        >>> text, places = joined(["No", "fever", "."])
        >>> text, places.tolist()
        ('No fever .', [[0, 2], [3, 8], [9, 10]])
    """
    words = list(words)
    lengths = np.array([len(word) for word in words], np.int64)
    ends = np.cumsum(lengths + 1) - 1 if len(words) else lengths
    return " ".join(words), np.stack([ends - lengths, ends], axis=1)
