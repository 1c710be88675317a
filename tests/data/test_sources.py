"""What holds for every kind of source, those to come included."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tfvertical import data
from tfvertical.contracts import Row, Source
from tfvertical.data._request import Request
from tfvertical.registry import Registry

ROOM = Registry("data")


@pytest.fixture(params=["table", "image_folder", "arrays", "dataset"])
def readable(request, write, pictures):
    """The name of a source, something it reads, and the request for it."""
    if request.param == "dataset":
        import tensorflow as tf

        return "dataset", tf.data.Dataset.from_tensor_slices((["x", "y"], ["a", "b"])), Request()
    if request.param == "image_folder":
        return "image_folder", pictures, Request("image")
    value = (["x", "y"], ["a", "b"]) if request.param == "arrays" else write("a.csv", "text,label\nx,a\ny,b\n")
    return request.param, value, Request()


def test_every_file_defines_a_source():
    assert {"arrays", "dataset", "image_folder", "lines", "table", "tfds"} <= set(ROOM.modules())
    for name in ROOM.modules():
        assert issubclass(ROOM.get(name), Source)


@pytest.mark.parametrize("value", [None, 3, "", "text", b"bytes", {}, (), ("a", "b"), object(), "no/such/folder"])
def test_none_accepts_what_is_no_data(value):
    assert not any(ROOM.get(name).accepts(value) for name in ROOM.modules())


def test_exactly_one_accepts_and_reads_the_same_rows_twice(readable):
    name, value, request = readable
    assert [kind for kind in ROOM.modules() if ROOM.get(kind).accepts(value)] == [name]
    source = ROOM.get(name)(value, request)
    rows = list(source.rows())
    assert rows == list(source.rows()) and all(isinstance(row, Row) for row in rows)
    assert len({row.id for row in rows}) == len(rows) == data.load(value, kind=request.kind).report.read
    assert source.name


def test_reading_a_table_needs_no_tensorflow(write):
    path = write("a.csv", "text,label\nx,a\ny,b\n")
    code = f"import sys; from tfvertical import data; data.load({str(path)!r}); print('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize(
    ("ending", "content", "options"),
    [
        (".csv", "text\nx\n \n", {}),
        (".conll", "a O\n\n" + "b" * 99 + " O\n", {"target": "entities", "max_text_bytes": 9}),
        (".json", None, {"kind": "pair", "target": "answers"}),
    ],
)
def test_names_that_are_not_utf8_can_be_written(tmp_path, ending, content, options):
    if content is None:
        asked = [{"id": name, "question": name and "?"} for name in ("\ud800", "")]
        content = json.dumps({"data": [{"paragraphs": [{"context": "a", "qas": asked}]}]})
    path = tmp_path / os.fsdecode(b"caf\xe9" + ending.encode())
    path.write_text(content)
    found = data.load(path, label=None, policy="quarantine", quarantine=tmp_path / "bad.jsonl", **options)
    assert found.ids[0].startswith(f"caf\\xe9{ending}:") and found.ids[0].encode()
    assert found.report.name == f"caf\\xe9{ending}"
    assert json.loads((tmp_path / "bad.jsonl").read_text())["id"].startswith(found.report.name)
