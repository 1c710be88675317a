"""The records of a JSON-lines file, in bounded memory, each with its line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tfvertical.files import unique

_RAW = 10_000


class Record(NamedTuple):
    """One line that is not blank; `cells` is None where `fault` says why it is broken."""

    row: int
    cells: dict[str, Any] | None
    fault: str | None = None
    raw: str = ""


def records(path: Path, *, limit: int) -> Iterator[Record]:
    """Every record, broken ones included. A line over `limit` bytes is passed over without being held in memory."""
    with open(path, "rb") as file:
        row = 0
        while line := file.readline(limit + 1):
            row, size = row + 1, len(line)
            if size > limit:
                while not line.endswith(b"\n") and (more := file.readline(2**20)):
                    line, size = more, size + len(more)
                yield Record(row, None, f"the row takes {size:,} bytes, more than {limit:,}")
                continue
            line = line.removeprefix(b"\xef\xbb\xbf") if row == 1 else line
            if line.strip():
                yield _parse(row, line)


def _cells(line: str) -> Any:
    """What a line holds; of an object no key may stand twice, which inside its values is not looked at."""
    last: list[tuple[str, Any]] = []

    def read(items: list[tuple[str, Any]]) -> dict[str, Any]:
        last[:] = items  # the outermost object is the last to be read
        return dict(items)

    found = json.loads(line, object_pairs_hook=read)
    return unique(last) if isinstance(found, dict) else found


def _parse(row: int, line: bytes) -> Record:
    raw = line[:_RAW].decode(errors="replace").rstrip("\r\n")
    try:
        cells = _cells(line.decode())
    except UnicodeDecodeError as error:
        return Record(row, None, f"byte 0x{line[error.start]:02X} at byte {error.start + 1} is not utf-8", raw)
    except RecursionError:
        return Record(row, None, "the JSON is nested too deeply", raw)
    except json.JSONDecodeError as error:
        return Record(row, None, f"this is not JSON: {error}", raw)
    except ValueError as error:  # a key that stands twice, a number of too many digits
        return Record(row, None, str(error), raw)
    if not isinstance(cells, dict):
        return Record(row, None, f"a JSON object is wanted, this is a {type(cells).__name__}", raw)
    return Record(row, cells)
