"""The rows of a Parquet file, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tfvertical.data._request import Request, locate
from tfvertical.errors import DataError, MissingPackageError


def records(path: Path, request: Request) -> Iterator[tuple[int, dict[str, Any]]]:
    """`(row, field of contracts.Row -> value)`; rows count from 1, since a Parquet file has no lines.

    Raises:
        DataError: this is no Parquet file, or a column is missing.
        MissingPackageError: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError("Parquet files need pyarrow.", fix="pip install pyarrow") from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            where = locate(request, names, path.name)
            row = 0
            for batch in file.iter_batches(batch_size=1024, columns=sorted({names[at] for at in where.values()})):
                columns = {field: _values(batch, names, at, path) for field, at in where.items()}
                for at in range(batch.num_rows):
                    row += 1
                    yield row, {field: values[at] for field, values in columns.items()}
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError, UnicodeDecodeError, OSError) as error:
        raise DataError(
            f"{path} cannot be read as Parquet: {str(error).rstrip('.')}.", fix="write the file again"
        ) from error


def _values(batch: Any, names: Sequence[str], at: int, path: Path) -> list[Any]:
    """What stands in the column that is at `at` in the file; a batch holds all columns of its name, in order."""
    name = names[at]
    column = batch.column(batch.schema.get_all_field_indices(name)[names[:at].count(name)])
    try:
        return column.to_pylist()
    except (OverflowError, ValueError) as error:
        raise DataError(
            f"{path}: the column {name!r} cannot be read: {str(error).rstrip('.')}.",
            expected="dates of the years 1 to 9999, texts in UTF-8",
            fix="correct it and write the file again",
        ) from error
