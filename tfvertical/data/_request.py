"""What a caller wants read: handed to every source, so that each looks for the same columns within the same limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from tfvertical.codecs.pixels import MAX_PIXELS
from tfvertical.codecs.tagging import SCHEMES
from tfvertical.contracts import Row, Target
from tfvertical.errors import ConfigError, DataError, nearest

TARGETS = get_args(Target)
SEVERAL = ("labels", "numbers")  # targets that may stand in several columns
Column = str | int  # a column's name, or its position from 0 where the table has no header


@dataclass(frozen=True)
class Request:
    """Columns and limits of one reading.

    Args:
        kind: `"text"`, `"image"` or `"pair"`, two texts: what an item is.
        item: column of the item; of a pair, two columns, or one that holds both.
        label: column of the label, or None where labels are not wanted; of numbers and sets of labels, one or several.
        group: column of what belongs together, or None.
        time: column of the date, or None.
        weight: column of the sample weight, or None.
        target: what a label is: `"label"`, one name; `"labels"`, any number of names; `"entities"`, spans of an item;
            `"numbers"`; `"answers"`, spans of a pair's second text.
        separator: between the names of several labels in one cell.
        spans: two columns of places in a text, which are marked in it; none where nothing is.
        scheme: of tags, where entities are given as such; None finds it out.
        max_text_bytes: longest text, in bytes of UTF-8.
        max_pixels: largest picture, in pixels.
        max_rows: most rows a source may have.

    Raises:
        ConfigError: the kind is unknown, or a limit is not positive.

    Example:
        >>> Request(label=None).columns()
        {'input': 'text'}
    """

    kind: str = "text"
    item: Column | Sequence[Column] = "text"
    label: Column | Sequence[Column] | None = "label"
    group: Column | None = None
    time: Column | None = None
    weight: Column | None = None
    target: str = "label"
    scheme: str | None = None
    separator: str = "|"
    spans: Sequence[Column] = ()
    max_text_bytes: int = 1_000_000
    max_pixels: int = MAX_PIXELS
    max_rows: int = 10_000_000

    def __post_init__(self) -> None:
        if self.kind not in ("text", "image", "pair"):
            raise ConfigError(f"There is no kind of data called {self.kind!r}.", expected="'text', 'image' or 'pair'")
        if not isinstance(self.item, str | int) and (self.kind != "pair" or len(self.item) != 2):
            wanted = "two columns" if self.kind == "pair" else "one column"
            raise ConfigError(f"text={list(self.item)!r}.", expected=f"{wanted} for kind {self.kind!r}")
        if not isinstance(self.label, str | int | None) and (self.target not in SEVERAL or not self.label):
            what = " and ".join(map(repr, SEVERAL))
            raise ConfigError(f"label={list(self.label)!r}.", expected=f"one column; several are for target {what}")
        if self.spans and (
            isinstance(self.spans, str)
            or len(self.spans) != 2
            or self.kind != "text"
            or self.target in ("entities", "answers")
        ):
            raise ConfigError(
                f"spans={self.spans!r} of kind {self.kind!r} and target {self.target!r}.",
                expected="two columns of places in a text that has a label",
            )
        if not self.separator:
            raise ConfigError("separator is empty.", expected="what stands between two labels, such as '|'")
        if self.target not in TARGETS:
            raise ConfigError(f"There is no target {self.target!r}.", expected=" or ".join(map(repr, TARGETS)))
        if self.scheme is not None and self.scheme not in SCHEMES:
            raise ConfigError(f"There is no scheme {self.scheme!r} of tags.", expected=", ".join(map(repr, SCHEMES)))
        if self.target == "answers" and self.kind != "pair":
            raise ConfigError(
                f"Answers are of kind 'pair', not {self.kind!r}.", expected="two texts: question and context"
            )
        for limit in ("max_text_bytes", "max_pixels", "max_rows"):
            if getattr(self, limit) < 1:
                raise ConfigError(f"{limit} is {getattr(self, limit)}.", expected="at least 1")

    def columns(self) -> dict[str, Column]:
        """Field of `contracts.Row` -> column, for what is wanted."""
        wanted = {
            "input": self.item if isinstance(self.item, str | int) else self.item[0],
            "second": None if isinstance(self.item, str | int) else self.item[1],
            **self._labels(),
            "group": self.group,
            "time": self.time,
            "weight": self.weight,
            **{f"spans {at}": column for at, column in enumerate(self.spans)},
        }
        return {field: column for field, column in wanted.items() if column is not None}

    def row(self, id: str, fields: Mapping[str, Any]) -> Row:
        """The row of these fields; several columns of the label, and those of places, become one tuple."""
        if not self.spans and isinstance(self.label, str | int | None):
            return Row(id, **fields)
        alone = {field: value for field, value in fields.items() if " " not in field}
        for field in self.columns():  # a table may have them in another order
            if " " in field and field in fields:
                name = field.split()[0]
                alone[name] = (*alone.get(name, ()), fields[field])
        return Row(id, **alone)

    def _labels(self) -> dict[str, Column | None]:
        """Field -> column of the label; `label 0`, `label 1`, … where there are several."""
        if isinstance(self.label, str | int | None):
            return {"label": self.label}
        return {f"label {at}": column for at, column in enumerate(self.label)}


_ARGUMENT = {
    "input": "text",
    "second": "text",
}  # the argument of `load` that names a field's column, where it is not the field's own name


def locate(request: Request, header: Iterable[str], where: str) -> dict[str, int]:
    """Field of `contracts.Row` -> position of its column in `header`.

    Raises:
        DataError: a wanted column is not there (the message has the nearest that is), or is there twice.
    """
    names = [str(name) for name in header]
    found = {}
    for field, column in request.columns().items():
        if isinstance(column, int):
            if not 0 <= column < len(names):
                raise DataError(f"{where} has no column {column}.", expected=f"0 to {len(names) - 1}")
            found[field] = column
            continue
        if names.count(column) > 1:
            raise DataError(f"{where} has two columns called {column!r}.", fix="rename one, or name the other")
        if column not in names:
            missing_column(request, field, names, where)
        found[field] = names.index(column)
    return found


def missing_column(request: Request, field: str, names: list[str], where: str) -> None:
    """Raise the DataError for a column that does not exist."""
    column, argument = request.columns()[field], _ARGUMENT.get(field, field.split()[0])
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    only = names[0] if len(names) == 1 else ""
    delimiter = next((mark for mark in (";", "\t", "|", ",") if mark in only), None)  # the whole header as one cell
    form = "=['…', '…']" if argument == "spans" else "='…'"
    raise DataError(
        f"{where} has no column {column!r}.",
        expected=f"one of {shown}" if names else "columns with names",
        nearest=nearest(str(column), names),
        fix=(f"say what stands between cells: delimiter={delimiter!r}; or " if delimiter else "")
        + f"name it with {argument}{form}"
        + ("; label=None reads without labels" if argument == "label" else "")
        + "; for a table without a header: header=False and positions from 0"
        + ("; a file of a word and its tag a line: call it .conll" if request.target == "entities" else ""),
    )
