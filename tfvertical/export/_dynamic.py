"""Weights in int8 with exceptions: which layers must keep theirs in float so that a file keeps what the model knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

from tfvertical.export._packing import packed, unpacked
from tfvertical.export._selective import cut, weights

_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")  # the second input of each is its weights


@dataclass(frozen=True)
class _Layer:
    """A layer with weights in int8.

    Args:
        name: of its output.
        buffer: number of its weights' buffer.
        values: the weights in float, as bytes.
    """

    name: str
    buffer: int
    values: np.ndarray


class Dynamic:
    """Files of one model in dynamic range, each with other layers in float.

    Such a layer takes and gives float numbers as it is: its weights' buffer and their type are all that changes, in
    every signature that reads them.

    Args:
        whole: the file with all weights in int8.
        floats: makes the file in float, whose operators have the same names; only called where a layer must change.
    """

    instead = "export in float16"

    def __init__(self, whole: bytes, floats: Callable[[], bytes]):
        self._whole, self._floats = whole, cache(floats)

    def model(self, floats: Sequence[str] = ()) -> bytes:
        """The file in which the layers with these outputs have their weights in float."""
        from ai_edge_litert import schema_py_generated as schema

        if not floats:
            return self._whole
        root, chosen = unpacked(self._whole), {each.buffer: each for each in self._layers if each.name in floats}
        for graph in root.subgraphs:
            for tensor in graph.tensors:
                if tensor.buffer in chosen:
                    tensor.type, tensor.quantization = schema.TensorType.FLOAT32, None
        for number, layer in chosen.items():
            root.buffers[number].data = layer.values
        return packed(root)

    def nearer(self, model: bytes) -> bytes:
        """The same: nothing is known that would bring it nearer to the float file at no cost."""
        return model

    def groups(self) -> list[list[str]]:
        """Outputs of the layers that can change, in the order of computation, cut into parts."""
        return cut([layer.name for layer in self._layers])

    def too_large(self, model: bytes) -> bool:
        """Whether its weights take more than they would in float16."""
        return weights(model) > weights(self._floats()) / 2

    @cached_property
    def _layers(self) -> list[_Layer]:
        root = unpacked(self._whole)
        in_float = {name: values for name, _, values in _weighted(unpacked(self._floats()))}
        found, only_weights = _weighted(root), _read_as_weights(root)
        layers = Counter(number for _, number, _ in found)  # of one buffer: their int8 is the same, not their steps
        return [
            _Layer(name, number, in_float[name])
            for name, number, values in found
            if number in only_weights and layers[number] == 1
            if name in in_float and len(in_float[name]) == 4 * len(values)
        ]


def _weighted(root: Any) -> list[tuple[str, int, np.ndarray]]:
    """Output, weights' buffer and its bytes of each layer of the main graph."""
    graph, found = root.subgraphs[0], []
    for operator in graph.operators or ():
        if _kind(root, operator) in _kinds():
            number = graph.tensors[operator.inputs[1]].buffer
            data = root.buffers[number].data
            if data is not None:
                found.append((graph.tensors[operator.outputs[0]].name.decode(), number, np.asarray(data, np.uint8)))
    return found


def _read_as_weights(root: Any) -> set[int]:
    """Buffers that nothing but layers read, as their weights, in any graph."""
    wanted: set[int] = set()
    other: set[int] = set()
    for graph in root.subgraphs:
        for operator in graph.operators or ():
            for place, index in enumerate(() if operator.inputs is None else operator.inputs):
                if index >= 0:
                    right = place == 1 and _kind(root, operator) in _kinds()
                    (wanted if right else other).add(graph.tensors[index].buffer)
    return wanted - other


def _kind(root: Any, operator: Any) -> int:
    return int(root.operatorCodes[operator.opcodeIndex].builtinCode)


def _kinds() -> set[int]:
    from ai_edge_litert import schema_py_generated as schema

    return {getattr(schema.BuiltinOperator, name) for name in _LAYERS}
