"""Sets of labels: zeros and ones, thresholds, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tfvertical.codecs.label_sets import LabelSetCodec
from tfvertical.errors import ConfigError, DataError
from tfvertical.evaluating.label_sets import thresholds

NAMES = ["a", "b", "c"]


def test_sets_become_zeros_and_ones_and_come_back():
    codec = LabelSetCodec(NAMES)
    labels = [("a", "c"), (), ("b",)]
    encoded = codec.encode(labels)
    assert encoded.dtype == np.float32 and encoded.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert [tuple(sorted(each.labels)) for each in codec.decode(encoded)] == labels
    assert codec.encode([]).shape == (0, 3) and codec.decode(np.zeros((0, 3), np.float32)) == []


def test_each_label_has_its_own_threshold():
    codec = LabelSetCodec(NAMES, [0.2, 0.8, 0.5])
    found = codec.decode(np.float32([[0.3, 0.79, 0.5], [0.1, 0.9, 0.4]]))
    assert [each.labels for each in found] == [("c", "a"), ("b",)]  # the likeliest first
    again = LabelSetCodec(**codec.config())
    assert (again.thresholds == codec.thresholds).all()
    odd = LabelSetCodec(NAMES, [1 / 3, 2 / 3, 1 / 7])
    assert (LabelSetCodec(**odd.config()).thresholds == odd.thresholds).all()


@pytest.mark.parametrize("middle", [0.0, -8.0, -17.0, -60.0, 14.0, 17.0])
def test_thresholds_of_rare_and_of_saturated_scores_stay_where_they_are(middle: float):
    draw = np.random.default_rng(0)
    true = draw.random((400, 3)) < np.array([0.02, 0.1, 0.5])
    logits = draw.normal(middle + 3.0 * true, 1.0).astype(np.float32)
    scores = 1 / (1 + np.exp(-logits))
    cuts = thresholds(true, scores)
    for given in (cuts, cuts.tolist(), LabelSetCodec(NAMES, cuts).config()["thresholds"]):
        codec = LabelSetCodec(NAMES, json.loads(json.dumps([float(each) for each in given])))
        np.testing.assert_array_equal(codec.applies(scores), scores >= cuts)
        assert (codec.thresholds == cuts).all()


def test_thresholds_are_written_as_short_as_they_can_be():
    assert LabelSetCodec(NAMES, [0.1, 1 / 3, 3.9e-7]).config()["thresholds"] == [0.1, 0.33333334, 3.9e-07]


def test_unknown_labels_are_named_with_their_rows():
    with pytest.raises(DataError, match=r"2 labels are not among the task's 3: 'd' \(t:2\), 'A' \(t:3\)"):
        LabelSetCodec(NAMES).encode([("a",), ("d", "b"), ("A",)], ["t:1", "t:2", "t:3"])


@pytest.mark.parametrize("thresholds", [[0.5], [0.5, 0.5, 1.5], [0.5, 0.5, float("nan")]])
def test_thresholds_that_do_not_fit_are_refused(thresholds: list[float]):
    with pytest.raises(ConfigError, match="thresholds do not fit"):
        LabelSetCodec(NAMES, thresholds)
