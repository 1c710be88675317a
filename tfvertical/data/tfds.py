"""Data sets of TensorFlow Datasets, by name."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfvertical.contracts import Row, Source
from tfvertical.data._request import Request, missing_column
from tfvertical.errors import ConfigError, DataError, MissingPackageError, nearest

_NAME = re.compile(r"tfds:(?P<name>[\w.]+(?:/[\w.=,\-]+)?(?::\d+\.\d+\.\d+)?)(?::(?P<split>[A-Za-z_]\S*))?")


class Tfds(Source):
    """`tfds:NAME[/CONFIG][:SPLIT]`, by default the split `train`. Ids are positions from 0: `tfds:NAME:SPLIT:17`.

    Class labels come out as names. What has been prepared in `data_dir` is read without network and without the data
    set's code. The item and the label are the columns asked for or, where those do not exist, what the data set itself
    declares as supervised.

    Args:
        value: the name; a split may be a slice, `train[:10%]`.
        request: columns and limits.
        data_dir: where prepared data sets lie; by default TensorFlow Datasets' own folder.

    Raises:
        ConfigError: the name is not of this form.
        DataError: from `rows`: no such data set or split, or it cannot be fetched.

    Example:
        >>> Tfds("tfds:imdb_reviews:test", Request()).split
        'test'
    """

    def __init__(self, value: str, request: Request, *, data_dir: str | os.PathLike[str] | None = None):
        match = _NAME.fullmatch(value)
        if match is None:
            raise ConfigError(f"{value!r} names no data set.", expected="tfds:NAME[/CONFIG][:SPLIT]")
        self.builder_name, self.split = match["name"], match["split"] or "train"
        self.name = f"tfds:{self.builder_name}:{self.split}"
        self.request, self.data_dir = request, None if data_dir is None else os.fspath(data_dir)

    @classmethod
    def accepts(cls, value: Any) -> bool:
        return isinstance(value, str) and value.startswith("tfds:")

    def rows(self) -> Iterator[Row]:
        try:
            import tensorflow_datasets as tfds
        except ImportError as error:
            raise MissingPackageError(
                "tfds: names need tensorflow-datasets.", fix="pip install tensorflow-datasets"
            ) from error
        builder = self._prepared(tfds)
        features = builder.info.features
        columns = self._columns(builder.info)
        names = {
            field: features[column].int2str for field, column in columns.items() if hasattr(features[column], "int2str")
        }
        # Pictures stay encoded: a tenth of the memory, and a broken one is found by the check that all sources share.
        encoded = [column for column in columns.values() if isinstance(features[column], tfds.features.Image)]
        if encoded and self.request.kind != "image":
            raise DataError(f"{self.name}: {encoded[0]!r} holds pictures, not texts.", fix="say kind='image'")
        decoders = {column: tfds.decode.SkipDecoding() for column in encoded}
        try:
            data = builder.as_dataset(split=self.split, decoders=decoders or None, shuffle_files=False)
        except (ValueError, KeyError) as error:
            splits = list(builder.info.splits)
            name = re.split(r"[\[+]", self.split)[0]
            raise DataError(
                f"{self.name}: the split cannot be read: {error}",
                expected="one of " + ", ".join(splits),
                nearest=nearest(name, splits),
            ) from error
        for at, element in enumerate(self._elements(data)):
            fields = {field: element[column] for field, column in columns.items()}
            for field, to_name in names.items():
                ids = np.asarray(fields[field])
                if ids.ndim:  # several labels
                    fields[field] = [to_name(int(each)) for each in ids]
                else:
                    fields[field] = to_name(int(ids)) if ids >= 0 else None  # -1: not labelled
            yield self.request.row(f"{self.name}:{at}", fields)

    def _elements(self, data: Any) -> Iterator[Any]:
        import tensorflow as tf

        try:
            yield from data.as_numpy_iterator()
        except tf.errors.OpError as error:
            raise DataError(
                f"{self.name} failed while it was read: {_first_line(error)}", fix="prepare the data set again"
            ) from error

    def _prepared(self, tfds: Any) -> Any:
        try:
            with _quiet():
                builder = tfds.builder(self.builder_name, data_dir=self.data_dir)
        except Exception as error:  # a missing data set, a missing package of its code, a broken folder: all kinds
            names = nearest(self.builder_name.split("/")[0], tfds.list_builders(with_community_datasets=False))
            raise DataError(
                f"{self.name} cannot be found: {_first_line(error)}",
                nearest=names,
                fix="for one of your own that is prepared already, say data_dir=…",
            ) from error
        if not builder.is_prepared():
            try:
                with _quiet():
                    builder.download_and_prepare()
            except Exception as error:  # whatever a data set's own code and the network bring up
                raise DataError(
                    f"{self.name} is not in {builder.data_dir} and cannot be fetched: {_first_line(error)}",
                    fix="prepare it where there is a network, copy the folder, and say data_dir=…",
                ) from error
        return builder

    def _columns(self, info: Any) -> dict[str, str]:
        """Field of `contracts.Row` -> feature."""
        supervised = info.supervised_keys if info.supervised_keys and len(info.supervised_keys) == 2 else (None, None)
        declared = dict(zip(("input", "label"), supervised, strict=True))
        found = {}
        for field, asked in self.request.columns().items():
            column = asked if asked in info.features else declared.get(field)
            if not isinstance(column, str) or column not in info.features:
                missing_column(self.request, field, list(info.features), self.name)
            else:
                found[field] = column
        return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars and log lines of TensorFlow Datasets."""
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
