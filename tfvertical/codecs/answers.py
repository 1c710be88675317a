"""Answers in a text: the best span of what a model says of its words, and when two texts say the same.

The latter by the rules of SQuAD v2 (Rajpurkar et al. 2018). NumPy only: it runs where TensorFlow is not.
"""

from __future__ import annotations

import itertools
import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from tfvertical.codecs.alignment import Sentence
from tfvertical.errors import ConfigError

_ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
_PUNCTUATION = str.maketrans("", "", string.punctuation)


NAME = "answer"  # what spans are called in labels
LEAST_ROOM = 8  # pieces of a context that are read beside the longest question
FAR = -1e4  # the score of a word that nothing was said of


@dataclass(frozen=True)
class Answer:
    """What a context says to a question.

    Args:
        text: as it stands in the context; `""` where it holds no answer.
        start, end: of the text, in characters of the context; both 0 where there is none.
        score: how sure that is, 0…1: of the answer against "there is none", or the reverse.
    """

    text: str
    start: int
    end: int
    score: float


class AnswerCodec:
    """Scores of words to the best answer.

    Scores say how much likelier a word is the first, or the last, of the answer than that there is none; the first row
    of each context stands for "there is none", and is 0.

    Args:
        names: `("answer",)`.
        most_words: of an answer.
        threshold: what first and last word must score together; None always answers.

    Raises:
        ConfigError: they cannot be.

    Example:
        >>> codec = AnswerCodec()
        >>> scores = np.float32([[0, 0], [-3, -3], [4, -1], [0, 5]])
        >>> codec.decode(scores, [Sentence.of("By 6 May")])[0].text
        '6 May'
    """

    def __init__(self, names: Sequence[str] = (NAME,), most_words: int = 30, threshold: float | None = 0.0):
        self.names = tuple(names)
        if self.names != (NAME,):
            raise ConfigError(f"labels is {list(names)!r}.", expected=f"[{NAME!r}]", fix="leave labels out")
        if most_words < 1:
            raise ConfigError(f"most_words is {most_words}.", expected="1 or more")
        self.most_words, self.threshold = most_words, None if threshold is None else round(float(threshold), 6)

    @classmethod
    def of(cls, names: Sequence[str], head: Mapping[str, Any]) -> Self:
        """The codec of a head's options `most_words` and `threshold`, each of which may be missing."""
        return cls(names, **{key: head[key] for key in ("most_words", "threshold") if key in head})

    @property
    def outputs(self) -> tuple[str, ...]:
        """What each output of a position stands for."""
        return ("start", "end")

    def config(self) -> dict[str, Any]:
        """The arguments, as JSON values."""
        return {"names": list(self.names), "most_words": self.most_words, "threshold": self.threshold}

    def spans(self, scores: np.ndarray, splits: np.ndarray) -> np.ndarray:
        """The best first and last word of each context, and their score: float64 `(contexts, 3)`.

        Args:
            scores: float `(words and one a context, 2)`.
            splits: int64 `(contexts + 1,)`: where each context begins.

        Returns:
            Words count from 0; a context without any has -1 and `FAR`.
        """
        found = np.empty((len(splits) - 1, 3))
        for row, (begin, end) in enumerate(itertools.pairwise(splits)):
            found[row] = self._best(scores[begin + 1 : end].astype(np.float64))
        return found

    def decode(self, scores: np.ndarray, contexts: Sequence[Sentence]) -> list[Answer]:
        """The answer in each context, from scores as `spans` takes them."""
        splits = np.concatenate([[0], np.cumsum([1 + len(each.places) for each in contexts])]).astype(np.int64)
        return [self.told(best, each) for best, each in zip(self.spans(scores, splits), contexts, strict=True)]

    def told(self, best: np.ndarray, context: Sentence) -> Answer:
        """A row of `spans` as an answer."""
        first, last, score = best.tolist()
        sure = float(1 / (1 + np.exp(-np.clip(score, -60, 60))))
        if first < 0 or (self.threshold is not None and score < self.threshold):
            return Answer("", 0, 0, 1 - sure)
        start, end = int(context.places[int(first), 0]), int(context.places[int(last), 1])
        return Answer(context.text[start:end], start, end, sure)

    def _best(self, scores: np.ndarray) -> tuple[float, float, float]:
        best, where = FAR, (-1, -1)
        for more in range(min(self.most_words, len(scores))):
            together = scores[: len(scores) - more, 0] + scores[more:, 1]
            at = int(together.argmax())
            if together[at] > best:
                best, where = float(together[at]), (at, at + more)
        return float(where[0]), float(where[1]), best


def normalized(text: str) -> str:
    """What is compared: lower case, without ASCII punctuation and English articles, words one space apart.

    Example:
        >>> normalized("The  Bank's (head) office")
        'banks head office'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact(answer: str, right: str) -> float:
    """1 if both say the same, else 0."""
    return float(normalized(answer) == normalized(right))


def f1(answer: str, right: str) -> float:
    """F1 of the words that both have; of answers without a word, whether neither has one.

    Example:
        >>> f1("in Paris, France", "Paris")
        0.5
    """
    mine, theirs = normalized(answer).split(), normalized(right).split()
    if not mine or not theirs:
        return float(mine == theirs)
    common = sum((Counter(mine) & Counter(theirs)).values())
    if not common:
        return 0.0
    precision, recall = common / len(mine), common / len(theirs)
    return 2 * precision * recall / (precision + recall)
