"""Whether the two places that are marked in a text can be used."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfvertical.codecs.marking import marked
from tfvertical.codecs.tagging import Span
from tfvertical.data import _check, _entities
from tfvertical.data._check import Fault
from tfvertical.errors import DataError

_CELL = re.compile(r"([\[(]\s*)?(?P<start>\d{1,9})\s*[:,-]\s*(?P<end>\d{1,9})\s*[\])]?", re.ASCII)  # of a stripped cell
_NAMES = ("first", "second")


def mark(text: str, first: Any, second: Any) -> str:
    """A text with two of its places marked, as a model reads it that was trained with `spans=[…]`.

    Args:
        text: as it is.
        first: `(start, end)` in characters, or a mapping with `start` and `end`.
        second: the other place; they do not overlap.

    Raises:
        DataError: a place lies outside the text, cuts a character, or overlaps with the other.

    Example:
        >>> mark("Aspirin causes headaches.", (0, 7), (15, 24))
        '@ Aspirin @ causes # headaches #.'
    """
    try:
        return places((first, second), _check.text(text, sys.maxsize))
    except Fault as fault:
        raise DataError(f"{fault}.", received=repr(text)[:80]) from fault


def places(value: Any, clean: str) -> str:
    """A clean text with its two places marked.

    Args:
        value: both, each a list of start and end, a mapping with `start` and `end`, or a cell such as `15:24`.
        clean: what `_check.text` returned.
    """
    if value is None:
        raise Fault("the places are missing")
    found = []
    for at, (each, name) in enumerate(zip(value, _NAMES, strict=True)):
        try:
            found.append(_place(each, name))
            _entities.within(found[-1], clean, "place")
        except Fault as fault:
            raise Fault(str(fault), at) from fault
    (one, other) = sorted(found)
    if other.start < one.end:
        raise Fault(f"the places {one.start}…{one.end} and {other.start}…{other.end} overlap")
    return marked(clean, found[0][:2], found[1][:2])


def _place(value: Any, name: str) -> Span:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if _check.missing(value) or (isinstance(value, str) and not value.strip()):
        raise Fault(f"the {name} place is missing")
    if isinstance(value, Mapping):
        value = (value.get("start"), value.get("end"))
    if isinstance(value, str) and (cell := _CELL.fullmatch(value.strip())):
        value = (int(cell["start"]), int(cell["end"]))
    whole = isinstance(value, list | tuple) and len(value) == 2
    if not whole or any(isinstance(part, bool) or not isinstance(part, int | np.integer) for part in value):
        raise Fault(f"the {name} place is {_check._shown(value)}; start and end are wanted, such as [15, 24] or 15:24")
    return Span(int(value[0]), int(value[1]), name)
