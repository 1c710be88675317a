"""What a TFLite file says about itself; a damaged one is refused, whatever was damaged."""

from __future__ import annotations

import dataclasses
import io
import os
import zipfile
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from typer.testing import CliRunner

from tfvertical.cli import app
from tfvertical.errors import BundleError, ConfigError
from tfvertical.export import _metadata, export
from tfvertical.export._tables import Byte, Float, Table, Unsigned, written
from tfvertical.runtime.contents import Contents, Metadata, Quantization, Tensor, contents, roles
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
    assert metadata.tokenizers == {"BERT": ("vocab.txt",)} and "  tokenizer BERT: vocab.txt" in lines(found)
    assert sum(found.sizes.values()) == len(text_file) and found.custom == ()


def test_image_metadata_tells_how_pixels_become_inputs(tmp_path: Path, image_classifier):
    found = contents(export(image_classifier, tmp_path) / "model.tflite").metadata
    assert found is not None and found.normalization == {"image": ([0.0], [1.0])} and found.parser == "1.0.0"
    assert found.labels == {(0, ""): ("cat", "dog")} and found.images == {"image": (32, 32)}


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


def test_what_the_metadata_of_others_says_is_shown(text_file: bytes):
    """Who made it, under which licence, and what MediaPipe does before and after the model."""
    pattern = Table({0: Byte(6), 1: Table({0: "[^a-z]+", 1: [Table({0: "words.txt", 2: Byte(5)})]})})
    size = Table({0: Byte(2), 1: Table({1: Table({0: Unsigned(320), 1: Unsigned(240)})})})
    normal = Table({0: Byte(1), 1: Table({0: [127.5] * 6, 1: [0.1] * 3})})
    inputs = [Table({0: "image", 3: size, 4: [normal]}), Table({0: "words", 4: [pattern]})]
    outputs = [Table({0: "place"}), Table({0: "score", 4: [Table({0: Byte(3), 1: Table({0: Float(0.3)})})]})]
    told = {0: "finder", 1: "Finds things.", 2: "v2", 4: "Somebody", 5: "Apache-2.0", 7: "1.0.0"}
    model = _metadata.attach(text_file, written(Table(told | {3: [Table({2: inputs, 3: outputs})]}), b"M001"), {})
    printed = list(lines(contents(model)))
    start = printed.index("metadata: finder, parser 1.0.0 or newer")
    assert printed[start + 1 :] == [
        "  description: Finds things.",
        "  version: v2",
        "  author: Somebody",
        "  license: Apache-2.0",
        "  inputs image, words; outputs place, score",
        "  image: a picture, 240 x 320 pixels",
        "  image: (pixel - [127.5, 127.5, 127.5, 127.5, 127.5, …]) / [0.100000001, 0.100000001, 0.100000001]",
        "  tokenizer regular expression: words.txt",
        "  score: scores below 0.300000012 are left out",
        "  file words.txt: named, but not there",
    ]
    bare = contents(_metadata.attach(text_file, written(Table({0: "bare", 2: "v1"}), b"M001"), {})).metadata
    assert bare is not None and (bare.name, bare.version, bare.inputs) == ("bare", "v1", ())


HOSTILE = "\x1b[2Jclear\ncustom operators: none\u202e\u2028" + "x" * 1_000


