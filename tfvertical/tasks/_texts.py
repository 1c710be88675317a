"""What tasks that read texts have in common: token ids as a model's inputs, made when a batch is taken."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from tfvertical.codecs.alignment import Sentence
from tfvertical.columns import Ragged
from tfvertical.contracts import Examples, TextPreprocessor
from tfvertical.errors import DataError


class Tokens:
    """One model input (ids, mask, segments) of all examples, made from their token ids when a batch is taken."""

    def __init__(self, ids: Ragged, preprocessor: TextPreprocessor, name: str, segments: Ragged | None = None):
        self.ids, self.preprocessor, self.name, self.segments = ids, preprocessor, name, segments

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: np.ndarray, length: int | None) -> np.ndarray:
        # No bucket may be longer than what the backbone has positions for.
        width = None if length is None else min(length, self.preprocessor.length)
        padded = self.ids.take(rows, width)
        mask = np.arange(padded.shape[1]) < self.ids.lengths[rows][:, None]
        if self.segments is None:
            return self.preprocessor.inputs(padded, mask)[self.name]
        return self.preprocessor.inputs(padded, mask, self.segments.take(rows, padded.shape[1]))[self.name]

    def digest(self) -> str:
        """Of the token ids and of what makes inputs of them."""
        made = {"ids": self.ids.digest(), "input": self.name, "by": type(self.preprocessor).__name__}
        if self.segments is not None:
            made["segments"] = self.segments.digest()
        return hashlib.sha256(json.dumps([made, self.preprocessor.config()], sort_keys=True).encode()).hexdigest()


def texts(examples: Examples) -> list[str]:
    for row, text in zip(examples.ids, examples.inputs, strict=True):
        if not isinstance(text, str):
            raise DataError(f"{row} is no text.", expected="str", received=f"{type(text).__name__}: {text!r:.80}")
    return [str(text) for text in examples.inputs]


def word_pieces(
    preprocessor: TextPreprocessor, sentences: Sequence[Sentence], room: int
) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Per sentence its ids, int32 `(pieces,)`; how many of them each word has, int64 `(words,)`; whether it lost any.

    Words are cut one by one, each different one once; one that alone has more than `room` pieces is cut short: what has
    no spaces (Thai, Khmer, an encoded file) is one word, whatever its length.
    """
    words = [each.words for each in sentences]
    different = list(dict.fromkeys(word for each in words for word in each))
    # after a space, as inside a text: byte pairs are others at its beginning
    whole = preprocessor.tokenize([f" {word}" for word in different])
    cut, long = [ids[:room] for ids in whole], np.array([len(ids) > room for ids in whole], bool)
    number = {word: at for at, word in enumerate(different)}
    lengths = np.array([len(ids) for ids in cut], np.int64)
    found, counts, lost = [], [], np.zeros(len(words), bool)
    for row, each in enumerate(words):
        at = [number[word] for word in each]
        lost[row] = long[at].any()
        found.append(np.concatenate([cut[one] for one in at]) if at else np.zeros(0, np.int32))
        counts.append(lengths[at] if at else np.zeros(0, np.int64))
    return found, counts, lost


def unknown_share(pieces: Sequence[np.ndarray], unknown_id: int | None) -> float:
    total = sum(len(ids) for ids in pieces)
    if unknown_id is None or not total:
        return 0.0
    return float(sum(int((ids == unknown_id).sum()) for ids in pieces) / total)
