"""What rows of a table show: its columns, and how the file has to be read."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from tfvertical.data import _csv, _jsonl
from tfvertical.data._check import _blank
from tfvertical.errors import DataError, MissingPackageError

MOST = 10_000  # rows that are looked at, drawn from all: a table may be sorted by its labels
LABELS = ("label", "labels", "category", "class", "target", "intent", "topic", "tag", "tags", "sentiment", "score")
_NAMES = (*LABELS, "id", "text", "texts", "sentence", "message", "review", "content", "comment", "title", "body")
_LIMIT = 4_000_000  # bytes of a row
_SAMPLE = 2**20  # bytes that tell an encoding
_FIRST = 100  # records that tell a delimiter
_MARKS = (",", ";", "\t", "|")
_OWN = {".tsv": "\t", ".tab": "\t"}
_UNSPACED = re.compile(  # Thai and Lao, Burmese, Khmer, kana, Chinese characters
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_MANY = 4  # words: what has so many may be no column's name
_LONG = 100  # characters: a longer cell in the first row is no column's name
_T = TypeVar("_T")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        name: in the header, or its position where there is none.
        values: of the rows looked at that have one.
    """

    name: str | int
    values: tuple[Any, ...]

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each value stands there, as text."""
        return Counter(str(value).strip() for value in self.values)

    @cached_property
    def words(self) -> list[int]:
        """How many words each value has."""
        return [len(value) if isinstance(value, list) else _words(str(value)) for value in self.values]

    @property
    def plain(self) -> bool:
        """Whether it holds texts or numbers, one a row."""
        return bool(self.values) and all(isinstance(value, str | int | float) for value in self.values)

    @property
    def numeric(self) -> bool:
        """Whether every value is a number."""
        return self.plain and all(_is_number(value) for value in self.counts)

    @cached_property
    def listed(self) -> bool:
        """Whether every value is a list of texts: words, or a tag for each."""
        return bool(self.values) and all(
            isinstance(value, list) and value and all(isinstance(each, str) for each in value) for value in self.values
        )

    def told(self) -> str:
        """It in a few words."""
        if not self.plain and not self.listed:
            kind = type(self.values[0]).__name__ if self.values else "nothing"
            return f"{self.name!r} ({kind})"
        values = f"{len(self.counts):,} {'lists' if self.listed else 'values'}"
        return f"{self.name!r} ({values}, {fmean(self.words):.0f} words each)"


@dataclass(frozen=True)
class Looked:
    """A table's first rows.

    Args:
        columns: in their order.
        rows: how many were looked at.
        options: keywords of `data.load` without which the file is not read rightly.
    """

    columns: tuple[Column, ...]
    rows: int
    options: Mapping[str, Any]

    def told(self) -> str:
        """All columns in a few words each."""
        return ", ".join(column.told() for column in self.columns)


def look(path: Path) -> Looked:
    """Rows of a CSV, TSV, JSON-lines or Parquet file.

    Raises:
        DataError: nothing can be read.
        MissingPackageError: a Parquet file, and pyarrow is not installed.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder) / "a.csv"
        ...     _ = file.write_text("message;topic\\nIt never arrived.;card\\n")
        ...     found = look(file)
        >>> [column.name for column in found.columns], found.options
        (['message', 'topic'], {'delimiter': ';'})
    """
    options: dict[str, Any] = {}
    rows: list[Any]
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            rows = _drawn(_parquet(path))
        elif suffix in (".jsonl", ".ndjson"):
            rows = _drawn(record.cells for record in _jsonl.records(path, limit=_LIMIT) if record.cells)
        else:
            rows, options = _delimited(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if not rows:
        raise DataError(f"{path} has no rows that can be read.", expected="a table with at least one row")
    names = dict.fromkeys(name for row in rows for name in row)
    columns = [Column(name, tuple(row[name] for row in rows if not _blank(row.get(name)))) for name in names]
    return Looked(tuple(columns), len(rows), options)


def _drawn(rows: Iterable[_T]) -> list[_T]:
    """At most `MOST` of them, each as likely as any other (Vitter's algorithm R), the same ones every time."""
    draw, found = random.Random(0), list[_T]()
    for number, row in enumerate(rows):
        if number < MOST:
            found.append(row)
        elif (at := draw.randint(0, number)) < MOST:
            found[at] = row
    return found


def _delimited(path: Path) -> tuple[list[dict[str | int, Any]], dict[str, Any]]:
    options: dict[str, Any] = {}
    with open(path, "rb") as file:
        start = file.read(_SAMPLE)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path} is UTF-16.", expected="UTF-8", fix="save it as UTF-8 (in Excel: 'CSV UTF-8')")
    encoding = _encoding(start)
    if encoding != "utf-8":
        options["encoding"] = encoding
    own = _OWN.get(path.suffix.lower(), ",")
    tried = {
        (mark, quotes): _agreeing(_records(path, encoding, mark, quotes)) for mark in _MARKS for quotes in (True, False)
    }
    mark, quotes = max(tried, key=lambda each: (tried[each], each == (own, True), each[0] == own, each[1]))
    if mark != own:
        options["delimiter"] = mark
    if not quotes:
        options["quotes"] = False
    records = _records(path, encoding, mark, quotes)
    first = next((cells for cells in records if cells is not None), None)
    if first is None:
        return [], options
    rows = _drawn(cells for cells in records if cells is not None and len(cells) == len(first))
    header: list[Any] = [cell.strip() for cell in first]
    if twice := [name for name, count in Counter(header).items() if count > 1]:
        raise DataError(f"{path} has two columns called {twice[0]!r}.", fix="rename one")
    if _no_names(header, rows):
        options["header"], header, rows = False, list(range(len(first))), [first, *rows]
    return [dict(zip(header, row, strict=True)) for row in rows], options


