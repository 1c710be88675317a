"""Whether a text or a list of words, and the entities that are marked in it, can be used."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfvertical.codecs.tagging import Span, TagFault, detect, spans
from tfvertical.data import _check
from tfvertical.data._check import Fault

_BEGIN, _END, _TYPE = ("start", "start_offset", "begin"), ("end", "end_offset", "stop"), ("label", "type", "entity")
_JOINER = "\u200d"


def item(value: Any, max_bytes: int) -> str | tuple[str, ...]:
    """A text with something in it, or words."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list | tuple):
        return _check.text(value, max_bytes)
    if not value:
        raise Fault("there is no word")
    found = []
    for at, word in enumerate(value):
        try:
            found.append(_check.text(word, max_bytes))
        except Fault as fault:
            raise Fault(f"word {at}: {str(fault).replace('the text', 'it')}") from fault
    if sum(len(word.encode()) + 1 for word in found) > max_bytes + 1:
        raise Fault(f"the words take more than {max_bytes:,} bytes")
    return tuple(found)


def entities(value: Any, clean: str | tuple[str, ...], scheme: str | None) -> tuple[Span, ...]:
    """The entities of a clean item, in order: characters of a text, words of a list of words.

    Args:
        value: a tag a word; or spans, as mappings (`start`, `end`, `label`) or triples.
        clean: what `item` returned.
        scheme: of the tags; None reads `iob2`, or `bioes` where ends are marked.
    """
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if _check.missing(value):
        raise Fault("the entities are missing; write an empty list where there are none")
    if not isinstance(value, list | tuple):
        raise Fault(f"a list of entities or tags is wanted, this is {_check._kind(value)}")
    if value and all(isinstance(each, str) for each in value):
        return _of_tags(value, clean, scheme)
    found = sorted(_span(each, at) for at, each in enumerate(value))
    for span in found:
        _within(span, clean)
    for before, span in itertools.pairwise(found):
        if span.start < before.end:
            raise Fault(f"{_shown(before)} and {_shown(span)} overlap, which tags of words cannot say")
    return tuple(found)


def _of_tags(tags: Sequence[str], clean: str | tuple[str, ...], scheme: str | None) -> tuple[Span, ...]:
    if isinstance(clean, str):
        raise Fault("tags belong to a list of words, and this is a text")
    if len(tags) != len(clean):
        raise Fault(f"{len(clean):,} words and {len(tags):,} tags")
    try:
        found = scheme or detect([tags])
        return spans(tags, "iob2" if scheme is None and found == "iob1" else found)
    except TagFault as fault:
        raise Fault(f"word {fault.at}: {fault}") from fault


def _span(value: Any, at: int) -> Span:
    parts: list[Any] = list(value) if isinstance(value, list | tuple) else []
    if isinstance(value, Mapping):
        parts = [next((value[name] for name in names if name in value), None) for names in (_BEGIN, _END, _TYPE)]
    if len(parts) != 3 or any(part is None for part in parts):
        raise Fault(f"entity {at} is {_check._shown(value)}; start, end and label are wanted")
    start, end, label = parts
    if any(isinstance(place, bool) or not isinstance(place, int | np.integer) for place in (start, end)):
        raise Fault(f"entity {at} stands at {start!r} to {end!r}; whole numbers are wanted")
    return Span(int(start), int(end), _check.label(label)[0])


def _within(span: Span, clean: str | tuple[str, ...]) -> None:
    unit = "characters" if isinstance(clean, str) else "words"
    if not 0 <= span.start < span.end <= len(clean):
        raise Fault(f"{_shown(span)} lies outside the {len(clean):,} {unit}, or is empty")
    if not isinstance(clean, str):
        return
    for place in (span.start, span.end):
        if place < len(clean) and place and _inside_character(clean, place):
            raise Fault(f"{_shown(span)} cuts the character {clean[place - 1 : place + 1]!r} at {place}")
    text = clean[span.start : span.end]
    if text != text.strip():
        raise Fault(f"{_shown(span)} begins or ends with white space: {_check._shown(text)}")


def _inside_character(text: str, place: int) -> bool:
    """Whether what readers take for one character goes on at `place`."""
    joins = text[place] == _JOINER or text[place - 1] == _JOINER
    return joins or unicodedata.category(text[place]) in ("Mn", "Me", "Mc")


def _shown(span: Span) -> str:
    return f"the entity {span.start}…{span.end} ({span.label[:40]!r})"
