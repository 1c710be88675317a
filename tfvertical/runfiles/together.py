"""What is right in its own section of a run file and does not fit another.

Each rule says what it reads, and is skipped where anything of that is a mistake already. What it finds is told beside
the mistakes elsewhere: whoever corrects a file corrects it once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from tfvertical import kinds
from tfvertical.errors import nearest
from tfvertical.export import check_labels, check_packages, folder_name, refuse_idle
from tfvertical.registry import Registry
from tfvertical.runfiles import schema
from tfvertical.runfiles.runfile import Mistake, Place, named, said

PARTS = ("train", "validation", "test")
_TASKS = Path(kinds.__file__).parent / "tasks"
_OF_NUMBERS = ("labels", "loss", "levels", "units", "interval")
_OF_LABELS = (("training", "label_smoothing"), ("training", "focal"), ("data", "class_weight"))


def check(content: Mapping[str, Any], mistakes: Collection[Mistake]) -> list[Mistake]:
    """What does not fit together.

    Args:
        content: a run file's value, a mapping.
        mistakes: what each section has by itself.
    """
    file = _File(content, [mistake.place for mistake in mistakes])
    return [mistake for rule, reads in _RULES for mistake in (rule(file) if file.right(*reads) else ())]


class _File:
    """A run file's sections, each a mapping, and whether what a rule wants to read is right.

    Args:
        content: its value.
        wrong: where sections have mistakes.
    """

    def __init__(self, content: Mapping[str, Any], wrong: Collection[Place]):
        self._content, self._wrong = content, wrong
        sections = [named(content.get("task"), "name"), content.get("data"), content.get("training")]
        self.task, self.data, self.training = (each if isinstance(each, dict) else {} for each in sections)

    def right(self, *places: Place) -> bool:
        """Whether no mistake is at these places, above or below them."""
        return not any(place[: len(wrong)] == wrong[: len(place)] for place in places for wrong in self._wrong)

    def of_task(self, name: str) -> Any:
        """`kind`, `items`, `target` or `quantities` of the task's class."""
        module = Registry("tasks").module(self.task["name"])
        return schema.constant(_TASKS / f"{module}.py", module, name)

    def has(self, part: str) -> bool:
        """Whether there is such a part of the data. True as well where it is given wrongly: that is told already."""
        if not self.right(("data", part), ("data", "split")):
            return True
        split = self.data.get("split")
        return self.data.get(part) is not None or (split is not None and part in (split.get("fractions") or PARTS))

    def exports(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Number and content of each export that has no mistake of its own."""
        plans = self._content.get("export")
        for index, plan in enumerate(plans if isinstance(plans, list) else ()):
            if self.right(("export", index)):
                yield index, named(plan, "format")


def _preset(file: _File) -> Iterator[Mistake]:
    from tfvertical.backbones.package_index import PRESETS

    kind = file.of_task("kind")
    made_for = PRESETS[file.task["preset"]][0] if file.task["preset"] in PRESETS else kind
    if made_for != kind:
        what = f"takes {made_for}s; {file.task['name']} needs one that takes {kind}s."
        yield Mistake(("task", "preset"), what)


def _augment(file: _File) -> Iterator[Mistake]:
    if file.of_task("kind") != "image" and file.training.get("augment") is not None:
        yield Mistake(("training", "augment"), f"is for pictures; {file.task['name']} has no augmentation.")


def _columns_of_texts(file: _File) -> Iterator[Mistake]:
    items, columns = file.of_task("items"), file.data.get("text", "text")
    if items == "pair" and not isinstance(columns, list) and str(file.data["train"]).endswith((".csv", ".tsv")):
        what = f"{file.task['name']} reads two texts of each row: give both columns, text: [first, second]."
        yield Mistake(("data", "text"), what)
    if items == "pair" and isinstance(columns, list) and len(columns) != 2:
        yield Mistake(("data", "text"), f"names {len(columns)} columns; {file.task['name']} reads two.")
    if items != "pair" and isinstance(columns, list):
        yield Mistake(("data", "text"), f"names {len(columns)} columns; {file.task['name']} reads one.")


def _spans(file: _File) -> Iterator[Mistake]:
    spans, other = file.data.get("spans"), file.of_task("target") in ("entities", "answers")
    if spans and (len(spans) != 2 or file.of_task("items") != "text" or other):
        received = f"{len(spans)} for {file.task['name']}"
        what = f"expected two columns of places in a text that has a label, received {received}."
        yield Mistake(("data", "spans"), what)


def _columns_of_labels(file: _File) -> Iterator[Mistake]:
    if file.of_task("target") not in ("labels", "numbers") and isinstance(file.data.get("label"), list):
        yield Mistake(("data", "label"), f"names several columns; {file.task['name']} learns one.")


def _names_of_numbers(file: _File) -> Iterator[Mistake]:
    from tfvertical.codecs.numbers import NumberCodec

    if file.of_task("target") == "numbers" and file.task.get("labels") is None:  # they are called as their columns
        column = file.data.get("label") or "label"
        names = [str(each) for each in (column if isinstance(column, list) else [column])]
        yield from said(lambda: NumberCodec.of(names, file.task), ("task",))


def _pieces(file: _File) -> Iterator[Mistake]:
    from tfvertical.codecs.entities import EntityCodec

    if file.of_task("target") == "entities":
        yield from said(lambda: EntityCodec.of(["any"], file.task), ("task", "pieces"))


def _of_labels(place: Place, file: _File) -> Iterator[Mistake]:
    """A setting of a loss that this task does not have."""
    section, name = place
    given = (file.training if section == "training" else file.data).get(name)
    if given and (file.of_task("target") in ("numbers", "answers") or file.task.get("crf")):
        which = file.task["name"] + " with crf" * bool(file.task.get("crf"))
        yield Mistake(place, f"is for a cross-entropy of labels; {which} has none.")


def _exports(file: _File) -> Iterator[Mistake]:
    """What an export needs of the task and the data; two that would be written to one folder."""
    folders, items, target = set(), file.of_task("items"), file.of_task("target")
    judged_on = file.has("validation") or file.has("test")
    if any(plan.get("output", "scores") == "scores" for _, plan in file.exports()) and file.right(("task", "labels")):
        yield from said(functools.partial(check_labels, file.task.get("labels") or ()), ("task", "labels"))
    for index, plan in file.exports():
        module = Registry("export").module(plan["format"])
        own = {key: value for key, value in plan.items() if key not in ("format", "max_drop")}
        exporter = Registry("export").build({"name": module, **own})
        yield from said(functools.partial(check_packages, exporter), ("export", index, "format"))
        if wrong := said(functools.partial(exporter.chosen, items, target), ("export", index)):
            yield from wrong
            continue
        precision = exporter.chosen(items, target)
        idle = functools.partial(refuse_idle, exporter.precision, calibration=False, max_drop="max_drop" in plan)
        yield from said(idle, ("export", index, "max_drop"))
        if precision != "float32" and not judged_on:
            what = "is measured on validation data, and there are none. Give data.validation or data.split."
            yield Mistake(("export", index, "precision"), what)
        if (folder := folder_name(exporter, precision)) in folders:
            yield Mistake(("export", index), f"a second export to {folder}; one would replace the other.")
        folders.add(folder)
        length, most = plan.get("length"), file.task.get("length") if file.right(("task", "length")) else None
        longest = length if isinstance(length, int | None) else max(length)
        if longest is not None and items == "image":
            yield Mistake(("export", index, "length"), f"counts tokens; {file.task['name']} reads no text.")
        elif longest is not None and most is not None and longest > most:
            yield Mistake(("export", index, "length"), f"is {longest}; the task reads {most} tokens.")


def _early_stopping(file: _File) -> Iterator[Mistake]:
    monitor = file.training.get("monitor") or "val_loss"
    judged = file.training.get("early_stopping") is not None and monitor.startswith("val_")
    if judged and not file.has("validation"):
        what = f"judges by {monitor!r}, but there are no validation data. Give data.validation or data.split."
        yield Mistake(("training", "early_stopping"), what)


def _monitor(file: _File) -> Iterator[Mistake]:
    from tfvertical.settings import monitored

    monitor, known = file.training.get("monitor"), monitored(file.of_task("quantities"))
    if monitor is not None and monitor not in known:
        close = nearest(monitor, known)
        what = f"{file.task['name']} has no quantity {monitor!r}. One of {', '.join(known)}."
        yield Mistake(("training", "monitor"), what + (f" {schema.nearest_of(close)}" if close else ""))


_NAME: Place = ("task", "name")
_RULES: tuple[tuple[Callable[[_File], Iterator[Mistake]], tuple[Place, ...]], ...] = (
    (_preset, (_NAME, ("task", "preset"))),
    (_augment, (_NAME,)),
    (_columns_of_texts, (_NAME, ("data", "text"), ("data", "train"))),
    (_spans, (_NAME, ("data", "spans"))),
    (_columns_of_labels, (_NAME, ("data", "label"))),
    (_names_of_numbers, (_NAME, ("data", "label"), *(("task", name) for name in _OF_NUMBERS))),
    (_pieces, (_NAME, ("task", "crf"), ("task", "pieces"))),
    *((functools.partial(_of_labels, place), (_NAME, ("task", "crf"), place)) for place in _OF_LABELS),
    (_exports, (_NAME,)),
    (_monitor, (_NAME, ("training", "monitor"))),
    (_early_stopping, (("training", "early_stopping"), ("training", "monitor"))),
)
