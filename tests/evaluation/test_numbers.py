"""Metrics of numbers against scikit-learn's and SciPy's, and their bootstrap against drawing rows one by one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn import metrics as sk

from tfvertical.evaluating import numbers


def _made(rows: int = 60, count: int = 2, seed: int = 0, middle: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    true = draw.normal(middle, 2, (rows, count)).round(1)  # with ties
    return true, true + draw.normal(0.2, 1, (rows, count))


@pytest.mark.parametrize("middle", [0.0, 1e6])
@pytest.mark.parametrize("seed", range(5))
def test_each_metric_is_the_libraries(seed: int, middle: float):
    true, found = _made(seed=seed, middle=middle)
    got = numbers.per_number(true, found)
    for at in range(2):
        a, b = true[:, at], found[:, at]
        assert got["r2"][at] == pytest.approx(sk.r2_score(a, b), abs=1e-9)
        assert got["mae"][at] == pytest.approx(sk.mean_absolute_error(a, b))
        assert got["rmse"][at] == pytest.approx(sk.root_mean_squared_error(a, b))
        assert got["median_absolute_error"][at] == pytest.approx(sk.median_absolute_error(a, b))
        assert got["spearman"][at] == pytest.approx(spearmanr(a, b).statistic)
        assert got["bias"][at] == pytest.approx((b - a).mean())
    assert numbers.summary(true, found)["r2"] == pytest.approx(sk.r2_score(true, found))


@pytest.mark.parametrize("middle", [0.0, 1e6])
def test_the_bootstrap_is_that_of_rows_drawn_one_by_one(middle: float):
    true, found = _made(200, middle=middle)
    drawn = numbers.resampled(true, found, resamples=2000)
    draw, slow = np.random.default_rng(1), []
    for _ in range(2000):
        at = draw.integers(0, 200, 200)
        slow.append(numbers.summary(true[at], found[at]))
    for name, (low, high) in numbers.intervals(drawn).items():
        values = [each[name] for each in slow]
        assert (low, high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])), rel=0.03, abs=0.01)


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1, 1e6 / 3])
def test_numbers_that_are_all_the_same_have_no_variance_to_explain(value: float):
    true = np.full((9, 1), value)
    found = numbers.summary(true, true + 1)
    assert found["r2"] == 0 == found["spearman"] and found["mae"] == pytest.approx(1)
    assert not numbers.resampled(true, true + 1, resamples=20)["r2"].any()
    assert np.isfinite(list(numbers.resampled(true, true, resamples=20).values())).all()


@pytest.mark.parametrize("middle", [0.0, 1.0, 1e6])
def test_the_worst_of_models_is_worse_than_a_bad_one(middle: float):
    true, found = _made(count=1, middle=middle)
    got = numbers.summary(true, found + 1e8)["r2"]
    assert got == pytest.approx(sk.r2_score(true, found + 1e8)) and got < -1e14
    low, high = numbers.intervals(numbers.resampled(true, found + 1e8))["r2"]
    assert low < got < high < -1e14


def test_a_difference_is_paired():
    true, ours = _made(100)
    theirs = ours + 0.05
    found = numbers.differences(true, ours, theirs, resamples=500)
    assert found["mae"]["value"] < 0 and found["mae"]["high"] - found["mae"]["low"] < 0.1
    assert set(found) == set(numbers.RESAMPLED)
    same = numbers.differences(true, ours, ours, resamples=50)
    assert all(each == {"value": 0, "low": 0, "high": 0} for each in same.values())


def test_bounds_and_levels():
    true = np.array([[1.0], [2.0], [3.0], [10.0]])
    bounds = np.array([[[0, 2]], [[2, 4]], [[3.5, 4]], [[0, 20]]], np.float64)
    found = numbers.of_bounds(true, bounds)
    assert found["coverage"] == [0.75] and found["width"] == [(2 + 2 + 0.5 + 20) / 4]
    levels = [1.0, 2.0, 3.0, 10.0]
    draw = np.random.default_rng(0)
    a, b = (draw.choice(levels, (200, 1)) for _ in range(2))
    got = numbers.of_levels(a, b, levels)
    known = {level: at for at, level in enumerate(levels)}
    ids = [[known[value] for value in each[:, 0]] for each in (a, b)]
    assert got["quadratic_kappa"] == pytest.approx(sk.cohen_kappa_score(*ids, weights="quadratic"))
    assert got["accuracy"] == pytest.approx(sk.accuracy_score(*ids))
    assert got["within_one"] >= got["accuracy"]
