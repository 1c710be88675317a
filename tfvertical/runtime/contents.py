"""What a TFLite file says about itself, read without running it and without TensorFlow."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical.errors import BundleError, MissingPackageError, nearest_paths
from tfvertical.runtime.tables import Budget, Reader, text

ENTRY = "TFLITE_METADATA"
_LABELS = (2, 3)  # AssociatedFileType: of the places of an axis; of the values, as of a detector's categories
_NORMALIZATION, _THRESHOLD = 1, 3  # ProcessUnitOptions
_TOKENIZERS = {4: ("BERT", (0,)), 5: ("SentencePiece", (0, 1)), 6: ("regular expression", (1,))}  # and slots of files
_IMAGE = 2  # ContentProperties
_MOST_TEXT = 2**20  # bytes of a file of label names
_MOST_BYTES = 2**31  # of a model; TFLite's offsets reach no further
_MOST_FILES, _MOST_UNPACKED = 100, 64 * 2**20  # of the ZIP


@dataclass(frozen=True)
class Quantization:
    """How a tensor's integers stand for numbers: `scale * (integer - zero point)`.

    Args:
        scales: float32, one of the whole tensor or one a channel.
        zero_points: int64, as many.
        axis: of the channels; it says nothing where there is one scale.
    """

    scales: np.ndarray
    zero_points: np.ndarray
    axis: int


@dataclass(frozen=True)
class Tensor:
    """Args:
    name: in the file.
    shape: -1 where it is free.
    dtype: `FLOAT32`, `INT8` …
    bytes: of constant data; 0 for what is computed.
    scales: how many quantization scales it has; 0 for none, more than one for one a channel.
    quantization: None where it has none.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    scales: int
    quantization: Quantization | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Metadata:
    """What MediaPipe Tasks reads.

    Args:
        name: of the model.
        parser: least version of the metadata parser.
        inputs, outputs: names, in the order of the file's tensors.
        normalization: input name -> mean and standard deviation of pixels.
        labels: number of the output (names may be missing, or stand twice) and locale -> label names.
        files: name -> bytes, of what is kept in the file.
        missing: names of files with labels, and of tokenizers, that are not there.
        description, version, author, license: as they were written.
        images: input name -> height and width.
        tokenizers: kind -> names of its files.
        thresholds: number of the output -> least score that it tells.
    """

    name: str
    parser: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    normalization: Mapping[str, tuple[list[float], list[float]]] = field(default_factory=dict)
    labels: Mapping[tuple[int, str], tuple[str, ...]] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    description: str = ""
    version: str = ""
    author: str = ""
    license: str = ""
    images: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    tokenizers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    thresholds: Mapping[int, float] = field(default_factory=dict)


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
        BundleError: it is none, larger than 2 GiB, or damaged.
        MissingPackageError: ai-edge-litert is not installed.
    """
    content = model if isinstance(model, bytes) else _read(Path(model))
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


def _read(path: Path) -> bytes:
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):  # a pipe or device may never end
            raise BundleError(f"{path} is no regular file.", expected="a .tflite file")
        if found.st_size > _MOST_BYTES:
            raise BundleError(
                f"{path} is no TFLite file.", expected="at most 2 GiB", received=f"{found.st_size / 2**30:.1f} GiB"
            )
        return path.read_bytes()
    except BundleError:
        raise
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}.", nearest=nearest_paths(path)) from error


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
    schema, budget = _schema(), Budget()

    def every(item: Any, count: int) -> list[Any]:
        budget.spend(count)
        return [item(index) for index in range(count)]

    root = schema.Model.GetRootAs(content, 0)
    sizes = [buffer.DataLength() for buffer in every(root.Buffers, root.BuffersLength())]
    if any(not 0 <= size <= len(content) for size in sizes):
        raise ValueError("a buffer larger than the file")
    dtypes = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
    graphs = every(root.Subgraphs, root.SubgraphsLength())
    raw = [every(graph.Tensors, graph.TensorsLength()) for graph in graphs]
    found = [[_tensor(each, dtypes, sizes, budget) for each in tensors] for tensors in raw]
    names = _operator_names(schema, every(root.OperatorCodes, root.OperatorCodesLength()), budget)
    used = Counter(
        names[operator.OpcodeIndex()][0]
        for graph in graphs
        for operator in every(graph.Operators, graph.OperatorsLength())
    )
    parts: Counter[str] = Counter()
    uses = {each.Buffer(): dtypes.get(each.Type(), "?") for tensors in raw for each in tensors}
    for buffer, dtype in uses.items():
        if sizes[buffer]:
            parts[f"{dtype.lower()} constants"] += sizes[buffer]
    metadata = _metadata(content, every(root.Metadata, root.MetadataLength()), root, budget)
    if metadata is not None and metadata.files:
        parts["files"] = sum(metadata.files.values())
    return Contents(
        tuple(found[0][index] for index in every(graphs[0].Inputs, graphs[0].InputsLength())),
        tuple(found[0][index] for index in every(graphs[0].Outputs, graphs[0].OutputsLength())),
        tuple(tensor for tensors in found for tensor in tensors),
        dict(used.most_common()),
        tuple(name for name, custom in names if custom),
        dict(_signature(each, every, budget) for each in every(root.SignatureDefs, root.SignatureDefsLength())),
        dict(parts) | {"graph": len(content) - sum(parts.values())},
        metadata,
    )


def _tensor(tensor: Any, dtypes: Mapping[int, str], sizes: list[int], budget: Budget) -> Tensor:
    free = bool(tensor.ShapeSignatureLength())
    count = tensor.ShapeSignatureLength() if free else tensor.ShapeLength()
    name = text(tensor.Name() or b"", budget)
    budget.spend(count)
    quantization = _quantization(tensor.Quantization(), budget)
    return Tensor(
        name,
        tuple(int((tensor.ShapeSignature if free else tensor.Shape)(axis)) for axis in range(count)),
        dtypes.get(tensor.Type(), str(tensor.Type())),
        sizes[tensor.Buffer()],
        0 if quantization is None else quantization.scales.size,
        quantization,
    )


def _quantization(found: Any, budget: Budget) -> Quantization | None:
    if found is None or not found.ScaleLength():
        return None
    count, zeros = found.ScaleLength(), found.ZeroPointLength()
    budget.spend((count + zeros) // 16)  # many tensors may share one vector, and each has a copy
    if zeros not in (0, 1, count):
        raise ValueError(f"{zeros} zero points for {count} scales")
    zero_points = np.array(found.ZeroPointAsNumpy()) if zeros else np.zeros(1, np.int64)
    return Quantization(
        np.array(found.ScaleAsNumpy()), np.broadcast_to(zero_points, count), int(found.QuantizedDimension())
    )


def _operator_names(schema: Any, codes: Sequence[Any], budget: Budget) -> list[tuple[str, bool]]:
    builtin = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    found = []
    for code in codes:
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if code.CustomCode() or number == schema.BuiltinOperator.CUSTOM:
            found.append((text(code.CustomCode() or b"custom operator without a name", budget), True))
        else:
            found.append((builtin.get(number, str(number)), False))
    return found


def _signature(signature: Any, every: Any, budget: Budget) -> tuple[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    inputs = tuple(text(each.Name(), budget) for each in every(signature.Inputs, signature.InputsLength()))
    outputs = tuple(text(each.Name(), budget) for each in every(signature.Outputs, signature.OutputsLength()))
    return text(signature.SignatureKey(), budget), (inputs, outputs)


def _metadata(content: bytes, entries: Sequence[Any], root: Any, budget: Budget) -> Metadata | None:
    for entry in entries:
        if text(entry.Name() or b"", budget) == ENTRY:
            buffer = root.Buffers(entry.Buffer())
            if not buffer.DataLength():
                return None
            return _read_metadata(Reader(buffer.DataAsNumpy().tobytes(), budget=budget), content)
    return None


def _read_metadata(root: Reader, content: bytes) -> Metadata:
    graphs = root.tables(3)
    inputs, outputs = (graphs[0].tables(2), graphs[0].tables(3)) if graphs else ([], [])
    normalization = {
        each.string(0): (options.floats(0), options.floats(1))
        for each in inputs
        for kind, options in _units(each.tables(4))
        if kind == _NORMALIZATION
    }
    thresholds = {
        number: options.number(0)
        for number, each in enumerate(outputs)
        for kind, options in _units(each.tables(4))
        if kind == _THRESHOLD
    }
    tokenizers: dict[str, tuple[str, ...]] = {}
    before = [unit for each in inputs for unit in each.tables(4)] + (graphs[0].tables(5) if graphs else [])
    for kind, options in _units(before):
        if kind in _TOKENIZERS:
            name, slots = _TOKENIZERS[kind]
            tokenizers[name] = tuple(file.string(0) for slot in slots for file in options.tables(slot))
    named = {
        (number, file.string(3)): file.string(0)
        for number, each in enumerate(outputs)
        for file in each.tables(6)
        if file.byte(2) in _LABELS
    }
    files, texts = _files(content, set(named.values()))
    absent = [name for name in named.values() if name not in texts]
    absent += [name for several in tokenizers.values() for name in several if name not in files]
    return Metadata(
        root.string(0),
        root.string(7),
        tuple(each.string(0) for each in inputs),
        tuple(each.string(0) for each in outputs),
        normalization,
        {place: texts[name] for place, name in named.items() if name in texts},
        files,
        tuple(dict.fromkeys(absent)),
        description=root.string(1),
        version=root.string(2),
        author=root.string(4),
        license=root.string(5),
        images={each.string(0): found for each in inputs if (found := _image(each)) is not None},
        tokenizers=tokenizers,
        thresholds=thresholds,
    )


def _units(units: Sequence[Reader]) -> list[tuple[int, Reader]]:
    """The kind and the options of what is done before or after a model."""
    return [(unit.byte(0), options) for unit in units if (options := unit.table(1)) is not None]


def _image(tensor: Reader) -> tuple[int, int] | None:
    """Height and width, if it is told to be a picture of one size."""
    content = tensor.table(3)
    properties = content.table(1) if content is not None and content.byte(0) == _IMAGE else None
    size = properties.table(1) if properties is not None else None
    return None if size is None else (size.unsigned(1), size.unsigned(0))


def _files(content: bytes, wanted: set[str]) -> tuple[dict[str, int], dict[str, tuple[str, ...]]]:
    """Name and size of what stands in the ZIP behind the model; the lines of what is wanted, of a megabyte at most."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return {}, {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        if len(entries) > _MOST_FILES or sum(each.file_size for each in entries) > _MOST_UNPACKED + len(content):
            raise BundleError("The ZIP behind the model is damaged, or made to take all memory.")
        texts = {}
        for each in entries:
            if each.filename in wanted:
                with archive.open(each) as file:
                    texts[each.filename] = tuple(file.read(_MOST_TEXT).decode("utf-8", "replace").splitlines())
        return {each.filename: each.file_size for each in entries}, texts


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
