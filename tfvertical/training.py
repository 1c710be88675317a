"""Train a task: one Keras `fit` per stage, on what lies behind the frontier."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvertical import feed, memory, planning, precision, proof, stages
from tfvertical.contracts import Adaptation, Encoded, Objective, Task
from tfvertical.errors import ConfigError, DataError, TrainingError
from tfvertical.events import Events
from tfvertical.kept import Job, Kept, Trained, Transform
from tfvertical.optimizer import RunSchedule, StagedAdamW, decays
from tfvertical.settings import Settings
from tfvertical.watch import Watch


@dataclass
class History:
    """What a run recorded.

    Args:
        history: metric -> one value per epoch, as in Keras' `History`.
        stages: the stage of each epoch.
        epochs: the planned number of each epoch (from 0); early stopping leaves gaps.
        proofs: per stage, which weights moved.
        best_epoch: planned number of the epoch whose weights the run ended with, or -1 for the last.
        seconds: wall time of the run.
        waited: of it, what training steps waited for their data.
        steps: per stage, how its steps were taken: `stage`, `chunks` (from memory, in one graph), `at_once` (steps a
            call), `compiled` (by XLA), `why` not in chunks, seconds `waited` for data, `precision` and why.
    """

    history: dict[str, list[float]] = field(default_factory=dict)
    stages: list[str] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    proofs: list[proof.Proof] = field(default_factory=list)
    best_epoch: int = -1
    seconds: float = 0.0
    waited: float = 0.0
    steps: list[dict[str, Any]] = field(default_factory=list)

    def extend(self, stage: str, fitted: keras.callbacks.History) -> None:
        """Append a stage's epochs."""
        self.stages += [stage] * len(fitted.epoch)
        self.epochs += fitted.epoch
        for name, values in fitted.history.items():
            self.history.setdefault(name, []).extend(float(value) for value in values)


class _PerExample(keras.losses.Loss):
    """An objective as a Keras loss."""

    def __init__(self, objective: Objective):
        super().__init__(name="loss")
        self.objective = objective

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.objective.loss(y_pred, tf.cast(y_true, tf.int32))


@dataclass
class _Previous:
    """The optimizer of the stage before, with what it was built on."""

    optimizer: StagedAdamW
    variables: list[Any]
    starts: dict[int, int]


def run(
    task: Task,
    train: Encoded,
    validation: Encoded | None,
    adaptation: Adaptation,
    settings: Settings,
    *,
    augment: Transform | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int = 1,
    events: Events | None = None,
) -> History:
    """Adapt `task.model` in place.

    Args:
        task: what is trained.
        train: encoded examples with labels.
        validation: the same, to choose the best epoch by; None ends with the last epoch.
        adaptation: which stages.
        settings: everything else.
        augment: `(encoded, epoch) -> encoded`, before each epoch; with it the frozen part is not cached.
        callbacks: Keras' own, called in every stage with the model that is trained in it.
        verbose: 0 silent, 1 progress bars, 2 a line an epoch.
        events: where to say what happens.

    Raises:
        AddressError: a stage's pattern matches nothing.
        ConfigError: the settings need validation data and there are none.
        DataError: no examples, or examples without labels.
        TrainingError: the loss is not finite, a frozen weight moved, or a learning one did not.
    """
    events, began = events or Events(), time.perf_counter()
    memory.keep_freed()
    _check(train, validation, settings)
    if adaptation.patch(task) is not None:
        raise ConfigError(f"{type(adaptation).__name__} inserts weights, which is not possible yet.")
    plan = list(adaptation.stages(task, settings.epochs))
    resolved = [stages.resolve(task.components, stage) for stage in plan]  # every mistake before the first epoch
    _reseed(task.model, settings.seed)
    planned = planning.plan(
        task, resolved, [train, *([] if validation is None else [validation])], settings, augment is not None
    )
    per_epoch = math.ceil(len(train) / settings.batch_size)
    total = per_epoch * sum(stage.epochs for stage in plan)
    job = Job(task, train, validation, settings, augment, verbose, per_epoch, total, events)
    kept = Kept(job, planned)
    moving = {
        address: each.variables[address] for each in resolved for address in (*each.rates, *_statistics(task, each))
    }
    watch = Watch(list(moving.values()), settings.monitor, settings.early_stopping, settings.restore_best)
    history, previous, done = History(), None, 0
    for stage, way in zip(plan, planned.ways, strict=True):
        here = stages.apply(task.components, stage)
        events.emit("stage_started", stage=stage.name, learning=len(here.rates), epochs=stage.epochs)
        if verbose:
            print(_announce(here))
        before = proof.fingerprint(here)
        watch.enter(stage.name)
        watched = [watch, _epochs_to(events, stage.name), *callbacks]
        try:
            fitted, previous, taken = _fit(job, kept.trained(way), way, here, done, previous, watched)
        except TrainingError:
            watch.undo()
            kept.drop()
            raise
        history.extend(stage.name, fitted)
        history.waited += taken["waited"]
        history.steps.append(taken)
        history.proofs.append(proof.check(here, before, _statistics(task, here)))
        watch.leave()
        done += stage.epochs
        events.emit("stage_ended", stage=stage.name, epochs=len(fitted.epoch), moved=len(history.proofs[-1].moved))
    kept.drop()
    history.best_epoch = watch.best_epoch if settings.restore_best else -1
    history.seconds = time.perf_counter() - began
    events.emit("run_ended", seconds=round(history.seconds, 1), best_epoch=history.best_epoch)
    return history


