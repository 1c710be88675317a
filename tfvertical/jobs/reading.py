"""The parts of a run's data, and the labels in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfvertical import data
from tfvertical._console import load_tensorflow
from tfvertical.codecs.answers import NAME
from tfvertical.contracts import Examples
from tfvertical.data._policy import files_of, refuse_sources, refuse_warnings
from tfvertical.data._split import remaining
from tfvertical.errors import ConfigError
from tfvertical.runfiles.run import DataPlan


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
        parts = data.split(parts["train"], **_split(plan, plan.split))
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


def names_of(plan: DataPlan, labels: tuple[str, ...] | None, target: str, *parts: Examples) -> tuple[str, ...]:
    """What a task tells apart: the labels given, or those of the parts, or the columns in which they stand.

    Numbers are called as their columns; so are sets of labels that have a column each.
    """
    if target == "answers":
        return (NAME,)
    columns = plan.load.get("label", "label")
    if labels or not (target == "numbers" or isinstance(columns, list)):
        return labels or data.label_names(*parts)
    return tuple(str(column) for column in (columns if isinstance(columns, list) else [columns]))


def unlearned(names: tuple[str, ...], target: str, train: Examples) -> str:
    """A line for the person about labels that no training row has; empty where there are none of them."""
    found = names if target == "numbers" else data.label_names(train)
    absent = [repr(name) for name in names if name not in found]
    if not absent:
        return ""
    named = ", ".join(absent[:10]) + (", …" if len(absent) > 10 else "")
    return (
        f"No training row has {'the label' if len(absent) == 1 else 'one of the labels'} {named}: nothing teaches it."
    )


def refuse_unknown_tokens(task: Any, parts: Mapping[str, Examples]) -> None:
    """What `strict` asks of texts that only the task's tokenizer can judge."""
    for part in parts.values():
        warning = data.unknown_tokens(part, task.encode(part))
        if warning is not None:
            refuse_warnings(part.report.name, [warning])


def _split(plan: DataPlan, options: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords of `data.split`; without fractions, the default ones of what no source gives."""
    given = [part for part in plan.sources if part != "train"]
    return {**options, "fractions": remaining(given) if options.get("fractions") is None else options["fractions"]}


def _load(plan: DataPlan, part: str, kind: Any, labels: tuple[str, ...] | None, target: Any) -> Examples:
    """One source, with a quarantine file of its own."""
    options = dict(plan.load)
    if options.get("quarantine") is not None:
        targets = files_of(options["quarantine"], plan.sources)
        refuse_sources(targets.values(), plan.sources.values())
        options["quarantine"] = targets[part]
    if target == "numbers" and labels:
        options.setdefault("label", list(labels))
    return data.load(plan.sources[part], kind=kind, target=target, labels=labels, **options)
