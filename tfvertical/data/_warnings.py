"""What a person should look at although every row can be used: real data sets have some of it."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from tfvertical.contracts import DataWarning, Encoded, Examples
from tfvertical.data import _keys
from tfvertical.data._labels import classes_of

MANY_UNKNOWN = 0.2  # share of tokens that the vocabulary lacks above which a person should be told
_SHOWN = 100  # ids a warning carries at most


def look(inputs: Sequence[Any], labels: Sequence[Any] | None, ids: Sequence[str], noun: str) -> list[DataWarning]:
    """Duplicates, conflicting labels and rare classes.

    Args:
        inputs: texts or pictures.
        labels: names, or entities; None where there are none.
        ids: row ids.
        noun: what messages call an item, `text` or `picture`.
    """
    rows_of: dict[Any, list[int]] = defaultdict(list)
    for at, item in enumerate(inputs):
        rows_of[_keys.exact(item)].append(at)
    found = []
    if again := sorted(at for rows in rows_of.values() for at in rows[1:]):
        message = f"{len(again):,} rows repeat the {noun} of an earlier row exactly."
        found.append(_warning("duplicate", message, again, ids))
    if labels is not None:
        found += _conflicts(list(rows_of.values()), labels, ids, noun) + _rare(labels, ids)
    return found


def _conflicts(same: list[list[int]], labels: Sequence[Any], ids: Sequence[str], noun: str) -> list[DataWarning]:
    torn = [rows for rows in same if len(rows) > 1 and len({labels[at] for at in rows}) > 1]
    if not torn:
        return []
    rows = sorted(at for rows in torn for at in rows)
    message = f"{len(torn):,} {noun}s stand under more than one label ({len(rows):,} rows)."
    return [_warning("conflicting_label", message, rows, ids)]


def _rare(labels: Sequence[Any], ids: Sequence[str]) -> list[DataWarning]:
    counts = Counter(name for label in labels for name in classes_of(label))
    rare = sorted(name for name, count in counts.items() if count == 1)
    if not rare:
        return []
    names = ", ".join(repr(label) for label in rare[:10]) + (", …" if len(rare) > 10 else "")
    message = f"{len(rare):,} classes have one example only, which cannot be in training and in test: {names}."
    once = set(rare)
    rows = [at for at, label in enumerate(labels) if not once.isdisjoint(classes_of(label))]
    return [_warning("rare_class", message, rows, ids)]


def unknown_tokens(examples: Examples, encoded: Encoded) -> DataWarning | None:
    """A warning where the vocabulary lacks many of the tokens (a Chinese text on an English one), else None.

    Args:
        examples: the rows.
        encoded: the same, as a task encoded them: only a tokenizer can tell.
    """
    if encoded.unknown <= MANY_UNKNOWN:
        return None
    message = (
        f"The vocabulary lacks {encoded.unknown:.0%} of the tokens, most of those of {len(encoded.unknown_rows):,} "
        "rows. Is the text in a language that the backbone was trained on?"
    )
    return _warning("unknown_tokens", message, encoded.unknown_rows, examples.ids)


def _warning(kind: str, message: str, rows: Sequence[int], ids: Sequence[str]) -> DataWarning:
    return DataWarning(kind, message, tuple(ids[at] for at in rows[:_SHOWN]), len(rows))


def with_warning(examples: Examples, warning: DataWarning) -> Examples:
    """The same examples with one more warning in their report.

    Example:
        >>> from tfvertical.data import load
        >>> examples = load((["good", "bad"], ["yes", "no"]))
        >>> with_warning(examples, DataWarning("unknown_tokens", "80 % are unknown.")).report.warnings[-1].kind
        'unknown_tokens'
    """
    report = dataclasses.replace(examples.report, warnings=(*examples.report.warnings, warning))
    return dataclasses.replace(examples, report=report)
