"""Whether a text or a list of words, and the entities or answers that are marked in it, can be used."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfvertical.codecs.answers import NAME
from tfvertical.codecs.pairs import Pair
from tfvertical.codecs.tagging import Span, TagFault, detect, spans
from tfvertical.data import _check
from tfvertical.data._check import Fault

_BEGIN, _END, _TYPE = ("start", "start_offset", "begin"), ("end", "end_offset", "stop"), ("label", "type", "entity")
_JOINER = "\u200d"
_SKIN, _TAG = re.compile("[\U0001f3fb-\U0001f3ff]"), re.compile("[\U000e0020-\U000e007f]")
_FLAG = re.compile("[\U0001f1e6-\U0001f1ff]")  # regional indicators, two of which are a flag
_JAMO_AFTER = re.compile("[\u1160-\u11ff\ud7b0-\ud7fb]")  # vowels and final consonants, parts of a Hangul syllable
_JAMO = re.compile("[\u1100-\u11ff\ua960-\ua97c\uac00-\ud7fb]")


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
    if value and all(isinstance(each, str | bytes) for each in value):
        return _of_tags([_check.decoded(each, "a tag is") for each in value], clean, scheme)
    found = sorted(_span(each, at) for at, each in enumerate(value))
    for span in found:
        within(span, clean)
    for before, span in itertools.pairwise(found):
        if span.start < before.end:
            raise Fault(f"{_shown(before)} and {_shown(span)} overlap, which tags of words cannot say")
    return tuple(found)


def answers(value: Any, clean: Pair) -> tuple[Span, ...]:
    """The places in a context at which an answer stands, each of them right; none where it holds none.

    Args:
        value: as in SQuAD: mappings with `text` and `answer_start`, or one mapping of two lists; or one text, which
            must stand in the context exactly once, or be empty.
        clean: question and context.
    """
    if isinstance(value, np.ndarray):
        value = value.tolist()
    value = _check.decoded(value, "the answer is")
    if _check.missing(value):
        raise Fault("the answers are missing; write an empty text or list where there is none")
    if isinstance(value, str):
        return _only(value.strip(), clean.second) if value.strip() else ()
    if isinstance(value, Mapping) and {"text", "answer_start"} <= set(value):
        texts, starts = (list(value[key]) if _is_list(value[key]) else [value[key]] for key in ("text", "answer_start"))
        if len(texts) != len(starts):
            raise Fault(f"{len(texts)} texts of answers and {len(starts)} places")
        value = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
    if not isinstance(value, list | tuple):
        raise Fault(f"a list of answers is wanted, this is {_check._kind(value)}")
    return tuple(dict.fromkeys(_answer(each, clean.second) for each in value))  # annotators agree


def _answer(value: Any, context: str) -> Span:
    text = _check.decoded(value.get("text"), "an answer is") if isinstance(value, Mapping) else None
    if not isinstance(text, str):
        raise Fault(f"an answer is {_check._shown(value)}; text and answer_start are wanted")
    start = value.get("answer_start")
    if start is None:
        return _only(text, context)[0]
    if isinstance(start, bool) or not isinstance(start, int | np.integer):
        raise Fault(f"an answer stands at {start!r}; a whole number is wanted")
    end = int(start) + len(text)
    if not text.strip() or not start >= 0 or context[start:end] != text:
        found = context.find(text)
        hint = f"; it stands at {found}" if text.strip() and found >= 0 else ""
        raise Fault(f"the answer {_check._shown(text)} does not stand in the context at {start}{hint}")
    return Span(int(start), end, NAME)


def _only(text: str, context: str) -> tuple[Span, ...]:
    """The one place of a text."""
    times = context.count(text) if text.strip() else 0
    if times != 1:
        where = f"stands in the context {times} times; give its place: answer_start"
        raise Fault(f"the answer {_check._shown(text)} {where if times else 'does not stand in the context'}")
    start = context.index(text)
    return (Span(start, start + len(text), NAME),)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | np.ndarray)


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


def within(span: Span, clean: str | tuple[str, ...], what: str = "entity") -> None:
    """Raise Fault for a span that is none of a clean item's, or that no reader would mark."""
    unit = "characters" if isinstance(clean, str) else "words"
    if not 0 <= span.start < span.end <= len(clean):
        raise Fault(f"{_shown(span, what)} lies outside the {len(clean):,} {unit}, or is empty")
    if not isinstance(clean, str):
        return
    for place in (span.start, span.end):
        if place < len(clean) and place and _inside_character(clean, place):
            raise Fault(f"{_shown(span, what)} cuts the character {clean[place - 1 : place + 1]!r} at {place}")
    text = clean[span.start : span.end]
    if text != text.strip():
        raise Fault(f"{_shown(span, what)} begins or ends with white space: {_check._shown(text)}")


def _inside_character(text: str, place: int) -> bool:
    """Whether what readers take for one character goes on at `place`."""
    before, here = text[place - 1], text[place]
    if _JOINER in (before, here) or unicodedata.category(here) in ("Mn", "Me", "Mc") or _TAG.match(here):
        return True
    if _SKIN.match(here):
        return not before.isspace()
    if _JAMO_AFTER.match(here):
        return _JAMO.match(before) is not None
    first = place
    while _FLAG.match(here) and first and _FLAG.match(text[first - 1]):
        first -= 1
    return (place - first) % 2 == 1


def _shown(span: Span, what: str = "entity") -> str:
    return f"the {what} {span.start}…{span.end} ({span.label[:40]!r})"
