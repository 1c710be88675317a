"""Run a TFLite file by the names of its signature, with NumPy and ai-edge-litert alone."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical.errors import BundleError, DataError, MissingPackageError


class LiteRT:
    """A TFLite file whose signatures differ in the inputs' shapes only; the one whose shapes are given runs.

    Inputs are bound by name: converters reorder them, and a wrong order is silent garbage. Several threads may call it;
    they take turns.

    Args:
        model: the path of a `.tflite` file, or its bytes.
        threads: of the interpreter.

    Attributes:
        inputs: name -> shape (-1: any size) and dtype.
        outputs: their names.
        output_shapes: name -> shape.

    Raises:
        MissingPackageError: ai-edge-litert is not installed.

    Example:
        >>> run = LiteRT("saved_models/cards/exports/litert-float32/model.tflite")  # doctest: +SKIP
        >>> run({"token_ids": ids, "padding_mask": mask, "segment_ids": segments})["scores"].shape  # doctest: +SKIP
        (1, 77)
    """

    def __init__(self, model: str | Path | bytes, *, threads: int = 1):
        given = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
        self._interpreter = interpreter_class()(**given, num_threads=threads)
        # its tensors hold one call's inputs and outputs, and it lets other threads run while it computes
        self._lock = threading.Lock()
        self._signatures = [
            _Signature(self._interpreter.get_signature_runner(key)) for key in self._interpreter.get_signature_list()
        ]
        if len({frozenset(each.inputs) for each in self._signatures}) != 1:
            raise BundleError(
                "The TFLite file has no signature, or several that take different things.",
                fix="run it with ai_edge_litert.interpreter.Interpreter",
            )
        self._signatures.sort(key=lambda each: each.size)
        self.inputs = self._signatures[-1].inputs
        self.outputs = tuple(self._signatures[-1].outputs)
        self.output_shapes = self._signatures[-1].shapes

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs by name. Inputs that the file does not use may be given as well.

        Args:
            inputs: name -> array of the very shape in `self.inputs` (-1: any size), or of a shorter signature;
                numbers also where the file has integers for them.

        Raises:
            DataError: an input is missing or has another shape.
        """
        for name in self.inputs:
            if name not in inputs:
                raise DataError(f"The model's input {name!r} is missing.", received=", ".join(sorted(inputs)))
        shapes = {name: np.shape(inputs[name]) for name in self.inputs}
        for signature in self._signatures:
            if signature.takes(shapes):
                with self._lock:
                    return signature(inputs)
        raise DataError(
            "The inputs have other shapes than the file takes.",
            expected=" or ".join(_shapes({n: s for n, (s, _) in each.inputs.items()}) for each in self._signatures),
            received=_shapes(shapes),
        )

    @property
    def rows(self) -> int:
        """Of the file's largest table: its tensors of two axes."""
        shapes = (each["shape"] for each in self._interpreter.get_tensor_details())
        return max((int(shape[0]) for shape in shapes if len(shape) == 2), default=0)

    def takes(self, shapes: Mapping[str, tuple[int, ...]]) -> bool:
        """Whether inputs of these shapes can be given; there may be more of them than the file uses."""
        return self.inputs.keys() <= shapes.keys() and any(each.takes(shapes) for each in self._signatures)


class _Signature:
    """One function of the file.

    Args:
        run: the interpreter's runner of it.
    """

    def __init__(self, run: Any):
        self._run = run
        details = run.get_input_details()
        self.inputs = {
            name: (tuple(map(int, each["shape_signature"])), np.dtype(each["dtype"])) for name, each in details.items()
        }
        self.size = sum(abs(int(np.prod(shape))) for shape, _ in self.inputs.values())
        self.steps = {name: each["quantization"] for name, each in details.items()}
        given = run.get_output_details()
        self.outputs = {name: each["quantization"] for name, each in given.items()}
        self.shapes = {name: tuple(map(int, each["shape_signature"])) for name, each in given.items()}

    def takes(self, shapes: Mapping[str, tuple[int, ...]]) -> bool:
        """Whether arrays of these shapes have its own; a size of -1 is any."""
        for name, (shape, _) in self.inputs.items():
            found = shapes[name]
            if len(found) != len(shape) or any(want not in (-1, size) for want, size in zip(shape, found, strict=True)):
                return False
        return True

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        bound = {
            name: np.ascontiguousarray(_quantized(inputs[name], self.steps[name], dtype))
            for name, (_, dtype) in self.inputs.items()
        }
        found = self._run(**bound)
        return {name: _number(value, self.outputs[name]) for name, value in found.items()}


def _shapes(named: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in sorted(named.items()))


def _quantized(values: np.ndarray, quantization: tuple[float, int], dtype: Any) -> np.ndarray:
    """Numbers as the file's integers, where it takes those; a step of 0 means that they are what they are."""
    step, zero = quantization
    if not step:
        return np.asarray(values, dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.round(np.asarray(values, np.float32) / step) + zero, limits.min, limits.max).astype(dtype)


def _number(values: np.ndarray, quantization: tuple[float, int]) -> np.ndarray:
    """float32 numbers from integers with a step; others as they are."""
    step, zero = quantization
    return (values.astype(np.float32) - zero) * np.float32(step) if step else values


def interpreter_class() -> Any:
    """ai-edge-litert's `Interpreter`."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise MissingPackageError(
            "Running a TFLite file needs ai-edge-litert.", fix="pip install 'tfvertical[litert]'"
        ) from error
    return Interpreter
