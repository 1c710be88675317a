"""What the command line does, as functions: train a run, evaluate, predict from and export a bundle."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import numpy as np

from tfvertical import bundle, data, distribution
from tfvertical._console import load_tensorflow, quiet
from tfvertical.checkpoint import Checkpoint
from tfvertical.codecs.answers import NAME, Answer
from tfvertical.codecs.entities import Entity
from tfvertical.codecs.label_sets import LabelSet
from tfvertical.codecs.labels import Prediction
from tfvertical.codecs.numbers import Number
from tfvertical.contracts import Examples
from tfvertical.data._policy import refuse_warnings
from tfvertical.data._stream import Item, stream
from tfvertical.errors import CheckpointError, ClusterError, ConfigError, ExportError
from tfvertical.events import Events
from tfvertical.export import CALIBRATION, _summary, folder_name
from tfvertical.files import check_place, check_room, refuse_filled, write_text
from tfvertical.registry import Registry
from tfvertical.report import Report
from tfvertical.runfiles import schema
from tfvertical.runfiles.run import DataPlan, ExportPlan, Run

Say = Callable[[str], None]


def train(
    run: Run,
    out: str | Path,
    *,
    overwrite: bool = False,
    fresh: bool = False,
    checkpoint: str | Path | None = None,
    say: Say = print,
) -> Report | None:
    """Read the data, adapt the backbone, measure, save a bundle and its exports.

    Args:
        run: a checked run file.
        out: the folder that gets `bundle/`, `exports/` and `events.jsonl`, which says what happened in the run.
        overwrite: replace what stands there.
        fresh: begin anew, though an unfinished run of the same stands there.
        checkpoint: where the run's position is kept until the bundle is saved: a folder, or an address such as
            `gs://bucket/run`; None for `OUT.unfinished`, beside `out`.
        say: gets a line for the person now and then.

    Returns:
        The report on the test data, which also stands in the bundle; None where there are none, and in workers that are
        not the first: that one alone saves.

    Raises:
        BundleError: `out` is filled.
        CheckpointError: an unfinished run of another configuration stands there, or another process trains.
        ClusterError: the strategy's devices or workers are not there, or a worker is gone.
        DataError: rows that cannot be used.
        Interrupted: a signal ended the run; the same call goes on with it.
        PresetError: the backbone cannot be had.
        TrainingError: the run broke a promise.
    """
    refuse_filled(Path(out), overwrite=overwrite)
    check_place(Path(out))
    unfinished = Checkpoint(checkpoint or Path(out).with_name(f"{Path(out).name}.unfinished"))
    where = None
    if distribution.several(run.strategy) and any(source.startswith("tfds:") for source in run.data.sources.values()):
        load_tensorflow()  # tfds computes while it reads, and nothing may before the workers have met
        where = distribution.resolve(run.strategy, about=_agreed(run))
    # what is wrong there is told before TensorFlow is loaded
    parts = read(run.data, kind_of(run.task), run.labels, target_of(run.task))
    if where is None:
        load_tensorflow()
        where = distribution.resolve(run.strategy, about=_agreed(run) | {"rows": _rows(run, parts)})
    else:
        _same_rows(where, _rows(run, parts))
    if not where.first:
        say = _silent
    if fresh and where.first:
        unfinished.clear()
    elif unfinished.load() is not None:
        say(f"An unfinished run stands in {unfinished.place} (--fresh begins anew).")
    events = Events()  # in memory until there is a bundle to stand beside
    for name, part in parts.items():
        events.emit("data_read", part=name, rows=len(part), **_account(part))
    for account in dict.fromkeys(data.describe(part.report) for part in parts.values()):
        say(account)
    say("Rows: " + ", ".join(f"{name} {len(part):,}" for name, part in parts.items()) + ".")
    labels = names_of(run.data, run.labels, target_of(run.task), parts["train"])
    say(where.describe(run.training.batch_size, len(parts["train"])))
    say(f"Loading {run.preset} for {len(labels)} labels.")
    with distribution.together(where.strategy), where.scope():
        task = Registry("tasks").get(run.task).from_preset(run.preset, labels=labels, **run.options)
    check_room(Path(out), 4 * sum(math.prod(variable.shape) for variable in task.model.variables))
    if run.data.load.get("strict"):
        refuse_unknown_tokens(task, parts)
    before = task.scores(parts["test"]) if run.evaluation.before and "test" in parts and where.first else None
    settings = {name: getattr(run.training, name) for name in run.training.__dataclass_fields__}
    with contextlib.redirect_stdout(sys.stderr):  # Keras' progress is no result
        task.fit(
            parts["train"],
            parts.get("validation"),
            adaptation=run.adaptation,
            class_weight=run.data.class_weight,
            augment=run.augment,
            verbose=0 if not where.first else 1 if sys.stderr.isatty() else 2,  # bars for people, lines for files
            events=events,
            checkpoint=str(unfinished.place),
            checkpoint_every=run.checkpoint_every,
            **settings,
        )
    if not where.first:
        return None
    task.run["config"] = dict(run.written)
    report: Report | None = None
    if "test" in parts:
        report = task.evaluate(parts["test"], before=before, show_examples=run.evaluation.examples)
    saved = task.save(out, overwrite=overwrite)
    seal = bundle.verify(out).hash
    events.emit("bundle_saved", hash=seal)
    _write(events, out)
    say(f"Saved: {saved}")
    try:
        unfinished.clear()
    except CheckpointError as error:  # the bundle is there, and its exports are still to be written
        say(f"The run's last position stays in {unfinished.place}. {error}")
    refused = []
    for plan in run.export:
        measured_on = _for_export(plan, parts)
        try:
            with quiet():
                written = task.export(
                    out, plan.format, overwrite=overwrite, bundle_hash=seal, **plan.options, **measured_on
                )
        except (ConfigError, ExportError) as error:  # the bundle is there, and other exports may be good
            refused.append(f"{plan.format}: {error}")
            continue
        events.emit("exported", name=written.name)
        _write(events, out)
        say(f"Exported and compared with Keras: {written}")
    if run.export and report is not None:
        report = replace(report, exports=_summary.rows(Path(out) / "exports", seal))
    if refused:
        if report is not None:
            say(str(report))
        counts = f"{len(refused)} of {len(run.export)} exports are not"
        raise ExportError(f"The bundle is saved in {out}, but {counts}:\n" + "\n".join(refused))
    return report


def _agreed(run: Run) -> dict[str, str]:
    """What has to be the same in all workers besides the rows: the run, and this package."""
    about = {f"run file, {key}": value for key, value in flat(run.written).items()}
    about = {
        key: value if len(value) < 200 else hashlib.sha256(value.encode()).hexdigest() for key, value in about.items()
    }
    return about | {"tfvertical": version("tfvertical")}


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


def _silent(line: str) -> None:
    """What workers say that are not the first."""


def _for_export(plan: ExportPlan, parts: Mapping[str, Examples]) -> dict[str, Any]:
    """What a lower precision is calibrated and measured on: not the test data, where there are others."""
    if plan.options.get("precision", "float32") == "float32":
        return {}
    return {"calibration": parts["train"], "examples": parts["validation"] if "validation" in parts else parts["test"]}


def _account(part: Examples) -> dict[str, Any]:
    """The numbers of a reading; no row of it, so that events may be shown to anybody."""
    report = part.report
    counts = {"read": report.read, "kept": report.kept, "rejected": len(report.rejected)}
    return {"source": report.name, **counts, "warnings": {one.kind: one.count for one in report.warnings}}


def _write(events: Events, out: str | Path) -> None:
    """`events.jsonl` beside the bundle, whole."""
    lines = (json.dumps(event, ensure_ascii=False) + "\n" for event in events.seen)
    write_text(Path(out) / "events.jsonl", "".join(lines))


def read(plan: DataPlan, kind: str, labels: tuple[str, ...] | None, target: str = "label") -> dict[str, Examples]:
    """The parts of the data: what is given, and what `split` divides `train` into.

    Validation and test data may only hold labels that the training data have.

    Raises:
        ConfigError: the split gives no training data.
        DataError: rows that cannot be used; or, read strictly, rows that stand in training data too.
    """
    if any(str(source).startswith("tfds:") for source in plan.sources.values()):
        load_tensorflow()
    parts = {"train": _load(plan, "train", kind, labels, target)}
    known = names_of(plan, labels, target, parts["train"])
    if plan.split is not None:
        parts = data.split(parts["train"], **plan.split)
        if "train" not in parts:
            raise ConfigError(
                "The split gives no part called train.", fix="data.split.fractions: {train: 0.9, validation: 0.1}"
            )
    for name in ("validation", "test"):
        if name in plan.sources:
            parts[name] = _load(plan, name, kind, known, target)
            for earlier in [part for part in ("train", "validation") if part in parts and part != name]:
                parts[name] = data.with_overlap(parts[earlier], parts[name], strict=bool(plan.load.get("strict")))
    return parts


def names_of(plan: DataPlan, labels: tuple[str, ...] | None, target: str, train: Examples) -> tuple[str, ...]:
    """What a task tells apart: the labels given, or those of the training data, or the columns in which they stand.

    Numbers are called as their columns; so are sets of labels that have a column each.
    """
    if target == "answers":
        return (NAME,)
    columns = plan.load.get("label", "label")
    if labels or not (target == "numbers" or isinstance(columns, list)):
        return labels or data.label_names(train)
    return tuple(str(column) for column in (columns if isinstance(columns, list) else [columns]))


def refuse_unknown_tokens(task: Any, parts: Mapping[str, Examples]) -> None:
    """What `strict` asks of texts that only the task's tokenizer can judge."""
    for part in parts.values():
        warning = data.unknown_tokens(part, task.encode(part))
        if warning is not None:
            refuse_warnings(part.report.name, [warning])


