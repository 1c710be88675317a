"""Two places of a text made visible to a model that reads it."""

from __future__ import annotations

from tfvertical.errors import DataError

MARKS = ("@", "#")


class Marked(str):
    """A text with marks in it.

    Attributes:
        plain: as it was without them; texts that are alike there stand together in a split.
    """

    plain: str


def marked(text: str, first: tuple[int, int], second: tuple[int, int]) -> Marked:
    """The text with signs around both places: pieces that vocabularies of words have, so that none is learned anew.

    These are the punctuation markers of Zhou and Chen (2022), who found them as good as new tokens.

    Args:
        text: as it is.
        first: start and end, in characters; the place that `@` stands around.
        second: the place that `#` stands around; it does not overlap with the first.

    Raises:
        DataError: a place is empty or lies outside the text, or they overlap.

    Example:
        >>> marked("Aspirin causes headaches.", (0, 7), (15, 24))
        '@ Aspirin @ causes # headaches #.'
    """
    for start, end in (first, second):
        if not 0 <= start < end <= len(text):
            raise DataError(f"The place {start}…{end} lies outside the {len(text):,} characters, or is empty.")
    one, other = sorted((first, second))
    if other[0] < one[1]:
        raise DataError(f"The places {one[0]}…{one[1]} and {other[0]}…{other[1]} overlap.")
    found = text
    for start, end, mark in sorted(((*first, MARKS[0]), (*second, MARKS[1])), reverse=True):
        found = f"{found[:start]}{mark} {found[start:end]} {mark}{found[end:]}"
    made = Marked(found)
    made.plain = text
    return made
