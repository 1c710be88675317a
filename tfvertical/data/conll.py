"""CoNLL files: a word and its tag a line, a blank line between sentences."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfvertical.codecs.tagging import TagFault, detect, parts, spans
from tfvertical.contracts import Row, Source
from tfvertical.data._encoding import ascii_compatible, utf8_name
from tfvertical.data._request import Request
from tfvertical.errors import DataError

_OWN = (".conll", ".iob", ".iob2", ".bio", ".bioes")
_SHARED = (".tsv", ".tab", ".txt")  # endings of tables and plain lines too: the content decides
_COMMENT = re.compile(r"#(?: |$|\w+\s*=|newdoc\b|newpar\b)")
_DOCUMENT = re.compile(r"#(?:begin|end) document\b|-DOCSTART-(?:\s|$)")  # stand between sentences
_SNIFFED = 65_536  # bytes
_BETWEEN = re.compile(r"[ \t]+")  # columns; other white space, as in "10\u202f000", belongs to a word


class Conll(Source):
    """Sentences whose words are tagged: IOB1, IOB2, BIOES, BILOU or BMEWO, found out from the whole file.

    Columns are separated by tabs where the first word's line has one, otherwise by spaces. `-DOCSTART-` lines are
    passed over, and comments (`# …`) before a sentence's first word. An item is a tuple of words, its label a tuple of
    `Span`s in words; ids are `file:line` of a sentence's first word.

    Args:
        value: path; `.conll`, `.iob`, `.iob2`, `.bio`, `.bioes`, or a `.tsv` or `.txt` file whose lines end in tags.
        request: limits; `request.scheme` says the scheme instead of the file.
        encoding: of the file.
        word_column: where the word stands, from 0.
        tag_column: where the tag stands; -1 is the last column.

    Raises:
        ConfigError: there is no such encoding or scheme.
        DataError: from `rows`: the file is empty or unreadable, or something else than entities is wanted of it.

    Example:
        >>> Conll.accepts("train.conll"), Conll.accepts("train.csv")
        (True, False)
    """

    def __init__(
        self,
        value: str | os.PathLike[str],
        request: Request,
        *,
        encoding: str = "utf-8",
        word_column: int = 0,
        tag_column: int = -1,
    ):
        self.path, self.request = Path(value), request
        self.name = utf8_name(self.path.name)
        self.encoding = ascii_compatible(encoding)
        self.word_column, self.tag_column = word_column, tag_column

    @classmethod
    def accepts(cls, value: Any) -> bool:
        if not isinstance(value, str | os.PathLike):
            return False
        path = Path(value)
        ending = path.suffix.lower()
        return (ending in _OWN and not os.path.isdir(path)) or (ending in _SHARED and _looks_tagged(path))

    def rows(self) -> Iterator[Row]:
        tagged = self.request.label is not None
        if self.request.kind != "text" or (tagged and self.request.target != "entities"):
            wanted = {"text": "labels", "pair": "pairs"}.get(self.request.kind, "pictures")
            raise DataError(
                f"{self.name} holds words with tags, not {wanted}.", fix="use it for a TokenClassifier; or give a table"
            )
        scheme = (self.request.scheme or detect(self._tags())) if tagged else ""
        empty = True
        for sentence in self._sentences():
            empty = False
            yield self._row(sentence, scheme)
        if empty:
            raise DataError(f"{self.path} is empty.", expected="lines of a word and its tag")

    def _row(self, sentence: _Sentence, scheme: str) -> Row:
        id = f"{self.name}:{sentence.first}"
        if sentence.fault:
            return Row(id, tuple(sentence.words), fault=sentence.fault)
        if not scheme:
            return Row(id, tuple(sentence.words))
        try:
            return Row(id, tuple(sentence.words), spans(sentence.tags, scheme))
        except TagFault as fault:
            return Row(id, tuple(sentence.words), fault=f"line {sentence.lines[fault.at]}: {fault}")

    def _tags(self) -> Iterator[Sequence[str]]:
        return (sentence.tags for sentence in self._sentences() if not sentence.fault)

    def _sentences(self) -> Iterator[_Sentence]:
        """One after another, in bounded memory."""
        now, tab = _Sentence(), None
        for number, line, fault in self._lines():
            if not fault and (not line.strip() or _DOCUMENT.match(line.lstrip())):
                if now.first:
                    yield now
                now = _Sentence()
            elif fault or now.first or not self._comment(line, tab):
                tab = "\t" in line if tab is None and not fault else tab
                columns = line.split("\t") if tab else _columns(line)
                now.add(number, *self._cells(columns, fault), self.request.max_text_bytes)
        if now.first:
            yield now

    def _comment(self, line: str, tab: bool | None) -> bool:
        """Whether a line before a sentence's first word is no word: `#` and other words that begin so may be tagged."""
        if not _COMMENT.match(line):
            return False
        if tab:
            return "\t" not in line
        tag = _columns(line)[self.tag_column :][:1]
        return not tag or not parts(tag[0])[0]

    def _cells(self, columns: Sequence[str], fault: str) -> tuple[str, str, str]:
        """Word, tag, and what is wrong."""
        if fault:
            return "", "", fault
        tagged = self.request.label is not None
        try:
            word = columns[self.word_column].strip()
            tag = columns[self.tag_column].strip() if tagged else ""
        except IndexError:
            return (
                "",
                "",
                f"{len(columns)} columns; the word is wanted in {self.word_column}, the tag in {self.tag_column}",
            )
        if tagged and len(columns) < 2:
            return "", "", f"the word {word[:60]!r} has no tag"
        return word, tag, "" if word else "the word is empty"

    def _lines(self) -> Iterator[tuple[int, str, str]]:
        """Number, text and fault of each line."""
        most = self.request.max_text_bytes
        try:
            with open(self.path, "rb") as file:
                for number in itertools.count(1):
                    raw = file.readline(most + 2)
                    if not raw:
                        return
                    if len(raw) > most:
                        while raw and not raw.endswith(b"\n"):
                            raw = file.readline(65_536)
                        yield number, "", f"it takes more than {most:,} bytes"
                        continue
                    yield number, *_decoded(raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw, self.encoding)
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}.") from error


