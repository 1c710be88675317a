"""A task's model as the bytes of a TFLite file, in one of four precisions."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tfvertical.contracts import Task
from tfvertical.errors import ExportError, TfverticalError
from tfvertical.export import _selective
from tfvertical.export._inputs import call, fixed_inputs
from tfvertical.runtime.contents import Contents, contents

SIGNATURE = "serving_default"
PRECISIONS = ("float32", "float16", "dynamic", "int8")


def convert(
    task: Task,
    length: int | None,
    precision: str = "float32",
    calibration: Sequence[Any] = (),
    integer_io: bool = False,
    margin: Callable[[bytes], float] = lambda model: 0.0,
) -> tuple[bytes, dict[str, Any]]:
    """The task's model with its activation as a TFLite file with one signature, `serving_default`.

    The way goes through a SavedModel of a bare module that holds nothing but the variables: it keeps input names and
    the signature, stores weights once, and is the fastest of four ways tried (5.7 s for 22 million weights).

    Args:
        task: computing in float32.
        length: tokens, for a text model.
        precision: `float32`; `float16` (weights); `dynamic` (weights int8, activations quantized as they come); `int8`
            (weights and activations).
        calibration: raw training examples, from which `int8` takes the ranges of activations.
        integer_io: with `int8`, whether pixels come in, and scores go out, as uint8; then nothing stays in float.
        margin: how far a candidate in `int8` is above what it must hold; operators stay in float until it is 0 or more.

    Returns:
        The file, and what `parity.json` tells of it.

    Raises:
        ExportError: the model does not convert to built-in operators, or loses too much in integers.
    """
    import tensorflow as tf

    sample = fixed_inputs(task.preprocessor, any_item(task), length)
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
        choose(converter, precision, integer_io)
        if precision == "int8":
            converter.representative_dataset = lambda: _representative(task, length, calibration, set(specs))
        how: dict[str, Any] = {}
        try:
            with _selective.quiet_interpreter():
                if precision == "int8" and not integer_io:
                    model, how = _selective.smallest(_selective.Integers(converter), margin)
                else:
                    model = bytes(converter.convert())
        except TfverticalError:
            raise
        except Exception as error:  # the converter's own errors have no public class
            lines = [line.strip() for line in str(error).splitlines() if "error:" in line or "TF Select ops" in line]
            raise ExportError(
                "The model does not convert to LiteRT's built-in operators.",
                received="; ".join(lines)[:500] or f"{type(error).__name__}: {str(error)[:300]}",
                fix="replace the layer named above, or export as saved_model",
            ) from error
    return _checked(model, set(specs)), how


def choose(converter: Any, precision: str, integer_io: bool = False) -> None:
    """Set a `tf.lite.TFLiteConverter` up for built-in operators in a precision."""
    import tensorflow as tf

    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        if integer_io:
            converter.inference_input_type = converter.inference_output_type = tf.uint8


def _representative(
    task: Task, length: int | None, items: Sequence[Any], names: set[str]
) -> Iterator[dict[str, np.ndarray]]:
    """Model inputs of raw examples, one by one.

    Two corners of the first picture are made black and white, so that pixels keep their own values as integers.
    """
    for number, item in enumerate(items):
        inputs = {name: value for name, value in fixed_inputs(task.preprocessor, item, length).items() if name in names}
        if number == 0 and task.preprocessor.kind == "image":
            for pixels in inputs.values():
                pixels[0, 0, 0], pixels[0, -1, -1] = 0, 255
        yield inputs


def _checked(model: bytes, names: set[str]) -> bytes:
    """`model`, if any phone can run it and its signature names inputs and output, which converters have lost before."""
    found = contents(model)
    refuse_custom(found)
    inputs, outputs = found.signatures.get(SIGNATURE, ((), ()))
    if not set(inputs) <= names or not inputs or outputs != ("scores",):
        raise ExportError(
            "The TFLite file lost its signature.",
            expected=f"{SIGNATURE}: {', '.join(sorted(names))} to scores",
            received=f"{', '.join(inputs) or 'nothing'} to {', '.join(outputs) or 'nothing'}",
        )
    return model


def refuse_custom(found: Contents) -> None:
    """Raise ExportError where a phone without the TensorFlow runtime could not run the file."""
    if found.custom:
        raise ExportError(
            f"The TFLite file needs operators that LiteRT does not have: {', '.join(found.custom)}.",
            expected="built-in operators only",
            fix="replace the layers that use them, or export as saved_model",
        )


def any_item(task: Task) -> Any:
    """Something that the task takes, for its shape."""
    return "a" if task.preprocessor.kind == "text" else np.zeros((64, 64, 3), np.uint8)
