"""A YAML run file as a `Run`. It is checked whole, before any data is read or weight loaded; every mistake is told.

What a section may hold is read from what it becomes: a task's `from_preset`, `data.load` and `data.split`, an
adaptation's fields, `Settings`, `Augment`, an exporter's fields. Nothing of that is listed here a second time.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from tfvertical.augment import Augment
from tfvertical.distribution import Strategy
from tfvertical.errors import ConfigError, nearest, nearest_paths
from tfvertical.kinds import Drop, Seconds, Weight
from tfvertical.registry import Registry
from tfvertical.runfiles import runfile, schema, together
from tfvertical.runfiles.run import DataPlan, EvaluationPlan, ExportPlan, Run
from tfvertical.runfiles.runfile import Document, Mistake, Place, named, said
from tfvertical.runfiles.together import PARTS
from tfvertical.settings import HABITS, Settings

SWEEP = "asks for many trainings: use `tfvertical sweep`, or leave it out here (--set sweep=null)."
_HERE = Path(__file__).parent
_OF_REQUEST = ("separator", "max_text_bytes", "max_pixels", "max_rows")
_OF_TABLE = ("encoding", "delimiter")


def load(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Run:
    """Read and check a run file. Paths in it are taken from the file's own folder.

    Args:
        path: the YAML file.
        overrides: `training.epochs=5`, written over what the file says.

    Raises:
        ConfigError: all mistakes, each with its line, its key, what was expected and received, and the nearest name.
    """
    document = runfile.override(runfile.read(path), overrides)
    return build(document, Path(path).resolve().parent)


def build(document: Document, folder: Path) -> Run:
    """A document as a `Run`; relative paths are taken from `folder`.

    Raises:
        ConfigError: as for `load`.

    Example:
        >>> build(runfile.parse("training: {epoch: 3}", "run.yaml"), Path())
        Traceback (most recent call last):
        tfvertical.errors.ConfigError: run.yaml has 3 mistakes. Nothing was read or loaded.
          line 1, task: is missing, and must be given.
          line 1, data: is missing, and must be given.
          line 1, training.epoch: unknown key. Nearest: 'epochs'.
    """
    mistakes = [*document.mistakes, *check(document.value, folder, known=document.mistakes)]
    if mistakes:
        raise ConfigError(listing(document, mistakes))
    content: dict[str, Any] = document.value
    task, training = dict(content["task"]), dict(content.get("training") or {})
    augment = training.pop("augment", None)
    beside = {name: training.pop(name) for name in ("strategy", "checkpoint_every") if name in training}
    labels = task.pop("labels", None)
    adaptation = dict(named(content.get("adaptation") or "Frozen", "name"))
    return Run(
        task=Registry("tasks").module(task.pop("name")),
        preset=_preset(task.pop("preset"), folder),
        labels=None if labels is None else tuple(labels),
        options=task,
        data=_data_plan(content["data"], folder),
        adaptation=schema.build(Registry("adaptations").get(adaptation.pop("name")), adaptation),
        training=schema.build(Settings, training),
        augment=None if augment is None else schema.build(Augment, augment),
        evaluation=schema.build(EvaluationPlan, content.get("evaluation") or {}),
        export=tuple(_export_plan(named(item, "format")) for item in content.get("export") or ()),
        written=content,
        **beside,
    )


def reading(settings: Sequence[str], *, labelled: bool) -> dict[str, Any]:
    """`KEY=VALUE`s of `--data-option` as keywords of `data.load` or, without labels, of `data._stream.stream`.

    Raises:
        ConfigError: all mistakes, as for `load`.

    Example:
        >>> reading(["delimiter=;", "header=false"], labelled=False)
        {'delimiter': ';', 'header': False}
    """
    from tfvertical import data
    from tfvertical.data import _advice, _stream

    flag = "--data-option"
    document = runfile.override(Document(flag, {}), settings, flag)
    takes = data.load if labelled else _stream.stream
    given = ("value", *_advice.ELSEWHERE)
    mistakes = [*document.mistakes, *schema.check(takes, document.value, (), given=given, extra=_source_options())]
    mistakes += _check_alone({key: each for key, each in document.value.items() if not _told(mistakes, (key,))}, ())
    if mistakes:
        raise ConfigError(listing(document, mistakes))
    found: dict[str, Any] = document.value
    return found


def check(content: Any, folder: Path, only: str | None = None, known: Collection[Mistake] = ()) -> list[Mistake]:
    """Every mistake in a run file's content; reads no data, loads no weight, imports no TensorFlow.

    Args:
        content: the file's value.
        folder: what relative paths are taken from.
        only: the one section that is looked at and compared with the others, which are known to be right.
        known: what was found before, and is not told again.
    """
    if not isinstance(content, dict):
        return [Mistake((), f"expected a mapping with {', '.join(_SECTIONS)}; received {described(content)}.")]
    found = [
        Mistake((key,), SWEEP if key == "sweep" else "unknown section. " + near(key, _SECTIONS))
        for key in content
        if key not in _SECTIONS and (key != "sweep" or content[key] is not None)
    ]
    for name, section in _SECTIONS.items():
        if only not in (None, name):
            continue
        if content.get(name) is not None:
            found += section(content[name], (name,), folder)
        elif name in ("task", "data"):
            found.append(Mistake((name,), "is missing, and must be given."))
    return found + together.check(content, [*known, *found])


def listing(document: Document, mistakes: Sequence[Mistake]) -> str:
    """All mistakes in one message, a line each."""
    count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    lines = [f"{document.where(mistake)}: " + " ".join(mistake.what.split()) for mistake in mistakes]
    return f"{document.name} has {count}. Nothing was read or loaded.\n  " + "\n  ".join(lines)


# ----------------------------------------------------------------------------------------------------------- sections
def _check_task(values: Any, place: Place, folder: Path) -> list[Mistake]:
    module, rest, found = _registered("tasks", "name", values, place)
    if module is not None:
        takes = schema.declared(_HERE / "tasks" / f"{module}.py", module, "from_preset")
        found += schema.check(takes, rest, place, given=("labels",), extra={"labels": list[str] | None})
    preset, labels = rest.get("preset"), rest.get("labels")
    if isinstance(preset, str):
        found += said(lambda: _check_preset(preset, folder), (*place, "preset"))
    if isinstance(labels, list) and all(isinstance(label, str) for label in labels):
        found += said(lambda: _check_labels(labels, module, {} if found else rest), (*place, "labels"))
    return found


def _check_preset(preset: str, folder: Path) -> None:
    from tfvertical import backbones

    backbones.check(_preset(preset, folder))


def _check_labels(labels: Sequence[str], module: str | None, options: Mapping[str, Any]) -> None:
    from tfvertical.codecs.answers import AnswerCodec
    from tfvertical.codecs.entities import EntityCodec
    from tfvertical.codecs.labels import LabelCodec
    from tfvertical.codecs.numbers import NumberCodec

    target = "label" if module is None else schema.constant(_HERE / "tasks" / f"{module}.py", module, "target")
    if target == "numbers":
        NumberCodec.of(labels, options)
    elif target == "answers":
        AnswerCodec.of(labels, options)
    elif target == "entities":
        EntityCodec(labels)
    else:  # names of one label are right for sets of them
        LabelCodec(labels)


def _check_data(values: Any, place: Place, folder: Path) -> list[Mistake]:
    from tfvertical import data

    if not isinstance(values, dict):
        return [Mistake(place, f"expected a mapping with train, received {described(values)}.")]
    own: dict[str, Any] = {"train": str, "validation": str | None, "test": str | None}
    own |= {"split": dict[str, Any] | None, "class_weight": Literal["balanced"] | dict[str, Weight] | None}
    given = ("value", "kind", "target", "labels", "name")
    found = schema.check(data.load, values, place, given=given, extra=_source_options() | own)
    found += _check_alone({key: each for key, each in values.items() if not _told(found, (*place, key))}, place)
    if values.get("train") is None:
        found.append(Mistake((*place, "train"), "is missing, and must be given."))
    if isinstance(values.get("split"), dict):
        found += schema.check(data.split, values["split"], (*place, "split"), given=("examples", "group", "time"))
        found += _check_parts(values, values["split"].get("fractions"), (*place, "split", "fractions"))
    found += _check_policy(values, place) + _check_quarantine(values, place, folder)
    found += _check_shares(values.get("split"), (*place, "split", "fractions"))
    for part in PARTS:
        source = values.get(part)
        if isinstance(source, str) and not source.startswith("tfds:") and not os.path.exists(folder / source):
            path = Path(os.path.normpath(folder / source))
            close = [os.path.basename(near) for near in nearest_paths(path)]
            hint = f" {near(path.name, close)}" if close else ""
            found.append(Mistake((*place, part), f"there is no file or folder {str(path)!r}.{hint}"))
    return found


def _told(mistakes: Collection[Mistake], place: Place) -> bool:
    return any(mistake.place[: len(place)] == place for mistake in mistakes)


def _check_alone(values: Mapping[str, Any], place: Place) -> list[Mistake]:
    """What reading refuses of a value by itself, whatever the task and the other values are."""
    from tfvertical.data._request import Request
    from tfvertical.data.table import Table

    takes: dict[str, Callable[..., Any]] = dict.fromkeys(_OF_REQUEST, Request)
    takes |= dict.fromkeys(_OF_TABLE, functools.partial(Table, "any.csv", Request()))
    tried = [(name, functools.partial(takes[name], **{name: values[name]})) for name in takes if name in values]
    return [mistake for name, make in tried for mistake in said(make, (*place, name))]


def _check_parts(values: Mapping[str, Any], shares: Any, place: Place) -> list[Mistake]:
    """The parts that fractions name: known, not given as a source, and train among them."""
    found = []
    for part in shares if isinstance(shares, dict) else ():
        if part not in PARTS:
            found.append(Mistake((*place, part), "unknown part. " + near(part, PARTS)))
        elif part != "train" and values.get(part) is not None:
            found.append(Mistake((*place, part), f"{part} is given as a source already."))
    if isinstance(shares, dict) and shares and "train" not in shares:
        found.append(Mistake(place, "there is no part called train, and nothing to learn from."))
    if shares is None and all(values.get(part) is not None for part in PARTS):
        found.append(Mistake(place[:-1], "divides nothing: validation and test are given as sources. Leave it out."))
    return found


def _check_policy(values: Mapping[str, Any], place: Place) -> list[Mistake]:
    from tfvertical.data import _policy

    policy, file = values.get("policy", "raise"), values.get("quarantine")
    if policy not in get_args(_policy.Policy) or not isinstance(file, str | None):
        return []  # a mistake already
    return said(lambda: _policy.check_policy(policy, file), (*place, "policy"))


def _check_quarantine(values: Mapping[str, Any], place: Place, folder: Path) -> list[Mistake]:
    from tfvertical.data import _policy

    sources = {part: folder / values[part] for part in PARTS if isinstance(values.get(part), str)}
    if not isinstance(values.get("quarantine"), str):
        return []  # none, or a mistake already
    targets = _policy.files_of(folder / values["quarantine"], sources).values()
    return said(lambda: _policy.refuse_sources(targets, sources.values()), (*place, "quarantine"))


def _check_shares(split: Any, place: Place) -> list[Mistake]:
    from tfvertical.data import _split

    shares = split.get("fractions") if isinstance(split, dict) else None
    if not isinstance(shares, dict) or not all(type(share) in (int, float) for share in shares.values()):
        return []  # none, or a mistake already
    return said(lambda: _split.check_fractions(shares), place)


def _source_options() -> dict[str, Any]:
    """The keywords that some kind of source takes (`encoding`); which kind is known only when it is opened."""
    found: dict[str, Any] = {}
    for module in Registry("data").modules():
        takes = schema.declared(_HERE / "data" / f"{module}.py", module, "__init__")
        only = [p for p in takes.parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
        found |= {parameter.name: schema.type_of(takes, parameter.annotation) for parameter in only}
    return found


def _check_adaptation(values: Any, place: Place, folder: Path) -> list[Mistake]:
    module, rest, found = _registered("adaptations", "name", values, place)
    return found if module is None else found + schema.check(Registry("adaptations").get(module), rest, place)


def _check_training(values: Any, place: Place, folder: Path) -> list[Mistake]:
    found = schema.check(Settings, values, place, extra=_BESIDE, habits=HABITS)
    if isinstance(values, dict) and isinstance(values.get("augment"), dict):
        found += schema.check(Augment, values["augment"], (*place, "augment"))
    return found


def _check_evaluation(values: Any, place: Place, folder: Path) -> list[Mistake]:
    return schema.check(EvaluationPlan, values, place)


def _check_export(values: Any, place: Place, folder: Path) -> list[Mistake]:
    if not isinstance(values, list):
        return [Mistake(place, f"expected a list of formats, received {described(values)}.")]
    found = []
    for index, item in enumerate(values):
        module, rest, wrong = _registered("export", "format", item, (*place, index))
        found += wrong
        if module is not None:
            found += schema.check(Registry("export").get(module), rest, (*place, index), extra={"max_drop": Drop})
    return found


# what stands under `training:` and is no setting of training itself
_BESIDE: dict[str, Any] = {"augment": dict[str, Any] | None, "strategy": Strategy, "checkpoint_every": Seconds}

_SECTIONS: dict[str, Callable[[Any, Place, Path], list[Mistake]]] = {
    "task": _check_task,
    "data": _check_data,
    "adaptation": _check_adaptation,
    "training": _check_training,
    "evaluation": _check_evaluation,
    "export": _check_export,
}


# ------------------------------------------------------------------------------------------------------------ helpers
def _data_plan(values: Mapping[str, Any], folder: Path) -> DataPlan:
    rest = {key: value for key, value in values.items() if key not in (*PARTS, "split", "class_weight")}
    sources = {
        part: source if source.startswith("tfds:") else os.path.normpath(folder / source)
        for part in PARTS
        if (source := values.get(part)) is not None
    }
    if rest.get("quarantine") is not None:
        rest["quarantine"] = os.path.normpath(folder / rest["quarantine"])
    if rest.get("data_dir") is not None and "://" not in rest["data_dir"] and not rest["data_dir"].startswith("~"):
        rest["data_dir"] = os.path.normpath(folder / rest["data_dir"])
    return DataPlan(sources, rest, values.get("split"), values.get("class_weight"))


def _preset(name: str, folder: Path) -> str:
    """A preset's name; `./folder` and `../folder` are taken from the run file's own, `models/bert` if it is there."""
    below = "/" in name and "://" not in name and (folder / name).is_dir()
    return os.path.normpath(folder / name) if below or name.startswith(("./", "../")) else name


def _export_plan(values: Mapping[str, Any]) -> ExportPlan:
    return ExportPlan(values["format"], {key: value for key, value in values.items() if key != "format"})


def _registered(room: str, key: str, values: Any, place: Place) -> tuple[str | None, dict[str, Any], list[Mistake]]:
    """The file of the class that `key` names, and the other keys; a mistake where there is none."""
    values = named(values, key)
    if not isinstance(values, dict):
        return None, {}, [Mistake(place, f"expected a mapping with {key}, received {described(values)}.")]
    rest = {name: value for name, value in values.items() if name != key}
    name = values.get(key)
    if not isinstance(name, str):
        listed = ", ".join(Registry(room).modules())
        return None, rest, [Mistake((*place, key), f"expected one of {listed}; received {described(name)}.")]
    try:
        return Registry(room).module(name), rest, []
    except ConfigError as error:
        return None, rest, [Mistake((*place, key), str(error))]


def near(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """The known names nearest to `name`, or all of them, as a sentence."""
    close = nearest(name, known)
    return "Nearest: " + ", ".join(map(repr, close)) + "." if close else "Known: " + ", ".join(known) + "."


def described(value: Any) -> str:
    """What a value is, in a word, and how it begins."""
    return "nothing" if value is None else f"{type(value).__name__} {str(value)[:60]!r}"
