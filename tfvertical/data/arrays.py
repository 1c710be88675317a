"""Lists, NumPy arrays and pandas objects that are already in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tfvertical.contracts import Row, Source
from tfvertical.data._request import SEVERAL, Request, locate
from tfvertical.errors import DataError


def _is_frame(value: Any) -> bool:
    return type(value).__module__.split(".")[0] == "pandas" and hasattr(value, "columns")


def _is_column(value: Any) -> bool:
    is_series = type(value).__module__.split(".")[0] == "pandas" and not hasattr(value, "columns")
    return isinstance(value, list | np.ndarray) or is_series


class Arrays(Source):
    """`(x, y)`, `(x, y, weights)`, `x` alone, or a pandas DataFrame. Ids are positions from 0: `arrays:17`.

    Args:
        value: `x` is a list, tuple, array or Series of texts, or of pictures as uint8 `(rows, height, width, 3)`,
            paths or encoded bytes; `y` has one label a row, or is None. A DataFrame is read by its columns.
        request: columns (for a DataFrame) and limits.

    Raises:
        DataError: from `rows`: lengths differ, or labels are not one a row.

    Example:
        >>> [row.label for row in Arrays((["good", "bad"], [1, 0]), Request()).rows()]
        [1, 0]
    """

    def __init__(self, value: Any, request: Request):
        self.value, self.request = value, request
        self.named = _is_frame(value)
        self.name = "DataFrame" if _is_frame(value) else "arrays"

    @classmethod
    def accepts(cls, value: Any) -> bool:
        if isinstance(value, tuple):
            columns = [_is_column(each) or type(each) is tuple for each in value]
            return len(value) in (2, 3) and columns[0] and all(value[at] is None or columns[at] for at in (1, -1))
        return _is_column(value) or _is_frame(value)

    def rows(self) -> Iterator[Row]:
        columns = self._frame() if _is_frame(self.value) else self._tuple()
        rows = len(columns["input"])
        if not rows:
            raise DataError(f"{self.name} has no rows.")
        for field, values in columns.items():
            if len(values) != rows:
                raise DataError(
                    f"{self.name} has {rows} inputs and {len(values)} of {field}.", expected="as many of each"
                )
        for at in range(rows):
            yield self.request.row(f"{self.name}:{at}", {field: values[at] for field, values in columns.items()})

    def _frame(self) -> dict[str, Any]:
        where = locate(self.request, self.value.columns, self.name)
        return {field: self.value.iloc[:, at].array for field, at in where.items()}

    def _tuple(self) -> dict[str, Any]:
        parts = self.value if isinstance(self.value, tuple) else (self.value,)
        if self.request.label is None and len(parts) > 1 and any(isinstance(part, tuple) for part in parts):
            raise DataError(
                "A tuple of tuples may be columns, (x, y), or rows.", fix="give a list of rows: data.load(list(x), …)"
            )
        found = {
            field: getattr(part, "array", part)  # of a Series: by position, whatever its index
            for field, part in zip(("input", "label", "weight"), parts, strict=False)
            if part is not None and (field != "label" or self.request.label is not None)
        }
        if self.request.label is not None and "label" not in found:
            raise DataError(f"{self.name} come without labels.", fix="give (x, y); label=None reads without labels")
        labels = found.get("label")
        if isinstance(labels, np.ndarray) and self.request.target not in SEVERAL:
            if labels.ndim != 1 and labels.shape != (len(labels), 1):
                raise DataError(
                    f"Labels have the shape {labels.shape}.",
                    expected="one a row, (rows,)",
                    fix="for one-hot labels: y.argmax(1)",
                )
            found["label"] = labels.reshape(-1)
        return found
