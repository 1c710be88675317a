"""Any finite `tf.data.Dataset`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tfvertical.contracts import Row, Source
from tfvertical.data._request import Request, missing_column
from tfvertical.errors import DataError


class Dataset(Source):
    """A `tf.data.Dataset` of `x`, `(x, y)`, `(x, y, weight)` or dictionaries. Ids are positions from 0: `dataset:17`.

    Batched ones are unbatched; where entities are marked, strings of one axis are the words of a row, not a batch of
    texts. The order must be the same at each reading, or ids mean nothing: do not shuffle it.

    Args:
        value: the dataset.
        request: columns (for dictionaries) and limits.

    Raises:
        DataError: from `rows`: it never ends, fails while it is read, or its elements have another form.

    Example:
        >>> import tensorflow as tf
        >>> data = tf.data.Dataset.from_tensor_slices((["good", "bad"], [1, 0])).batch(2)
        >>> [row.id for row in Dataset(data, Request()).rows()]
        ['dataset:0', 'dataset:1']
    """

    name = "dataset"

    def __init__(self, value: Any, request: Request):
        self.value, self.request = value, request

    @classmethod
    def accepts(cls, value: Any) -> bool:
        return type(value).__module__.startswith("tensorflow") and hasattr(value, "element_spec")

    def rows(self) -> Iterator[Row]:
        import tensorflow as tf

        data = self._unbatched()
        if self.value.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise DataError(
                "The dataset never ends.", expected="a finite one", fix="drop .repeat(), or say .take(rows)"
            )
        try:
            for at, element in enumerate(data.as_numpy_iterator()):
                yield self.request.row(f"{self.name}:{at}", self._fields(element))
        except tf.errors.OpError as error:
            raise DataError(f"The dataset failed while it was read: {error.message}") from error

    def _unbatched(self) -> Any:
        """The dataset, row by row."""
        spec = self._fields(self.value.element_spec)["input"]
        shape, ranks = getattr(spec, "shape", None), self._ranks(spec)
        if shape is None or shape.rank not in (None, *ranks, ranks[-1] + 1):
            axes = " or ".join(map(str, ranks))
            raise DataError(
                "The dataset's items have another form.",
                expected=f"{axes} axes an item of kind {self.request.kind!r}, one more in batches",
                received=str(spec),
            )
        if self.request.kind == "image" and spec.dtype.is_floating:
            raise DataError(
                f"The dataset's pictures are {spec.dtype.name}, as image_dataset_from_directory makes them.",
                expected="uint8, 0 to 255, or encoded ones",
                fix="dataset.map(lambda x, *y: (tf.cast(tf.round(x), tf.uint8), *y)), where x is not scaled",
            )
        if shape.rank != ranks[-1] + 1 and not (self.request.kind == "image" and _grey(shape)):
            return self.value
        try:
            return self.value.unbatch()
        except ValueError as error:
            raise DataError(
                f"The dataset's items are batches ({shape}), and its other columns are not.",
                expected="as many labels as items in a batch",
                received=str(self.value.element_spec),
            ) from error

    def _ranks(self, spec: Any) -> tuple[int, ...]:
        """How many axes one item may have, in order; a batch has one more than the last."""
        if self.request.kind == "image":
            return (0,) if getattr(spec, "dtype", None) == "string" else (2, 3)
        if self.request.kind == "pair" and "second" not in self.request.columns():
            return (1,)
        return (0, 1) if self.request.target == "entities" else (0,)

    def _fields(self, element: Any) -> dict[str, Any]:
        """Field of `contracts.Row` -> its value, or its spec, in one element."""
        if isinstance(element, Mapping):
            for field, column in self.request.columns().items():
                if column not in element:
                    missing_column(self.request, field, [str(key) for key in element], "The dataset")
            return {field: element[column] for field, column in self.request.columns().items()}
        parts = element if isinstance(element, tuple) else (element,)
        if len(parts) > 3 or any(isinstance(part, tuple | Mapping) for part in parts):
            raise DataError(
                f"The dataset's elements have the form {element!r}.",
                expected="x, (x, y), (x, y, weight) or a dictionary of columns",
            )
        fields = dict(zip(("input", "label", "weight"), parts, strict=False))
        if self.request.label is None:
            fields.pop("label", None)
        elif "label" not in fields:
            raise DataError("The dataset comes without labels.", fix="give (x, y); label=None reads without labels")
        return fields


def _grey(shape: Any) -> bool:
    """Whether three axes are a batch of pictures without channels: the last one is none."""
    return shape.rank == 3 and shape[-1] not in (None, 1, 3, 4)
