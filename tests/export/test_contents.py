"""What a TFLite file says about itself; a damaged one is refused, whatever was damaged."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tfvertical.cli import app
from tfvertical.errors import BundleError, ConfigError
from tfvertical.export import _metadata, export
from tfvertical.export._tables import Byte, Table, written
from tfvertical.runtime.contents import contents, roles
from tfvertical.runtime.listing import lines
from tfvertical.runtime.tables import Reader


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory, text_classifier) -> bytes:
    folder = tmp_path_factory.mktemp("text")
    names = {"de": ["negativ", "neutral", "positiv"]}
    return (export(text_classifier, folder, label_names=names) / "model.tflite").read_bytes()


def test_text_metadata_names_inputs_in_the_file_s_order(text_file: bytes):
    found = contents(text_file)
    metadata = found.metadata
    assert metadata is not None and metadata.parser == "1.1.0"
    said = {"token_ids": "ids", "padding_mask": "mask", "segment_ids": "segment_ids"}
    assert list(metadata.inputs) == [said[role] for role in roles(text_file, "serving_default")]
    assert [tensor.name.split("_default_")[1].split(":")[0] for tensor in found.inputs] == roles(
        text_file, "serving_default"
    )
    english, german = ("negative", "neutral", "positive"), ("negativ", "neutral", "positiv")
    assert metadata.labels == {(0, ""): english, (0, "de"): german} and metadata.missing == ()
    assert set(metadata.files) == {"labels.txt", "labels_de.txt", "vocab.txt"}
    assert sum(found.sizes.values()) == len(text_file) and found.custom == ()


def test_image_metadata_tells_how_pixels_become_inputs(tmp_path: Path, image_classifier):
    found = contents(export(image_classifier, tmp_path) / "model.tflite").metadata
    assert found is not None and found.normalization == {"image": ([0.0], [1.0])} and found.parser == "1.0.0"
    assert found.labels == {(0, ""): ("cat", "dog")}


def test_files_are_stored_and_buffers_aligned(text_file: bytes):
    from ai_edge_litert import schema_py_generated as schema

    with zipfile.ZipFile(io.BytesIO(text_file)) as archive:
        assert all(each.compress_type == zipfile.ZIP_STORED for each in archive.infolist())
        assert {each.date_time for each in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    root = schema.Model.GetRootAs(text_file, 0)
    for index in range(root.BuffersLength()):
        data = root.Buffers(index).DataAsNumpy()
        if isinstance(data, np.ndarray):
            start = np.frombuffer(text_file, np.uint8).__array_interface__["data"][0]
            assert (data.__array_interface__["data"][0] - start) % 16 == 0


def test_attaching_again_replaces_the_old(text_file: bytes):
    metadata = _metadata.text("other", ["ids", "mask", "segment_ids"], _metadata.scores({"": "labels.txt"}))
    once = _metadata.attach(text_file, metadata, {"labels.txt": b"a\nb\n"})
    assert once == _metadata.attach(text_file, metadata, {"labels.txt": b"a\nb\n"}), "equal bytes"
    found = contents(once).metadata
    assert found is not None and found.name == "other" and found.labels == {(0, ""): ("a", "b")}


def test_each_output_has_its_own_labels_and_a_missing_file_is_a_line(text_file: bytes):
    """As in files of others: two heads, a detector, whose labels are those of values, and a file that is not packed."""

    def output(name: str, file: str | None = None, kind: int = 2) -> Table:
        return Table({0: name, 6: None if file is None else [Table({0: file, 2: Byte(kind)})]})

    outputs = [output("colour", "colours.txt"), output("shape", "shapes.txt"), output("place"), output("", "kinds", 3)]
    metadata = _metadata._model("others", [Table({0: "ids"})], [*outputs, output("rest", "rest.txt")], "1.0.0")
    files = {"colours.txt": b"red\ngreen\n", "shapes.txt": b"round\n", "kinds": b"cat\ndog\n"}
    made = contents(_metadata.attach(text_file, metadata, files))
    assert made.metadata is not None and made.metadata.missing == ("rest.txt",)
    assert made.metadata.labels == {(0, ""): ("red", "green"), (1, ""): ("round",), (3, ""): ("cat", "dog")}
    printed = list(lines(made))
    for line in (
        "  2 labels of colour: red, green",
        "  1 labels of shape: round",
        "  2 labels of output 3: cat, dog",
        "  file rest.txt: named, but not there",
    ):
        assert line in printed


def test_tables_are_read_as_written():
    table = Table({0: "name", 1: Byte(4), 3: [1.5, -2.0], 4: [Table({0: "inner"})], 6: Table()})
    found = Reader(written(table, b"M001"))
    assert (found.string(0), found.byte(1), found.floats(3)) == ("name", 4, [1.5, -2.0])
    assert [each.string(0) for each in found.tables(4)] == ["inner"]
    assert found.table(5) is None and found.table(6) is not None and found.tables(9) == [] and found.string(9) == ""


def test_a_damaged_file_is_read_or_refused_and_nothing_else(text_file: bytes):
    draw = np.random.default_rng(0)
    with pytest.raises(BundleError, match="no TFLite file"):
        contents(b"\0" * 100)
    for size in draw.integers(0, len(text_file), 40):
        _read_or_refuse(text_file[:size])
    for _ in range(200):
        damaged = bytearray(text_file)
        for at in draw.integers(0, len(damaged), 8):
            damaged[at] ^= 1 << int(draw.integers(8))
        _read_or_refuse(bytes(damaged))


def _read_or_refuse(damaged: bytes) -> None:
    try:
        contents(damaged)
    except BundleError:
        return


def test_a_small_file_cannot_take_all_memory(text_file: bytes):
    """Ten thousand locales name one file; a table stands in a vector a million times over."""
    many = {f"x{number}": "labels.txt" for number in range(10_000)}
    metadata = _metadata.text("many", ["ids", "mask", "segment_ids"], _metadata.scores(many))
    found = contents(_metadata.attach(text_file, metadata, {"labels.txt": b"a\n" * 100_000})).metadata
    assert found is not None and len({id(names) for names in found.labels.values()}) == 1, "read once"
    one = Table({0: "x"})
    bomb = _metadata.attach(text_file, written(Table({3: [Table({2: [one] * 1_100_000})]}), b"M001"), {})
    with pytest.raises(BundleError, match="made to take all memory"):
        contents(bomb)
    with pytest.raises(BundleError, match="cannot be read"):
        contents("no such file.tflite")


def test_metadata_is_for_vocabularies_without_capitals(tmp_path: Path, text_classifier, monkeypatch):
    preprocessor = text_classifier.preprocessor
    config = preprocessor.config() | {"lowercase": False}
    monkeypatch.setattr(type(preprocessor), "config", lambda self: config)
    assert contents(export(text_classifier, tmp_path) / "model.tflite").metadata is None
    with pytest.raises(ConfigError, match="MediaPipe cannot make this model's inputs"):
        export(text_classifier, tmp_path / "other", label_names={"de": ["a", "b", "c"]})


def test_inspect_prints_it(tmp_path: Path, text_file: bytes):
    (tmp_path / "model.tflite").write_bytes(text_file)
    ran = CliRunner().invoke(app, ["inspect", str(tmp_path / "model.tflite"), "--tensors"])
    assert ran.exit_code == 0, ran.output
    printed = ran.output
    for line in (
        "signature serving_default: padding_mask, segment_ids, token_ids -> scores",
        "custom operators: none, the file runs on LiteRT as it is",
        "  3 labels (de): negativ, neutral, positiv",
        "  file vocab.txt: 501 bytes",
    ):
        assert line in printed.splitlines()
    assert next(lines(contents(text_file))) == "inputs:"
