"""NumPy's scalars as Python's own: JSON has no word for a float32, and what trained with one shall be saved."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any


def plain(value: Any) -> Any:
    """`value` with Python's numbers in the place of NumPy's, in mappings, lists and tuples too; NumPy is not imported.

    Example:
        >>> import numpy as np
        >>> plain({"rates": [np.float32(0.5), np.int64(3)], "name": "a"})
        {'rates': [0.5, 3], 'name': 'a'}
    """
    numpy = sys.modules.get("numpy")  # without it, nothing can be of it
    if numpy is not None and isinstance(value, numpy.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {plain(key): plain(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(each) for each in value)
    return value
