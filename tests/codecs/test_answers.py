"""The best span of a context's words: against trying them all, with and without a threshold."""

from __future__ import annotations

import numpy as np
import pytest

from tfvertical.codecs.alignment import Sentence
from tfvertical.codecs.answers import FAR, AnswerCodec
from tfvertical.errors import ConfigError

CONTEXT = Sentence.of("The rent, 900 EUR, is due by 6 May.")


def _scores(words: int, seed: int) -> np.ndarray:
    found = np.random.default_rng(seed).normal(0, 3, (1 + words, 2)).astype(np.float32)
    found[0] = 0
    return found


@pytest.mark.parametrize("most", [1, 2, 5, 30])
@pytest.mark.parametrize("seed", range(10))
def test_no_other_span_is_better(seed: int, most: int):
    words = len(CONTEXT.places)
    scores = _scores(words, seed)
    first, last, best = AnswerCodec(most_words=most).spans(scores, np.array([0, 1 + words]))[0]
    every = {
        (i, j): float(scores[1 + i, 0]) + float(scores[1 + j, 1])
        for i in range(words)
        for j in range(i, min(words, i + most))
    }
    assert best == pytest.approx(max(every.values())) == pytest.approx(every[(int(first), int(last))])


def test_several_contexts_and_one_without_a_word():
    contexts = [CONTEXT, Sentence.of(""), Sentence.of("6 May")]
    scores = [_scores(len(each.places), at) for at, each in enumerate(contexts)]
    codec = AnswerCodec(threshold=None)
    told = codec.decode(np.concatenate(scores), contexts)
    assert told == [codec.decode(one, [context])[0] for one, context in zip(scores, contexts, strict=True)]
    assert (told[1].text, told[1].start, told[1].end) == ("", 0, 0) and told[1].score == 1
    for each, context in zip(told, contexts, strict=True):
        assert context.text[each.start : each.end] == each.text and 0 <= each.score <= 1


def test_below_the_threshold_there_is_none():
    scores = np.full((1 + len(CONTEXT.places), 2), -4, np.float32)
    scores[0], scores[10, 0], scores[11, 1] = 0, 1, 1.5
    for threshold, text in ((None, "6 May"), (0, "6 May"), (2.5, "6 May"), (2.6, ""), (-3, "6 May")):
        (found,) = AnswerCodec(threshold=threshold).decode(scores, [CONTEXT])
        assert found.text == text
        assert found.score == pytest.approx(1 / (1 + np.exp(-2.5 if text else 2.5)))
    scores[1:] = FAR
    assert AnswerCodec().decode(scores, [CONTEXT])[0].score == 1


def test_the_arguments_build_the_same_again():
    codec = AnswerCodec(most_words=5, threshold=1 / 3)
    assert AnswerCodec(**codec.config()).config() == codec.config()
    with pytest.raises(ConfigError, match=r"leave labels out"):
        AnswerCodec(["yes", "no"])
    with pytest.raises(ConfigError, match="most_words is 0"):
        AnswerCodec(most_words=0)
