"""Two places of a text made visible to a model that reads it."""

from __future__ import annotations

MARKS = ("@", "#")


def marked(text: str, first: tuple[int, int], second: tuple[int, int]) -> str:
    """The text with signs around both places: pieces that every vocabulary has, so that none must be learned anew.

    These are the punctuation markers of Zhou and Chen (2022), who found them as good as new tokens.

    Args:
        text: as it is.
        first: start and end, in characters; the place that `@` stands around.
        second: the place that `#` stands around; it does not overlap with the first.

    Example:
        >>> marked("Aspirin causes headaches.", (0, 7), (15, 24))
        '@ Aspirin @ causes # headaches #.'
    """
    for start, end, mark in sorted(((*first, MARKS[0]), (*second, MARKS[1])), reverse=True):
        text = f"{text[:start]}{mark} {text[start:end]} {mark}{text[end:]}"
    return text