def test_no_string_of_a_file_moves_the_terminal_or_forges_a_line():
    tensor = Tensor(HOSTILE, (1, -1), "FLOAT32", 0, 0)
    several = {HOSTILE: 1}
    metadata = Metadata(
        *(HOSTILE,) * 2,
        *((HOSTILE, HOSTILE),) * 2,
        normalization={HOSTILE: ([0.0], [1.0])},
        labels={(0, HOSTILE): (HOSTILE,)},
        files=several,
        missing=(HOSTILE,),
        description=HOSTILE,
        license=HOSTILE,
        images={HOSTILE: (1, 1)},
        tokenizers={"BERT": (HOSTILE,)},
        thresholds={1: 0.5},
    )
    signatures = {HOSTILE: ((HOSTILE,), (HOSTILE,))}
    found = Contents((tensor,), (tensor,), (tensor,), several, (HOSTILE,), signatures, {"graph": 1}, metadata)
    for line in lines(found, tensors=True):
        assert line.isprintable() and len(line) < 1_000
    found = dataclasses.replace(found, custom=("none, the file runs on LiteRT as it is",), operators={})
    assert "custom operators: 'none, the file runs on LiteRT as it is': a phone needs them built in" in lines(found)


def test_quantization_is_told_in_full():
    by_channel = Quantization(np.float32([0.1, 0.25, 1e-6, 4]), np.int64([0, 3, -1, 0]), 3)
    whole = Quantization(np.float32([1 / 255]), np.int64([-128]), 0)
    tensors = [Tensor("a", (2,), "INT8", 8, 4, by_channel), Tensor("b", (2,), "INT8", 0, 1, whole)]
    tensors.append(Tensor("c", (2,), "INT8", 0, 2, Quantization(np.float32([1, 2]), np.int64([0, 0]), 0)))
    found = Contents((tensors[1],), (), tuple(tensors), {}, (), {}, {"graph": 1}, None)
    printed = list(lines(found, tensors=True))
    assert printed[1] == "  b: int8 2, scale 0.003921569, zero point -128"
    assert printed[-3] == "  a: int8 2, 8 bytes, 4 scales on axis 3: 0.1, 0.25, 1e-06, …, zero points 0, 3, -1, …"
    assert printed[-1] == "  c: int8 2, 2 scales on axis 0: 1.0, 2.0, zero points 0"


@pytest.mark.parametrize("name", ["/dev/zero", "pipe", "huge.tflite"])
def test_what_is_no_model_is_not_read(tmp_path: Path, name: str):
    os.mkfifo(tmp_path / "pipe")
    with open(tmp_path / "huge.tflite", "wb") as file:
        file.truncate(2**31 + 1)
    with pytest.raises(BundleError, match=r"at most 2 GiB" if name == "huge.tflite" else "no regular file"):
        contents(tmp_path / name)


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


def repeated(path: list[int], name: int, beside: list[int], identifier: bytes) -> bytes:
    """Vectors within each other, at the slots of `path`: the innermost names one table of a long name 64 times."""
    builder = flatbuffers.Builder(0)

    def table(slots: dict[int, int]) -> int:
        builder.StartObject(8)
        for slot, offset in slots.items():
            builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        return builder.EndObject()

    def vector(offset: int, count: int = 1) -> int:
        builder.StartVector(4, count, 4)
        for _ in range(count):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()

    at = vector(table({name: builder.CreateString("x" * 2**20)}), 64)
    for slot in reversed(path[1:]):
        at = vector(table({slot: at}))
    builder.Finish(table({path[0]: at} | {slot: vector(table({})) for slot in beside}), identifier)
    return bytes(builder.Output())


@pytest.mark.parametrize(
    ("path", "name", "beside"),
    [([1], 1, []), ([7, 0], 0, [2]), ([7], 2, [2]), ([6], 0, [2]), ([2, 0], 3, [4])],
    ids=["custom operators", "inputs of a signature", "signatures", "metadata", "tensors"],
)
def test_a_name_that_many_share_is_not_read_for_each(path: list[int], name: int, beside: list[int]):
    with pytest.raises(BundleError, match="made to take all memory"):
        contents(repeated(path, name, beside, b"TFL3"))


def test_a_name_that_many_parts_of_the_metadata_share_is_not_read_for_each(text_file: bytes):
    with pytest.raises(BundleError, match="made to take all memory"):
        contents(_metadata.attach(text_file, repeated([3, 2], 0, [], b"M001"), {}))


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
