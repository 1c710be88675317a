"""Rounding a layer's weights moves the mean of what it puts out; its bias moves the mean back.

Bias correction (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section
4.2): a file in full integers keeps what the model knows with no operator more in float, and no byte more.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tfvertical.runtime.litert import interpreter_class

Inputs = Mapping[str, np.ndarray]  # of one example, by the signature's names


class Biases:
    """Moves the biases of integer files to where the same model in float says.

    Args:
        floats: the file in float, of one signature; its operators have the names of the integer files'.
        examples: model inputs of raw training examples; they are kept.
    """

    def __init__(self, floats: bytes, examples: Iterable[Inputs]):
        self._examples = list(examples)
        self._floats = floats

    def by_weights(self, model: bytes) -> bytes:
        """`model`, each layer's bias corrected for the rounding of its weights, as if its inputs were those in float.

        One run over the examples serves any number of files of a model.
        """
        buffer = bytearray(model)
        values = _interpreter(model)
        for layer in _layers(buffer, integers=True):
            if (known := self._known(layer)) is not None:
                layer.move(-_drift(layer.kind, layer.weights(values) - known.weights, known.input))
        return bytes(buffer)

    def by_outputs(self, model: bytes) -> bytes:
        """`model` with the mean of each layer's output as in float, layer after layer, each behind corrected ones.

        Nearer than `by_weights`, activations' rounding included, and a run over the examples for every layer.
        """
        buffer = bytearray(model)
        for layer in _layers(buffer, integers=True):
            if (known := self._known(layer)) is not None:
                layer.move(known.output - self._means(bytes(buffer), [layer.output])[layer.output])
        return bytes(buffer)

    def _known(self, layer: _Layer) -> _Float | None:
        """The same layer in float."""
        return next((self._expected[name] for name in layer.names if name in self._expected), None)

    @cached_property
    def _expected(self) -> dict[bytes, _Float]:
        """What the float file's layers have and compute, by the names of their outputs."""
        layers = _layers(bytearray(self._floats), integers=False)
        means = self._means(self._floats, [at for layer in layers for at in (layer.input, layer.output)])
        values = _interpreter(self._floats)
        return {
            layer.names[0]: _Float(values.get_tensor(layer.weight), means[layer.input], means[layer.output])
            for layer in layers
        }

    def _means(self, model: bytes, tensors: Iterable[int]) -> dict[int, np.ndarray]:
        """Tensor -> the mean over examples and places of each of its channels, as float numbers."""
        interpreter = _interpreter(model)
        details = {each["index"]: each["quantization"] for each in interpreter.get_tensor_details()}
        places = interpreter.get_signature_runner().get_input_details()
        found: dict[int, list[np.ndarray]] = {at: [] for at in tensors}
        for inputs in self._examples:
            for name, place in places.items():
                interpreter.set_tensor(place["index"], _as_taken(inputs[name], place))
            interpreter.invoke()
            for at, means in found.items():
                value = interpreter.get_tensor(at)
                mean = value.reshape(-1, value.shape[-1]).mean(0, dtype=np.float64)
                step, zero = details[at]
                means.append((mean - zero) * step if step else mean)
        return {at: np.mean(means, axis=0) for at, means in found.items()}


@dataclass(frozen=True)
class _Float:
    """A layer in float: its weights, and the means of its input and its output by channel."""

    weights: np.ndarray
    input: np.ndarray
    output: np.ndarray


@dataclass(frozen=True)
class _Layer:
    """An operator with weights and a bias of its own.

    Args:
        names: of its output; in an integer file also that of the DEQUANTIZE behind it.
        kind: the operator's name.
        input: tensor's number; so are `weight` and `output`.
        steps: what one counts in the bias, by channel; empty in float.
        bias: int32 `(channels,)`, in place in the file; its bytes in float.
    """

    names: tuple[bytes, ...]
    kind: str
    input: int
    weight: int
    output: int
    steps: np.ndarray
    bias: np.ndarray

    def weights(self, interpreter: Any) -> np.ndarray:
        """As float numbers."""
        value = interpreter.get_tensor(self.weight)
        details = next(each for each in interpreter.get_tensor_details() if each["index"] == self.weight)
        of = details["quantization_parameters"]
        shape = [1] * value.ndim
        shape[of["quantized_dimension"]] = -1
        return np.asarray(value * of["scales"].reshape(shape), np.float32)

    def move(self, by: np.ndarray) -> None:
        """Add to the bias, in the output's unit."""
        limits = np.iinfo(np.int32)
        self.bias[:] = np.clip(self.bias + np.rint(by / self.steps), limits.min, limits.max).astype(np.int32)


