"""Intervals: the same as resampling rows and asking scikit-learn, only faster."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn import metrics as sk

from tests.evaluation.conftest import random_scores
from tfvertical.evaluating import bootstrap, metrics


def _case(rows: int = 300, classes: int = 4, skill: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    y_true = np.random.default_rng(3).integers(0, classes, rows)
    return y_true, random_scores(rows, classes, y_true, skill, seed=4)


def test_intervals_equal_scikit_learn_on_the_very_resamples() -> None:
    y_true, scores = _case(rows=60)
    y_pred = metrics.predictions(scores)
    cells, frequency = np.unique(np.stack([y_true, y_pred]), axis=1, return_counts=True)
    drawn = np.random.default_rng(7).multinomial(60, frequency / 60, size=50)
    values = [sk.f1_score(*np.repeat(cells, times, axis=1), average="macro", zero_division=0) for times in drawn]
    found = bootstrap.intervals(y_true, scores, resamples=50, seed=7)["macro_f1"]
    assert found == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))


def test_intervals_agree_with_resampling_rows() -> None:
    y_true, scores = _case()
    right, rng = metrics.predictions(scores) == y_true, np.random.default_rng(0)
    shares = [right[rng.integers(0, len(right), len(right))].mean() for _ in range(4000)]
    found = bootstrap.intervals(y_true, scores, resamples=4000)["accuracy"]
    assert found == pytest.approx(tuple(np.percentile(shares, [2.5, 97.5])), abs=0.006)


def test_intervals_are_seeded_and_hold_the_value() -> None:
    y_true, scores = _case()
    first, value = bootstrap.intervals(y_true, scores, seed=1), metrics.summary(y_true, scores)
    assert first == bootstrap.intervals(y_true, scores, seed=1) != bootstrap.intervals(y_true, scores, seed=2)
    assert all(low < value[name] < high for name, (low, high) in first.items())


def test_drawing_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    y_true, scores = _case()
    whole = bootstrap.intervals(y_true, scores)
    monkeypatch.setattr(bootstrap, "_CELLS_AT_ONCE", 100)
    assert bootstrap.intervals(y_true, scores) == whole


def test_differences_are_paired() -> None:
    y_true, scores = _case()
    same = bootstrap.differences(y_true, scores, scores)
    assert set(same.values()) == {(0.0, 0.0, 0.0)}  # unpaired resamples would differ
    other = scores.copy()
    other[:3] = np.roll(scores[:3], 1, axis=1)
    value, low, high = bootstrap.differences(y_true, scores, other)["accuracy"]
    expected = metrics.summary(y_true, scores)["accuracy"] - metrics.summary(y_true, other)["accuracy"]
    assert value == pytest.approx(expected)
    assert high - low < 0.04  # three rows differ; two independent intervals of 300 rows would be 0.15 wide


def test_a_clear_advantage_is_above_zero_and_reverses() -> None:
    y_true, good = _case(skill=3)
    bad = random_scores(300, 4, y_true, 0.2, seed=9)
    for value, low, high in bootstrap.differences(y_true, good, bad).values():
        assert 0 < low < value < high
    for value, low, high in bootstrap.differences(y_true, bad, good).values():
        assert low < value < high < 0


def test_one_row_and_one_class() -> None:
    scores = np.array([[0.4, 0.6]], np.float32)
    assert bootstrap.intervals(np.array([1]), scores)["macro_f1"] == (1.0, 1.0)
    assert bootstrap.f1_intervals(np.array([1]), scores) == [(0.0, 0.0), (1.0, 1.0)]


def test_a_thousand_resamples_of_77_classes_take_less_than_three_seconds() -> None:
    y_true, scores = _case(rows=3080, classes=77)
    began = time.process_time()
    bootstrap.intervals(y_true, scores)
    assert time.process_time() - began < 3
