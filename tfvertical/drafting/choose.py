"""Which task the data are for: from columns and their values, or the form of the files."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from tfvertical import data
from tfvertical.data._labels import classes_of
from tfvertical.data._request import Request
from tfvertical.data.conll import Conll
from tfvertical.data.image_folder import ImageFolder
from tfvertical.drafting.look import LABELS, Column, Looked, encoding_of, look
from tfvertical.errors import ConfigError, DataError, nearest, nearest_paths

_PICTURES = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff")
_LENGTHS = (32, 64, 128, 256, 512)
_PIECES = 1.5  # tokens that an English word takes, and a little more
_SEPARATORS = ("|", ";", ",")
_FEW = 20  # different whole numbers up to which they are taken as names
_TOLD = 3  # rows that cannot be used
_SHOWN = 40  # characters of a label's name
_PARTS = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
_UNTOLD = ("TokenClassifier", "ExtractiveQA")  # whose labels are not counted by name


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
        lost: how many cannot be used.
        uneven: whether some label is ten times as frequent as another.
    """

    task: str
    seen: Sequence[str]
    sources: Mapping[str, Path]
    options: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    rows: int = 0
    lost: int = 0
    uneven: bool = False


def choose(path: Path, text: str | Sequence[str] = (), label: str | None = None) -> Choice:
    """The task for the data at `path`.

    Args:
        path: a table, a CoNLL or SQuAD file, or a folder of pictures, itself or in parts (`train/`, `test/`).
        text: column of the item, or both of a pair, as a list or `first,second`; found where not given.
        label: column of the label; found where not given.

    Raises:
        ConfigError: columns are named of data that have none.
        DataError: nothing can be read, or it does not say what is to be learned.
    """
    if not os.path.exists(path):
        raise DataError(f"{path} does not exist.", nearest=[os.path.basename(near) for near in nearest_paths(path)])
    if path.is_dir():
        _refuse_columns(path, "a folder of pictures", text, label)
        return _pictures(path)
    if Conll.accepts(path):
        _refuse_columns(path, "a CoNLL file, in which each line is a word and its tag", text, label)
        seen = ["words and their tags, a line each: what is named in a text"]
        own = {} if (encoding := encoding_of(path)) == "utf-8" else {"encoding": encoding}
        return _read(Choice("TokenClassifier", seen, {"train": path}, {"length": 128}, own), target="entities")
    suffix = path.suffix.lower()
    if suffix == ".json":
        _refuse_columns(path, "read as a file in the form of SQuAD", text, label)
        seen = ["questions and contexts in the form of SQuAD: the passage that answers"]
        chosen = Choice("ExtractiveQA", seen, {"train": path}, {"length": 256})
        return _read(chosen, kind="pair", target="answers")
    if suffix not in (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".parquet"):
        raise DataError(
            f"{path} is of no kind that a run file can be drafted for.",
            expected="a .csv, .tsv, .jsonl or .parquet table, a CoNLL or SQuAD file, or a folder of pictures",
        )
    return _table(path, look(path), text, label)


def _refuse_columns(path: Path, what: str, text: str | Sequence[str], label: str | None) -> None:
    given = [name for name, value in (("--text", text), ("--label", label)) if value]
    if given:
        raise ConfigError(
            f"{path} is {what}: it has no columns, and {' and '.join(given)} would do nothing.", fix="leave it out"
        )


def _read(choice: Choice, kind: str = "text", target: str = "label") -> Choice:
    """The choice, with what reading all rows says of it: how many there are, and how many cannot be used.

    Raises:
        DataError: none can be.
    """
    (path,) = choice.sources.values()
    read: dict[str, Any] = {"kind": kind, "target": target, **choice.columns}
    found = data.load(path, policy="skip", **read)
    report, seen = found.report, list(choice.seen)
    lost = f", of which {len(report.rejected):,} cannot be used" if report.rejected else ""
    seen += [f"rows: {report.read:,}{lost}", *(f"  {one.id}: {one.reason}" for one in report.rejected[:_TOLD])]
    names = Counter(name for label in found.labels or () for name in classes_of(label))
    if choice.task in _UNTOLD or not names:
        return replace(choice, seen=seen, rows=report.kept, lost=len(report.rejected))
    seen.append(f"names: {len(names)}, {_sizes(names)}")
    return replace(choice, seen=seen, rows=report.kept, lost=len(report.rejected), uneven=_uneven(names))


def _pictures(path: Path) -> Choice:
    try:
        folders = {each.name.lower(): each for each in sorted(path.iterdir()) if each.is_dir()}
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    parts = {part: folders[name] for part, names in _PARTS.items() for name in names[::-1] if name in folders}
    sources = parts if "train" in parts else {"train": path}
    counts = Counter(row.label for row in ImageFolder(sources["train"], Request("image")).rows() if not row.fault)
    if len(counts) < 2:
        raise DataError(
            f"{sources['train']} holds pictures of {len(counts)} classes; there is nothing to tell apart.",
            expected="a folder of pictures for each class",
        )
    seen = [f"pictures in {len(counts)} folders, one for each class, {_sizes(counts)}"]
    return Choice("ImageClassifier", seen, sources, rows=sum(counts.values()), uneven=_uneven(counts))


