"""What a model has to beat must itself be right."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier

from tfvertical.contracts import Examples
from tfvertical.errors import DataError
from tfvertical.evaluating import baselines

LABELS = ("bad", "good", "never seen")


def _texts(labels: list[str], weights: np.ndarray | None = None) -> Examples:
    words = {
        "bad": ["awful film", "truly terrible", "awful and sad"],
        "good": ["lovely film", "truly great", "great fun"],
    }
    texts = [words[label][i % 3] for i, label in enumerate(labels)]
    return Examples(texts, labels, [str(i) for i in range(len(labels))], weights)


def test_majority_equals_scikit_learns_prior() -> None:
    train = _texts(["bad"] * 5 + ["good"] * 3)
    scores = baselines.majority(train, 4, LABELS)
    expected = DummyClassifier(strategy="prior").fit(np.zeros((8, 1)), train.labels).predict_proba(np.zeros((4, 1)))
    assert scores.dtype == np.float32 and scores.shape == (4, 3)
    np.testing.assert_allclose(scores[:, :2], expected)
    assert (scores.argmax(axis=1) == 0).all()


def test_tfidf_learns_words_and_scores_absent_labels_zero() -> None:
    train, test = _texts(["bad", "good"] * 12), _texts(["good", "bad", "good"])
    scores = baselines.tfidf_logistic(train, test, LABELS)
    assert scores.dtype == np.float32 and scores.shape == (3, 3)
    assert scores.argmax(axis=1).tolist() == [1, 0, 1]
    assert (scores[:, 2] == 0).all()
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(scores, baselines.tfidf_logistic(train, test, LABELS))


def test_tfidf_heeds_sample_weights() -> None:
    train = Examples(["same words"] * 2, ["bad", "good"], ["1", "2"], np.array([1, 9], np.float32))
    assert baselines.tfidf_logistic(train, train, LABELS).argmax(axis=1).tolist() == [1, 1]


@pytest.mark.parametrize("texts", [["", "!!", "?"], ["a film", "a film", "a play"]])
def test_where_nothing_can_be_learned_tfidf_is_the_majority(texts: list[str]) -> None:
    labels = ["good", "good", "bad"] if "" in texts else ["good"] * 3
    train = Examples(texts, labels, ["1", "2", "3"])
    np.testing.assert_array_equal(baselines.tfidf_logistic(train, train, LABELS), baselines.majority(train, 3, LABELS))


def test_unlabelled_or_unknown_rows_are_refused() -> None:
    with pytest.raises(DataError, match="labels to learn from"):
        baselines.majority(Examples(["a"], None, ["1"]), 1, LABELS)
    with pytest.raises(DataError, match="sad"):
        baselines.majority(Examples(["a"], ["sad"], ["1"]), 1, LABELS)
