"""Items that stand in training data and in a supplied test set: reported, never removed."""

from __future__ import annotations

import numpy as np

from tfvertical.contracts import DataWarning, Examples
from tfvertical.data import _keys, _policy
from tfvertical.data._warnings import with_warning


def overlap(train: Examples, test: Examples) -> np.ndarray:
    """Rows of `test` whose item also stands in `train`, up to case and white space: int64 indices, ascending.

    A test set that was supplied is never altered; score it a second time without these rows.

    Example:
        >>> from tfvertical.data import load
        >>> train, test = load((["Yes", "No"], ["a", "b"])), load((["maybe", "yes "], ["b", "a"]))
        >>> overlap(train, test)
        array([1])
    """
    seen = {_keys.source(item) for item in train.inputs}
    return np.array([at for at, item in enumerate(test.inputs) if _keys.source(item) in seen], np.int64)


def with_overlap(train: Examples, test: Examples, *, strict: bool = False) -> Examples:
    """`test`, with a warning of kind `overlap` in its report where it shares items with `train`.

    Raises:
        DataError: it does, and `strict`.
    """
    rows = overlap(train, test)
    if not len(rows):
        return test
    message = f"{len(rows):,} of {len(test):,} rows of {test.report.name} also stand in {train.report.name}."
    warning = DataWarning("overlap", message, tuple(test.ids[at] for at in rows[:100]), len(rows))
    if strict:
        _policy.refuse_warnings(test.report.name, [warning])
    return with_warning(test, warning)
