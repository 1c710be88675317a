"""What makes rows belong together, so that they may not stand on both sides of a split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tfvertical.codecs.pairs import Pair
from tfvertical.codecs.tagging import Span
from tfvertical.contracts import Examples
from tfvertical.data import _keys


def links(examples: Examples, groups: Sequence[Any] | None, contexts: bool) -> Iterator[list[tuple[str, Any]]]:
    """What each row shares with those it belongs to: its item; a question's context; its group, if it has one.

    Args:
        examples: the rows.
        groups: one value a row, None for rows on their own; or None.
        contexts: whether items are questions about contexts.
    """
    for row, item in enumerate(examples.inputs):
        found: list[tuple[str, Any]] = [("item", _keys.source(item))]
        if contexts:
            found.append(("context", _keys.normalized(item[1])))
        if groups is not None and groups[row] is not None:
            found.append(("group", groups[row]))
        yield found


def of_contexts(examples: Examples) -> bool:
    """Whether rows are questions about contexts: what one question is answered by must not be learned by another."""
    labels = examples.labels or ()
    first = next((label[0] for label in labels if isinstance(label, tuple) and label), None)
    return isinstance(first, Span) and isinstance(examples.inputs[0], Pair)
