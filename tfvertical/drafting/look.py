"""What the first rows of a table show: its columns, and how the file has to be read."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

from tfvertical.data import _csv, _jsonl
from tfvertical.data._check import missing
from tfvertical.errors import DataError, MissingPackageError

MOST = 10_000  # rows that are looked at
_LIMIT = 4_000_000  # bytes of a row
_SAMPLE = 2**20  # bytes that tell an encoding
_MARKS = (",", ";", "\t", "|")
_OWN = {".tsv": "\t", ".tab": "\t"}
_LONG = 100  # characters: a longer cell in the first row is no column's name


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
        return [len(str(value).split()) for value in self.values]

    @property
    def plain(self) -> bool:
        """Whether it holds texts or numbers, one a row."""
        return bool(self.values) and all(isinstance(value, str | int | float) for value in self.values)

    @property
    def numeric(self) -> bool:
        """Whether every value is a number."""
        return self.plain and all(_is_number(value) for value in self.counts)

    def told(self) -> str:
        """It in a few words."""
        if not self.plain:
            kind = type(self.values[0]).__name__ if self.values else "nothing"
            return f"{self.name!r} ({kind})"
        return f"{self.name!r} ({len(self.counts):,} values, {fmean(self.words):.0f} words each)"


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
    """The first rows of a CSV, TSV, JSON-lines or Parquet file.

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
            rows = list(_parquet(path))
        elif suffix in (".jsonl", ".ndjson"):
            rows = [record.cells for record in islice(_jsonl.records(path, limit=_LIMIT), MOST) if record.cells]
        else:
            rows, options = _delimited(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if not rows:
        raise DataError(f"{path} has no rows that can be read.", expected="a table with at least one row")
    names = dict.fromkeys(name for row in rows for name in row)
    columns = [Column(name, tuple(row[name] for row in rows if not missing(row.get(name)))) for name in names]
    return Looked(tuple(columns), len(rows), options)


def _delimited(path: Path) -> tuple[list[dict[str | int, Any]], dict[str, Any]]:
    options: dict[str, Any] = {}
    with open(path, "rb") as file:
        start = file.read(_SAMPLE)
    encoding = _encoding(start)
    if encoding != "utf-8":
        options["encoding"] = encoding
    own = _OWN.get(path.suffix.lower(), ",")
    first = start.decode(encoding, errors="replace").lstrip("\ufeff\r\n").split("\n", 1)[0]
    widths = {mark: len(next(csv.reader([first], delimiter=mark), ())) for mark in _MARKS}
    mark = own if widths[own] > 1 else max(widths, key=lambda each: (widths[each], each == own))
    if mark != own:
        options["delimiter"] = mark
    found = islice(_csv.records(path, encoding=encoding, delimiter=mark, quotes=True, limit=_LIMIT), MOST + 1)
    rows: list[list[str]] = [record.cells for record in found if record.cells is not None]
    if not rows:
        return [], options
    header: list[Any] = [cell.strip() for cell in rows[0]]
    if _no_names(rows):
        options["header"], header = False, list(range(len(header)))
    else:
        rows = rows[1:]
    return [dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)], options


def _no_names(rows: list[list[str]]) -> bool:
    """Whether the first row is one like the others: a number above numbers, or a cell too long for a name."""
    below = [row for row in rows[1:] if len(row) == len(rows[0])]
    return any(
        len(cell) > _LONG or (_is_number(cell) and all(_is_number(row[at]) for row in below))
        for at, cell in enumerate(rows[0])
    )


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
            yield from next(file.iter_batches(batch_size=MOST)).to_pylist()
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError, StopIteration) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}.", fix="write the file again") from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