def _load(plan: DataPlan, part: str, kind: Any, labels: tuple[str, ...] | None, target: Any) -> Examples:
    """One source. Of several, each has a quarantine file of its own: the last would otherwise replace the others."""
    options = dict(plan.load)
    if options.get("quarantine") is not None and len(plan.sources) > 1:
        path = Path(options["quarantine"])
        own = path.with_name(f"{path.stem}.{part}{path.suffix}") if path.suffix else path / f"{part}.rejected.jsonl"
        options["quarantine"] = own
    if target == "numbers" and labels:
        options.setdefault("label", list(labels))
    return data.load(plan.sources[part], kind=kind, target=target, labels=labels, **options)


def evaluate(
    path: str | Path, source: str, *, text: str | None = None, label: str | None = None, examples: bool = True
) -> Report:
    """A report of the bundle at `path` on labelled data.

    Args:
        path: the bundle.
        source: what `data.load` reads.
        text: column of the text; None for the one that the bundle was trained on.
        label: column of the label; None for the one that the bundle was trained on.
        examples: False keeps every text and picture out of the report.
    """
    name, labels = bundle.description(path)
    columns = _columns(path, source, text=text, label=label)
    if source.startswith("tfds:"):
        load_tensorflow()
    what: dict[str, Any] = {"kind": kind_of(name), "target": target_of(name), "labels": labels}
    if what["target"] == "numbers":
        columns.setdefault("label", list(labels))
    rows = data.load(source, **what, **columns)  # before TensorFlow: mistakes are told
    report: Report = _loaded(path).evaluate(rows, show_examples=examples)
    return report