@dataclass
class _Sentence:
    """What has been read of a sentence; `fault` is its first."""

    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    fault: str = ""
    size: int = 0
    first: int = 0

    def add(self, number: int, word: str, tag: str, fault: str, most: int) -> None:
        """One line; words beyond `most` bytes are not kept."""
        self.first = self.first or number
        self.size += len(word.encode(errors="replace")) + 1
        if not fault and self.size > most + 1:
            fault = f"the sentence takes more than {most:,} bytes"
        if fault:
            self.fault = self.fault or f"line {number}: {fault}"
            return
        if not self.fault:
            self.words.append(word)
            self.tags.append(tag)
            self.lines.append(number)


def _decoded(raw: bytes, encoding: str) -> tuple[str, str]:
    """A line's text and fault."""
    try:
        return raw.decode(encoding).rstrip("\r\n"), ""
    except UnicodeDecodeError as error:
        return "", f"byte 0x{raw[error.start]:02X} at byte {error.start + 1} is not {encoding}"


def _columns(line: str) -> list[str]:
    """What spaces and tabs separate; nothing of a blank line."""
    line = line.strip(" \t\r\n")
    return _BETWEEN.split(line) if line else []


def _looks_tagged(path: Path) -> bool:
    """Whether a file's lines end in tags, and one of them in another than `O`; read as far as it takes to know."""
    if not os.path.isfile(path):
        return False  # what is read from a pipe is gone
    done, found = 0, False
    try:
        with open(path, "rb") as file:
            while (done < _SNIFFED or not found) and (raw := file.readline(_SNIFFED)):
                done += len(raw)
                columns = _columns(raw.decode("utf-8", "replace"))
                if not columns or columns[0] in ("-DOCSTART-", "#"):
                    continue
                letter = parts(columns[-1])[0] if len(columns) > 1 else ""
                if not letter:
                    return False
                found = found or letter != "O"
    except OSError:
        return False
    return found
