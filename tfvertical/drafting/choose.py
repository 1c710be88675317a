"""Which task the data are for: from columns and their values, or the form of the files."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from tfvertical.data._request import Request
from tfvertical.data.conll import Conll
from tfvertical.data.image_folder import ImageFolder
from tfvertical.drafting.look import Column, Looked, look
from tfvertical.errors import DataError, nearest, nearest_paths

_LABELS = ("label", "labels", "category", "class", "target", "intent", "topic", "tag", "tags", "sentiment", "score")
_PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff")
_LENGTHS = (32, 64, 128, 256, 512)
_PIECES = 1.5  # tokens that an English word takes, and a little more
_SEPARATORS = ("|", ";", ",")
_FEW = 20  # different whole numbers up to which they are taken as names
_SHORT = 5  # words: a column of fewer is no second text
_SHOWN = 40  # characters of a label's name
_PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Choice:
    """What a run file will say.

    Args:
        task: the class of the task.
        seen: what it was chosen by, a line each.
        sources: part -> path.
        options: of the task.
        columns: of the data: keywords of `data.load`.
        rows: how many there are, as far as they were looked at; 0 where they were not.
        uneven: whether some label is ten times as frequent as another.
    """

    task: str
    seen: Sequence[str]
    sources: Mapping[str, Path]
    options: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    rows: int = 0
    uneven: bool = False


def choose(path: Path, text: Sequence[str] = (), label: str | None = None) -> Choice:
    """The task for the data at `path`.

    Args:
        path: a table, a CoNLL or SQuAD file, or a folder of pictures, itself or in parts (`train/`, `test/`).
        text: column of the item, or both of a pair; found where not given.
        label: column of the label; found where not given.

    Raises:
        DataError: nothing can be read, or it does not say what is to be learned.
    """
    if not os.path.exists(path):
        raise DataError(f"{path} does not exist.", nearest=[os.path.basename(near) for near in nearest_paths(path)])
    if path.is_dir():
        return _pictures(path)
    if Conll.accepts(path):
        return Choice(
            "TokenClassifier",
            ["words and their tags, a line each: what is named in a text"],
            {"train": path},
            {"length": 128},
        )
    suffix = path.suffix.lower()
    if suffix == ".json":
        seen = ["questions and contexts in the form of SQuAD: the passage that answers"]
        return Choice("ExtractiveQA", seen, {"train": path}, {"length": 256})
    if suffix not in (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".parquet"):
        raise DataError(
            f"{path} is of no kind that a run file can be drafted for.",
            expected="a .csv, .tsv, .jsonl or .parquet table, a CoNLL or SQuAD file, or a folder of pictures",
        )
    return _table(path, look(path), text, label)


def _pictures(path: Path) -> Choice:
    parts = {part: path / part for part in _PARTS if (path / part).is_dir()}
    sources = parts if "train" in parts else {"train": path}
    counts = Counter(row.label for row in ImageFolder(sources["train"], Request("image")).rows() if not row.fault)
    if len(counts) < 2:
        raise DataError(
            f"{sources['train']} holds pictures of {len(counts)} classes; there is nothing to tell apart.",
            expected="a folder of pictures for each class",
        )
    seen = [f"pictures in {len(counts)} folders, one for each class, {_sizes(counts)}"]
    return Choice("ImageClassifier", seen, sources, rows=sum(counts.values()), uneven=_uneven(counts))


def _table(path: Path, table: Looked, text: Sequence[str], label: str | None) -> Choice:
    named = {str(column.name): column for column in table.columns}
    for name in (*text, *([] if label is None else [label])):
        if name not in named:
            raise DataError(
                f"{path.name} has no column {name!r}.", expected=table.told(), nearest=nearest(name, list(named))
            )
    items = [named[name] for name in text] or [_text(path, table, label)]
    truth = named[label] if label is not None else _label(path, table, items)
    seen = [f"{'text' if len(items) == 1 else 'texts'}: {' and '.join(each.told() for each in items)}"]
    columns = {"text": [each.name for each in items] if len(items) > 1 else items[0].name, "label": truth.name}
    columns |= table.options
    pictures = len(items) == 1 and _are_pictures(items[0])
    options: dict[str, Any] = {} if pictures else {"length": _length(items)}
    kind, own, told, uneven = _target(path, truth)
    if kind == "TokenClassifier" and (pictures or len(items) > 1):
        raise DataError(f"{path.name}: {truth.told()} is no label of a picture or a pair.", expected="names or numbers")
    if kind == "TokenClassifier":
        name = kind
    elif len(items) > 1:
        if kind == "MultiLabelClassifier":
            raise DataError(
                f"{path.name}: pairs take one label or numbers.", received=f"several labels in {truth.told()}"
            )
        name = f"Pair{kind}"
    else:
        name = ("Image" if pictures else "Text") + kind
    return Choice(name, [*seen, told], {"train": path}, options, columns | own, table.rows, uneven)


def _text(path: Path, table: Looked, label: str | None) -> Column:
    """The column with most to read, by far; a picture before any text."""
    others = [each for each in table.columns if str(each.name) != label]
    if pictures := [each for each in others if _are_pictures(each)]:
        return pictures[0]
    texts = [each for each in others if each.plain and not each.numeric]
    if not texts:
        raise DataError(f"{path.name} has no column of texts.", received=table.told(), fix="name one: --text COLUMN")
    first, *rest = sorted(texts, key=lambda each: fmean(each.words), reverse=True)
    if rest and fmean(rest[0].words) > max(_SHORT, fmean(first.words) / 2):
        raise DataError(
            f"{path.name}: several columns could be the text.",
            received=table.told(),
            fix=f"name it: --text COLUMN; or two texts of each row: --text '{first.name},{rest[0].name}'",
        )
    return first


def _label(path: Path, table: Looked, items: Sequence[Column]) -> Column:
    """The column that is called so, or the only one that can be."""
    others = [each for each in table.columns if each not in items and each.values]
    called = [each for each in others if str(each.name).lower() in _LABELS]
    fit = called or [each for each in others if not each.plain or 1 < len(each.counts) <= max(2, len(each.values) // 2)]
    if len(fit) == 1:
        return fit[0]
    what = "several columns could be the label" if fit else "no column looks like a label"
    raise DataError(f"{path.name}: {what}.", received=table.told(), fix="name it: --label COLUMN")


def _target(path: Path, truth: Column) -> tuple[str, dict[str, Any], str, bool]:
    """End of the task's name, options of the data, what was seen, and whether labels are uneven."""
    first = truth.values[0] if truth.values else None
    if isinstance(first, list):
        if any(isinstance(each, dict) for value in truth.values for each in value):
            return "TokenClassifier", {}, f"label: {truth.name!r}, places in the text: what is named there", False
        names = Counter(str(each) for value in truth.values for each in value)
        return "MultiLabelClassifier", {}, f"label: {truth.name!r}, lists of {len(names)} names", _uneven(names)
    if not truth.plain:
        raise DataError(f"{path.name}: {truth.told()} is no label.", expected="names, numbers or lists of names")
    values = list(truth.counts)
    if truth.numeric:
        numbers = [float(value) for value in values]
        if len(numbers) > _FEW or any(number != math.floor(number) for number in numbers if math.isfinite(number)):
            return "Regressor", {}, f"label: {truth.name!r}, numbers from {min(numbers):g} to {max(numbers):g}", False
    if mark := _separator(truth):
        names = Counter(name.strip() for cell in truth.values for name in str(cell).split(mark))
        told = f"label: {truth.name!r}, any of {len(names)} names, {mark!r} between them"
        return "MultiLabelClassifier", {"separator": mark}, told, _uneven(names)
    if len(values) < 2 or len(values) > max(2, len(truth.values) // 2):
        raise DataError(
            f"{path.name}: {truth.told()} in {len(truth.values):,} rows is no label.",
            expected="names of which each stands in several rows, or numbers",
            fix="name another: --label COLUMN",
        )
    told = f"label: {truth.name!r}, {len(values)} names, {_sizes(truth.counts)}"
    return "Classifier", {}, told, _uneven(truth.counts)


def _separator(truth: Column) -> str:
    """What stands between several names of a cell: with it apart, there are clearly fewer different ones."""
    for mark in _SEPARATORS:
        cells = sum(count for value, count in truth.counts.items() if mark in value)
        names = {name.strip() for value in truth.counts for name in value.split(mark)}
        if cells >= 0.05 * len(truth.values) and len(names) < len(truth.counts):
            return mark
    return ""


def _are_pictures(column: Column) -> bool:
    """Whether it holds pictures, or paths of some."""
    if not column.plain:
        return bool(column.values) and all(isinstance(value, bytes) for value in column.values)
    return all(value.lower().endswith(_PICTURES) for value in column.counts)


def _length(items: Sequence[Column]) -> int:
    """The shortest usual length that holds nineteen of twenty rows."""
    longest = sum(sorted(each.words)[int(0.95 * (len(each.words) - 1))] for each in items)
    return next((length for length in _LENGTHS if length >= _PIECES * longest + 2), _LENGTHS[-1])


def _sizes(counts: Counter[Any]) -> str:
    ranked = counts.most_common()
    (most, many), (least, few) = ranked[0], ranked[-1]
    return f"from {few:,} ({_short(least)}) to {many:,} ({_short(most)}) rows each"


def _short(name: Any) -> str:
    return repr(name) if len(str(name)) <= _SHOWN else repr(str(name)[: _SHOWN - 1] + "…")


def _uneven(counts: Counter[Any]) -> bool:
    return max(counts.values()) >= 10 * min(counts.values())
