"""The simple ways that a model must beat to be worth its weight."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfvertical.contracts import Examples
from tfvertical.errors import DataError

_INVERSE_REGULARIZATION = 10.0  # the best macro F1 on 8,000 and 20,000 short posts: a baseline is to be strong


def majority(train: Examples, test_size: int, labels: Sequence[str]) -> np.ndarray[Any, Any]:
    """Always the most frequent training label; its scores are the labels' shares.

    Args:
        train: rows with labels.
        test_size: how many rows to score.
        labels: label names, by id.

    Returns:
        float32 `(test_size, labels)`.

    Raises:
        DataError: no rows, no labels, or one that is not among `labels`.

    Example:
        >>> int(majority(Examples(["a", "b", "c"], ["yes", "yes", "no"], ["1", "2", "3"]), 1, ["no", "yes"]).argmax())
        1
    """
    share = np.bincount(_label_ids(train, labels), minlength=len(labels)) / len(train)
    return np.tile(share.astype(np.float32), (test_size, 1))


def tfidf_logistic(train: Examples, test: Examples, labels: Sequence[str], seed: int = 0) -> np.ndarray[Any, Any]:
    """Words and word pairs, weighed by TF-IDF, in a logistic regression: what an afternoon without a network gives.

    Args:
        train: texts with labels. Their weights count; where they have none, every label weighs the same.
        test: texts.
        labels: label names, by id.
        seed: of the regression.

    Returns:
        float32 `(test rows, labels)`; a label without training rows scores 0. Where nothing can be learned (a single
        label, no word) it is `majority`.

    Raises:
        DataError: no rows, no labels, or one that is not among `labels`.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    y_true = _label_ids(train, labels)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32)
    try:
        inputs = words.fit_transform(train.inputs)
    except ValueError:  # not one word in all texts
        return majority(train, len(test), labels)
    if len(np.unique(y_true)) < 2:
        return majority(train, len(test), labels)
    balance = "balanced" if train.weights is None else None
    model = LogisticRegression(C=_INVERSE_REGULARIZATION, class_weight=balance, max_iter=300, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 300 steps in, what is left does not change a label
        model.fit(inputs, y_true, sample_weight=train.weights)
    scores = np.zeros((len(test), len(labels)), np.float32)
    scores[:, model.classes_] = model.predict_proba(words.transform(test.inputs))
    return scores


def _label_ids(train: Examples, labels: Sequence[str]) -> np.ndarray[Any, Any]:
    if not len(train) or train.labels is None:
        raise DataError(f"{train.report.name}: a baseline needs rows with labels to learn from.")
    known = {label: i for i, label in enumerate(labels)}
    unknown = sorted({label for label in train.labels if label not in known})
    if unknown:
        raise DataError(
            f"{train.report.name}: unknown labels.", expected=", ".join(labels), received=", ".join(unknown)
        )
    return np.array([known[label] for label in train.labels], np.int64)
