"""A stage's optimizer, which takes over from the stage before, with the loss and the metrics: what Keras compiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from tfvertical import stages, tables
from tfvertical.checkpoint import Position
from tfvertical.contracts import Objective
from tfvertical.kept import Job
from tfvertical.optimizer import FLOAT16_SCALE, RunSchedule, StagedAdamW, decays
from tfvertical.resume import optimizer_of
from tfvertical.settings import Settings


@dataclass
class Compiled:
    """The optimizer of a stage, with what it was built on: its variables, and the step at which each began to learn."""

    optimizer: StagedAdamW
    variables: list[Any]
    starts: dict[int, int]


def compiled(
    model: keras.Model,
    resolved: stages.Resolved,
    job: Job,
    done: int,
    previous: Compiled | None,
    position: Position | None,
) -> Compiled:
    """Compile a model for a stage, moments of variables that go on learning taken over from the stage before.

    Args:
        model: what is trained in the stage.
        resolved: the stage.
        job: the run.
        done: epochs that were planned before the stage.
        previous: what the stage before left; None for the first.
        position: within the stage, where the run goes on from there.
    """
    task, settings, stage = job.task, job.settings, resolved.stage
    if job.again is not None and job.again.ready:
        model.reset_metrics()
        return job.again.begin(settings)
    by_id = {id(variable): address for address, variable in resolved.learning().items()}
    variables = list(model.trainable_variables)
    names = [by_id[id(variable)] for variable in variables]
    now = int(previous.optimizer.iterations.numpy()) if previous else 0
    known = previous.starts if previous else {}
    starts = {id(variable): known.get(id(variable), now) for variable in variables}
    if position is None:
        schedule = _schedule(settings, (job.total, done * job.steps, stage.epochs * job.steps), previous)
        # of the whole model, whose rows are the same in all stages: where what is frozen runs in every step, `model`
        # does not show what tables are given. What an augmentation makes of the examples is not known before it does
        touched = tables.touched(task.model, job.train) if job.augment is None else {}
        optimizer = StagedAdamW(
            schedule if job.again is None else job.again.schedule(schedule),
            rates=[resolved.rates[name] for name in names],
            decays=decays(names, variables),
            starts=[starts[id(variable)] for variable in variables],
            decay=settings.weight_decay,
            clip_norm=settings.clip_norm,
            average=settings.average,
            loss_scale=FLOAT16_SCALE if settings.precision == "mixed_float16" else None,
            rows=[tables.packed(touched[key]) if (key := id(each)) in touched else None for each in variables],
        )
    else:  # schedule and starts follow from optimizers that are no longer there
        optimizer = optimizer_of(position)
        starts = {id(variable): at for variable, at in zip(variables, optimizer.starts, strict=True)}
    optimizer.build(variables)
    if previous is not None:
        optimizer.carry_over(previous.optimizer, previous.variables, variables)
    objective = stage.objective or task.objective(settings.label_smoothing, settings.focal)
    kind = "weighted_metrics" if job.spread else "metrics"  # as `replicas` counts them
    model.compile(optimizer=optimizer, loss=_PerExample(objective), **{kind: task.metrics()}, jit_compile=False)
    return Compiled(optimizer, variables, starts)


def _schedule(settings: Settings, steps: tuple[int, int, int], previous: Compiled | None) -> RunSchedule:
    """The rate by step; `steps` are those of the run, those planned before this stage, and those of this stage.

    Where an earlier stage stopped early, the schedule goes on from its planned end: the run still ends at a rate of 0.
    """
    total, before, here = steps
    taken = int(previous.optimizer.iterations.numpy()) if previous is not None else 0
    if settings.restart:
        return RunSchedule(settings.learning_rate, here, settings.warmup, settings.schedule, taken)
    return RunSchedule(settings.learning_rate, total, settings.warmup, settings.schedule, taken - before)


class _PerExample(keras.losses.Loss):
    """An objective as a Keras loss."""

    def __init__(self, objective: Objective):
        super().__init__(name="loss")
        self.objective = objective

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Without the mask of positions that layers pass on beside their outputs: an objective gives a loss an example,
        and knows padding by its labels."""
        return super().__call__(y_true, tf.identity(y_pred), sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.objective.loss(y_pred, y_true)
