"""What is kept comes back as it was put, or not at all."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfvertical import store as stores
from tfvertical.columns import Dense, Ragged, StreamedDense, StreamedRagged
from tfvertical.errors import StoreError, TfverticalError
from tfvertical.shards import raw
from tfvertical.store import Spec, Store
from tfvertical.storing import layout as layouts

DENSE = Spec("d", "float32", (2,), ragged=False)
RAGGED = Spec("r", "int32", (), ragged=True)


def keep(store: Store, name: str = "a", rows: int = 6, parts: Mapping[str, str] | None = None) -> str:
    """A small entry of one dense and one ragged array; returns its key."""
    parts = {"name": name} if parts is None else parts
    lengths = np.arange(rows) % 4
    with store.write(stores.key(parts), parts, [DENSE, RAGGED], rows, lengths) as writer:
        for chosen in np.array_split(np.arange(rows)[::-1], 3):
            writer.put("d", chosen, np.stack([chosen, chosen + 0.5], 1).astype(np.float32))
            writer.put("r", chosen, np.repeat(chosen[:, None], 5, 1).astype(np.int32))
    return stores.key(parts)


def check(columns: Any, rows: int = 6) -> None:
    """`columns` are those of `keep`."""
    every = np.arange(rows)
    assert columns["d"].take(every, None).tolist() == [[row, row + 0.5] for row in every]
    expected = [[row if at < row % 4 else 0 for at in range(4)] for row in every]
    assert columns["r"].take(every, 4).tolist() == expected


@st.composite
def entries(draw: st.DrawFn) -> tuple[list[Spec], list[list[np.ndarray]], np.ndarray, list[np.ndarray]]:
    """Specs, the rows of each, their lengths, and in which batches they arrive."""
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    lengths = np.array(draw(st.lists(st.integers(0, 5), max_size=9)), np.int64)
    specs, arrays = [], []
    for number in range(draw(st.integers(1, 3))):
        dtype = draw(st.sampled_from(["float32", "float16", "bfloat16", "int32", "bool"]))
        shape = draw(st.sampled_from([(), (3,), (2, 2), (0,)]))
        spec = Spec(f"cut_{number}", dtype, shape, draw(st.booleans()))
        sizes = [(length, *shape) if spec.ragged else shape for length in lengths]
        arrays.append([np.asarray(random.random(size) * 9 - 4).astype(spec.numpy) for size in sizes])
        specs.append(spec)
    cuts = draw(st.lists(st.integers(0, len(lengths)), max_size=3))
    return specs, arrays, lengths, np.split(random.permutation(len(lengths)), sorted(cuts))


@settings(max_examples=50, deadline=None)
@given(entries(), st.integers(3, 100))
def test_what_is_put_comes_back(tmp_path_factory: pytest.TempPathFactory, entry: Any, shard: int) -> None:
    specs, arrays, lengths, batches = entry
    store = Store(tmp_path_factory.mktemp("store"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layouts, "SHARD", shard)
        patch.setattr(os, "fsync", lambda handle: None)  # slow, and no power cut is tried here
        with store.write("0" * 64, {"é": "\n"}, specs, len(lengths), lengths) as writer:
            for rows in batches:
                for spec, values in zip(specs, arrays, strict=True):
                    batch = np.zeros((len(rows), *((7,) if spec.ragged else ()), *spec.shape), spec.numpy)
                    for at, row in enumerate(rows):
                        batch[(at, slice(lengths[row])) if spec.ragged else at] = values[row]
                        if spec.ragged:
                            batch[at, lengths[row] :] = 1  # padding, which must not be kept
                    writer.put(spec.name, rows, batch)
    for memory, kinds in ((10**9, (Dense, Ragged)), (-1, (StreamedDense, StreamedRagged))):
        columns = store.open("0" * 64, memory)
        assert columns is not None and list(columns) == [spec.name for spec in specs]
        for spec, values in zip(specs, arrays, strict=True):
            column = columns[spec.name]
            assert isinstance(column, kinds[spec.ragged]) and len(column) == len(lengths)
            for row, value in enumerate(values):
                taken = column.take(np.array([row]), None)
                assert taken.dtype == spec.numpy and raw(taken) == raw(np.ascontiguousarray(value))
    assert [(found.parts, found.rows, found.damaged) for found in store.entries()] == [
        ({"é": "\n"}, len(lengths), None)
    ]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_wider_values_are_rounded_and_never_become_infinite(tmp_path: Path, dtype: str) -> None:
    store, spec = Store(tmp_path), Spec("x", dtype, (), ragged=False)
    values = np.array([1 / 3, -np.inf, np.nan, 1e-30], np.float32)
    with store.write("0" * 64, {}, [spec], 4, None) as writer:
        writer.put("x", np.arange(4), values)
    column = store.open("0" * 64, 100)
    assert column is not None
    taken = column["x"].take(np.arange(4), None)
    assert taken.dtype == spec.numpy and raw(taken) == raw(values.astype(spec.numpy))
    with pytest.raises(StoreError, match=rf"too big for {dtype}[\s\S]*3.4e\+38"):  # noqa: SIM117
        with store.write("1" * 64, {}, [spec], 1, None) as writer:
            writer.put("x", np.arange(1), np.array([3.4e38], np.float32))
    assert [path.name for path in tmp_path.iterdir()] == ["0" * 64]


@pytest.mark.parametrize(
    ("spec", "values", "message"),
    [
        (Spec("x", "int32", (), False), np.array([2**31]), "too big for int32"),
        (Spec("x", "int32", (), False), np.array([1.0]), "float64 cannot be stored as int32"),
        (Spec("x", "bool", (), False), np.array([1]), "int64 cannot be stored as bool"),
        (Spec("x", "bfloat16", (2,), False), np.ones((1, 3), ml_dtypes.bfloat16), "do not fit the rows"),
        (Spec("x", "int32", (), True), np.ones((1,), np.int32), "do not fit the rows"),
        (Spec("x", "int32", (), True), np.ones((1, 2), np.int32), "do not fit the rows"),
        (Spec("y", "int32", (), False), np.ones(1, np.int32), "no array 'x'"),
    ],
)
def test_values_that_do_not_fit_are_refused(tmp_path: Path, spec: Spec, values: np.ndarray, message: str) -> None:
    with pytest.raises(StoreError, match=message):  # noqa: SIM117
        with Store(tmp_path).write("0" * 64, {}, [spec], 1, np.array([3])) as writer:
            writer.put("x", np.array([0]), values)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("rows", [[0, 0], [1], [-1], [3], [[0]], [0.0], [True]])
def test_each_row_comes_once(tmp_path: Path, rows: list[Any]) -> None:
    with pytest.raises(StoreError, match=r"rows cannot be put[\s\S]*each of 0…2 once"):  # noqa: SIM117
        with Store(tmp_path).write("0" * 64, {}, [DENSE], 3, None) as writer:
            writer.put("d", np.array([1]), np.zeros((1, 2), np.float32))
            writer.put("d", np.array(rows), np.zeros((len(rows), 2), np.float32))


def test_missing_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"'d' is incomplete[\s\S]*3 rows[\s\S]*1\."):  # noqa: SIM117
        with Store(tmp_path).write("0" * 64, {}, [DENSE], 3, None) as writer:
            writer.put("d", np.array([1]), np.zeros((1, 2), np.float32))
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_an_entry_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    wrong: list[tuple[str, Any, Any, int, Any, str]] = [
        ("../x", {}, [DENSE], 1, None, "is no key"),
        ("A" * 64, {}, [DENSE], 1, None, "is no key"),
        ("0" * 64, {"a": 1}, [DENSE], 1, None, "told in words"),
        ("0" * 64, {}, [], 1, None, "arrays of different names"),
        ("0" * 64, {}, [Spec("D", "bool", (), False), DENSE], 1, None, "arrays of different names"),
        ("0" * 64, {}, [RAGGED], 2, None, "length of every row"),
        ("0" * 64, {}, [RAGGED], 2, np.array([1, -1]), "length of every row"),
        ("0" * 64, {}, [RAGGED], 2, np.array([1.0, 1.0]), "length of every row"),
        ("0" * 64, {}, [DENSE], 2**31, None, "That many rows"),
        ("0" * 64, {}, [Spec("x", "float32", (2**30,) * 9, False)], 2**30, None, "larger than all"),
        ("0" * 64, {"a": "x" * 2**23}, [DENSE], 0, None, "too long to note"),
    ]
    for key, parts, specs, rows, lengths, message in wrong:
        with pytest.raises(StoreError, match=message), store.write(key, parts, specs, rows, lengths):
            pass
    for arguments in (
        ("a/b", "bool", ()),
        ("", "bool", ()),
        ("a", "flaot32", ()),
        ("a", "bool", (-1,)),
        ("a", "bool", (1.0,)),
    ):
        with pytest.raises(StoreError):
            Spec(*arguments, ragged=False)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="Nearest: 'float32'"):
        Spec("a", "flaot32", (), False)
    assert not list(tmp_path.iterdir())


def test_a_key_depends_on_every_part_and_not_on_their_order() -> None:
    keys = [{"a": "b", "c": "d"}, {"a": "d", "c": "b"}, {"a": "b"}, {"ab": ""}, {}, {"a": "b\x00"}]
    assert len({stores.key(parts) for parts in keys}) == len(keys)
    assert stores.key({"a": "b", "c": "d"}) == stores.key({"c": "d", "a": "b"})
    with pytest.raises(StoreError, match="told in words"):
        stores.key({"a": 1})  # type: ignore[dict-item]


def test_the_callers_own_error_is_not_the_stores(tmp_path: Path) -> None:
    for error in (PermissionError(13, "a picture"), ValueError("No space left on device"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, Store(tmp_path).write("0" * 64, {}, [DENSE], 1, None):
            raise error from LookupError("why")
        assert caught.value is error and not isinstance(error, TfverticalError)
        assert isinstance(error.__cause__, LookupError)
    assert not list(tmp_path.iterdir())


def test_an_entry_is_replaced(tmp_path: Path) -> None:
    store = Store(tmp_path)
    key = keep(store, parts={"a": "b"}, rows=3)
    reader = store.open(key, 0)
    assert keep(store, parts={"a": "b"}, rows=9) == key
    check(store.open(key, 0), rows=9)
    check(reader, rows=3)
    assert [path.name for path in tmp_path.iterdir()] == [key]


def test_what_was_used_longest_ago_makes_room(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second, third = (keep(store, name) for name in "abc")
    for number, key in enumerate((first, second, third)):
        os.utime(tmp_path / key / "used", (1000 + number, 1000 + number))
    reader = store.open(first, 0)  # used now
    assert [entry.key for entry in store.entries()] == [first, third, second]
    assert time.time() - store.entries()[0].used < 60
    size = store.entries()[0].bytes
    assert size == sum(path.stat().st_size for path in (tmp_path / first).iterdir())
    store.limit = 3 * size
    fourth = keep(store, "d")
    assert [entry.key for entry in store.entries()] == [fourth, first, third]
    store.limit = size  # exactly
    keep(store, "e")
    assert [entry.parts for entry in store.entries()] == [{"name": "e"}]
    check(reader)  # goes on reading what was removed
    store.limit = 100
    with pytest.raises(StoreError, match=r"larger than all[\s\S]*at most 100 bytes[\s\S]*narrower dtype"):
        keep(store, "f")
    assert len(store.entries()) == 1


def test_what_was_written_meanwhile_counts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep(store, "a")
    store.limit = store.entries()[0].bytes * 3 // 2
    parts = {"name": "z"}
    with store.write(stores.key(parts), parts, [DENSE], 6, None) as writer:
        keep(store, "b")
        assert [entry.parts for entry in store.entries()] == [{"name": "b"}]
        writer.put("d", np.arange(6), np.zeros((6, 2), np.float32))
    assert [entry.parts for entry in store.entries()] == [parts]


def test_damaged_entries_make_room_first(tmp_path: Path) -> None:
    store = Store(tmp_path)
    good, bad = keep(store, "a"), keep(store, "b")
    (tmp_path / bad / "entry.json").write_text("{}")
    assert [entry.damaged is None for entry in store.entries()] == [True, False]
    store.limit = 2 * store.entries()[0].bytes
    new = keep(store, "c")
    assert {entry.key for entry in store.entries()} == {good, new}


def test_remove(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.remove() == 0 and Store(tmp_path / "none").remove() == 0 and Store(tmp_path / "none").entries() == []
    keys = [keep(store, name) for name in "abc"]
    (tmp_path / "mine.txt").write_text("kept")
    size = store.entries()[0].bytes
    os.utime(tmp_path / keys[0] / "used", (1000, 1000))
    assert store.remove(unused_for=3600) == size
    assert store.remove(["f" * 64]) == 0
    assert store.remove(keys[:2]) == size
    assert store.remove(keys[2:], unused_for=3600) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"mine.txt", keys[2]}
    assert store.remove() == size
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_large_entry_is_not_held_open_by_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "SHARD", 4)
    store, spec = Store(tmp_path), Spec("x", "int32", (10,), ragged=False)
    values = np.arange(4000, dtype=np.int32).reshape(400, 10)
    with store.write("0" * 64, {}, [spec], 400, None) as writer:
        writer.put("x", np.arange(400), values)
    column = store.open("0" * 64, 0)
    assert column is not None and isinstance(column["x"], StreamedDense)
    assert len(list((tmp_path / ("0" * 64)).glob("x.[0-9]*.bin"))) <= layouts.FILES + 1
    np.testing.assert_array_equal(column["x"].take(np.arange(400), None), values)


@pytest.mark.parametrize("refused", [["mkdir"], ["mkdir", "rename"]])
def test_a_full_disk_can_be_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: list[str]) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = Store(tmp_path)
    keep(store)
    size = store.entries()[0].bytes
    for name in refused:
        monkeypatch.setattr(os, name, full)
    assert store.remove() == size
    assert not list(tmp_path.iterdir())


def test_the_default_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFVERTICAL_HOME", str(tmp_path))
    assert Store().folder == tmp_path / "features"
    assert Store().open("0" * 64, 0) is None
    assert not list(tmp_path.iterdir())


def test_removal_of_a_refused_entry_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path)
    key = keep(store)
    (tmp_path / key / "used").unlink()
    with caplog.at_level(logging.WARNING):
        assert store.open(key, 100) is None
    assert "damaged (used is missing); they were removed and are computed anew" in caplog.text
