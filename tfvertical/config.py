"""A YAML run file as objects. It is checked whole, before any data is read or weight loaded, and every mistake is told.

What a section may hold is read from what it becomes: a task's `from_preset`, `data.load` and `data.split`, an
adaptation's fields, `Settings`. Nothing is listed here twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfvertical import runfile, schema
from tfvertical.contracts import Adaptation
from tfvertical.errors import ConfigError, TfverticalError, nearest
from tfvertical.registry import Registry
from tfvertical.runfile import Document, Mistake, Place
from tfvertical.settings import Settings

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Evaluation:
    """How the test data are reported.

    Args:
        examples: list the worst errors with their text or picture; False keeps every one out of reports and logs.
    """

    examples: bool = True


@dataclass(frozen=True)
class ExportPlan:
    """One export of the finished task.

    Args:
        format: a file name in `export/`.
        precision: how numbers are stored.
    """

    format: str
    precision: str = "float32"


@dataclass(frozen=True)
class DataPlan:
    """Where the rows come from and how they are read and split.

    Args:
        sources: `train`, and `validation` and `test` where they are given: a path (absolute by now) or `tfds:NAME`.
        load: keywords of `data.load`, for every source.
        split: keywords of `data.split`, for what is not given.
        class_weight: `balanced`, label -> weight, or None.
    """

    sources: Mapping[str, str]
    load: Mapping[str, Any] = field(default_factory=dict)
    split: Mapping[str, Any] = field(default_factory=dict)
    class_weight: str | Mapping[str, float] | None = None


@dataclass(frozen=True)
class Run:
    """Everything a run file says, checked.

    Args:
        task: name of the task's file in `tasks/`.
        preset: name of the backbone.
        options: the other keywords of the task's `from_preset`.
        data: where the rows come from.
        adaptation: how the model is adapted.
        training: everything about training that is not the above.
        augment: keywords of the augmentation, or None for none.
        evaluation: how the test data are reported.
        export: what is exported when all is done.
        written: the file as plain values, overrides included, for the bundle.
    """

    task: str
    preset: str
    options: Mapping[str, Any]
    data: DataPlan
    adaptation: Adaptation
    training: Settings
    augment: Mapping[str, Any] | None
    evaluation: Evaluation
    export: tuple[ExportPlan, ...]
    written: Mapping[str, Any] = field(default_factory=dict, repr=False)


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
    """
    mistakes = [*document.mistakes, *check(document.value, folder)]
    if mistakes:
        raise ConfigError(_listing(document, mistakes))
    content: dict[str, Any] = document.value
    task = dict(content["task"])
    training = dict(content.get("training") or {})
    augment = training.pop("augment", None)
    return Run(
        task=Registry("tasks").module(task.pop("name")),
        preset=task.pop("preset"),
        options=task,
        data=_data_plan(content["data"], folder),
        adaptation=Registry("adaptations").build(content.get("adaptation") or "Frozen"),
        training=Settings(**training),
        augment=augment,
        evaluation=Evaluation(**(content.get("evaluation") or {})),
        export=tuple(ExportPlan(**_named(item, "format")) for item in content.get("export") or ()),
        written=content,
    )


def check(content: Any, folder: Path) -> list[Mistake]:
    """Every mistake in a run file's content; builds nothing, reads no data, loads no weight."""
    if not isinstance(content, dict):
        return [Mistake((), f"expected a mapping with {', '.join(_SECTIONS)}, received {_kind(content)}.")]
    found = [Mistake((key,), "unknown section. " + _near(key, _SECTIONS)) for key in content if key not in _SECTIONS]
    for name, section in _SECTIONS.items():
        if name in content or name in ("task", "data"):
            found += section(content.get(name), (name,), folder)
    return found


def _listing(document: Document, mistakes: Sequence[Mistake]) -> str:
    count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    lines = [f"{document.where(mistake)}: " + " ".join(mistake.what.split()) for mistake in mistakes]
    return f"{document.name} has {count}. Nothing was read or loaded.\n  " + "\n  ".join(lines)


def _check_task(values: Any, place: Place, folder: Path) -> list[Mistake]:
    module, rest, found = _registered("tasks", values, place)
    if module is None:
        return found
    takes = schema.declared(Path(__file__).parent / "tasks" / f"{module}.py", module, "from_preset")
    found += schema.check(takes, rest, place, given=("labels",), extra={"labels": list[str] | None})
    preset = rest.get("preset")
    if isinstance(preset, str):
        found += _said(lambda: _check_preset(preset), (*place, "preset"))
    return found


