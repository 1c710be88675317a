"""Train a task: one Keras `fit` per stage, on what lies behind the frontier."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from tfvertical import (
    batches,
    callback_state,
    chunks,
    feed,
    kernels,
    memory,
    nodes,
    planning,
    precision,
    proof,
    random_states,
    refusals,
    remat,
    replicas,
    run_identity,
    stages,
    steps,
)
from tfvertical.again import Again
from tfvertical.averages import Averages
from tfvertical.checkpoint import Checkpoint, Position
from tfvertical.compiling import Compiled, compiled
from tfvertical.contracts import Adaptation, Encoded, Task
from tfvertical.errors import ClusterError, NotFiniteError, TrainingError
from tfvertical.events import Events
from tfvertical.history import History, Recorder
from tfvertical.kept import Job, Kept, Trained, Transform
from tfvertical.resume import Saver, Standing, before_of
from tfvertical.settings import Settings
from tfvertical.sharing import Sharing, Stops
from tfvertical.stages import Stage
from tfvertical.watch import Watch


@dataclass(frozen=True)
class _Start:
    """Where a stage begins: its number, the planned epochs before it, the optimizer and the weights from before it."""

    stage: int
    done: int
    previous: Compiled | None
    before: Mapping[str, bytes]


@nodes.forgotten()  # of what is split here, nothing is built upon later
def run(
    task: Task,
    train: Encoded,
    validation: Encoded | None,
    adaptation: Adaptation,
    settings: Settings,
    *,
    augment: Transform | None = None,
    callbacks: keras.callbacks.Callback | Sequence[keras.callbacks.Callback] | None = (),
    verbose: int = 1,
    events: Events | None = None,
    checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
    checkpoint_every: float = 120.0,
    described: Mapping[str, Any] | None = None,
    again: Again | None = None,
    names: tuple[str, str] = ("", ""),
) -> History:
    """Adapt `task.model` in place.

    Args:
        task: what is trained.
        train: encoded examples with labels.
        validation: the same, to choose the best epoch by; None ends with the last epoch.
        adaptation: which stages.
        settings: everything else.
        augment: `(encoded, epoch) -> encoded`, before each epoch; with it the frozen part is not cached.
        callbacks: Keras' own, or one alone, called in every stage with the model that is trained in it.
        verbose: 0 silent, 1 progress bars, 2 a line an epoch.
        events: where to say what happens.
        checkpoint: a folder for the run's position; where one stands there, of the same run, it goes on from it, and
            ends as if it had never been interrupted.
        checkpoint_every: seconds between two saves within an epoch; after each epoch there is one, too.
        described: `augment` as JSON values: with another one a run is another run.
        again: what earlier runs of the same have left, and gets what this one leaves; without a checkpoint only.
        names: what `train` and `validation` are called, for lists of what is kept on disk; empty for no name.

    Raises:
        AddressError: a stage's pattern matches nothing.
        ClusterError: another worker is gone, or trains another run.
        CheckpointError: another process trains there, another run's position stands there, or a signal came and the
            position could not be saved.
        Interrupted: SIGTERM or SIGINT came; where the run stood is saved.
        ConfigError: the settings need validation data and there are none, or monitor what epochs do not have; or a
            callback of Keras cannot work in such a run.
        DataError: no examples, or examples without labels.
        NotFiniteError: a step's loss or gradients are not finite; the weights are those from before it.
        TrainingError: a frozen weight moved, or a learning one did not.
    """
    events, began = events or Events(), time.perf_counter()
    called = callback_state.listed(callbacks)
    refusals.refuse_callbacks(called, checkpoint is not None)
    memory.keep_freed()
    if verbose and (slower := kernels.hint()):
        print(slower)
    monitor = settings.monitor or task.monitor
    refusals.refuse_monitor(monitor, task.quantities)
    refusals.refuse_data(train, validation, settings, monitor)
    strategy = replicas.strategy_of(task.model)
    shared = replicas.sharing(strategy)
    plan = list(adaptation.stages(task, settings.epochs))
    refusals.refuse(task, plan, adaptation, settings, strategy)
    replicas.refuse_second(strategy)
    resolved = [stages.resolve(task.components, stage) for stage in plan]  # every mistake before the first epoch
    random_states.reseed(task.model, settings.seed)
    planned = again.planned if again is not None else None
    planned = planned or planning.plan(
        task, resolved, [train, *([] if validation is None else [validation])], settings, augment is not None
    )
    if again is not None and (checkpoint is not None or strategy is not None or not again.serves(planned, settings)):
        again = None
    per_epoch = math.ceil(len(train) / settings.batch_size)
    total = per_epoch * sum(stage.epochs for stage in plan)
    job = Job(task, train, validation, settings, augment, verbose, per_epoch, total, events, strategy, again, names)
    kept = Kept(job, planned)
    moving = {  # in an order that is the same in every process: positions number them
        address: each.variables[address]
        for each in resolved
        for address in (*each.rates, *sorted(_statistics(task, each)))
    }
    watch = Watch(list(moving.values()), monitor, settings.early_stopping, settings.restore_best)
    config = (
        {}
        if checkpoint is None and shared is None
        else run_identity.of_run(task, resolved, moving, train, validation, settings, described)
    )
    kept_at = checkpoint if checkpoint is None or isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint)
    saver = Saver(kept_at, checkpoint_every, config, events, shared)
    try:
        with saver.open(watch) as position, replicas.together(strategy):
            _same_run(shared, config | _own_to_a_call(kept_at, called, settings))
            _same_position(shared, position)
            history = History() if position is None else History.read(position.about["recorded"])
            if position is not None:
                kept.policy = saver.frozen
                if verbose:
                    print(_going_on(position.about, plan))
            _stages(job, planned, watch, kept, history, called, saver)
    finally:
        kept.drop()
    history.best_epoch = watch.best_epoch if settings.restore_best else -1
    history.seconds += time.perf_counter() - began
    events.emit("run_ended", seconds=round(history.seconds, 1), best_epoch=history.best_epoch)
    return history


def _same_run(sharing: Sharing | None, config: Mapping[str, Any]) -> None:
    """All workers train the same, or none does: with other data they would wait for each other, or drift apart.

    Raises:
        ClusterError: something differs.
    """
    if sharing is None:
        return
    sections: dict[str, dict[str, Any]] = {}
    for key, value in config.items():
        if key != "task.source.preset":  # a folder may lie elsewhere there; its weights are compared
            sections.setdefault(key.partition(".")[0], {})[key] = value
    differing = []
    for name, section in sorted(sections.items()):  # all of them in every worker, whatever differs
        digest = hashlib.sha256(json.dumps(section, sort_keys=True).encode()).hexdigest()
        if not sharing.alike(int(digest[:15], 16)):
            differing.append(name)
    if differing:
        raise ClusterError(
            f"Workers train different runs: what differs is of {', '.join(differing)}.",
            fix="give all of them the same task, data, adaptation, settings and packages, a checkpoint or none, and "
            "the same callbacks that see batches",
        )


def _own_to_a_call(
    checkpoint: Checkpoint | None, callbacks: Sequence[keras.callbacks.Callback], settings: Settings
) -> dict[str, Any]:
    """What another process of the same run may change, and other workers may not: they would wait at other points."""
    kept = {f"cache.{name}": getattr(settings, name) for name in run_identity.INDIFFERENT}
    return kept | {"checkpoint": checkpoint is not None, "callbacks": chunks.watching(callbacks)}


def _same_position(sharing: Sharing | None, position: Position | None) -> None:
    """All workers go on from one place, or none does.

    Raises:
        ClusterError: they see different positions.
    """
    if sharing is None:
        return
    number = -1 if position is None else position.number
    if not sharing.alike(number):
        raise ClusterError(
            f"Workers see different positions of this run; here it is {'none' if number < 0 else f'number {number}'}.",
            fix="give all of them the same folder, on storage that they share",
        )


def _stages(
    job: Job,
    planned: planning.Plan,
    watch: Watch,
    kept: Kept,
    history: History,
    callbacks: Sequence[keras.callbacks.Callback],
    saver: Saver,
) -> None:
    """One stage after another, from where the run stands; `history` records them."""
    task, events, verbose = job.task, job.events, job.verbose
    previous, done, began = None, 0, time.perf_counter()
    for at, way in enumerate(planned.ways):
        stage, position = way.resolved.stage, saver.back(at)
        if saver.position is not None and saver.position.about["stage"] > at:
            done += stage.epochs
            continue
        here = stages.apply(task.components, stage)
        events.emit("stage_started", stage=stage.name, learning=len(here.rates), epochs=stage.epochs)
        if verbose:
            print(_announce(here))
        before = proof.fingerprint(here) if position is None else before_of(position)
        watch.enter(stage.name)
        saver.recorded, saver.recorded_at = history.written(time.perf_counter() - began), time.perf_counter()
        started = _Start(at, done, previous, before)
        try:
            trained, saver.frozen = kept.trained(at), kept.policy
            fitted, previous, taken = _fit(job, trained, way, here, started, watch, callbacks, saver)
            if job.again is not None:
                job.again.leave(planned, kept.policy)
        except NotFiniteError as error:
            if watch.settle():
                told = "Statistics of BatchNormalization took its numbers in, so that the whole stage is undone."
                raise NotFiniteError(f"{error}\n  {told}", rows=error.rows) from error
            raise
        except TrainingError:
            watch.undo()
            raise
        saver.leave()
        history.extend(stage.name, fitted)
        history.waited += taken["waited"]
        history.steps.append(taken if kept.policy is None else taken | {"frozen_precision": kept.policy[0]})
        history.proofs.append(proof.check(here, before, _statistics(task, here)))
        watch.leave()
        done += stage.epochs
        events.emit("stage_ended", stage=stage.name, epochs=len(fitted.epochs), moved=len(history.proofs[-1].moved))


def _fit(
    job: Job,
    trained: Trained,
    way: planning.Way,
    resolved: stages.Resolved,
    start: _Start,
    watch: Watch,
    callbacks: Sequence[keras.callbacks.Callback],
    saver: Saver,
) -> tuple[Recorder, Compiled, dict[str, Any]]:
    """One stage's Keras `fit`, after `start.done` planned epochs. What was kept for it ends with this call."""
    stage, settings, model, recorder = resolved.stage, job.settings, trained.model, Recorder()
    position, last = saver.back(start.stage), start.done + stage.epochs
    with contextlib.nullcontext() if job.strategy is None else job.strategy.scope():
        now = compiled(model, resolved, job, start.done, start.previous, position)
    head = precision.spared(job.task.components["head"], now.variables)
    try:
        if position is None:
            policy = precision.choose(job.precision, model, trained.train, head)
        else:  # what was measured once is not measured again
            policy = tuple(position.about["policy"])
        with (
            precision.lowered(model, policy[0], head),
            replicas.synchronized(model, job.strategy),
            remat.rematerialized(model, settings.rematerialize),
        ):
            averages = Averages(now.optimizer, now.variables)
            standing = Standing(
                start.stage,
                model,
                job.task.model,
                now.optimizer,
                recorder,
                start.done,
                stage.epochs,
                start.before,
                policy,
                _taken_in(trained, stage, settings),
                averages=averages,
                callbacks=callbacks,
            )
            first, skip = saver.enter(standing)
            given = feed.prepare(job, trained, way, first, last, callbacks, saver, skip)
            standing.taken = given.taken
            given.taken.skipped = standing.skipped
            how = given.how | {"precision": policy[0], "precision_why": policy[1]}
            job.events.emit("steps", **how)
            watching = bool(chunks.watching(callbacks))
            together = [] if saver.workers is None else [Stops(saver.workers, watching)]
            if first < last:
                begun = start.stage > 0 or saver.position is not None  # what callbacks write goes on
                with batches.errors_told(), callback_state.appending(callbacks, begun):
                    model.fit(
                        given.data,
                        steps_per_epoch=given.per_epoch,
                        initial_epoch=first,
                        epochs=last,
                        validation_data=given.validation,
                        callbacks=[
                            feed.count_is_known(),
                            recorder,
                            *averages.around(watch),
                            _epochs_to(job.events, stage.name),
                            *callbacks,
                            *together,
                            *saver.callbacks(),
                        ],
                        verbose=job.verbose,
                        shuffle=False,  # the dataset is in its order already
                    )
            averages.settle()
            if job.again is not None:
                job.again.keep(trained, now, given.taken)
    finally:
        now.optimizer.settle(now.variables)
        model.train_function = model.test_function = None
        if job.again is None or job.again.trained is None:
            trained.release()
    return recorder, now, how | _of_steps(given.taken)


