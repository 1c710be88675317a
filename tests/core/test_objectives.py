"""Losses where numbers are as small or as large as they become."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfvertical.objectives.binary_cross_entropy import BinaryCrossEntropy
from tfvertical.objectives.cross_entropy import CrossEntropy
from tfvertical.objectives.token_cross_entropy import TokenCrossEntropy

CASES = {
    "label": (CrossEntropy, lambda lead: [[lead, -lead]], [0]),
    "labels": (BinaryCrossEntropy, lambda lead: [[lead, -lead]], [[1, 0]]),
    "words": (TokenCrossEntropy, lambda lead: [[[lead, -lead], [lead, -lead]]], [[0, -1]]),
}


@pytest.mark.parametrize("focal", [0.3, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("lead", [-50.0, 0.0, 1.0, 10.0, 50.0])
@pytest.mark.parametrize("case", CASES)
def test_the_focal_loss_has_gradients_however_sure_the_model_is(case: str, lead: float, focal: float):
    objective, outputs, labels = CASES[case]
    logits = tf.constant(outputs(lead))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = objective(focal=focal).loss(logits, tf.constant(labels))
    assert np.isfinite(tape.gradient(loss, logits)).all()
    margin = 2 * lead if case != "labels" else lead
    right = np.logaddexp(0.0, -margin)
    np.testing.assert_allclose(loss, [right * (-np.expm1(-right)) ** focal], rtol=1e-4, atol=1e-7)
