"""The rows of a Parquet file, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
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
            where = locate(request, file.schema_arrow.names, path.name)
            names = {field: file.schema_arrow.names[at] for field, at in where.items()}
            row = 0
            for batch in file.iter_batches(batch_size=1024, columns=sorted(set(names.values()))):
                columns = {field: batch.column(name).to_pylist() for field, name in names.items()}
                for at in range(batch.num_rows):
                    row += 1
                    yield row, {field: values[at] for field, values in columns.items()}
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError, UnicodeDecodeError, OSError) as error:
        raise DataError(
            f"{path} cannot be read as Parquet: {str(error).rstrip('.')}.", fix="write the file again"
        ) from error
