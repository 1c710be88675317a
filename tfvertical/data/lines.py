"""Plain text files and streams, a text a line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from tfvertical.contracts import Row, Source
from tfvertical.data._encoding import utf8_name
from tfvertical.data._request import Request
from tfvertical.errors import DataError


class Lines(Source):
    """UTF-8 text without labels, one item a line. Ids are `file:line`, for standard input `stdin:line`.

    Memory stays bounded: of a line longer than the limit no more than that is kept, and it is a fault.

    Args:
        value: path of a `.txt` file, or an open binary stream.
        request: columns and limits; `label` must be None.

    Raises:
        DataError: from `rows`: labels or pictures are wanted, or the file cannot be opened.

    Example:
        >>> import io
        >>> [row.input for row in Lines(io.BytesIO(b"one\\ntwo"), Request(label=None)).rows()]
        [b'one', b'two']
    """

    def __init__(self, value: str | os.PathLike[str] | IO[bytes], request: Request):
        self.value, self.request = value, request
        self.name = utf8_name(Path(value).name) if isinstance(value, str | os.PathLike) else "stdin"

    @classmethod
    def accepts(cls, value: Any) -> bool:
        if isinstance(value, str | os.PathLike):
            return Path(value).suffix.lower() == ".txt" and not os.path.isdir(value)
        return hasattr(value, "readline")

    def rows(self) -> Iterator[Row]:
        if self.request.kind != "text" or self.request.label is not None:
            wanted = {"text": "labels", "pair": "pairs"}.get(self.request.kind, "pictures")
            raise DataError(f"{self.name} holds plain lines of text, not {wanted}.", fix="give a table with columns")
        if not isinstance(self.value, str | os.PathLike):
            yield from self._rows(self.value)
            return
        try:
            file = open(self.value, "rb")  # noqa: SIM115 (closed below, so that only opening is caught here)
        except OSError as error:
            raise DataError(f"{self.value} cannot be read: {error.strerror}.") from error
        with file:
            yield from self._rows(file)

    def _rows(self, file: IO[bytes]) -> Iterator[Row]:
        most, number = self.request.max_text_bytes, 0
        while line := file.readline(most + 2):
            number += 1
            if len(line) > most and not line.endswith(b"\n"):
                while (rest := file.readline(65_536)) and not rest.endswith(b"\n"):
                    pass
                yield Row(f"{self.name}:{number}", fault=f"the line takes more than {most:,} bytes", column="text")
                continue
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            yield Row(f"{self.name}:{number}", line.rstrip(b"\r\n"))
