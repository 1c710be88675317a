"""What MediaPipe Tasks reads in a TFLite file: how inputs are made, what outputs mean, vocabulary and label names.

The schema is TensorFlow Lite's `metadata_schema.fbs` (identifier M001); the numbers below are its field slots and
union members. Files are kept as a ZIP behind the model, stored, with a fixed date: equal models are equal bytes.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfvertical.export._packing import packed, unpacked
from tfvertical.export._tables import Byte, Table, Unsigned, written

IDENTIFIER, ENTRY = b"M001", "TFLITE_METADATA"
_LABELS, _VOCABULARY = 2, 5  # AssociatedFileType
_FEATURE, _IMAGE = 1, 2  # ContentProperties
_NORMALIZATION, _BERT = 1, 4  # ProcessUnitOptions
_RGB = 1  # ColorSpaceType
_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a ZIP can hold


def text(name: str, roles: Sequence[str], output: Table) -> bytes:
    """For a BERT-like model of three int32 inputs.

    Args:
        name: of the model.
        roles: `ids`, `mask` or `segment_ids` of each input, in the file's order.
        output: `scores(…)` or `embedding()`.
    """
    vocabulary = Table({0: "vocab.txt", 2: Byte(_VOCABULARY)})
    tokenizer = Table({0: Byte(_BERT), 1: Table({0: [vocabulary]})})
    inputs = [Table({0: role, 3: _content(_FEATURE, Table())}) for role in roles]
    return _model(name, inputs, [output], "1.1.0", [tokenizer])


def image(name: str, size: tuple[int, int], mean: Sequence[float], std: Sequence[float], output: Table) -> bytes:
    """For a model of one RGB picture.

    Args:
        name: of the model.
        size: height and width in pixels.
        mean, std: what MediaPipe does to a float model's pixels: `(pixel - mean) / std`; empty for an integer model.
        output: `scores(…)` or `embedding()`.
    """
    return _model(name, [_picture(size, mean, std)], [output], "1.0.0")


def scores(label_files: Mapping[str, str]) -> Table:
    """A classifier's output.

    Args:
        label_files: locale (`""` for the file everyone reads) -> its name in the ZIP.
    """
    files = [Table({0: file, 2: Byte(_LABELS), 3: locale or None}) for locale, file in label_files.items()]
    stats = Table({0: [1.0], 1: [0.0]})
    return Table({0: "probability", 3: _content(_FEATURE, Table()), 5: stats, 6: files})


def embedding() -> Table:
    """An embedder's output."""
    return Table({0: "embedding", 3: _content(_FEATURE, Table())})


def _model(name: str, inputs: Sequence[Table], outputs: Sequence[Table], parser: str, units: Any = None) -> bytes:
    graph = Table({2: inputs, 3: outputs, 5: units})
    return written(Table({0: name, 3: [graph], 7: parser}), IDENTIFIER)


def _content(kind: int, properties: Table) -> Table:
    return Table({0: Byte(kind), 1: properties})


def _picture(size: tuple[int, int], mean: Sequence[float], std: Sequence[float]) -> Table:
    height, width = size
    properties = Table({0: Byte(_RGB), 1: Table({0: Unsigned(width), 1: Unsigned(height)})})
    normalization = Table({0: Byte(_NORMALIZATION), 1: Table({0: list(mean), 1: list(std)})})
    units = [normalization] if mean else None
    stats = Table({0: [255.0] * 3, 1: [0.0] * 3})
    return Table({0: "image", 3: _content(_IMAGE, properties), 4: units, 5: stats})


def attach(model: bytes, metadata: bytes, files: Mapping[str, bytes]) -> bytes:
    """The TFLite file with `metadata` in the place of any that it had, and `files` as a ZIP behind it."""
    from ai_edge_litert import schema_py_generated as schema

    root = unpacked(model)
    root.metadata = [entry for entry in root.metadata or () if entry.name != ENTRY.encode()]
    entry = schema.MetadataT()
    entry.name, entry.buffer = ENTRY, len(root.buffers)
    root.metadata.append(entry)
    added = schema.BufferT()
    added.data = np.frombuffer(metadata, np.uint8)
    root.buffers.append(added)
    return packed(root) + _zip(files)


def _zip(files: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), data)
    return content.getvalue()
