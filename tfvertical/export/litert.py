"""LiteRT (TFLite): one fixed-shape file for phones and gateways, run by `tfvertical.runtime`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical.contracts import Exporter, Predict, Task, TextPreprocessor
from tfvertical.errors import ConfigError, ExportError
from tfvertical.export._flatbuffer import contents, refuse_custom
from tfvertical.export._inputs import call, fixed_inputs
from tfvertical.files import write_bytes, write_json

SIGNATURE = "serving_default"


@dataclass(frozen=True)
class LiteRT(Exporter):
    """A `.tflite` file of built-in operators: model inputs by name, batch 1, to `scores`.

    Tokenizing and decoding pictures stay outside, in NumPy; `preprocessing.json` and the assets beside say how.

    Args:
        precision: `"float32"`.
        length: tokens the file takes, special ones included; the preprocessor's own where None. Shorter is faster.

    Raises:
        ConfigError: another precision; a length that is not between 1 and the model's.
        ExportError: a layer that only TensorFlow can run.
        MissingPackageError: ai-edge-litert, which runs the file for the check, is not installed.
    """

    precision: str = "float32"
    length: int | None = None

    def __post_init__(self) -> None:
        if self.precision != "float32":
            raise ConfigError(f"LiteRT has no precision {self.precision!r}.", expected="'float32'")

    def write(self, task: Task, folder: Path) -> None:
        from tfvertical.runtime.litert import interpreter_class

        interpreter_class()  # a missing package is better said before a minute of conversion
        length = self._length(task)
        model = convert(task, length)
        refuse_custom(model)
        write_bytes(folder / "model.tflite", model)
        preprocessor = task.preprocessor
        config = {"class": type(preprocessor).__name__, **preprocessor.config()}
        description = {"kind": preprocessor.kind, "length": length, "config": config}
        write_json(folder / "preprocessing.json", description)
        for name, content in preprocessor.assets().items():
            if (folder / name).exists():
                raise ExportError(f"The preprocessor's file {name!r} has the name of one of the export's own.")
            write_bytes(folder / name, content)

    def load(self, task: Task, folder: Path) -> Predict:
        from tfvertical.runtime.litert import LiteRT as Runner

        runner, length = Runner(folder / "model.tflite"), self._length(task)

        def predict(items: Sequence[Any]) -> np.ndarray:
            rows = [runner(fixed_inputs(task.preprocessor, item, length))["scores"][0] for item in items]
            return np.stack(rows)

        return predict

    def _length(self, task: Task) -> int | None:
        if not isinstance(task.preprocessor, TextPreprocessor):
            if self.length is not None:
                raise ConfigError("`length` counts tokens; this task reads no text.", fix="leave `length` out")
            return None
        most, least = task.preprocessor.length, task.preprocessor.specials + 1
        if self.length is not None and not least <= self.length <= most:
            raise ConfigError(f"A length of {self.length} tokens does not fit.", expected=f"{least} to {most}")
        return self.length or most


def convert(task: Task, length: int | None) -> bytes:
    """The task's model with its activation as a TFLite file with one signature, `serving_default`.

    The way goes through a SavedModel of a bare module that holds nothing but the variables: it keeps input names and
    the signature, stores weights once, and is the fastest of four ways tried (5.7 s for 22 million weights).

    Raises:
        ExportError: the model does not convert to built-in operators.
    """
    import tensorflow as tf

    sample = fixed_inputs(task.preprocessor, _any_item(task), length)
    specs = {name: tf.TensorSpec(value.shape, value.dtype, name=name) for name, value in sorted(sample.items())}

    @tf.function(autograph=False)
    def serve(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": tf.cast(task.activation(call(task.model, inputs)), tf.float32)}

    concrete = serve.get_concrete_function(**specs)
    module = tf.Module()
    module.held, module.serve = list(concrete.variables), serve
    with tempfile.TemporaryDirectory(prefix="tfvertical-") as folder:
        tf.saved_model.save(module, folder, signatures={SIGNATURE: concrete})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        try:
            model = bytes(converter.convert())
        except Exception as error:  # the converter's own errors have no public class
            lines = [line.strip() for line in str(error).splitlines() if "error:" in line or "TF Select ops" in line]
            raise ExportError(
                "The model does not convert to LiteRT's built-in operators.",
                received="; ".join(lines)[:500] or f"{type(error).__name__}: {str(error)[:300]}",
                fix="replace the layer named above, or export as saved_model",
            ) from error
    return _signed(model, set(specs))


def _signed(model: bytes, names: set[str]) -> bytes:
    """`model`, if its signature names inputs and output as it should; the converter has lost them before."""
    inputs, outputs = contents(model).signatures.get(SIGNATURE, ((), ()))
    if not set(inputs) <= names or not inputs or outputs != ("scores",):
        raise ExportError(
            "The TFLite file lost its signature.",
            expected=f"{SIGNATURE}: {', '.join(sorted(names))} to scores",
            received=f"{', '.join(inputs) or 'nothing'} to {', '.join(outputs) or 'nothing'}",
        )
    return model


def _any_item(task: Task) -> Any:
    return "a" if task.preprocessor.kind == "text" else np.zeros((64, 64, 3), np.uint8)
