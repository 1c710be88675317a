"""Run a TFLite file by the names of its signature, with NumPy and ai-edge-litert alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical.errors import DataError, MissingPackageError


class LiteRT:
    """A TFLite file with one signature.

    Inputs are bound by name: converters reorder them, and a wrong order is silent garbage.

    Args:
        model: the path of a `.tflite` file, or its bytes.
        threads: of the interpreter.

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
        (key,) = self._interpreter.get_signature_list()
        self._run = self._interpreter.get_signature_runner(key)
        details = self._run.get_input_details()
        self.inputs = {name: (tuple(map(int, d["shape"])), np.dtype(d["dtype"])) for name, d in details.items()}
        self._steps = {name: d["quantization"] for name, d in details.items()}
        self._output_steps = {name: d["quantization"] for name, d in self._run.get_output_details().items()}

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs by name. Inputs that the file does not use may be given as well.

        Args:
            inputs: name -> array of the very shape in `self.inputs`; numbers also where the file has integers for them.

        Raises:
            DataError: an input is missing or has another shape.
        """
        bound = {}
        for name, (shape, dtype) in self.inputs.items():
            if name not in inputs:
                raise DataError(f"The model's input {name!r} is missing.", received=", ".join(sorted(inputs)))
            bound[name] = np.ascontiguousarray(_quantized(inputs[name], self._steps[name], dtype))
            if bound[name].shape != shape:
                raise DataError(f"Input {name!r}.", expected=f"shape {shape}", received=f"{bound[name].shape}")
        found = self._run(**bound)
        return {name: _number(value, self._output_steps[name]) for name, value in found.items()}


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