def predict(
    path: str | Path, source: str | IO[bytes], *, text: str | None = None, batch: int = 256
) -> Iterator[dict[str, Any]]:
    """A mapping for each row: its `id`, and what `written` makes of its prediction or, if it cannot be used, `error`.

    At most `batch` rows are held in memory.

    Args:
        path: the bundle.
        source: a table, a `.txt` file, a folder of pictures or one picture, or an open binary stream of lines.
        text: column of the text; None for the one that the bundle was trained on.
        batch: rows predicted at a time.
    """
    rows = rows_of(path, source, text)
    chunk, task = list(itertools.islice(rows, batch)), None
    while chunk:
        task = task or _loaded(path)  # the first rows before TensorFlow: a column that is not there is told at once
        yield from _predicted(task, chunk)
        chunk = list(itertools.islice(rows, batch))


def rows_of(path: str | Path, source: str | IO[bytes], text: str | None = None) -> Iterator[Item]:
    """What `predict` predicts from, row by row, usable or not; the arguments are its own."""
    name = bundle.description(path)[0]
    kind = kind_of(name)
    columns = _columns(path, source, text=text, label=None)
    for of_labels in ("label", "separator"):
        columns.pop(of_labels, None)
    if str(source).startswith("tfds:"):
        load_tensorflow()
    if kind == "image" and isinstance(source, str | Path) and Path(source).suffix.lower() in PICTURES:
        yield from (replace(item, id=str(source)) for item in stream([Path(source)], kind=kind, **columns))
        return
    yield from stream(source, kind=kind, target=target_of(name), **columns)


_DELIMITED = (".csv", ".tsv", ".tab")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def _predicted(task: Any, chunk: list[Item]) -> Iterator[dict[str, Any]]:
    found = iter(task.predict([item.value for item in chunk if item.fault is None]))
    for item in chunk:
        row = {"id": item.id}
        if item.fault is not None:
            yield row | {"error": item.fault}
        else:
            yield row | written(next(found))


def written(found: Prediction | LabelSet | Answer | Sequence[Entity] | Sequence[Number]) -> dict[str, Any]:
    """A prediction as JSON values.

    `label` and `score`; or `labels` and `scores`; or `entities`; or `numbers`; or `answer`, None where there is none,
    with `start`, `end` and `score`.
    """
    if isinstance(found, Answer):
        place = {"start": found.start, "end": found.end} if found.text else {}
        return {"answer": found.text or None, **place, "score": round(found.score, 6)}
    if isinstance(found, Prediction):
        return {"label": found.label, "score": round(found.score, 6)}
    if isinstance(found, LabelSet):
        return {"labels": list(found.labels), "scores": [round(float(each), 6) for each in found.scores]}
    numbers = [each for each in found if isinstance(each, Number)]
    if numbers:
        return {"numbers": [{k: v for k, v in asdict(each).items() if v not in (None, "")} for each in numbers]}
    entities = [each for each in found if isinstance(each, Entity)]
    return {"entities": [asdict(each) | {"score": round(each.score, 6)} for each in entities]}


