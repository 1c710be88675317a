"""Texts as answers: when two say the same, by the rules of SQuAD v2 (Rajpurkar et al. 2018)."""

from __future__ import annotations

import re
import string
from collections import Counter

_ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
_PUNCTUATION = str.maketrans("", "", string.punctuation)


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
