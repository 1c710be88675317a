"""Run by tests in a process of its own, since logical devices are made before TensorFlow's first use.

Trains a tiny task on one device and on several, or on one and compiled by XLA, and prints how far weights and histories
are apart, as JSON.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

import tfvertical as tv
from tests.core import tiny
from tfvertical import distribution, replicas
from tfvertical.columns import Dense
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
    kind: str, how: str, batch: int, count: int, as_tpu: bool = False, spoilt: int | None = None, **settings: Any
) -> tuple[Any, dict[str, np.ndarray]]:
    """History and weights; no dropout, which replicas draw otherwise.

    Args:
        kind: of the task.
        how: key of `HOW`.
        batch: examples a step.
        count: examples to train on.
        as_tpu: several replicas get batches of one size, as a TPU does; XLA is left out.
        spoilt: number of a picture that is infinitely bright.
        settings: of the run.
    """
    task = tiny.make_task(kind, body_dropout=0.0, dropout=0.0)
    train, held_out = tiny.make_examples(kind, count), tiny.make_examples(kind, 7, seed=1)
    if spoilt is not None:
        task._labelled = functools.partial(_spoilt, task._labelled, spoilt)
    chosen = {"epochs": 3, "batch_size": batch, "precision": "float32", "learning_rate": 1e-3}
    with mock.patch.object(replicas, "on_tpu", lambda strategy: as_tpu and strategy is not None):
        history = task.fit(train, held_out, adaptation=HOW[how], verbose=0, **chosen | settings)
    return history, tiny.values(task.model)


def _spoilt(labelled: Any, at: int, examples: Any, **options: Any) -> Any:
    encoded = labelled(examples, **options)
    if options:  # of validation
        return encoded
    pixels = {
        name: column.take(np.arange(len(encoded)), None).astype("float32") for name, column in encoded.columns.items()
    }
    for each in pixels.values():
        each[at, 3, 3] = np.inf
    return replace(encoded, columns={name: Dense(each) for name, each in pixels.items()})


def _driven(kind: str, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights but for those whose gradient is 0 but for rounding, of which AdamW makes steps all the same.

    A softmax over positions does not see what is added to all of them: the last normalization's offset.
    """
    free = "transformer_layer_1/feedforward_layer_norm/beta" if kind == "answers" else "nothing"
    return {name: value for name, value in weights.items() if not name.endswith(free)}


def fresh(kind: str) -> dict[str, np.ndarray]:
    """Weights before training."""
    return tiny.values(tiny.make_task(kind, body_dropout=0.0, dropout=0.0).model)


def main() -> None:
    count, cases = int(sys.argv[1]), json.loads(sys.argv[2])
    processor = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * count)
    found = []
    for case in cases:
        began = time.perf_counter()
        strategy = "mirrored" if count > 1 else "one_device"
        where = distribution.resolve(strategy, environment={})  # as a notebook's cell that is run again and again
        assert where.strategy is distribution.resolve(strategy, environment={}).strategy
        alone = trained(**{name: value for name, value in case.items() if name != "jit_compile"})
        make, original = tiny.make_task, tiny.make_task

        def inside(*args: Any, make: Any = make, where: Any = where, **options: Any) -> Any:
            with where.scope():
                return make(*args, **options)

        tiny.make_task = inside
        together = trained(**case)
        tiny.make_task = original
        found.append(
            {
                "weights": tiny.largest_difference(*(_driven(case["kind"], each[1]) for each in (alone, together))),
                "moved": tiny.largest_difference(fresh(case["kind"]), together[1]),
                "alone": alone[0].history,
                "together": together[0].history,
                "steps": together[0].steps,
                "said": where.describe(case["batch"], case["count"]),
                "seconds": time.perf_counter() - began,
            }
        )
    print(json.dumps(found))


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    main()
