"""WordPiece in plain Python: the tokenizer of BERT and its kin, equal to TensorFlow Text's, without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

RULES: Final = 1  # version of what `rules` tells
SPECIAL: Final = {"start": "[CLS]", "end": "[SEP]", "pad": "[PAD]", "unknown": "[UNK]"}
CONTINUATION: Final = "##"
LONGEST_WORD = 100  # UTF-8 bytes; a longer word is unknown, as in TensorFlow Text
_REMEMBERED = 100_000  # words; language repeats itself, so most of them are looked up, not cut


class WordPiece:
    """Words to ids: the longest piece of the vocabulary first, from left to right.

    Args:
        vocabulary: the pieces in the order of their ids; those inside a word begin with `suffix`.
        unknown: the piece that stands for a word that cannot be cut into pieces.
        suffix: what marks a piece that continues a word.

    Raises:
        ValueError: the vocabulary lacks `unknown`.

    Example:
        >>> WordPiece(["[UNK]", "card", "##s", "arrive"])("cards arrive late")
        array([1, 2, 3, 0], dtype=int32)
    """

    def __init__(self, vocabulary: Sequence[str], unknown: str = SPECIAL["unknown"], suffix: str = CONTINUATION):
        if unknown not in vocabulary:
            raise ValueError(f"The vocabulary of {len(vocabulary)} pieces lacks {unknown!r}.")
        self.ids = {piece: index for index, piece in enumerate(vocabulary)}
        self.unknown_id = self.ids[unknown]
        self._starts = {piece: i for piece, i in self.ids.items() if piece}
        self._continues = {p[len(suffix) :]: i for p, i in self.ids.items() if p.startswith(suffix) and p != suffix}
        self._longest = max(map(len, self.ids))
        self._remembered: dict[str, list[int]] = {}

    def __call__(self, text: str) -> np.ndarray:
        """The ids of a normalized text, int32 `(pieces,)`: its words stand between spaces."""
        return np.fromiter(self._pieces(text.split()), np.int32)

    def _pieces(self, words: Iterable[str]) -> Iterable[int]:
        remembered = self._remembered
        for word in words:
            pieces = remembered.get(word)
            if pieces is None:
                pieces = self._cut(word)
                # blobs come once, and together they would take all memory
                if len(word) <= LONGEST_WORD and len(remembered) < _REMEMBERED:
                    remembered[word] = pieces
            yield from pieces

    def _cut(self, word: str) -> list[int]:
        if len(word.encode("utf-8", "surrogatepass")) > LONGEST_WORD:
            return [self.unknown_id]
        pieces: list[int] = []
        start, known = 0, self._starts
        while start < len(word):
            for end in range(min(len(word), start + self._longest), start, -1):
                found = known.get(word[start:end])
                if found is not None:
                    pieces.append(found)
                    start, known = end, self._continues
                    break
            else:
                return [self.unknown_id]
        return pieces


def rules(pair: str | None, windows: bool) -> dict[str, Any]:
    """What a reader has to know to make a model's inputs of a vocabulary's ids; `docs/edge.md` says it in words.

    Args:
        pair: how two texts become one sequence: `longer_first` or `apart`; None for single texts.
        windows: whether a long text is read in several.
    """
    found = {"version": RULES, **SPECIAL, "continuation": CONTINUATION, "longest_word_bytes": LONGEST_WORD}
    return found | ({"pair": pair} if pair else {}) | ({"overlap": 0.25} if windows else {})
