"""Columns give back the rows that went in, in any stored order, padded as asked; equal rows have equal digests."""

from __future__ import annotations

import os
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfvertical.columns import Dense, Ragged, StreamedDense, StreamedRagged
from tfvertical.errors import DataError, StoreError
from tfvertical.shards import Shards, raw

DTYPES = [np.float32, np.float16, ml_dtypes.bfloat16, np.int32, np.bool_]


def shards(folder: Path, values: np.ndarray, shard_bytes: int) -> Shards:
    """`values` in files of `shard_bytes`."""
    content, handles = bytes(raw(np.ascontiguousarray(values))), []
    for number, start in enumerate(range(0, len(content), shard_bytes)):
        path = folder / f"{number}.bin"
        path.write_bytes(content[start : start + shard_bytes])
        handles.append(os.open(path, os.O_RDONLY))
    return Shards(handles, shard_bytes, len(content), "the test's array")


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[np.ndarray], np.ndarray, int]:
    """Rows of different lengths, the order in which they lie, and the padding."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.sampled_from([(), (3,), (40,), (2, 3), (0,)]))
    lengths = draw(st.lists(st.integers(0, 6), min_size=1, max_size=8))
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    rows = [(random.random((length, *shape)) * 9).astype(dtype) for length in lengths]
    return rows, random.permutation(len(rows)), draw(st.sampled_from([0, 0, 7]))


@settings(max_examples=60, deadline=None)
@given(cases(), st.integers(1, 70))
def test_rows_come_back_from_memory_and_disk_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[list[np.ndarray], np.ndarray, int], shard_bytes: int
) -> None:
    rows, order, pad = case
    values = np.concatenate([rows[row] for row in order])
    lengths = np.array([len(row) for row in rows])
    starts = np.empty(len(rows), np.int64)
    starts[order] = np.cumsum(lengths[order]) - lengths[order]
    disk = shards(tmp_path_factory.mktemp("shards"), values, shard_bytes)
    columns = [
        Ragged.of(rows, pad),
        Ragged.placed(values, starts, lengths, pad),
        StreamedRagged(disk, values.dtype, values.shape[1:], starts, lengths, pad),
    ]
    chosen = np.random.default_rng(0).integers(0, len(rows), 5)
    for length in (None, 9):
        width = max(lengths[chosen]) if length is None else length
        expected = np.full((5, width, *values.shape[1:]), pad, values.dtype)
        for at, row in enumerate(chosen):
            expected[at, : lengths[row]] = rows[row]
        for column in columns:
            taken = column.take(chosen, length)
            assert taken.dtype == values.dtype and taken.shape == expected.shape
            assert raw(taken) == raw(expected)
    assert len({column.digest() for column in columns}) == 1
    assert [len(column) for column in columns] == [len(rows)] * 3
    assert columns[0].take(np.zeros(0, np.int64), None).shape == (0, 0, *values.shape[1:])


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(DTYPES), st.sampled_from([(), (3,), (2, 0), (2, 5)]), st.integers(0, 9), st.integers(1, 70))
def test_dense_rows_come_back_from_disk(
    tmp_path_factory: pytest.TempPathFactory, dtype: type, shape: tuple[int, ...], count: int, shard_bytes: int
) -> None:
    random = np.random.default_rng(count)
    array = (random.random((count, *shape)) * 9).astype(dtype)
    order = random.permutation(count)
    disk = shards(tmp_path_factory.mktemp("shards"), array[order], shard_bytes)
    column = StreamedDense(disk, array.dtype, shape, np.argsort(order))
    rows = random.permutation(count)
    assert raw(column.take(rows, None)) == raw(array[rows])
    assert column.take(rows, None).dtype == array.dtype
    assert column.digest() == Dense(array).digest() and len(column) == count


def test_a_digest_tells_apart_what_differs() -> None:
    array = np.arange(6, dtype=np.int32)
    columns = [
        Dense(array),
        Dense(array.reshape(2, 3)),
        Dense(array.reshape(3, 2)),
        Dense(array.view(np.float32)),
        Dense(array[::-1]),
        Ragged.of([array]),
        Ragged.of([array], pad=1),
        Ragged.of([array[:2], array[2:]]),
        Ragged.of([array[:3], array[3:]]),
        Ragged.of([array.reshape(3, 2)]),
        Ragged.of([]),
    ]
    assert len({column.digest() for column in columns}) == len(columns)
    assert Dense(np.arange(12, dtype=np.int32)[::2] // 2).digest() == Dense(array).digest()  # however it lies


def test_objects_have_no_digest() -> None:
    with pytest.raises(DataError, match="no digest"):
        Dense(np.array([object()])).digest()


@pytest.mark.parametrize("width", [1, 500])
def test_a_row_longer_than_the_batch_is_refused(width: int, tmp_path: Path) -> None:
    values = np.ones((5, width), np.float32)
    for column in (
        Ragged.of([values, values[:2]]),
        StreamedRagged(shards(tmp_path, values, 99), values.dtype, (width,), np.array([0, 0]), np.array([5, 2])),
    ):
        assert column.take(np.array([1]), 4).sum() == 2 * width
        with pytest.raises(DataError, match=r"at most 4 positions[\s\S]*5"):
            column.take(np.array([0, 1]), 4)


def test_a_file_cut_short_in_use_is_an_error(tmp_path: Path) -> None:
    values = np.arange(100, dtype=np.int32)
    column = StreamedDense(shards(tmp_path, values, 80), values.dtype, (), np.arange(100))
    (tmp_path / "2.bin").write_bytes(b"short")
    assert column.take(np.array([1, 99]), None).tolist() == [1, 99]
    with pytest.raises(StoreError, match="cut short while"):
        column.take(np.array([45]), None)


def test_files_are_closed_with_the_column(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    for _ in range(3):
        column = StreamedDense(shards(tmp_path, np.zeros(50, np.int8), 1), np.dtype(np.int8), (), np.arange(50))
        assert len(os.listdir("/dev/fd")) >= before + 50
        del column
        assert len(os.listdir("/dev/fd")) == before
