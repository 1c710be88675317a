"""Tags of words, in whichever scheme a file has them, to entities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

SCHEMES = ("iob2", "iob1", "bioes")
OUTSIDE = "O"
_ONE = {"L": "E", "U": "S", "W": "S", "M": "I"}  # BILOU and BMEWO say the same as BIOES
_CLOSED = frozenset("ESLUWM")


class Span(NamedTuple):
    """An annotated entity: `start` up to but without `end`, in characters of a text or in words of a list of words."""

    start: int
    end: int
    label: str


class TagFault(Exception):
    """Why tags cannot be used; `at` is the number of the tag at fault."""

    def __init__(self, at: int, reason: str):
        super().__init__(reason)
        self.at = at


def parts(tag: str) -> tuple[str, str]:
    """A tag's letter and type: `B-Disease` -> `("B", "Disease")`, `O` -> `("O", "")`; `("", tag)` if it is no tag.

    BILOU's and BMEWO's letters become those of BIOES.
    """
    if tag == OUTSIDE:
        return OUTSIDE, ""
    letter, dash, label = tag.partition("-")
    if not dash or not label.strip() or letter not in "BIESLUWM" or len(letter) != 1:
        return "", tag
    return _ONE.get(letter, letter), label


def detect(sentences: Iterable[Sequence[str]]) -> str:
    """The scheme that a whole file is written in.

    `bioes` if an entity's end is marked anywhere (BILOU and BMEWO are read as BIOES); `iob2` if some entity begins with
    `B-` where none goes before; otherwise `iob1`, in which `I-` begins an entity.

    Example:
        >>> detect([["O", "I-PER", "I-PER", "B-PER"]]), detect([["B-PER", "O"]]), detect([["S-PER", "O"]])
        ('iob1', 'iob2', 'bioes')
    """
    begun = continued = False
    for tags in sentences:
        before = OUTSIDE
        for tag in tags:
            if tag[:1] in _CLOSED and tag[1:2] == "-":
                return "bioes"
            begun = begun or (tag.startswith("B-") and before == OUTSIDE)
            continued = continued or tag.startswith("I-")
            before = tag
    return "iob1" if continued and not begun else "iob2"


def spans(tags: Sequence[str], scheme: str) -> tuple[Span, ...]:
    """The entities that tags mark, in words.

    Args:
        tags: one a word.
        scheme: one of `SCHEMES`.

    Raises:
        TagFault: a tag is none, or stands where the scheme does not allow it.

    Example:
        >>> spans(["B-PER", "I-PER", "O", "B-LOC"], "iob2")
        (Span(start=0, end=2, label='PER'), Span(start=3, end=4, label='LOC'))
    """
    found: list[Span] = []
    start, open_label = 0, ""  # of the entity that goes on, if one does

    def close(at: int) -> None:
        if open_label:
            found.append(Span(start, at, open_label))

    for at, tag in enumerate(tags):
        letter, label = parts(tag)
        if not letter:
            raise TagFault(at, f"the tag {tag[:60]!r} is none; expected O, or a letter of {scheme}, a dash and a type")
        if wrong := _wrong(letter, label, open_label, scheme):
            raise TagFault(at, wrong)
        if letter in "IE" and label == open_label:
            if letter == "E":
                close(at + 1)
                open_label = ""
            continue
        close(at)
        start, open_label = at, label
        if letter == "S":
            close(at + 1)
            open_label = ""
    if open_label and scheme == "bioes":
        raise TagFault(len(tags) - 1, f"the entity of type {open_label!r} never ends (expected E-{open_label})")
    close(len(tags))
    return tuple(found)


def _wrong(letter: str, label: str, open_label: str, scheme: str) -> str:
    """Why a tag cannot follow what is open (`""` for nothing), or `""`."""
    tag = letter if letter == OUTSIDE else f"{letter}-{label}"
    if letter in "ES" and scheme != "bioes":
        return f"{tag!r} marks an entity's end, which {scheme} does not"
    if scheme == "iob1":
        return (
            f"{tag!r} begins an entity where none goes before, which is iob2"
            if letter == "B" and not open_label
            else ""
        )
    if letter in "IE" and not open_label:
        return f"{tag!r} goes on with an entity that was not begun (expected B-{label})"
    if letter in "IE" and label != open_label:
        return f"{tag!r} changes the type inside an entity of type {open_label!r}"
    if scheme == "bioes" and open_label and letter not in "IE":
        return f"{tag!r} stands where the entity of type {open_label!r} has not ended (expected E-{open_label})"
    return ""
