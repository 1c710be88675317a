"""Many trainings over what they share: data read once, backbone loaded once, frozen outputs computed once."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical import config, distribution, jobs
from tfvertical._console import load_tensorflow
from tfvertical.contracts import Backbone, Encoded
from tfvertical.errors import ConfigError, Interrupted, TfverticalError, TrainingError
from tfvertical.evaluating import bootstrap, metrics
from tfvertical.files import check_place, refuse_filled, write_json
from tfvertical.jobs import reading
from tfvertical.plain import plain
from tfvertical.registry import Registry
from tfvertical.report import Report
from tfvertical.reporting import trials as tables
from tfvertical.reporting.trials import Trial
from tfvertical.runfiles import grid, runfile
from tfvertical.runfiles.run import Run

SCHEMA_VERSION = 1
SERVED = ("training.learning_rate", "training.seed")  # trials that differ in these only begin with one's graphs
# options of a task that change nothing about its inputs
UNREAD = ("hidden", "dropout", "seed", "pooling", "normalize", "crf", "last_blocks", "convolutions")
KINDS = 4  # of trials whose graphs are kept


@dataclass(frozen=True)
class Sweep:
    """What a sweep found; printed, it is a table, best first.

    Args:
        trials: in the order in which they ran.
        metric: what they were compared by, on the validation data: `loss`, or the task's `measure`.
        best: the trial that was trained again and saved.
        report: of that one on the test data; None where there are none.
    """

    trials: tuple[Trial, ...]
    metric: str
    best: Trial
    report: Report | None = None

    def __str__(self) -> str:
        return tables.table(self.trials, self.metric)


class Study:
    """What trials share; each trial trains from the same first weights.

    Args:
        path: a run file with validation data; its `sweep:` section is not read here.
        overrides: `training.epochs=5`, written over what the file says.
        say: gets a line for the person now and then.

    Raises:
        ConfigError: mistakes in the file.
        DataError: rows that cannot be used.

    Example:
        >>> study = Study("run.yaml")  # doctest: +SKIP
        >>> study.trial({"training.learning_rate": 5e-3}).metrics["accuracy"]  # doctest: +SKIP
        0.912
    """

    def __init__(self, path: str | os.PathLike[str], overrides: Sequence[str] = (), say: jobs.Say = print):
        read = runfile.override(runfile.read(path), overrides)
        content = read.value if isinstance(read.value, dict) else {}
        self.document = replace(read, value={name: value for name, value in content.items() if name != "sweep"})
        self.folder = Path(path).resolve().parent
        base = self.run({})
        if base.strategy not in ("auto", "one_device") or distribution.several(base.strategy):
            raise ConfigError(
                f"Trials train on one device, not by {base.strategy!r}.",
                fix="leave training.strategy out of the sweep, and train the best one with it",
            )
        self.target, measure = jobs.target_of(base.task), jobs.measure_of(base.task)
        by_loss = self.target == "label" and base.training.monitor != f"val_{measure}"
        self.metric = "loss" if by_loss else measure
        self.parts = reading.read(base.data, jobs.kind_of(base.task), base.labels, self.target)
        if "validation" not in self.parts:
            raise ConfigError("A study needs validation data.", fix="give data.validation or data.split")
        self.labels = reading.names_of(base.data, base.labels, self.target, *self.parts.values())
        self.parts.pop("test", None)  # nothing is chosen by them
        self.say = say
        self._backbones: dict[str, _Shared] = {}
        self._encoded: dict[str, dict[str, Encoded]] = {}
        self._left: OrderedDict[str, _Left] = OrderedDict()

    def run(self, overrides: Mapping[str, Any]) -> Run:
        """The checked run that a trial is.

        Raises:
            ConfigError: a key or a value that is not possible.
        """
        return config.build(runfile.override(self.document, grid.settings(overrides)), self.folder)

    def trial(self, overrides: Mapping[str, Any]) -> Trial:
        """Train one and measure it on the validation data.

        Args:
            overrides: dotted key -> value, below `task.`, `training.` or `adaptation`.

        Raises:
            ConfigError: a key or a value that is not possible.
            PresetError: the backbone cannot be had.
            TrainingError: the loss or the scores are not finite, a frozen weight moved, a learning one did not, or
                memory is too small.
        """
        began, overrides = time.perf_counter(), plain(overrides)  # KerasTuner may give numbers of NumPy
        for key in overrides:
            if grid.fixed(key) is not None or key.partition(".")[0] not in grid.ROOMS:
                raise ConfigError(f"A trial cannot set {key!r}.", expected="a key below task., training. or adaptation")
        run = self.run(overrides)
        load_tensorflow()
        from tfvertical import stages, training

        with self._failing():
            shared, task, again = self._task(run, overrides)
            task._prepare(self.parts["train"])
            encoded = self._examples(run, task)
            resolved = [
                stages.resolve(task.components, stage) for stage in run.adaptation.stages(task, run.training.epochs)
            ]
            augment = (
                None if run.augment is None else task._augmented(self.parts["train"], run.augment, run.training.seed)
            )
            with shared.put_back(resolved):
                training.run(
                    task,
                    encoded["train"],
                    encoded["validation"],
                    run.adaptation,
                    run.training,
                    augment=augment,
                    verbose=0,
                    again=again,
                    names=(self.parts["train"].report.name, self.parts["validation"].report.name),
                )
                if again.trained is None or again.planned is None:
                    # of entities, labels cut words that a text by itself does not
                    held = encoded["validation"] if self.target == "label" else self.parts["validation"]
                    scores = np.asarray(task.scores(held))
                else:  # their frozen outputs are at hand
                    scores = np.asarray(task.scores_of(again.planned.ways[0].parts.suffix, again.trained.validation))
                if not np.isfinite(scores).all():
                    raise TrainingError(
                        "The scores on the validation data are not finite.", fix="lower the learning rate"
                    )
                if self.target != "label":
                    task._settle(self.parts["validation"], scores)
        values, intervals = self._measured(task, encoded["validation"], scores)
        return Trial(dict(overrides), values, intervals, round(time.perf_counter() - began, 2))

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """For a trial: where it fails, the next begins anew."""
        import tensorflow as tf

        try:
            yield
        except BaseException as error:
            self._left.clear()
            if isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError)):
                raise TrainingError(
                    "There is no memory for this trial.",
                    received=(str(error).splitlines() or [type(error).__name__])[0][:300],
                    fix="take a smaller training.batch_size",
                ) from error
            raise

    def _task(self, run: Run, overrides: Mapping[str, Any]) -> tuple[_Shared, Any, Any]:
        """The task on the shared backbone, with what the trial before has left for one of its kind.

        What `from_preset` takes and the class does not belongs to the backbone.
        """
        from tfvertical import backbones
        from tfvertical.again import Again

        cls = Registry("tasks").get(run.task)
        own = inspect.signature(cls.__init__).parameters
        takes = inspect.signature(cls.from_preset).parameters
        names = [name for name in takes if name not in own and name not in ("preset", "labels")]
        options = {name: run.options.get(name, takes[name].default) for name in names}
        key = json.dumps([run.preset, options], sort_keys=True)
        if key not in self._backbones:
            self.say(f"Loading {run.preset} for {len(self.labels)} labels.")
            self._backbones[key] = _Shared(backbones.load(run.preset, **options), key)
        shared = self._backbones[key]
        others = {name: value for name, value in overrides.items() if name not in SERVED}
        kind = json.dumps([key, others], sort_keys=True)
        if kind not in self._left:
            head = {name: value for name, value in run.options.items() if name not in names}
            self._left[kind] = _Left(cls(shared.backbone, self.labels, **head), Again())
            if len(self._left) > KINDS:
                self._left.popitem(last=False)
        self._left.move_to_end(kind)
        left = self._left[kind]
        left.reset()
        return shared, left.task, left.again

    def _examples(self, run: Run, task: Any) -> dict[str, Encoded]:
        """Both parts as the task takes them, once for each way of encoding."""
        preprocessor = [type(task.preprocessor).__name__, task.preprocessor.config()]
        reads = {name: value for name, value in run.options.items() if name not in UNREAD}
        key = json.dumps([preprocessor, run.preset, reads], sort_keys=True)
        train = task._weighted(self.parts["train"], run.data.class_weight)
        if key not in self._encoded:
            if run.data.load.get("strict"):
                reading.refuse_unknown_tokens(task, self.parts)
            self._encoded[key] = {
                "train": task._labelled(train),
                "validation": task._labelled(self.parts["validation"], held_out=True),
            }
        return self._encoded[key]

    def _measured(
        self, task: Any, encoded: Encoded, scores: np.ndarray
    ) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
        """Metrics on the validation data, and their 95 % intervals."""
        if self.target != "label":
            from tfvertical import evaluation

            found = evaluation.evaluate(task, self.parts["validation"], scores=scores, show_examples=False)
            values = {name: float(found.metrics[name] or 0.0) for name in found.intervals}
            return values, {name: (low, high) for name, (low, high) in found.intervals.items()}
        true = np.zeros(len(scores), np.int64)
        true[encoded.rows] = np.asarray(encoded.labels)
        summary, counted = metrics.summary(true, scores), bootstrap.intervals(true, scores)
        losses = bootstrap.mean_interval(metrics.log_losses(true, scores))
        values = {"accuracy": summary["accuracy"], "macro_f1": summary["macro_f1"], "loss": summary["log_loss"]}
        return values, {"accuracy": counted["accuracy"], "macro_f1": counted["macro_f1"], "loss": losses}


@dataclass
class _Left:
    """The task of a trial, its head as it was at first, and what the trial has left for others of its kind."""

    task: Any
    again: Any
    first: list[np.ndarray] = field(default_factory=list)

    def reset(self) -> None:
        """Put the head back."""
        weights = self.task.components["head"].weights
        if not self.first:
            self.first = [variable.numpy() for variable in weights]
        for variable, value in zip(weights, self.first, strict=True):
            variable.assign(value)


class _Shared:
    """A backbone that all trials train on; what a trial moves in it is put back."""

    def __init__(self, backbone: Backbone, key: str):
        self.backbone, self.key = backbone, key
        self.first: list[np.ndarray] | None = None

    @contextlib.contextmanager
    def put_back(self, resolved: Sequence[Any]) -> Iterator[None]:
        """For a block that trains these stages; a head alone moves nothing here and costs no copy."""
        moves = any(not address.startswith("head/") for stage in resolved for address in stage.rates)
        if moves and self.first is None:
            self.first = [variable.numpy() for variable in self.backbone.model.weights]
        try:
            yield
        finally:
            if moves and self.first is not None:
                for variable, value in zip(self.backbone.model.weights, self.first, strict=True):
                    variable.assign(value)


def run(
    path: str | os.PathLike[str],
    out: str | Path,
    overrides: Sequence[str] = (),
    overwrite: bool = False,
    say: jobs.Say = print,
) -> Sweep:
    """Try all that a run file's `sweep:` asks for, then train the best again and save it as `jobs.train` does.

    Args:
        path: the run file.
        out: the folder that gets `sweep.json`, written after every trial, and what `jobs.train` writes.
        overrides: `training.epochs=5`, written over what the file says.
        overwrite: replace what stands there.
        say: gets a line for the person now and then.

    Raises:
        BundleError: `out` is filled.
        CheckpointError: an unfinished run stands beside `out`, or another process trains there.
        ConfigError: mistakes in the file or in any value that is to be tried.
        DataError: rows that cannot be used.
        Interrupted: a signal came while the best was trained again.
        TrainingError: every trial failed.
    """
    asked = grid.load(path, overrides)
    out = Path(out).expanduser()
    refuse_filled(out, overwrite=overwrite)
    check_place(out)
    jobs.begin_anew(out, overwrite=overwrite)  # else the best one's training would be refused, behind all trials
    study = Study(path, [*overrides, *grid.settings(asked.trials[0])], say)
    done: list[Trial] = []
    for options in asked.trials:
        done.append(_tried(study, options))
        _write(out, done, study.metric, None)
        say(f"Trial {len(done)} of {len(asked.trials)}: {_line(done[-1], study.metric)}")
    first = tables.groups(done, study.metric)[0]
    if not first.finished:
        raise TrainingError(
            f"All {len(done)} trials failed. The first: {done[0].error}", fix=f"see {Path(out) / 'sweep.json'}"
        )
    best = first.best(study.metric)
    _write(out, done, study.metric, best)
    say(tables.table(done, study.metric))
    say(f"Training the best again: {tables.said(best.options)}.")
    chosen = replace(study.run(best.options), strategy="one_device")  # as its trials
    try:
        report = jobs.train(chosen, out, overwrite=True, say=say)  # asked above; sweep.json stands there
    except Interrupted as error:  # its position is of no use to the same call, which runs all trials
        raise Interrupted(error.name, "", fix="say overwrite (--overwrite): a sweep begins anew") from error
    return Sweep(tuple(done), study.metric, best, report)


def _tried(study: Study, options: Mapping[str, Any]) -> Trial:
    began = time.perf_counter()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return study.trial(options)
    except TfverticalError as error:  # the next trial may do better
        return Trial(dict(options), seconds=round(time.perf_counter() - began, 2), error=str(error))


def _line(trial: Trial, metric: str) -> str:
    result = "failed" if trial.error is not None else f"{metric} {trial.metrics[metric]:.3f}"
    return f"{tables.said(trial.options)}: {result}, {trial.seconds:.1f} s."


def _write(out: str | Path, trials: Sequence[Trial], metric: str, best: Trial | None) -> None:
    """`sweep.json`, whole."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "metric": metric,
        "best": None if best is None else dict(best.options),
        "trials": [trial.written() for trial in trials],
    }
    write_json(Path(out) / "sweep.json", content)
