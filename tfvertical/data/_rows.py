"""Every row of a source, checked: its clean form, or why it has none."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfvertical.contracts import Rejected, Row, Source
from tfvertical.data import _check, _entities, _marks
from tfvertical.data._request import Column, Request
from tfvertical.errors import DataError, nearest

_WINDOW = 256  # pictures that are checked side by side, so that memory stays bounded


@dataclass(frozen=True)
class Clean:
    """A row that can be used."""

    id: str
    input: Any
    label: Any
    label_family: str
    group: Any
    time: float | None
    time_family: str
    weight: float | None


def read_rows(
    source: Source, request: Request, known: tuple[str, ...] | None, *, keep_rows: bool
) -> tuple[list[Clean], list[tuple[Row, Rejected]]]:
    """Every row, checked. The row of a rejected one is kept only where it will be written."""
    clean: list[Clean] = []
    rejected: list[tuple[Row, Rejected]] = []
    named = getattr(source, "named", True)  # a folder or a pair of arrays has no columns to name in a message
    check = _checker(request, known, request.columns() if named else {})
    for row, result in _checked(source.rows(), check, parallel=request.kind == "image"):
        if isinstance(result, Rejected):
            rejected.append((row if keep_rows else Row(row.id), result))
        else:
            clean.append(result)
        if len(clean) + len(rejected) > request.max_rows:
            raise DataError(f"{source.name} has more than {request.max_rows:,} rows.", fix="raise max_rows")
    return clean, rejected


def _checked(
    rows: Iterator[Row], check: Callable[[Row], Clean | Rejected], *, parallel: bool
) -> Iterator[tuple[Row, Clean | Rejected]]:
    if not parallel:
        yield from ((row, check(row)) for row in rows)
        return
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        while window := list(itertools.islice(rows, _WINDOW)):
            yield from zip(window, pool.map(check, window), strict=True)


Labeller = Callable[[Any, Any], tuple[Any, str]]  # a label and its clean item -> the clean label and its family


def _of_entities(known: tuple[str, ...] | None, scheme: str | None) -> Labeller:
    """The check of the entities that are marked in an item."""
    members = None if known is None else frozenset(known)

    def label(value: Any, item: Any) -> tuple[Any, str]:
        found = _entities.entities(value, item, scheme)
        for span in found:
            if members is not None and span.label not in members:
                like = nearest(span.label[:60], known or (), 1)
                hint = f" (nearest: {like[0]!r})" if like else ""
                raise _check.Fault(f"entities of type {span.label[:60]!r} are unknown{hint}")
        return found, "entities"

    return label


def _of_sets(known: tuple[str, ...] | None, request: Request) -> Labeller:
    """The check of a set of labels: names, or one column a label."""
    several = None if isinstance(request.label, str | int | None) else [str(each) for each in request.label]
    members = None if known is None else frozenset(known)
    names = not any(_check.label(name)[1] == "number" for name in known or ())

    def label(value: Any, item: Any) -> tuple[Any, str]:
        columns = several
        if known is not None and columns is None and _one_a_label(value, len(known), names):
            columns = list(known)  # zeros and ones
        found = _check.labels(value, request.separator, columns)
        for name in found:
            if members is not None and name not in members:
                like = nearest(name[:60], known or (), 1)
                hint = f" (nearest: {like[0]!r})" if like else ""
                raise _check.Fault(f"the label {name[:60]!r} is unknown{hint}")
        return found, "labels"

    return label


def _one_a_label(value: Any, count: int, names: bool) -> bool:
    """Whether a row is as long as the known labels, and numbers; zeros and ones of a list, if no label is a number."""
    if isinstance(value, list | tuple):
        return names and len(value) == count and all(isinstance(each, int | float) and each in (0, 1) for each in value)
    return isinstance(value, np.ndarray) and value.shape == (count,) and value.dtype.kind in "biuf"


def _of_names(known: tuple[str, ...] | None) -> Labeller:
    """The check of one label: its name and family."""
    if known is None:
        return lambda value, item: _check.label(value)
    positions = not any(_check.label(name)[1] == "number" for name in known)
    members = frozenset(known)
    like = functools.lru_cache(maxsize=4096)(lambda name: nearest(name, known, 1))  # slow, and asked row by row

    def label(value: Any, item: Any) -> tuple[str, str]:
        name, family = _check.label(value)
        typed = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if positions and typed and 0 <= int(value) < len(known):
            return known[int(value)], family
        if name not in members:
            hint = f" (nearest: {like(name[:60])[0]!r})" if like(name[:60]) else ""
            raise _check.Fault(f"the label {name[:60]!r} is unknown{hint}")
        return name, family

    return label


def _labeller(request: Request, known: tuple[str, ...] | None) -> Labeller:
    """The check of what a row is labelled with."""
    if request.target == "entities":
        return _of_entities(known, request.scheme)
    if request.target == "labels":
        return _of_sets(known, request)
    if request.target == "numbers":
        return lambda value, item: (_check.numbers(value, known), "number")
    if request.target == "answers":
        return lambda value, item: (_entities.answers(value, item), "answers")
    return _of_names(known)


def _checker(
    request: Request, known: tuple[str, ...] | None, columns: Mapping[str, Column]
) -> Callable[[Row], Clean | Rejected]:
    """The check of one row: its clean form, or why it has none."""
    label, marked = _labeller(request, known), request.target == "entities"
    checks: dict[str, Callable[[Any, int], Any]] = {
        "text": _entities.item if marked else _check.text,
        "pair": _check.pair,
        "image": _check.image,
    }
    item = checks[request.kind]
    limit = request.max_pixels if request.kind == "image" else request.max_text_bytes
    two = "second" in request.columns()

    def check(row: Row) -> Clean | Rejected:
        if row.fault is not None:
            return Rejected(row.id, row.fault, row.column)
        field = "input"
        try:
            cleaned = item((row.input, row.second) if two else row.input, limit)
            field = "spans"
            cleaned = _marks.places(row.spans, cleaned) if request.spans else cleaned
            field = "label"
            name, family = (None, "") if request.label is None else label(row.label, cleaned)
            field = "time"
            moment, moment_family = (None, "") if request.time is None else _check.time(row.time)
            field = "weight"
            number = _check.weight(row.weight)
        except _check.Fault as fault:
            column = columns.get(field, columns.get(f"{field} {fault.at}"))
            return Rejected(row.id, str(fault), None if column is None else str(column))
        return Clean(row.id, cleaned, name, family, _check.group(row.group), moment, moment_family, number)

    return check
