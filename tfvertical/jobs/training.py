"""A run from its data to a bundle, its report and its exports."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical import bundle, data, distribution
from tfvertical._console import load_tensorflow, quiet
from tfvertical.checkpoint import Checkpoint
from tfvertical.contracts import Examples, Task
from tfvertical.errors import CheckpointError, ClusterError, ConfigError, ExportError, TfverticalError
from tfvertical.events import Events
from tfvertical.export import _parity, _summary, check_labels
from tfvertical.files import check_place, check_room, refuse_address, refuse_filled, write_text
from tfvertical.jobs import reading
from tfvertical.jobs.declared import kind_of, target_of
from tfvertical.registry import Registry
from tfvertical.report import Report
from tfvertical.runfiles.run import ExportPlan, Run
from tfvertical.signals import interrupted

Say = Callable[[str], None]
WRITTEN = ("bundle", "exports", "events.jsonl")  # what a run leaves in its folder


def train(
    run: Run,
    out: str | Path,
    *,
    overwrite: bool = False,
    resume: bool | None = None,
    checkpoint: str | Path | None = None,
    say: Say = print,
) -> Report | None:
    """Read the data, adapt the backbone, measure, save a bundle and its exports.

    Args:
        run: a checked run file.
        out: the folder that gets `bundle/`, `exports/` and `events.jsonl`, which says what happened in the run.
        overwrite: replace what stands there.
        resume: True only goes on with an unfinished run, False begins anew though one of the same stands there; None
            goes on where one does.
        checkpoint: where the run's position is kept until the bundle is saved: a folder, or an address such as
            `gs://bucket/run`; None for `OUT.unfinished`, beside `out`.
        say: gets a line for the person now and then.

    Returns:
        The report on the test data, which also stands in the bundle; None where there are none, and in workers that are
        not the first: that one alone saves.

    Raises:
        BundleError: `out` is an address, or filled, and not by this run, killed while it wrote its bundle and exports.
        CheckpointError: there is none to go on with, though `resume` asks for it; an unfinished run of another
            configuration stands there, another process trains, or a signal came and the position could not be saved.
        ClusterError: the strategy's devices or workers are not there, or a worker is gone.
        ConfigError: `checkpoint` lies in `out`.
        DataError: rows that cannot be used.
        ExportError: a label that no export can write; or the bundle is saved, and some exports are not.
        Interrupted: a signal ended the run; the same call goes on with it.
        PresetError: the backbone cannot be had.
        TrainingError: the run broke a promise.
    """
    refuse_address(Path(out))
    out = Path(out).expanduser()
    unfinished = _kept_at(out, checkpoint)
    fresh = resume is False
    overwrite = overwrite or (not fresh and _own(Path(out), unfinished))
    refuse_filled(Path(out), overwrite=overwrite)
    check_place(Path(out))
    if resume and not unfinished.there():
        raise CheckpointError(
            f"No unfinished run stands in {unfinished.place}.",
            fix="leave out resume (--resume) to begin one, or name the folder of its position (--checkpoint)",
        )
    where = None
    if distribution.several(run.strategy) and any(source.startswith("tfds:") for source in run.data.sources.values()):
        load_tensorflow()  # tfds computes while it reads, and nothing may before the workers have met
        where = distribution.resolve(run.strategy, about=_agreed(run))
    # what is wrong there is told before TensorFlow is loaded
    parts = reading.read(run.data, kind_of(run.task), run.labels, target_of(run.task))
    if where is None:
        load_tensorflow()
        where = distribution.resolve(run.strategy, about=_agreed(run) | {"rows": _rows(run, parts)})
    else:
        _same_rows(where, _rows(run, parts))
    if not where.first:
        say = _silent
    with unfinished.held() if where.first else contextlib.nullcontext():
        goes_on = not fresh and unfinished.there()
        if where.first and (fresh or (not goes_on and unfinished.written_to() is not None)):
            unfinished.clear()
        elif goes_on:
            say(f"An unfinished run stands in {unfinished.place} (--fresh begins anew).")
        events = Events()  # in memory until there is a bundle to stand beside
        for name, part in parts.items():
            events.emit("data_read", part=name, rows=len(part), **_account(part))
        for account in dict.fromkeys(
            data.describe(part.report, show=run.evaluation.examples) for part in parts.values()
        ):
            say(account)
        say("Rows: " + ", ".join(f"{name} {len(part):,}" for name, part in parts.items()) + ".")
        # of all parts: a rare label of one divided file may stand in the test part alone
        labels = reading.names_of(run.data, run.labels, target_of(run.task), *parts.values())
        if any(plan.options.get("output", "scores") == "scores" for plan in run.export):
            check_labels(labels)
        if line := reading.unlearned(labels, target_of(run.task), parts["train"]):
            say(line)
        say(where.describe(run.training.batch_size, len(parts["train"])))
        say(f"Loading {run.preset} for {len(labels)} labels.")
        with distribution.together(where.strategy), where.scope():
            task = Registry("tasks").get(run.task).from_preset(run.preset, labels=labels, **run.options)
        check_room(Path(out), 4 * sum(math.prod(variable.shape) for variable in task.model.variables))
        if run.data.load.get("strict"):
            reading.refuse_unknown_tokens(task, parts)
        before = None
        if run.evaluation.before and "test" in parts and where.first:
            task._prepare(parts["train"])  # as `fit` begins: numbers have their units, and only the model is untrained
            before = task.probabilities(task.scores(parts["test"]), parts["test"].inputs)
        settings = {name: getattr(run.training, name) for name in run.training.__dataclass_fields__}
        verbose = 0 if not where.first else 1 if sys.stderr.isatty() else 2  # bars for people, lines for files
        with interrupted(lambda: str(unfinished.place) if unfinished.there() else "") as heard:
            with contextlib.redirect_stdout(sys.stderr):  # Keras' progress is no result
                task.fit(
                    parts["train"],
                    parts.get("validation"),
                    adaptation=run.adaptation,
                    class_weight=run.data.class_weight,
                    augment=run.augment,
                    verbose=verbose,
                    events=events,
                    checkpoint=unfinished,
                    checkpoint_every=run.checkpoint_every,
                    **settings,
                )
            if not where.first:
                return None
            task.run["config"] = dict(run.written)
            report: Report | None = None
            if "test" in parts:
                report = task.evaluate(parts["test"], before=before, show_examples=run.evaluation.examples)
            if unfinished.lock is not None:
                unfinished.lock.check()
            if overwrite or not (Path(out) / "bundle").exists():
                with contextlib.suppress(OSError):  # without it, what is half written has to be cleared by hand
                    unfinished.writes_to(os.path.realpath(out))
            saved = task.save(out, overwrite=overwrite)
            seal = bundle.verify(out).hash
            events.emit("bundle_saved", hash=seal)
            _write(events, out)
            say(f"Saved: {saved}")
            refused = []
            for plan in run.export:
                try:
                    measured_on = _for_export(plan, parts, task)
                    with quiet():
                        written = task.export(
                            out, plan.format, overwrite=overwrite, bundle_hash=seal, **plan.options, **measured_on
                        )
                except TfverticalError as error:  # the bundle is there, and other exports may be good
                    if heard.asked is not None:
                        raise
                    refused.append(f"{plan.format}: {error}")
                    continue
                events.emit("exported", name=written.name)
                _write(events, out)
                say(f"Exported and compared with Keras: {written}")
            try:
                unfinished.clear()
            except CheckpointError as error:  # the bundle is there, and so are its exports
                say(f"The run's last position stays in {unfinished.place}. {error}")
    if run.export and report is not None:
        report = replace(report, exports=_summary.rows(Path(out) / "exports", seal))
    if refused:
        if report is not None:
            say(str(report))
        counts = f"{len(refused)} of {len(run.export)} exports are not"
        raise ExportError(f"The bundle is saved in {out}, but {counts}:\n" + "\n".join(refused))
    return report


def _agreed(run: Run) -> dict[str, str]:
    """What has to be the same in all workers besides the rows: the run, this package, and what computes.

    TensorFlow has to be loaded.
    """
    import keras
    import tensorflow as tf

    about = {f"run file, {key}": value for key, value in flat(run.written).items()}
    about = {
        key: value if len(value) < 200 else hashlib.sha256(value.encode()).hexdigest() for key, value in about.items()
    }
    return about | {"tfvertical": version("tfvertical"), "TensorFlow": tf.__version__, "Keras": keras.__version__}


def _rows(run: Run, parts: Mapping[str, Examples]) -> str:
    """How many rows, and a digest of them."""
    rows, texts = hashlib.sha256(), kind_of(run.task) != "image"  # pictures may lie in another folder there
    for part in parts.values():
        rows.update(json.dumps([list(part.labels or ()), list(part.inputs) if texts else len(part)]).encode())
    return f"{sum(map(len, parts.values()))} rows, {rows.hexdigest()[:16]}"


def _same_rows(where: distribution.Distribution, rows: str) -> None:
    """Compare rows that were read after the workers had met."""
    from tfvertical import replicas  # imports TensorFlow

    with distribution.together(where.strategy):
        shared = replicas.sharing(where.strategy)
        if shared is not None and not shared.alike(int(hashlib.sha256(rows.encode()).hexdigest()[:15], 16)):
            raise ClusterError(
                f"The workers read different rows; here they are {rows}.", fix="give all of them the same data set"
            )


def flat(value: Any, place: str = "") -> dict[str, str]:
    """Nested mappings as dotted keys with JSON values.

    Example:
        >>> flat({"training": {"epochs": 3}})
        {'training.epochs': '3'}
    """
    if not isinstance(value, Mapping):
        return {place: json.dumps(value, default=str)}
    found: dict[str, str] = {}
    for key, each in value.items():
        found |= flat(each, f"{place}.{key}" if place else str(key))
    return found


def _kept_at(out: str | Path, checkpoint: str | Path | None = None) -> Checkpoint:
    """Where the position of a run that ends in `out` is kept.

    Raises:
        ConfigError: in `out` itself, which would then be filled when the run is to go on; or nowhere.
    """
    whole = Path(os.path.realpath(out))
    beside = whole if Path(out).name in ("", "..") else Path(out)  # `.` and `..` have no name to put an ending to
    if not beside.name:
        raise ConfigError(f"Nothing can stand beside {out}, and a run's position has to.", fix="choose another folder")
    kept = Checkpoint(checkpoint or beside.with_name(f"{beside.name}.unfinished"))
    folder = str(kept.place).removeprefix("file://")
    if "://" not in folder and Path(os.path.realpath(folder)).is_relative_to(whole):
        raise ConfigError(
            f"The run's position would lie in {out}, which has to be empty when the run goes on.",
            received=str(checkpoint),
            fix=f"name a folder elsewhere, or leave it out: it is {beside.name}.unfinished then, beside {out}",
        )
    return kept


def _own(out: Path, unfinished: Checkpoint) -> bool:
    """Whether all that stands in `out` was written by the run that is to go on, which was killed while it wrote."""
    if not out.is_dir() or not any(out.iterdir()):
        return False
    names = [name.name for name in out.iterdir()]
    known = all(name in WRITTEN or name.startswith(tuple(f".{each}." for each in WRITTEN)) for name in names)
    return known and unfinished.written_to() == os.path.realpath(out) and unfinished.there()


def begin_anew(out: str | Path, *, overwrite: bool = False) -> None:
    """For what takes long before it calls `train(…, out)`: have no unfinished run stand there, or say so now.

    Args:
        out: as for `train`.
        overwrite: remove the one that stands there.

    Raises:
        CheckpointError: one stands there or is under way, or the folder of a position could not be made.
    """
    unfinished = _kept_at(out)
    if unfinished.there() and not overwrite:
        raise CheckpointError(
            f"An unfinished run stands in {unfinished.place}, and what is asked for begins anew.",
            fix="let that run end first (tfvertical train), choose another folder, or say overwrite (--overwrite)",
        )
    if Path(str(unfinished.place)).parent.is_dir():  # else nothing stands there, and nothing is left behind by asking
        _forget(unfinished)


def _forget(unfinished: Checkpoint) -> None:
    """Remove the positions of an unfinished run.

    Raises:
        CheckpointError: it is not unfinished, but under way.
    """
    with unfinished.held():
        unfinished.clear()


def _silent(line: str) -> None:
    """What workers say that are not the first."""


def _for_export(plan: ExportPlan, parts: Mapping[str, Examples], task: Task) -> dict[str, Any]:
    """What an export is compared on, and calibrated: not on the test data, where there are others.

    In float32 some of them do, since every score is compared and not counted; the built-in ones alone where the file
    sees none of them whole. Several lengths are compared on all, and the built-in texts count as examples: a length
    that no example has is refused.
    """
    given = parts["validation"] if "validation" in parts else parts.get("test")
    precision = plan.options.get("precision", "float32")
    if precision != "float32":
        ranges = {"calibration": parts["train"]} if precision in ("int8", "auto") else {}
        return {"examples": given} | ranges
    if given is None:
        return {}
    if isinstance(plan.options.get("length"), list | tuple):
        return {"examples": [*given.inputs, *_parity.default_items(task)]}
    some = list(given.take(np.random.default_rng(0).permutation(len(given))[: _parity.SEARCHED]).inputs)
    exporter = Registry("export").build({"name": plan.format, **plan.options})
    return {"examples": some} if any(_parity._fits(task, exporter, some)) else {}


def _account(part: Examples) -> dict[str, Any]:
    """The numbers of a reading; no row of it, so that events may be shown to anybody."""
    report = part.report
    counts = {"read": report.read, "kept": report.kept, "rejected": len(report.rejected)}
    return {"source": report.name, **counts, "warnings": {one.kind: one.count for one in report.warnings}}


def _write(events: Events, out: str | Path) -> None:
    """`events.jsonl` beside the bundle, whole."""
    lines = (json.dumps(event, ensure_ascii=False) + "\n" for event in events.seen)
    write_text(Path(out) / "events.jsonl", "".join(lines))
