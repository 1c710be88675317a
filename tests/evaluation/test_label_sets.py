"""Metrics of sets of labels against scikit-learn's; thresholds against trying every score."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from tfvertical.evaluating import bootstrap, label_sets


def _made(rows: int = 80, labels: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    true = draw.random((rows, labels)) < np.linspace(0.05, 0.6, labels)
    return true.astype(np.float32), np.clip(true * 0.3 + draw.random((rows, labels)) * 0.7, 0, 1).round(2).astype("f")


@pytest.mark.parametrize("seed", range(5))
def test_each_metric_is_scikit_learns(seed: int):
    true, scores = _made(seed=seed)
    applies = scores >= 0.5
    got = {name: float(each) for name, each in label_sets.scores(label_sets.counts(true, applies).sum(axis=1)).items()}
    for average in ("micro", "macro", "weighted"):
        expected = sk.f1_score(true, applies, average=average, zero_division=0)
        assert got[f"{average}_f1"] == pytest.approx(expected)
    assert got["micro_precision"] == pytest.approx(sk.precision_score(true, applies, average="micro"))
    assert got["micro_recall"] == pytest.approx(sk.recall_score(true, applies, average="micro"))
    rows = label_sets.of_rows(true, applies, scores)
    assert rows["subset_accuracy"] == pytest.approx(sk.accuracy_score(true, applies))
    assert rows["hamming_loss"] == pytest.approx(sk.hamming_loss(true, applies))
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    expected = np.mean([sk.log_loss(true[:, at], clipped[:, at], labels=[0, 1]) for at in range(4)])
    assert label_sets.of_rows(true, applies, clipped)["log_loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_no_other_threshold_does_better(seed: int):
    true, scores = _made(60, 3, seed)
    found = label_sets.thresholds(true, scores, least=1)
    for at in range(3):
        if not true[:, at].any():
            assert found[at] == 0.5
            continue
        best = max(sk.f1_score(true[:, at], scores[:, at] >= cut) for cut in np.unique(scores[:, at]))
        assert sk.f1_score(true[:, at], scores[:, at] >= found[at]) == pytest.approx(best)
        assert found[at] not in scores[:, at]  # halfway


def test_a_rare_label_keeps_the_middle():
    true, scores = _made()
    true[:, 0] = 0
    true[:3, 0] = 1
    assert label_sets.thresholds(true, scores)[0] == 0.5 != label_sets.thresholds(true, scores, least=3)[0]
    true[:, 1] = 1
    assert label_sets.thresholds(true, scores)[1] == 0.5


@pytest.mark.parametrize("low", [0.5, 1e-7, 0.99999988])
def test_scores_next_to_each_other_are_told_apart(low: float):
    """Halfway between them float32 has no number."""
    for below in (np.float32(low), np.nextafter(np.float32(low), np.float32(1))):
        above = np.nextafter(below, np.float32(1))
        true = np.repeat([[1.0], [0.0]], 6, axis=0)
        scores = np.where(true > 0, above, below)
        assert ((scores >= label_sets.thresholds(true, scores)) == (true > 0)).all()


def test_the_bootstrap_is_that_of_rows_drawn_one_by_one():
    true, scores = _made(150)
    counted, draw, slow = label_sets.counts(true, scores >= 0.5), np.random.default_rng(1), []
    for _ in range(1000):
        at = draw.integers(0, 150, 150)
        slow.append(sk.f1_score(true[at], scores[at] >= 0.5, average="micro"))
    fast = label_sets.scores(bootstrap.resampled_sums(counted, 2000, 0))["micro_f1"]
    assert bootstrap.interval(fast) == pytest.approx(tuple(np.percentile(slow, [2.5, 97.5])), abs=0.02)
