"""Rows without labels, one after another, in bounded memory: what predicting reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tfvertical.codecs.pixels import MAX_PIXELS
from tfvertical.contracts import Rejected
from tfvertical.data import _rows
from tfvertical.data._load import open_source
from tfvertical.data._request import Column, Request


@dataclass(frozen=True)
class Item:
    """A row to predict from: its id, and either what it holds or why it cannot be used."""

    id: str
    value: Any = None
    fault: str | None = None


def stream(
    value: Any,
    *,
    kind: Literal["text", "image", "pair"] = "text",
    text: Column | Sequence[Column] = "text",
    target: str = "label",
    spans: Sequence[Column] = (),
    max_text_bytes: int = 1_000_000,
    max_pixels: int = MAX_PIXELS,
    **options: Any,
) -> Iterator[Item]:
    """The items of a source in its own order; every row comes out, usable or not.

    Args:
        value: what `load` reads, a `.txt` file, or an open binary stream of lines.
        kind: what an item is.
        text: column of the item.
        target: as for `load`: items in which entities are found may be lists of words.
        spans: columns of two places, as for `load`.
        max_text_bytes, max_pixels: limits, as for `load`.
        **options: of the kind of source, as for `load`.

    Raises:
        ConfigError: the source has no such option.
        DataError: the source as a whole cannot be read.

    Example:
        >>> [(item.value, item.fault) for item in stream(["good", " "])]
        [('good', None), (None, 'the text is empty')]
    """
    request = Request(
        kind, text, label=None, target=target, spans=spans, max_text_bytes=max_text_bytes, max_pixels=max_pixels
    )
    source = open_source(value, request, options)
    check = _rows._checker(request, None, {})
    for _, found in _rows._checked(source.rows(), check, parallel=kind == "image"):
        if isinstance(found, Rejected):
            yield Item(found.id, fault=found.reason)
        else:
            yield Item(found.id, found.input)
