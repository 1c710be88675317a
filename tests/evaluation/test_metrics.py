"""Every number is scikit-learn's, whatever the labels and ties; what is undefined is None, and nothing warns."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve
from sklearn.preprocessing import label_binarize

from tfvertical.evaluating import metrics


@st.composite
def scored(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Label ids with classes that may be absent, and scores of few levels, hence with ties and certainties."""
    classes = draw(st.integers(2, 6))
    rows = draw(st.integers(1, 40))
    present = draw(st.integers(1, classes))
    y_true = np.array(draw(st.lists(st.integers(0, present - 1), min_size=rows, max_size=rows)))
    raw = np.array(draw(st.lists(st.integers(0, 3), min_size=rows * classes, max_size=rows * classes)), np.float32)
    raw = raw.reshape(rows, classes)
    raw[raw.sum(axis=1) == 0] = 1
    return y_true, raw / raw.sum(axis=1, keepdims=True)


@given(scored())
@settings(max_examples=150, deadline=None, derandomize=True)
def test_counted_metrics_equal_scikit_learns(case: tuple[np.ndarray, np.ndarray]) -> None:
    y_true, scores = case
    y_pred, found = metrics.predictions(scores), metrics.summary(y_true, scores)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns where a predicted class does not occur
        assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(y_true, y_pred))
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(y_true, y_pred))
    for average in ("macro", "weighted"):
        expected = sk.f1_score(y_true, y_pred, average=average, zero_division=0)
        assert found[f"{average}_f1"] == pytest.approx(expected)


@given(scored())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_per_class_numbers_and_matrix_equal_scikit_learns(case: tuple[np.ndarray, np.ndarray]) -> None:
    y_true, scores = case
    y_pred, classes = metrics.predictions(scores), scores.shape[1]
    counts = metrics.counts(y_true, scores)
    mine = (metrics.precision_of(counts), metrics.recall_of(counts), metrics.f1_of(counts), counts.support)
    expected = sk.precision_recall_fscore_support(y_true, y_pred, labels=range(classes), zero_division=0)
    for a, b in zip(mine, expected, strict=True):
        np.testing.assert_allclose(a, b)
    matrix = metrics.confusion_matrix(y_true, y_pred, classes)
    np.testing.assert_array_equal(matrix, sk.confusion_matrix(y_true, y_pred, labels=range(classes)))


@given(scored())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_log_loss_equals_scikit_learns(case: tuple[np.ndarray, np.ndarray]) -> None:
    y_true, scores = case
    assert scores.dtype == np.float32
    expected = sk.log_loss(y_true, scores, labels=range(scores.shape[1]))
    assert metrics.summary(y_true, scores)["log_loss"] == pytest.approx(expected, rel=1e-5, abs=1e-6)


@given(scored(), st.sampled_from([5, 10, 15]))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_reliability_equals_scikit_learns_calibration_curve(case: tuple[np.ndarray, np.ndarray], bins: int) -> None:
    y_true, scores = case
    filled = metrics.reliability(y_true, scores, bins)
    right, confidence = metrics.predictions(scores) == y_true, scores.max(axis=1).astype(np.float64)
    share, mean = calibration_curve(right, confidence, n_bins=bins, pos_label=True)
    np.testing.assert_allclose([b["accuracy"] for b in filled], share)
    np.testing.assert_allclose([b["confidence"] for b in filled], mean)
    assert sum(b["count"] for b in filled) == len(y_true)
    error = sum(b["count"] * abs(b["accuracy"] - b["confidence"]) for b in filled) / len(y_true)
    assert metrics.expected_calibration_error(y_true, scores, bins) == pytest.approx(error)


@given(scored())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_areas_equal_scikit_learns_and_are_none_where_undefined(case: tuple[np.ndarray, np.ndarray]) -> None:
    y_true, scores = case
    for i in range(scores.shape[1]):
        positive = y_true == i
        roc, pr = metrics.roc_curve(positive, scores[:, i]), metrics.pr_curve(positive, scores[:, i])
        assert (roc is None) == (positive.all() or not positive.any())
        assert (pr is None) == (not positive.any())
        if roc is not None:
            assert roc[2] == pytest.approx(sk.roc_auc_score(positive, scores[:, i]))
        if pr is not None:
            assert pr[2] == pytest.approx(sk.average_precision_score(positive, scores[:, i]))


def test_mean_area_equals_scikit_learns_one_vs_rest() -> None:
    rng = np.random.default_rng(0)
    y_true, scores = rng.integers(0, 4, 200), rng.dirichlet(np.ones(4), 200)
    mine = [metrics.roc_curve(y_true == i, scores[:, i]) for i in range(4)]
    assert np.mean([m[2] for m in mine if m]) == pytest.approx(sk.roc_auc_score(y_true, scores, multi_class="ovr"))
    one_hot = label_binarize(y_true, classes=range(4))
    pr = [metrics.pr_curve(y_true == i, scores[:, i]) for i in range(4)]
    assert np.mean([p[2] for p in pr if p]) == pytest.approx(sk.average_precision_score(one_hot, scores))


def test_calibration_error_of_a_forecaster_known_by_hand() -> None:
    scores = np.tile(np.array([0.8, 0.2], np.float32), (10, 1))
    assert metrics.expected_calibration_error(np.array([0] * 8 + [1] * 2), scores) == pytest.approx(0, abs=1e-6)
    assert metrics.expected_calibration_error(np.array([0] * 3 + [1] * 7), scores) == pytest.approx(0.5, abs=1e-6)
