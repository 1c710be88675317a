"""What Keras' `fit` is given in a stage: chunks of many steps, or batches one by one, and how its steps are taken."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvertical import batches, blame, chunks, fused, planning, steps
from tfvertical.kept import Job, Trained
from tfvertical.replicas import Replicas, static_for
from tfvertical.resume import Saver

WORTH_COMPILING = 1e13  # FLOPs of a stage from which on passes that XLA compiles spare more than their compiling takes


@dataclass(frozen=True)
class Feed:
    """What Keras' `fit` is given: the data, how many steps an epoch has, the data for validation; `taken` trains."""

    data: tf.data.Dataset
    per_epoch: int
    validation: tf.data.Dataset | None
    taken: chunks.Chunks | steps.Steps
    how: dict[str, Any]


def prepare(
    job: Job,
    trained: Trained,
    way: planning.Way,
    done: int,
    last: int,
    callbacks: Sequence[keras.callbacks.Callback],
    saver: Saver,
    skip: int = 0,
) -> Feed:
    """Chunks of many steps where the model is small and its inputs are in memory, otherwise batch by batch."""
    settings, model, stage = job.settings, trained.model, way.resolved.stage
    train, held_out = trained.train, trained.validation
    against = "the inputs change from epoch to epoch" if trained.transform else None
    against = job.spread or against
    for encoded in (train, held_out):
        against = against or (chunks.reason_against(model, encoded, callbacks) if encoded is not None else None)
    if against is not None:
        return _one_by_one(job, trained, way, done, against, callbacks, saver, skip)
    graphs = None if job.again is None else job.again.graphs
    many = chunks.Chunks(
        model,
        train,
        settings.batch_size,
        settings.seed,
        done,
        stage.epochs,
        stage.name,
        settings.group_by_length,
        left=last - done,
        skip=skip,
        graphs=graphs,
        flops=way.step(trained.inside) * settings.batch_size,
    )
    model.train_function, model.steps_per_execution = saver.train_function(many), many.size
    how = {"stage": stage.name, "chunks": True, "at_once": many.size, "compiled": many.compiled, "why": None}
    if held_out is None:
        return Feed(many.dataset(), many.steps, None, many, how)
    once = chunks.Validation(model, held_out, settings.batch_size, graphs)
    model.test_function = lambda iterator: once(iterator)
    return Feed(many.dataset(), many.steps, once.dataset(), many, how)


def _one_by_one(
    job: Job,
    trained: Trained,
    way: planning.Way,
    done: int,
    why: str,
    callbacks: Sequence[keras.callbacks.Callback],
    saver: Saver,
    skip: int,
) -> Feed:
    """Batches from a dataset; several to a call, unless a callback wants to see each."""
    settings, model = job.settings, trained.model
    watched = chunks.watched(callbacks)
    if watched and job.verbose:
        print(f"  Steps are taken one by one: {watched}.")
    order = (settings.batch_size, settings.seed)
    skips = settings.not_finite == "skip"
    static = static_for(job.strategy, settings)
    replicas = Replicas(model, job.strategy, static, settings.accumulate, skips) if job.spread else None
    share = None if replicas is None else replicas.share
    by_shape = static is not None and batches.differ(trained.train)
    at_once = 1 if watched or by_shape or skips else steps.at_once(way.step(trained.inside) * settings.batch_size)
    data, per_epoch = batches.training_set(
        trained.train, model, *order, done, trained.transform, settings.group_by_length, skip, share, static is not None
    )
    # of the whole stage, kept parts or not: a run that goes on, or keeps nothing, computes in the same arithmetic
    work = way.step(inside=False) * len(trained.train) * way.resolved.stage.epochs
    one_pass = replicas is None and work >= WORTH_COMPILING and _never_in_chunks(way) and fused.compiles(model)
    few = batches.batch(trained.train, model, np.arange(min(2, len(trained.train))))
    steps.make_metrics(model, few) if replicas is None else replicas.make_metrics(few)
    taken = steps.Steps(
        model,
        at_once,
        per_epoch,
        done,
        lambda number: batches.epoch(trained.train, *order, number, settings.group_by_length),
        way.resolved.stage.name,
        skip,
        steps.taken_by(model, one_pass) if replicas is None else replicas.step,
        by_shape,
        static is not None,
        _looking(trained),
        settings.skip_limit if skips else None,
    )
    model.train_function, model.steps_per_execution = saver.train_function(taken), at_once
    kept = (
        None
        if trained.validation is None
        else batches.validation_set(trained.validation, model, order[0], share, static is not None)
    )
    if replicas is not None:
        model.test_function = replicas.judge
    how = {
        "stage": way.resolved.stage.name,
        "chunks": False,
        "at_once": at_once,
        "compiled": taken.compiled,
        "one_pass": one_pass,
        "why": why,
    }
    return Feed(data, per_epoch, kept, taken, how)


def _never_in_chunks(way: planning.Way) -> bool:
    """Whether a stage goes batch by batch, its frozen part's outputs kept or not: chunks drop by Keras' own draws."""
    prefix, suffix = way.parts.prefix, way.parts.suffix
    if prefix is None or any(None in each.shape[1:] for each in keras.tree.flatten(prefix.outputs)):
        return True
    return sum(math.prod(variable.shape) for variable in suffix.weights) > chunks.WEIGHTS


def _looking(trained: Trained) -> steps.Look:
    """Where numbers first are not finite in a batch of an epoch."""

    def look(epoch: int, rows: np.ndarray) -> tuple[str, np.ndarray] | None:
        examples = trained.train if trained.transform is None else trained.transform(trained.train, epoch)
        given = batches.inputs(trained.model, examples, rows)
        found = blame.first_not_finite(trained.model, given, batches.batch(examples, trained.model, rows))
        return None if found is None else (found[0], rows[found[1]])

    return look


def count_is_known() -> keras.callbacks.Callback:
    """Takes `steps_per_execution` back once `fit` has read it: a callback's `predict` would unroll as many steps."""
    callback = keras.callbacks.Callback()

    def begun(logs: Mapping[str, Any] | None = None) -> None:
        callback.model.steps_per_execution = 1

    callback.on_train_begin = begun
    return callback
