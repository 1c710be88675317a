"""Rows that belong to training data and stand in a supplied test set: reported, never removed."""

from __future__ import annotations

import numpy as np

from tfvertical.contracts import DataWarning, Examples
from tfvertical.data import _check, _keys, _policy
from tfvertical.data._links import links, of_contexts
from tfvertical.data._warnings import with_warning


def overlap(train: Examples, test: Examples) -> np.ndarray:
    """Rows of `test` whose item also stands in `train`, up to case and white space: int64 indices, ascending.

    So do rows of a group that is in both, if both have groups, and questions about a context that is: what a split
    would have kept together.

    A test set that was supplied is never altered; score it a second time without these rows.

    Example:
        >>> from tfvertical.data import load
        >>> train, test = load((["Yes", "No"], ["a", "b"])), load((["maybe", "yes "], ["b", "a"]))
        >>> overlap(train, test)
        array([1])
    """
    grouped, contexts = train.groups is not None and test.groups is not None, of_contexts(train) or of_contexts(test)
    each = [
        links(part, [_check.group(one) for one in part.groups or ()] if grouped else None, contexts)
        for part in (train, test)
    ]
    seen = {link for row in each[0] for link in row}
    return np.array([at for at, row in enumerate(each[1]) if not seen.isdisjoint(row)], np.int64)


def with_overlap(train: Examples, test: Examples, *, strict: bool = False) -> Examples:
    """`test`, with a warning of kind `overlap` in its report where it shares items, groups or contexts with `train`.

    Raises:
        DataError: it does, and `strict`.
    """
    rows = overlap(train, test)
    if not len(rows):
        return test
    message = f"{len(rows):,} of {len(test):,} rows of {test.report.name} also stand in {train.report.name}."
    seen = {_keys.source(item) for item in train.inputs}
    if alone := sum(_keys.source(test.inputs[at]) not in seen for at in rows):
        message = message[:-1] + f", {alone:,} of them by their group or context alone."
    warning = DataWarning("overlap", message, tuple(test.ids[at] for at in rows[:100]), len(rows))
    if strict:
        _policy.refuse_warnings(test.report.name, [warning])
    return with_warning(test, warning)
