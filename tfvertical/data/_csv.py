"""The records of a CSV or TSV file, one by one, in bounded memory, each with the line it starts on.

A broken record never ends the reading: it is handed out with its fault, and reading goes on at the next line.
"""

from __future__ import annotations

import csv
import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

_BOM = b"\xef\xbb\xbf"
_RAW = 10_000  # characters of a broken record that are kept for the quarantine file


class Record(NamedTuple):
    """One record: `row` is the line it starts on, from 1; `cells` is None where `fault` says why it is broken."""

    row: int
    cells: list[str] | None
    fault: str | None = None
    raw: str = ""


class _TooLong(Exception):
    """A record that went over the limit; internal."""


class _Lines:
    """The lines of one record, pulled by `csv.reader` as it needs them."""

    def __init__(self, file: BinaryIO, encoding: str, limit: int):
        self._file, self._encoding, self._limit = file, encoding, limit
        self.start()

    def start(self) -> None:
        """Forget the last record."""
        self.count = self.size = self.first = 0
        self.raw = ""
        self.bad: str | None = None

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._file.readline(self._limit - self.size + 1)
        if not line:
            raise StopIteration
        self.size += len(line)
        self.first = self.first or len(line)
        if self.size > self._limit:
            raise _TooLong
        try:
            text = line.decode(self._encoding)
        except UnicodeDecodeError as error:
            self.bad = self.bad or f"byte 0x{line[error.start]:02X} at byte {error.start + 1} is not {self._encoding}"
            text = line.decode(self._encoding, errors="replace")
        self.count += 1
        self.raw += text[: max(0, _RAW - len(self.raw))]
        return text


def records(path: Path, *, encoding: str, delimiter: str, quotes: bool, limit: int) -> Iterator[Record]:
    """Every record of the file, broken ones included; blank lines are none.

    Args:
        path: the file.
        encoding: one in which line ends, quotes and the delimiter are the bytes they are in ASCII.
        delimiter: one character between cells.
        quotes: whether `"` encloses cells; if not, it is a character like any other.
        limit: most bytes a record may take.
    """
    # The limit of the csv module belongs to the process; it is only ever raised, so that no other user is cut short.
    csv.field_size_limit(max(csv.field_size_limit(), limit))
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    with open(path, "rb") as file:
        at, row = (len(_BOM) if file.read(3) == _BOM else 0), 1
        while True:
            file.seek(at)
            lines = _Lines(file, encoding, limit)
            try:
                for cells in csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True):
                    if cells:
                        yield Record(row, None if lines.bad else cells, lines.bad, lines.raw if lines.bad else "")
                    at, row = at + lines.size, row + lines.count
                    lines.start()
                return
            except csv.Error as error:
                yield Record(row, None, lines.bad or _reason(error, lines.count), lines.raw.split("\n")[0])
                at, row = at + lines.first, row + 1
            except _TooLong:
                size, count, fault = _skip(path, at, delimiter.encode(encoding), quotes, limit)
                yield Record(row, None, fault, lines.raw)
                at, row = at + size, row + count


def _reason(error: csv.Error, lines: int) -> str:
    text = str(error)
    if "unexpected end" in text or lines > 1:
        return "a quote is opened and never closed"
    if "expected after" in text:
        return "a quoted cell goes on after its closing quote (a quote inside a cell is written twice)"
    if "new-line" in text:
        return "a carriage return stands in a cell that is not quoted"
    return text


def _skip(path: Path, at: int, delimiter: bytes, quotes: bool, limit: int) -> tuple[int, int, str]:
    """Bytes and lines to skip for the record at `at`, which is over the limit, and what is wrong with it."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        first = content.find(b"\n", at) + 1 or len(content)
        end = _end(content, at, delimiter) if quotes else first
        if end is None and first - at <= limit:
            return first - at, 1, "a quote is opened and never closed"
        end = end or first
        lines = sum(content[i : min(i + 2**20, end)].count(b"\n") for i in range(at, end, 2**20))
        return end - at, max(lines, 1), f"the row takes {end - at:,} bytes, more than {limit:,}"


def _end(content: mmap.mmap, at: int, delimiter: bytes) -> int | None:
    """Where the record at `at` ends, found without copying it; None if a quote in it is not properly closed."""
    stop = re.compile(re.escape(delimiter) + rb"|\n")
    while True:
        if content[at : at + 1] == b'"':
            # A run of quotes of odd length closes the cell, an even one is quotes inside it.
            here = re.compile(rb'"*').match(content, at + 1)
            odd = here is not None and (here.end() - here.start()) % 2
            closing = here if odd else re.compile(rb'"(?<!"")(?:"")*(?!")').search(content, here.end() if here else at)
            if closing is None:
                return None
            at = closing.end()
            if content[at : at + 2] == b"\r\n":
                at += 1
            if at < len(content) and not stop.match(content, at):
                return None
        mark = stop.search(content, at)
        if mark is None:
            return len(content)
        if mark.group() == b"\n":
            return mark.end()
        at = mark.end()
