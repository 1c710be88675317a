"""How long texts are read: in which windows, and which piece of a word answers for it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfvertical.codecs.tagging import Span
from tfvertical.codecs.words import joined, split
from tfvertical.errors import DataError


@dataclass(frozen=True)
class Sentence:
    """A text and where its words stand in it: int64 `(words, 2)`."""

    text: str
    places: np.ndarray

    @classmethod
    def of(cls, item: str | Sequence[str], cuts: Sequence[int] = (), row: str = "") -> Sentence:
        """From a text, or from words, which are joined by spaces.

        Args:
            item: the text, or the words.
            cuts: as `words.split` takes them.
            row: where it stands, for messages.

        Raises:
            DataError: it is neither.

        Example:
            >>> Sentence.of("No fever.").words, Sentence.of(["No", "fever."]).words
            (['No', 'fever', '.'], ['No', 'fever.'])
        """
        if isinstance(item, str):
            return cls(item, split(item, cuts))
        if not isinstance(item, list | tuple) or not all(isinstance(word, str) for word in item):
            raise DataError(
                f"{row + ': ' if row else ''}Entities are found in a text or in a list of words.",
                received=f"{type(item).__name__}: {item!r:.80}",
            )
        return cls(*joined(item))

    @property
    def words(self) -> list[str]:
        """The words themselves."""
        return [self.text[start:end] for start, end in self.places.tolist()]

    def in_words(self, spans: Sequence[Span], row: str = "") -> tuple[Span, ...]:
        """Spans of characters as spans of words; a word that is touched belongs to it.

        Args:
            spans: in the text.
            row: where it stands, for messages.

        Raises:
            DataError: one is empty or lies outside the text.
        """
        found = []
        for span in spans:
            if not 0 <= span.start < span.end <= len(self.text):
                raise DataError(
                    f"{row + ': ' if row else ''}{span.start}…{span.end} ({span.label!r}) is no place in the text, "
                    f"which has {len(self.text)} characters."
                )
            first = int(np.searchsorted(self.places[:, 1], span.start, side="right"))
            last = int(np.searchsorted(self.places[:, 0], span.end, side="left"))
            if first < last:
                found.append(Span(first, last, span.label))
        return tuple(found)


def stretches(ids: np.ndarray, room: int) -> list[np.ndarray]:
    """How a text is read of which the answers are `averaged`: at most `room` pieces at once, a quarter of them twice.

    The last stretch ends with the text.

    Example:
        >>> [each.tolist() for each in stretches(np.arange(9), 4)]
        [[0, 1, 2, 3], [3, 4, 5, 6], [5, 6, 7, 8]]
    """
    rest = max(len(ids) - room, 0)
    return [ids[start : start + room] for start in (*range(0, rest, max(1, room * 3 // 4)), rest)]


def averaged(answers: Sequence[np.ndarray]) -> np.ndarray:
    """What all of them say together, float32: the mean of arrays of one shape; of a single one, that itself."""
    return np.asarray(np.mean(answers, axis=0, dtype=np.float64), np.float32)


@dataclass(frozen=True)
class Window:
    """Part of a sentence that is read at once: the words `first…last`, of which it answers for `own_first…own_last`."""

    first: int
    last: int
    own_first: int
    own_last: int


def windows(counts: np.ndarray, room: int) -> list[Window]:
    """How a sentence of any length is read: whole words, at most `room` pieces at once, a quarter of them twice.

    Every word is answered for by the one window in which it stands further from the border.

    Args:
        counts: int64 `(words,)`, the pieces of each; at most `room`.
        room: pieces that fit.

    Example:
        >>> windows(np.array([2, 1, 1]), 8)
        [Window(first=0, last=3, own_first=0, own_last=3)]
        >>> [(each.first, each.last) for each in windows(np.ones(10, int), 4)]
        [(0, 4), (3, 7), (6, 10)]
    """
    before = np.concatenate([[0], np.cumsum(counts)])  # pieces before each word
    words, found = len(counts), [(0, 0)]
    start = 0
    while True:
        end = int(np.searchsorted(before, before[start] + room, side="right")) - 1
        found.append((start, end))
        if end == words:
            break
        again = int(np.searchsorted(before, before[end] - room // 4, side="left"))
        again = min(again, int(np.searchsorted(before, before[words] - room, side="left")))  # the last one is full
        fits = int(np.searchsorted(before, before[end + 1] - room, side="left"))  # the next word must
        start = max(start + 1, again, fits)
    found = found[1:]
    cuts = [0]
    for (_, end), (start, _) in itertools.pairwise(found):
        middle = (before[start] + before[end]) / 2
        cuts.append(int(np.clip(np.searchsorted(before, middle, side="left"), start, end)))
    cuts.append(words)
    return [Window(*place, cuts[at], cuts[at + 1]) for at, place in enumerate(found)]


def answering(window: Window, counts: np.ndarray, every: bool) -> np.ndarray:
    """For each piece of a window the word that it answers for, or -1: int64 `(pieces,)`.

    Args:
        window: one of `windows`.
        counts: int64 `(words,)` of the whole sentence.
        every: whether each piece of a word answers for it, or only the first.
    """
    here = counts[window.first : window.last]
    word = np.repeat(np.arange(window.first, window.last), here)
    answers = (word >= window.own_first) & (word < window.own_last)
    if not every:
        firsts = np.zeros(len(word), bool)
        firsts[np.cumsum(here)[here > 0] - here[here > 0]] = True
        answers &= firsts
    return np.where(answers, word, -1)