def export(
    path: str | Path,
    *,
    format: str,
    precision: str = "float32",
    overwrite: bool = False,
    source: str | None = None,
    calibration: str | None = None,
    text: str | None = None,
    label: str | None = None,
    **options: Any,
) -> Path:
    """Export the bundle at `path` beside it, naming the bundle it was made from.

    Args:
        path: the bundle.
        format: a file name in `export/`.
        precision: of the format.
        overwrite: replace an export that stands there.
        source: labelled data to measure a lower precision on.
        calibration: training data for `int8`; None sets a part of `source` aside for it.
        text: column of the text; None for the one that the bundle was trained on.
        label: column of the label; None for the one that the bundle was trained on.
        **options: of `tfvertical.export`, or the format's own.
    """
    own = {key: value for key, value in options.items() if key != "max_drop"}
    exporter = Registry("export").build({"name": format, "precision": precision, **own})  # mistakes are told first
    name, labels = bundle.description(path)
    kind, target = kind_of(name), target_of(name)
    chosen = exporter.chosen(kind, target)
    if chosen != "float32" and source is None:
        raise ConfigError(f"What precision {chosen!r} loses is only known on real examples.", fix="--data FILE")
    seal = bundle.verify(path).hash
    refuse_filled(Path(path) / "exports" / folder_name(exporter, chosen), overwrite=overwrite)
    found: dict[str, Any] = {}
    for key, each in (("examples", source), ("calibration", calibration)):
        if each is not None:
            columns = _columns(path, each, text=text, label=label)
            if target == "numbers":
                columns.setdefault("label", list(labels))
            found[key] = data.load(each, kind=kind, target=target, labels=labels, **columns)
    if chosen == "int8" and "examples" in found and "calibration" not in found:
        found = _set_aside(found["examples"])
    task = _loaded(path)
    with quiet():
        written: Path = task.export(
            path, format, precision=chosen, overwrite=overwrite, bundle_hash=seal, **found, **options
        )
    return written


def _set_aside(examples: Examples) -> dict[str, Any]:
    """A part for calibration, at most half, and the rest to measure on: ranges fit best what they were taken from."""
    order = np.random.default_rng(0).permutation(len(examples))
    count = min(CALIBRATION, len(examples) // 2)
    return {"calibration": examples.take(order[:count]), "examples": examples.take(np.sort(order[count:]))}


def kind_of(task: str) -> Any:
    """What the task called so takes, `"text"`, `"image"` or `"pair"`; TensorFlow is not needed to know."""
    return _declared(task, "items")


def target_of(task: str) -> Any:
    """What a label is to the task called so, as `data.load` takes it; TensorFlow is not needed to know."""
    return _declared(task, "target")


def measure_of(task: str) -> str:
    """The number that counts for the task called so; TensorFlow is not needed to know."""
    return str(_declared(task, "measure"))


def _declared(task: str, name: str) -> Any:
    module = Registry("tasks").module(task)
    return schema.constant(Path(__file__).parent / "tasks" / f"{module}.py", module, name)


def _loaded(path: str | Path) -> Any:
    """The task in a bundle, once TensorFlow is there."""
    load_tensorflow()
    return bundle.load(path)


def _columns(path: str | Path, source: Any, **chosen: str | None) -> dict[str, Any]:
    """The columns that were chosen; where one was not, that of the run file the bundle was trained by.

    Of pairs, `first,second` names both; questions that were learned from a file of SQuAD's stand in `question` and
    `context`.
    A table with the ending of the training data is also read as those were: encoding, delimiter, header, quotes.
    """
    config = bundle.run(path).get("config")
    trained: Mapping[str, Any] = config.get("data", {}) if isinstance(config, dict) else {}
    columns = {name: column if column is not None else trained.get(name) for name, column in chosen.items()}
    found: dict[str, Any] = {name: column for name, column in columns.items() if column is not None}
    task = bundle.description(path)[0]
    if kind_of(task) == "pair":
        asked = found.get("text", "question,context" if target_of(task) == "answers" else None)
        if isinstance(asked, str) and asked.count(",") == 1:
            found["text"] = [column.strip() for column in asked.split(",")]
    ending = Path(source).suffix.lower() if isinstance(source, str | Path) else ""
    if ending in _DELIMITED and ending == Path(str(trained.get("train"))).suffix.lower():
        takes = schema.declared(Path(__file__).parent / "data" / "table.py", "table", "__init__").parameters.values()
        options = [parameter.name for parameter in takes if parameter.kind is parameter.KEYWORD_ONLY]
        found |= {name: trained[name] for name in options if name in trained}
    return found | {name: trained[name] for name in ("separator", "spans") if name in trained}