def _check_preset(preset: str) -> None:
    from tfvertical import backbones

    backbones.check(preset)


def _check_adaptation(values: Any, place: Place, folder: Path) -> list[Mistake]:
    module, rest, found = _registered("adaptations", values, place)
    return found if module is None else found + schema.check(Registry("adaptations").get(module), rest, place)


def _check_training(values: Any, place: Place, folder: Path) -> list[Mistake]:
    return schema.check(Settings, values, place, extra={"augment": dict[str, Any] | None})


def _check_evaluation(values: Any, place: Place, folder: Path) -> list[Mistake]:
    return schema.check(Evaluation, values, place)


def _check_export(values: Any, place: Place, folder: Path) -> list[Mistake]:
    if not isinstance(values, list):
        return [Mistake(place, f"expected a list of formats, received {_kind(values)}.")]
    found = []
    for index, item in enumerate(values):
        rest, here = _named(item, "format"), (*place, index)
        found += schema.check(ExportPlan, rest, here)
        if isinstance(rest, dict) and isinstance(name := rest.get("format"), str):
            found += _said(lambda name=name: Registry("export").module(name), (*here, "format"))  # type: ignore[misc]
    return found


def _check_data(values: Any, place: Place, folder: Path) -> list[Mistake]:
    from tfvertical import data

    if not isinstance(values, dict):
        return [Mistake(place, f"expected a mapping with train, received {_kind(values)}.")]
    own = {"train": str, "validation": str | None, "test": str | None, "split": dict[str, Any] | None}
    own |= {"class_weight": str | dict[str, float] | None}
    found = schema.check(data.load, values, place, given=_GIVEN, extra=own)
    if values.get("train") is None:
        found.append(Mistake((*place, "train"), "is missing, and must be given."))
    if isinstance(values.get("split"), dict):
        found += schema.check(data.split, values["split"], (*place, "split"), given=("examples",))
    for part in PARTS:
        source = values.get(part)
        if isinstance(source, str) and not source.startswith("tfds:") and not (folder / source).exists():
            found.append(Mistake((*place, part), f"there is no file or folder {str(folder / source)!r}."))
    return found


_GIVEN = ("source", "value", "kind", "vocabulary", "labels", "class_weight")  # of `data.load`, what the run gives
_SECTIONS: dict[str, Callable[[Any, Place, Path], list[Mistake]]] = {
    "task": _check_task,
    "data": _check_data,
    "adaptation": _check_adaptation,
    "training": _check_training,
    "evaluation": _check_evaluation,
    "export": _check_export,
}


def _data_plan(values: Mapping[str, Any], folder: Path) -> DataPlan:
    rest = {key: value for key, value in values.items() if key not in (*PARTS, "split", "class_weight")}
    sources = {
        part: source if source.startswith("tfds:") else os.path.normpath(folder / source)
        for part in PARTS
        if (source := values.get(part)) is not None
    }
    return DataPlan(sources, rest, values.get("split") or {}, values.get("class_weight"))


def _registered(room: str, values: Any, place: Place) -> tuple[str | None, dict[str, Any], list[Mistake]]:
    """The file of the class that `name` names, and the other keys; a mistake where there is none."""
    values = _named(values, "name")
    if not isinstance(values, dict):
        return None, {}, [Mistake(place, f"expected a mapping with name, received {_kind(values)}.")]
    rest = {key: value for key, value in values.items() if key != "name"}
    name = values.get("name")
    if not isinstance(name, str):
        listed = ", ".join(Registry(room).modules())
        return None, rest, [Mistake((*place, "name"), f"expected one of {listed}, received {_kind(name)}.")]
    try:
        return Registry(room).module(name), rest, []
    except ConfigError as error:
        return None, rest, [Mistake((*place, "name"), str(error))]


def _said(action: Callable[[], Any], place: Place) -> list[Mistake]:
    try:
        action()
    except TfverticalError as error:
        return [Mistake(place, str(error))]
    return []


def _named(values: Any, key: str) -> Any:
    """`Frozen` alone is short for `{name: Frozen}`."""
    return {key: values} if isinstance(values, str) else values


def _near(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    close = nearest(name, known)
    return "Nearest: " + ", ".join(map(repr, close)) + "." if close else "Known: " + ", ".join(known) + "."


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {str(value)[:60]!r}"
