from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

from tfvertical import data
from tfvertical.contracts import Examples
from tfvertical.errors import ConfigError, DataError

LABELS = [*"aaaaaabbbc"]


def examples_of(labels, weights=None):
    rows = 0 if labels is None else len(labels)
    return Examples(["x"] * rows, labels, [str(at) for at in range(rows)], weights)


@pytest.mark.parametrize(
    "labels, names",
    [(["banana", "apple", "apple"], ("apple", "banana")), (["10", "9", "-1", "2.5"], ("-1", "2.5", "9", "10"))],
)
def test_names_are_sorted_numbers_by_value(labels, names):
    assert data.label_names(examples_of(labels)) == names


def test_balanced_weights_are_scikit_learns():
    ours = data.class_weights(LABELS)
    theirs = compute_class_weight("balanced", classes=np.array([*"abc"]), y=LABELS)
    np.testing.assert_allclose([ours[name] for name in "abc"], theirs, rtol=1e-12)
    rows = data.sample_weights(examples_of(LABELS))
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, compute_sample_weight("balanced", LABELS), rtol=1e-6)


def test_own_weights_are_multiplied():
    own = np.linspace(0, 2, len(LABELS)).astype(np.float32)
    rows = data.sample_weights(examples_of(LABELS, own), {"a": 3})
    np.testing.assert_allclose(rows, own * compute_sample_weight({"a": 3}, LABELS), rtol=1e-6)
    np.testing.assert_array_equal(data.sample_weights(examples_of(LABELS, own), None), own)


def test_a_known_label_without_rows_may_have_a_weight():
    assert data.class_weights(["a", "b"], {"c": 5, "a": 2}, ["a", "b", "c"]) == {"a": 2.0, "b": 1.0}
    assert data.sample_weights(examples_of(["a", "b"]), {"c": 5, "a": 2}, ["a", "b", "c"]).tolist() == [2, 1]
    with pytest.raises(ConfigError, match="name 'd', which is no label"):
        data.class_weights(["a"], {"d": 1}, ["a", "b", "c"])


@pytest.mark.parametrize("mode", ["balance", {"d": 1}, {"a": -1}, {"a": float("nan")}])
def test_weights_that_cannot_be(mode):
    with pytest.raises(ConfigError):
        data.class_weights(LABELS, mode)


def test_without_labels_there_is_nothing_to_weigh():
    with pytest.raises(DataError, match="has no labels"):
        data.sample_weights(examples_of(None))
