"""WordPiece in plain Python: the tokenizer of BERT and its kin, equal to TensorFlow Text's, without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

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

    def __init__(self, vocabulary: Sequence[str], unknown: str = "[UNK]", suffix: str = "##"):
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