def _records(path: Path, encoding: str, mark: str, quotes: bool) -> Iterator[list[str] | None]:
    """The cells of each record; None where it is broken."""
    found = _csv.records(path, encoding=encoding, delimiter=mark, quotes=quotes, limit=_LIMIT)
    return (record.cells for record in found)


def _agreeing(records: Iterable[list[str] | None]) -> float:
    """Which share of the first records has as many cells as the first; 0 where that is one."""
    widths = [0 if cells is None else len(cells) for cells in islice(records, _FIRST)]
    return 0.0 if not widths or widths[0] < 2 else widths.count(widths[0]) / len(widths)


def _no_names(first: list[str], rows: list[list[str]]) -> bool:
    """Whether the first row is one like the others: a number above numbers, a text too long for a name; or all of it
    looks like what stands below, and some of it stands there again: a column may be called as one of its labels.
    """
    if any(cell.lower() in _NAMES for cell in first):
        return False
    again, like = False, True
    for at, cell in enumerate(first):
        below = [row[at].strip() for row in rows if row[at].strip()]
        if not cell or not below:
            continue
        if len(cell) > _LONG or (_is_number(cell) and all(map(_is_number, below))):
            return True
        again |= cell in below
        like &= _is_like(cell, below)
    return again and like


def _is_like(cell: str, below: list[str]) -> bool:
    """Whether a cell is one of few that repeat, or has as many words as nineteen of twenty below it, or as no name."""
    if cell in below or len(set(below)) <= len(below) / 2:
        return cell in below
    return _words(cell) >= min(_MANY, sorted(map(_words, below))[int(0.05 * len(below))])


def _words(text: str) -> int:
    """What stands between spaces; and each character of a script that writes none, such as Chinese or Thai."""
    return len(text.split()) + (0 if text.isascii() else len(_UNSPACED.findall(text)))


def encoding_of(path: Path) -> str:
    """What a file's beginning is written in.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return _encoding(file.read(_SAMPLE))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error


def _encoding(start: bytes) -> str:
    """UTF-8, or what Windows wrote instead; the last character may be cut."""
    try:
        start.decode()
    except UnicodeDecodeError as error:
        return "utf-8" if error.start >= len(start) - 3 else "cp1252"
    return "utf-8"


def _parquet(path: Path) -> Iterator[dict[str | int, Any]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError("Parquet files need pyarrow.", fix="pip install pyarrow") from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                yield from batch.to_pylist()
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}.", fix="write the file again") from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
