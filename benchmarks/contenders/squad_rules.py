"""The rules of SQuAD v2 (Rajpurkar, Jia and Liang 2018), one question after another, and answers to try them on.

Written from the rules, apart from `tfvertical.evaluating.answers`, which is held against it.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Sequence

WORDS = ["the", "a", "An", "bank's", "Paris,", "1,000", "£5", "of", "(head)", "office", "yes."]
WORDS += ["THE", "century-old", "rätsel", "銀行", "it's"]


def plain(text: str) -> list[str]:
    """Words without case, punctuation and articles."""
    kept = "".join(character for character in text.lower() if character not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()


def f1(one: str, other: str) -> float:
    """How many words both have in common."""
    first, second = plain(one), plain(other)
    if not first or not second:
        return float(first == second)
    left, common = list(second), 0
    for word in first:
        if word in left:
            left.remove(word)
            common += 1
    return 0.0 if not common else 2 * common / (len(first) + len(second))


def scores(found: Sequence[str], right: Sequence[Sequence[str]]) -> tuple[list[float], list[float]]:
    """Exact match and F1 of each answer, against the best of the right ones."""
    sides = [[each for each in some if plain(each)] or [""] for some in right]
    exact = [max(float(plain(one) == plain(each)) for each in side) for one, side in zip(found, sides, strict=True)]
    return exact, [max(f1(one, each) for each in side) for one, side in zip(found, sides, strict=True)]


def best(
    scores: Sequence[float], found: Sequence[str], right: Sequence[Sequence[str]], no_answer: Sequence[float]
) -> tuple[float, float]:
    """The best sum of scores, and the threshold that gives it: from nothing answered, one more question at a time."""
    now = top = float(sum(not each for each in right))
    at = 0.0
    for row in sorted(range(len(scores)), key=lambda row: no_answer[row]):
        now += scores[row] if right[row] else -1 if found[row] else 0
        if now > top:
            top, at = now, float(no_answer[row])
    return top, at


def drawn(count: int, seed: int = 0) -> tuple[list[str], list[list[str]], list[float]]:
    """Answers, right ones, and how sure it is that there is none.

    Answers of all kinds: right, nearly, wrong, none where there is one, some where there is none, only articles.
    """
    draw = random.Random(seed)

    def text() -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(1, 6)))

    right = [[text() for _ in range(draw.randint(1, 3))] if draw.random() < 0.6 else [] for _ in range(count)]
    found = []
    for each in right:
        kind = draw.random()
        same = draw.choice(each) if each else ""
        found.append(same if kind < 0.4 else f"{same} {text()}" if kind < 0.6 else "" if kind < 0.8 else text())
    return found, right, [round(draw.random(), 2) for _ in range(count)]