def _table(path: Path, table: Looked, text: str | Sequence[str], label: str | None) -> Choice:
    named = {str(column.name): column for column in table.columns}
    if isinstance(text, str):
        text = [text] if text in named else [each.strip() for each in text.split(",")]
    for name in (*text, *([] if label is None else [label])):
        if name not in named:
            raise DataError(
                f"{path.name} has no column {name!r}.", expected=table.told(), nearest=nearest(name, list(named))
            )
        if not named[name].values:
            raise DataError(f"{path.name}: the column {name!r} is empty.", received=table.told(), fix="name another")
    items = [named[name] for name in text] or [_text(path, table, label)]
    truth = named[label] if label is not None else _label(path, table, items)
    pictures = len(items) == 1 and _are_pictures(items[0])
    kind, target, own, told = _target(path, truth, tags=len(items) == 1 and items[0].listed)
    if (target == "entities" and (pictures or len(items) > 1)) or (target == "labels" and len(items) > 1):
        what = "a picture" if pictures else "a pair"
        raise DataError(f"{path.name}: {truth.told()} is no label of {what}.", expected="names or numbers")
    of = "" if target == "entities" else "Pair" if len(items) > 1 else "Image" if pictures else "Text"
    columns = {"text": [each.name for each in items] if len(items) > 1 else items[0].name, "label": truth.name}
    chosen = Choice(
        of + kind,
        [f"{'text' if len(items) == 1 else 'texts'}: {' and '.join(each.told() for each in items)}", told],
        {"train": path},
        {} if pictures else {"length": _length(items)},
        columns | dict(table.options) | own,
        table.rows,
    )
    if pictures:  # each would be opened
        return chosen
    return _read(chosen, "pair" if len(items) > 1 else "text", target)


def _text(path: Path, table: Looked, label: str | None) -> Column:
    """The column with most to read, by far; a picture before any text, and nothing that is called a label."""
    others = [each for each in table.columns if str(each.name) != label]
    if pictures := [each for each in others if _are_pictures(each)]:
        return pictures[0]
    texts = [each for each in others if each.plain and not each.numeric]
    if (words := _tagged(others, table)) and not any(fmean(each.words) > 2 * fmean(words.words) for each in texts):
        return words
    texts = [each for each in texts if str(each.name).lower() not in LABELS] or texts
    texts = [each for each in texts if len(each.counts) > len(each.values) / 2] or texts  # the others repeat themselves
    if not texts:
        raise DataError(f"{path.name} has no column of texts.", received=table.told(), fix="name one: --text COLUMN")
    first, *rest = sorted(texts, key=lambda each: fmean(each.words), reverse=True)
    if rest and fmean(rest[0].words) > fmean(first.words) / 2:
        raise DataError(
            f"{path.name}: several columns could be the text.",
            received=table.told(),
            fix=f"name it: --text COLUMN; or two texts of each row: --text '{first.name},{rest[0].name}'",
        )
    return first


def _tagged(columns: Sequence[Column], table: Looked) -> Column | None:
    """The column of lists of words beside which another one has a tag for each of them."""
    shapes = [(each, [len(value) for value in each.values]) for each in table.columns if each.listed]
    found = [
        each
        for each, shape in shapes
        if each in columns
        and str(each.name).lower() not in LABELS
        and any(other is not each and lengths == shape for other, lengths in shapes)
    ]
    return max(found, key=lambda each: len({word for value in each.values for word in value}), default=None)


def _label(path: Path, table: Looked, items: Sequence[Column]) -> Column:
    """The column that is called so, or the only one that can be."""
    others = [each for each in table.columns if each not in items and each.values]
    called = [each for each in others if str(each.name).lower() in LABELS]
    fit = called or [each for each in others if not each.plain or 1 < len(each.counts) <= max(2, len(each.values) // 2)]
    if len(fit) == 1:
        return fit[0]
    what = "several columns could be the label" if fit else "no column looks like a label"
    raise DataError(f"{path.name}: {what}.", received=table.told(), fix="name it: --label COLUMN")


def _target(path: Path, truth: Column, tags: bool) -> tuple[str, str, dict[str, Any], str]:
    """End of the task's name, its target, options of the data, and what was seen; `tags` of words, where lists are."""
    if truth.values and all(isinstance(value, list) for value in truth.values):
        if tags:
            return "TokenClassifier", "entities", {}, f"label: {truth.name!r}, a tag a word: what is named in a text"
        if any(isinstance(each, dict | list) for value in truth.values for each in value):
            return "TokenClassifier", "entities", {}, f"label: {truth.name!r}, places in the text: what is named there"
        return "MultiLabelClassifier", "labels", {}, f"label: {truth.name!r}, lists of names"
    if not truth.plain:
        raise DataError(f"{path.name}: {truth.told()} is no label.", expected="names, numbers or lists of names")
    values = list(truth.counts)
    if truth.numeric:
        numbers = [number for number in map(float, values) if math.isfinite(number)]
        if numbers and (len(values) > _FEW or any(number != math.floor(number) for number in numbers)):
            told = f"label: {truth.name!r}, numbers from {min(numbers):g} to {max(numbers):g}"
            return "Regressor", "numbers", {}, told
    if mark := _separator(truth):
        return "MultiLabelClassifier", "labels", {"separator": mark}, f"label: {truth.name!r}, {mark!r} between names"
    if len(values) < 2 or len(values) > max(2, len(truth.values) // 2):
        raise DataError(
            f"{path.name}: {truth.told()} in {len(truth.values):,} rows is no label.",
            expected="names of which each stands in several rows, or numbers",
            fix="name another: --label COLUMN",
        )
    return "Classifier", "label", {}, f"label: {truth.name!r}"


def _separator(truth: Column) -> str:
    """What stands between several names of a cell: apart, they are no more, and some stand in several cells."""
    for mark in _SEPARATORS:
        cells = sum(count for value, count in truth.counts.items() if mark in value)
        names = Counter(name.strip() for value in truth.counts for name in value.split(mark))
        if cells >= 0.05 * len(truth.values) and max(names.values()) > 1 and len(names) <= len(truth.counts):
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
    return bool(counts) and max(counts.values()) >= 10 * min(counts.values())