def _fit(
    job: Job,
    trained: Trained,
    way: planning.Way,
    resolved: stages.Resolved,
    done: int,
    previous: _Previous | None,
    callbacks: Sequence[keras.callbacks.Callback],
) -> tuple[keras.callbacks.History, _Previous, dict[str, Any]]:
    """One stage's Keras `fit`, after `done` planned epochs. What was kept for it ends with this call."""
    stage, settings, model = resolved.stage, job.settings, trained.model
    schedule = _schedule(settings, (job.total, done * job.steps, stage.epochs * job.steps), previous)
    now = _compile(model, resolved, job.task, settings, schedule, previous)
    head = stages.layers(job.task.components["head"])
    try:
        policy, because = precision.choose(settings.precision, model, trained.train, head)
        with precision.lowered(model, policy, head):
            given = feed.prepare(job, trained, way, done, callbacks)
            how = given.how | {"precision": policy, "precision_why": because}
            job.events.emit("steps", **how)
            fitted = model.fit(
                given.data,
                steps_per_epoch=given.per_epoch,
                initial_epoch=done,
                epochs=done + stage.epochs,
                validation_data=given.validation,
                callbacks=[feed.count_is_known(), *callbacks],
                verbose=job.verbose,
                shuffle=False,  # the dataset is in its order already
            )
    finally:
        model.train_function = model.test_function = None
        trained.release()
    return fitted, now, how | {"waited": given.taken.waited, "compiled": given.taken.compiled}


def _epochs_to(events: Events, stage: str) -> keras.callbacks.Callback:
    """Says each epoch's quantities, once the loss is known to be finite."""

    def ended(epoch: int, logs: Mapping[str, Any] | None) -> None:
        quantities = {name: float(value) for name, value in (logs or {}).items()}
        events.emit(
            "epoch_ended",
            stage=stage,
            epoch=epoch,
            **{name: value if math.isfinite(value) else None for name, value in quantities.items()},
        )

    return keras.callbacks.LambdaCallback(on_epoch_end=ended)


def _announce(resolved: stages.Resolved) -> str:
    """What a stage will do, in a line."""
    learning = [f"{part} {count:,} weights at {rate:g}" for part, rate, count in stages.describe(resolved)]
    total = sum(int(variable.shape.num_elements() or 0) for variable in resolved.variables.values())
    frozen = total - sum(count for _, _, count in stages.describe(resolved))
    epochs = f"{resolved.stage.epochs} epoch{'s' * (resolved.stage.epochs > 1)}"
    return f"Stage {resolved.stage.name!r}, {epochs}: {'; '.join(learning)}; {frozen:,} frozen."