def _drift(kind: str, moved: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """What weights that moved add to the mean of each output, for these means of inputs; borders do not count.

    Args:
        kind: the operator's name.
        moved: `(1, height, width, outputs)` of a depthwise convolution, `(outputs, height, width, inputs of a group)`
            of another, `(outputs, inputs)` of a dense layer.
        inputs: `(channels,)`.
    """
    if kind == "DEPTHWISE_CONV_2D":
        return np.asarray(moved.sum((0, 1, 2)) * inputs.repeat(moved.shape[-1] // len(inputs)))
    if kind == "FULLY_CONNECTED" and moved.shape[1] != len(inputs):  # it takes all places at once
        return np.zeros(len(moved))
    moved = moved.reshape(len(moved), -1, moved.shape[-1]).sum(1)
    groups = len(inputs) // moved.shape[1]
    by_output = inputs.reshape(groups, -1).repeat(len(moved) // groups, axis=0)
    return np.asarray((moved * by_output).sum(1))


def _layers(buffer: bytearray, integers: bool) -> list[_Layer]:
    """The layers of a file, in the order of computation.

    Args:
        buffer: the file.
        integers: those in integers, whose biases can be moved; else those in float. A bias that something else reads
            too is nobody's to move: such layers are left out.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(buffer, 0)
    graph = model.Subgraphs(0)
    kinds = {
        getattr(schema.BuiltinOperator, name): name for name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    }
    operators = [graph.Operators(at) for at in range(graph.OperatorsLength())]
    names: dict[int, list[bytes]] = {}
    for operator in operators:
        names.setdefault(operator.Outputs(0), []).append(graph.Tensors(operator.Outputs(0)).Name())
        if model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode() == schema.BuiltinOperator.DEQUANTIZE:
            names.setdefault(operator.Inputs(0), []).append(graph.Tensors(operator.Outputs(0)).Name())
    found, readers = [], _readers(model)
    for operator in operators:
        kind = kinds.get(model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode())
        if kind is None or operator.InputsLength() < 3 or operator.Inputs(2) < 0:
            continue
        bias, weight = graph.Tensors(operator.Inputs(2)), graph.Tensors(operator.Inputs(1))
        values = model.Buffers(bias.Buffer()).DataAsNumpy()
        if not isinstance(values, np.ndarray) or not model.Buffers(weight.Buffer()).DataLength():
            continue  # computed, not kept
        of = bias.Quantization()
        whole = bias.Type() == schema.TensorType.INT32 and of is not None and of.ScaleLength() > 0
        if whole != integers or (whole and readers[bias.Buffer()] > 1):
            continue
        found.append(
            _Layer(
                names=tuple(names[operator.Outputs(0)]),
                kind=kind,
                input=operator.Inputs(0),
                weight=operator.Inputs(1),
                output=operator.Outputs(0),
                steps=of.ScaleAsNumpy() if whole else np.zeros(0),
                bias=values.view(np.int32),
            )
        )
    return found


def _readers(model: Any) -> Counter[int]:
    """By buffer, how many inputs of operators it is."""
    graphs = [model.Subgraphs(at) for at in range(model.SubgraphsLength())]
    inputs = [
        graph.Tensors(index).Buffer()
        for graph in graphs
        for operator in (graph.Operators(at) for at in range(graph.OperatorsLength()))
        for index in (operator.Inputs(at) for at in range(operator.InputsLength()))
        if index >= 0
    ]
    return Counter(inputs)


def _interpreter(model: bytes) -> Any:
    """One that lets intermediate values be read: without delegates, which keep theirs to themselves."""
    from ai_edge_litert.interpreter import OpResolverType

    made = interpreter_class()(
        model_content=model,
        num_threads=os.cpu_count(),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    made.allocate_tensors()
    return made


def _as_taken(value: np.ndarray, place: Mapping[str, Any]) -> np.ndarray:
    """An input in the file's own numbers."""
    kind = np.dtype(place["dtype"])
    step, zero = place["quantization"]
    if step and kind.kind in "iu":
        limits = np.iinfo(kind)
        value = np.clip(np.rint(value / step) + zero, limits.min, limits.max)
    return np.asarray(value, kind)
