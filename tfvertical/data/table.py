"""CSV, TSV, JSON lines and Parquet files with named columns."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tfvertical.contracts import Row, Source
from tfvertical.data import _csv, _jsonl, _parquet
from tfvertical.data._encoding import ascii_compatible, utf8_name
from tfvertical.data._request import Request, locate, missing_column
from tfvertical.errors import ConfigError, DataError

_SUFFIXES = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".jsonl": "", ".ndjson": "", ".parquet": ""}
_BLANK = b"\xef\xbb\xbf \r\n"


class Table(Source):
    """A file whose rows are examples. Ids are `file:row`.

    For text formats the row is the line it starts on, as an editor counts (the header is row 1); Parquet rows count
    from 1. With `kind="image"` the item's column holds paths, taken from the table's own folder.

    Args:
        value: path of the file, by its ending `.csv`, `.tsv`, `.tab`, `.jsonl`, `.ndjson` or `.parquet`.
        request: columns and limits.
        encoding: of CSV and TSV; one that extends ASCII.
        header: whether the first record names the columns; if not, name them by position, from 0.
        delimiter: between cells of CSV and TSV; by default a comma, in `.tsv` a tab.
        quotes: whether `"` encloses cells of CSV and TSV.

    Raises:
        ConfigError: an encoding or delimiter that cannot be.
        DataError: from `rows`: the file is empty or unreadable, or a column is missing.

    Example:
        >>> Table.accepts("reviews.csv"), Table.accepts("reviews.docx")
        (True, False)
    """

    def __init__(
        self,
        value: str | os.PathLike[str],
        request: Request,
        *,
        encoding: str = "utf-8",
        header: bool = True,
        delimiter: str | None = None,
        quotes: bool = True,
    ):
        self.path, self.request = Path(value), request
        self.name = utf8_name(self.path.name)
        self.header, self.quotes = header, quotes
        self.encoding = ascii_compatible(encoding)
        if delimiter is not None and (len(delimiter) != 1 or delimiter in ('"', "\n", "\r")):
            raise ConfigError(
                f"{delimiter!r} cannot stand between cells.", expected="one character, such as ',' or '\\t'"
            )
        own = _SUFFIXES[self.path.suffix.lower()]
        self.delimiter = delimiter if delimiter and own else own  # a run file's is for its tables, not its JSON lines

    @classmethod
    def accepts(cls, value: Any) -> bool:
        return (
            isinstance(value, str | os.PathLike)
            and Path(value).suffix.lower() in _SUFFIXES
            and not os.path.isdir(value)
        )

    def rows(self) -> Iterator[Row]:
        self._open()
        suffix = self.path.suffix.lower()
        read = self._parquet if suffix == ".parquet" else self._delimited if self.delimiter else self._jsonl
        for row in read():
            if self.request.kind == "image" and isinstance(row.input, str) and row.input and row.fault is None:
                row = Row(row.id, self.path.parent / row.input, row.label, row.group, row.time, weight=row.weight)
            yield row

    def _open(self) -> None:
        """Raise the DataError for a file that holds nothing to read."""
        try:
            with open(self.path, "rb") as file:
                start = file.read(4)
                blank = not start.strip(_BLANK) and not any(block.strip(_BLANK) for block in _blocks(file))
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}.") from error
        if blank:
            raise DataError(f"{self.path} is empty.", expected="a table with at least one row")
        if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise DataError(f"{self.path} is UTF-16.", expected="UTF-8", fix="save it as UTF-8 (in Excel: 'CSV UTF-8')")

    def _id(self, row: int) -> str:
        return f"{self.name}:{row}"

    def _limit(self) -> int:
        return 4 * self.request.max_text_bytes + 65_536  # the text's cell, its quotes doubled, and the other cells

    def _delimited(self) -> Iterator[Row]:
        found = _csv.records(
            self.path, encoding=self.encoding, delimiter=self.delimiter, quotes=self.quotes, limit=self._limit()
        )
        first = next(found, None)
        if first is None:
            raise DataError(f"{self.path} is empty.", expected="a table with at least one row")
        if first.cells is None:
            raise DataError(
                f"{self._id(first.row)}, the first row, cannot be read: {first.fault}.", fix=_csv_fix(first.fault)
            )
        width = len(first.cells)
        header = [cell.strip() for cell in first.cells] if self.header else [str(at) for at in range(width)]
        where = locate(self.request, header, self.name)
        if not self.header:
            yield self.request.row(self._id(first.row), {field: first.cells[at] for field, at in where.items()})
        for row, cells, fault, raw in found:
            if cells is not None and len(cells) != width:
                fault, raw = f"{len(cells)} cells where the first row has {width}", self.delimiter.join(cells)[:10_000]
            if cells is None or fault:
                yield Row(self._id(row), raw, fault=fault)
            else:
                yield self.request.row(self._id(row), {field: cells[at] for field, at in where.items()})

    def _jsonl(self) -> Iterator[Row]:
        wanted = self.request.columns()
        absent, seen, good = {str(column) for column in wanted.values()}, dict[str, None](), False
        for row, cells, fault, raw in _jsonl.records(self.path, limit=self._limit()):
            if cells is None:
                yield Row(self._id(row), raw, fault=fault)
                continue
            good = True
            absent.difference_update(cells)
            if len(seen) < 1000:  # for the message only
                seen.update(dict.fromkeys(cells))
            yield self.request.row(self._id(row), {field: cells.get(str(column)) for field, column in wanted.items()})
        for field, column in wanted.items():
            if good and str(column) in absent:
                missing_column(self.request, field, list(seen), self.name)

    def _parquet(self) -> Iterator[Row]:
        for row, fields in _parquet.records(self.path, self.request):
            yield self.request.row(self._id(row), fields)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """What is left of the file, in bounded memory."""
    return iter(functools.partial(file.read, 65_536), b"")


def _csv_fix(fault: str | None) -> str:
    return "say encoding='latin-1' or the file's own" if "byte 0x" in (fault or "") else "correct the header"
