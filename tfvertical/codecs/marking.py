"""Two places of a text made visible to a model that reads it."""

from __future__ import annotations

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

    Example:
        >>> marked("Aspirin causes headaches.", (0, 7), (15, 24))
        '@ Aspirin @ causes # headaches #.'
    """
    found = text
    for start, end, mark in sorted(((*first, MARKS[0]), (*second, MARKS[1])), reverse=True):
        found = f"{found[:start]}{mark} {found[start:end]} {mark}{found[end:]}"
    made = Marked(found)
    made.plain = text
    return made