def _taken_in(trained: Trained, stage: Stage, settings: Settings) -> dict[str, str]:
    """How a stage comes by its batches: what was kept may be dense where the task's own inputs differ in length."""
    grouped = batches.differ(trained.train) if settings.group_by_length is None else settings.group_by_length
    return {
        f"stage {stage.name!r}, its frozen part": "runs in every step" if trained.inside else "runs once",
        f"stage {stage.name!r}, its batches": "grouped by length" if grouped else "of any lengths",
    }


def _of_steps(taken: chunks.Chunks | steps.Steps) -> dict[str, Any]:
    """What is known of a stage's steps when they are taken."""
    found: dict[str, Any] = {"waited": taken.waited, "compiled": taken.compiled}
    return found | ({"skipped": taken.skipped} if taken.skipped else {})


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


def _going_on(about: Mapping[str, Any], plan: Sequence[Stage]) -> str:
    """Where a run is taken up, in a line; said once the position is known to be this run's."""
    steps = f" and {about['steps']} steps of the next" if about["steps"] else ""
    epochs = sum(stage.epochs for stage in plan)
    return f"Going on in stage {plan[about['stage']].name!r}, after {about['epoch']} of {epochs} epochs{steps}."


def _announce(resolved: stages.Resolved) -> str:
    """What a stage will do, in a line."""
    learning = [f"{part} {count:,} weights at {rate:g}" for part, rate, count in stages.describe(resolved)]
    epochs = f"{resolved.stage.epochs} epoch{'s' * (resolved.stage.epochs > 1)}"
    return f"Stage {resolved.stage.name!r}, {epochs}: {'; '.join(learning)}; {stages.frozen(resolved):,} frozen."


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
