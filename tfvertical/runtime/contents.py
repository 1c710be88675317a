"""What a TFLite file says about itself, read without running it and without TensorFlow."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfvertical.errors import BundleError, MissingPackageError
from tfvertical.runtime.tables import Reader

ENTRY = "TFLITE_METADATA"
_MOST_TEXT = 2**20  # bytes of a file of label names


@dataclass(frozen=True)
class Tensor:
    """Args:
    name: in the file.
    shape: -1 where it is free.
    dtype: `FLOAT32`, `INT8` …
    bytes: of constant data; 0 for what is computed.
    scales: how many quantization scales it has; 0 for none, more than one for one a channel.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    scales: int


@dataclass(frozen=True)
class Metadata:
    """What MediaPipe Tasks reads.

    Args:
        name: of the model.
        parser: least version of the metadata parser.
        inputs, outputs: names, in the order of the file's tensors.
        normalization: input name -> mean and standard deviation of pixels.
        labels: locale -> label names.
        files: name -> bytes, of what is kept in the file.
    """

    name: str
    parser: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    normalization: Mapping[str, tuple[list[float], list[float]]] = field(default_factory=dict)
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Contents:
    """Args:
    inputs, outputs: of the first subgraph.
    tensors: all, of all subgraphs.
    operators: name -> how often; custom ones by their own name.
    custom: names of operators that are not built in (`FlexErf`).
    signatures: key -> (input names, output names).
    sizes: bytes by what they are for: constants by dtype, files, metadata, and the rest (the graph).
    metadata: None if the file has none.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    tensors: tuple[Tensor, ...]
    operators: Mapping[str, int]
    custom: tuple[str, ...]
    signatures: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    sizes: Mapping[str, int]
    metadata: Metadata | None


def contents(model: bytes | str | Path) -> Contents:
    """Parse a TFLite file.

    Args:
        model: the file's path or its bytes.

    Raises:
        BundleError: it is none, or it is damaged.
        MissingPackageError: ai-edge-litert is not installed.
    """
    content = model if isinstance(model, bytes) else Path(model).read_bytes()
    if content[4:8] != b"TFL3":
        raise BundleError("This is no TFLite file.", expected="'TFL3' at byte 4", received=repr(content[4:8]))
    try:
        return _parsed(content)
    except (BundleError, MissingPackageError):
        raise
    except Exception as error:  # struct.error, IndexError, TypeError …: FlatBuffers checks nothing
        raise BundleError(
            "The TFLite file is cut short or damaged.", received=f"{type(error).__name__}: {error}"[:200]
        ) from error


def roles(model: bytes, key: str) -> list[str]:
    """The signature's name of each input of its subgraph, in the order of the file's tensors."""
    root = _schema().Model.GetRootAs(model, 0)
    for signature in _all(root.SignatureDefs, root.SignatureDefsLength()):
        if signature.SignatureKey().decode() == key:
            maps = _all(signature.Inputs, signature.InputsLength())
            names = {entry.TensorIndex(): entry.Name().decode() for entry in maps}
            graph = root.Subgraphs(signature.SubgraphIndex())
            return [names[index] for index in graph.InputsAsNumpy().tolist()]
    raise BundleError(f"The TFLite file has no signature {key!r}.")


def _parsed(content: bytes) -> Contents:
    schema = _schema()
    root = schema.Model.GetRootAs(content, 0)
    sizes = [buffer.DataLength() for buffer in _all(root.Buffers, root.BuffersLength())]
    if any(not 0 <= size <= len(content) for size in sizes):
        raise ValueError("a buffer larger than the file")
    dtypes = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
    graphs = _all(root.Subgraphs, root.SubgraphsLength())
    found = [[_tensor(each, dtypes, sizes) for each in _all(graph.Tensors, graph.TensorsLength())] for graph in graphs]
    names = _operator_names(schema, root)
    used = Counter(
        names[operator.OpcodeIndex()][0]
        for graph in graphs
        for operator in _all(graph.Operators, graph.OperatorsLength())
    )
    by_type: Counter[str] = Counter()
    for dtype, size in _constants(root, graphs, dtypes, sizes):
        by_type[f"{dtype.lower()} constants"] += size
    metadata = _metadata(content, root)
    parts = dict(by_type) | ({} if metadata is None else {"files": sum(metadata.files.values())})
    return Contents(
        tuple(found[0][index] for index in graphs[0].InputsAsNumpy()),
        tuple(found[0][index] for index in graphs[0].OutputsAsNumpy()),
        tuple(tensor for tensors in found for tensor in tensors),
        dict(used.most_common()),
        tuple(name for name, custom in names if custom),
        dict(_signature(each) for each in _all(root.SignatureDefs, root.SignatureDefsLength())),
        parts | {"graph": len(content) - sum(parts.values())},
        metadata,
    )


def _tensor(tensor: Any, dtypes: Mapping[int, str], sizes: list[int]) -> Tensor:
    shape = tensor.ShapeSignatureAsNumpy() if tensor.ShapeSignatureLength() else tensor.ShapeAsNumpy()
    quantization = tensor.Quantization()
    return Tensor(
        (tensor.Name() or b"").decode(),
        tuple(int(size) for size in shape) if tensor.ShapeLength() else (),
        dtypes.get(tensor.Type(), str(tensor.Type())),
        sizes[tensor.Buffer()],
        0 if quantization is None else quantization.ScaleLength(),
    )


def _constants(root: Any, graphs: list[Any], dtypes: Mapping[int, str], sizes: list[int]) -> list[tuple[str, int]]:
    """`(dtype, bytes)` of each buffer that a tensor uses, once."""
    uses = {
        tensor.Buffer(): dtypes.get(tensor.Type(), "?")
        for graph in graphs
        for tensor in _all(graph.Tensors, graph.TensorsLength())
    }
    return [(dtype, sizes[buffer]) for buffer, dtype in sorted(uses.items()) if sizes[buffer]]


def _operator_names(schema: Any, root: Any) -> list[tuple[str, bool]]:
    builtin = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    found = []
    for code in _all(root.OperatorCodes, root.OperatorCodesLength()):
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if code.CustomCode() or number == schema.BuiltinOperator.CUSTOM:
            found.append(((code.CustomCode() or b"custom operator without a name").decode(), True))
        else:
            found.append((builtin.get(number, str(number)), False))
    return found


def _signature(signature: Any) -> tuple[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    inputs = tuple(each.Name().decode() for each in _all(signature.Inputs, signature.InputsLength()))
    outputs = tuple(each.Name().decode() for each in _all(signature.Outputs, signature.OutputsLength()))
    return signature.SignatureKey().decode(), (inputs, outputs)


def _metadata(content: bytes, root: Any) -> Metadata | None:
    for entry in _all(root.Metadata, root.MetadataLength()):
        if (entry.Name() or b"").decode() == ENTRY:
            buffer = root.Buffers(entry.Buffer())
            if not buffer.DataLength():
                return None
            return _read_metadata(buffer.DataAsNumpy().tobytes(), _files(content))
    return None


def _read_metadata(buffer: bytes, files: Mapping[str, bytes]) -> Metadata:
    root = Reader(buffer)
    (graph, *_) = root.tables(3) or [Reader(buffer)]
    inputs, outputs = graph.tables(2), graph.tables(3)
    normalization = {
        each.string(0): (options.floats(0), options.floats(1))
        for each in inputs
        for unit in each.tables(4)
        if unit.byte(0) == 1 and (options := unit.table(1)) is not None
    }
    labels = {
        file.string(3): tuple(_text(files, file.string(0)).splitlines())
        for each in outputs
        for file in each.tables(6)
        if file.byte(2) == 2
    }
    return Metadata(
        root.string(0),
        root.string(7),
        tuple(each.string(0) for each in inputs),
        tuple(each.string(0) for each in outputs),
        normalization,
        labels,
        {name: len(data) for name, data in files.items()},
    )


def _text(files: Mapping[str, bytes], name: str) -> str:
    if name not in files:
        raise BundleError(f"The metadata names a file {name!r} that is not there.", received=", ".join(files))
    return files[name][:_MOST_TEXT].decode("utf-8")


def _files(content: bytes) -> dict[str, bytes]:
    """What stands in the ZIP behind the model. Stored files are no larger than the model file; others are not read."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            stored = [each for each in archive.infolist() if each.compress_type == zipfile.ZIP_STORED]
            return {each.filename: archive.read(each) for each in stored if each.file_size <= len(content)}
    except zipfile.BadZipFile:
        return {}


def _all(item: Any, count: int) -> list[Any]:
    return [item(index) for index in range(count)]


def _schema() -> Any:
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise MissingPackageError(
            "Reading a TFLite file needs ai-edge-litert.", fix="pip install 'tfvertical[litert]'"
        ) from error
    return schema_py_generated