def _check(train: Encoded, validation: Encoded | None, settings: Settings) -> None:
    """Say what cannot work before anything is computed."""
    for name, encoded in (("training", train), ("validation", validation)):
        if encoded is None:
            continue
        if not len(encoded):
            raise DataError(f"There are no {name} examples.", expected="at least one")
        if encoded.labels is None:
            raise DataError(f"The {name} examples have no labels.", fix="load them with label=…")
    if validation is None and settings.early_stopping and settings.monitor.startswith("val_"):
        raise ConfigError(
            f"Early stopping on {settings.monitor!r} needs validation data.",
            fix="give some, or monitor a quantity of the training data (`loss`)",
        )


def _schedule(settings: Settings, steps: tuple[int, int, int], previous: _Previous | None) -> RunSchedule:
    """The rate by step; `steps` are those of the run, those planned before this stage, and those of this stage.

    Where an earlier stage stopped early, the schedule goes on from its planned end: the run still ends at a rate of 0.
    """
    total, before, here = steps
    taken = int(previous.optimizer.iterations.numpy()) if previous is not None else 0
    if settings.restart:
        return RunSchedule(settings.learning_rate, here, settings.warmup, settings.schedule, taken)
    return RunSchedule(settings.learning_rate, total, settings.warmup, settings.schedule, taken - before)


def _compile(
    model: keras.Model,
    resolved: stages.Resolved,
    task: Task,
    settings: Settings,
    schedule: RunSchedule,
    previous: _Previous | None,
) -> _Previous:
    """Compile for a stage, moments of variables that go on learning taken over from the stage before."""
    by_id = {id(variable): address for address, variable in resolved.learning().items()}
    variables = list(model.trainable_variables)
    names = [by_id[id(variable)] for variable in variables]
    now = int(previous.optimizer.iterations.numpy()) if previous else 0
    known = previous.starts if previous else {}
    starts = {id(variable): known.get(id(variable), now) for variable in variables}
    optimizer = StagedAdamW(
        schedule,
        rates=[resolved.rates[name] for name in names],
        decays=decays(names, variables),
        starts=[starts[id(variable)] for variable in variables],
        decay=settings.weight_decay,
        clip_norm=settings.clip_norm,
    )
    optimizer.build(variables)
    if previous is not None:
        optimizer.carry_over(previous.optimizer, previous.variables, variables)
    objective = resolved.stage.objective or task.objective(settings.label_smoothing)
    model.compile(optimizer=optimizer, loss=_PerExample(objective), metrics=task.metrics(), jit_compile=False)
    return _Previous(optimizer, variables, starts)


def _statistics(task: Task, resolved: stages.Resolved) -> frozenset[str]:
    """Addresses of BatchNormalization's moving statistics that the stage lets move: where scale and offset learn."""
    if not resolved.stage.batch_norm:
        return frozenset()
    inside = stages.batch_norm_variables(task.components)
    of_batch_norm = [address for address, variable in resolved.variables.items() if id(variable) in inside]
    opened = {address.rpartition("/")[0] for address in of_batch_norm if address in resolved.rates}
    return frozenset(
        address
        for address in of_batch_norm
        if address.rpartition("/")[0] in opened and address.rpartition("/")[2].startswith("moving_")
    )


def _reseed(model: keras.Model, seed: int) -> None:
    """Give every random layer its state anew: a run must not depend on what ran before in this process."""
    weights = {id(variable) for variable in model.weights}
    for at, variable in enumerate(variable for variable in model.variables if id(variable) not in weights):
        state = np.random.default_rng([seed, at]).integers(0, 2**31, size=variable.shape)
        variable.assign(state.astype(str(variable.dtype)))
