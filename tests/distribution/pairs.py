"""Run by tests in a process of its own, since logical devices are made before TensorFlow's first use.

Trains a tiny task on one device and on several, and prints how far weights and histories are apart, as JSON.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

import tfvertical as tv
from tests.core import tiny
from tfvertical import replicas
from tfvertical.contracts import Adaptation
from tfvertical.stages import Stage


@dataclass(frozen=True)
class WithStatistics(Adaptation):
    """Every weight, BatchNormalization with the statistics of its batches."""

    def stages(self, task: Any, epochs: int) -> list[Stage]:
        return [Stage("all", {".*": 1.0}, epochs, batch_norm=True)]


HOW = {
    "frozen": tv.Frozen(),
    "full": tv.FullFineTuning(),
    "gradual": tv.GradualUnfreezing(blocks=2),
    "discriminative": tv.Discriminative(),
    "statistics": WithStatistics(),
}


def trained(
    kind: str, how: str, batch: int, count: int, as_tpu: bool = False, **settings: Any
) -> tuple[Any, dict[str, np.ndarray]]:
    """History and weights; no dropout, which replicas draw otherwise.

    Args:
        kind: of the task.
        how: key of `HOW`.
        batch: examples a step.
        count: examples to train on.
        as_tpu: several replicas get batches of one size, as a TPU does; XLA is left out.
        settings: of the run.
    """
    task = tiny.make_task(kind, body_dropout=0.0, dropout=0.0)
    train, held_out = tiny.make_examples(kind, count), tiny.make_examples(kind, 7, seed=1)
    with mock.patch.object(replicas, "on_tpu", lambda strategy: as_tpu and strategy is not None):
        history = task.fit(
            train,
            held_out,
            adaptation=HOW[how],
            epochs=3,
            batch_size=batch,
            verbose=0,
            precision="float32",
            learning_rate=1e-3,
            **settings,
        )
    return history, tiny.values(task.model)


def fresh(kind: str) -> dict[str, np.ndarray]:
    """Weights before training."""
    return tiny.values(tiny.make_task(kind, body_dropout=0.0, dropout=0.0).model)


def main() -> None:
    count, cases = int(sys.argv[1]), json.loads(sys.argv[2])
    processor = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * count)
    strategy = tf.distribute.MirroredStrategy([f"CPU:{at}" for at in range(count)])
    found = []
    for case in cases:
        alone = trained(**case)
        make, original = tiny.make_task, tiny.make_task

        def inside(*args: Any, make: Any = make, **options: Any) -> Any:
            with strategy.scope():
                return make(*args, **options)

        tiny.make_task = inside
        together = trained(**case)
        tiny.make_task = original
        found.append(
            {
                "weights": tiny.largest_difference(alone[1], together[1]),
                "moved": tiny.largest_difference(fresh(case["kind"]), together[1]),
                "alone": alone[0].history,
                "together": together[0].history,
                "steps": together[0].steps,
            }
        )
    print(json.dumps(found))


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    main()
