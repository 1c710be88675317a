"""A task's model as the bytes of a TFLite file, in one of four precisions."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical.contracts import Task
from tfvertical.errors import ExportError, TfverticalError
from tfvertical.export import _selective
from tfvertical.export._biases import Biases
from tfvertical.export._dynamic import Dynamic
from tfvertical.export._inputs import fixed_inputs
from tfvertical.runtime.contents import Contents, contents

SIGNATURE = "serving_default"
PRECISIONS = ("float32", "float16", "dynamic", "int8")
CORRECTING = 20  # examples that biases are corrected on: with twice as many, scores come no nearer to the float ones
_PLACE = re.compile(r'fused\["(\w+):", "([^"@]+)')  # the converter's way to tell an operator and where it stands
Answer = Callable[[Mapping[str, Any]], dict[str, Any]]  # model inputs by name -> outputs by name


@dataclass(frozen=True)
class Shapes:
    """What a file takes.

    Args:
        lengths: tokens of a text, in ascending order: one signature each, `serving_default` for the longest and
            `tokens_<n>` for the others; they share the weights. Empty for pictures.
        any_batch: whether a batch may have any size; one otherwise.
        any_length: whether a text may have any number of tokens; those of `lengths` otherwise.
    """

    lengths: tuple[int, ...] = ()
    any_batch: bool = False
    any_length: bool = False

    def named(self) -> dict[str, int | None]:
        """Signature -> length. The first by the alphabet becomes the file's main graph, the one that MediaPipe runs."""
        if not self.lengths:
            return {SIGNATURE: None}
        *shorter, longest = self.lengths
        named: dict[str, int | None] = {SIGNATURE: longest}
        return named | {f"tokens_{length}": length for length in reversed(shorter)}


def convert(
    task: Task,
    answer: Answer,
    shapes: Shapes,
    precision: str = "float32",
    calibration: Sequence[Any] = (),
    integer_io: bool = False,
    margin: Callable[[bytes], float] = lambda model: 0.0,
    below: Path | None = None,
) -> tuple[bytes, dict[str, Any]]:
    """What `answer` makes of the task's inputs as a TFLite file.

    Args:
        task: computing in float32.
        answer: the function to convert; its only output is named as in the file.
        shapes: what the file takes.
        precision: `float32`; `float16` (weights); `dynamic` (weights int8, activations quantized as they come); `int8`
            (weights and activations).
        calibration: raw training examples, from which `int8` takes the ranges of activations.
        integer_io: with `int8`, whether pixels come in, and scores go out, as uint8; then nothing stays in float.
        margin: how far a candidate in `int8` or `dynamic` is above what it must hold; operators stay in float until it
            is 0 or more.
        below: where the converter's own folder is made while it converts.

    Returns:
        The file, and what `parity.json` tells of it.

    Raises:
        ExportError: the model does not convert to built-in operators, or loses too much in integers.
    """
    signatures = traced(task, answer, shapes)
    names = {name.split(":")[0] for name in signatures[SIGNATURE].structured_input_signature[1]}
    (output,) = signatures[SIGNATURE].structured_outputs
    whole_end = output == "scores" and task.target in ("labels", "numbers")  # no softmax stands there
    how: dict[str, Any] = {}
    with converter(signatures, precision, integer_io, below) as made:
        try:
            with _selective.quiet_interpreter():
                if precision == "int8":
                    examples = partial(_representative, task, shapes.named()[SIGNATURE], calibration, names)
                    made.representative_dataset = examples
                    biases = Biases(_floats(signatures, below), islice(examples(), CORRECTING))
                if precision == "int8" and not integer_io:
                    model, how = _selective.smallest(_selective.Integers(made, biases, whole_end), margin)
                elif precision == "int8":
                    model = biases.by_outputs(bytes(made.convert()))
                elif precision == "dynamic":
                    model, how = _lighter(bytes(made.convert()), partial(_floats, signatures, below), margin)
                else:
                    model = bytes(made.convert())
        except TfverticalError:
            raise
        except Exception as error:  # the converter's own errors have no public class
            raise ExportError(
                "The model does not convert to LiteRT's built-in operators.",
                received=_unknown(str(error)) or f"{type(error).__name__}: {str(error)[:300]}",
                fix="replace the layer named above, or export as saved_model",
            ) from error
    return _checked(model, names, output, list(signatures)), how


def _unknown(error: str) -> str:
    """Which operators of which layers the converter names, or the lines in which it says something else."""
    lines = [line.strip() for line in error.splitlines() if "error:" in line or "TF Select ops" in line]
    places = [_PLACE.search(line) for line in lines if "neither a custom op nor a flex op" in line]
    named = dict.fromkeys(f"{each[1]} in {each[2].rpartition('/')[0] or each[2]}" for each in places if each)
    return "; ".join(named or lines)[:500]


def traced(task: Task, answer: Answer, shapes: Shapes) -> dict[str, Any]:
    """Signature -> `answer` as a concrete function of the inputs that the task's preprocessor makes."""
    import tensorflow as tf

    found = {}
    for key, length in shapes.named().items():
        sample = sorted(fixed_inputs(task, any_item(task), length).items())
        batch = None if shapes.any_batch else 1
        rest = {name: (None,) if shapes.any_length else value.shape[1:] for name, value in sample}
        specs = {name: tf.TensorSpec((batch, *rest[name]), value.dtype, name=name) for name, value in sample}

        def serve(**inputs: Any) -> dict[str, Any]:
            return answer(inputs)

        found[key] = tf.function(serve, autograph=False).get_concrete_function(**specs)
    return found


@contextlib.contextmanager
def converter(
    signatures: Mapping[str, Any], precision: str, integer_io: bool = False, below: Path | None = None
) -> Iterator[Any]:
    """A `tf.lite.TFLiteConverter` of concrete functions for built-in operators; it needs a folder while it converts.

    The way goes through a SavedModel of a bare module that holds nothing but the variables: it keeps input names and
    the signatures, stores weights once, and is the fastest of four ways tried (5.7 s for 22 million weights).
    It is as large as the model: made inside the folder of an export, it goes with that where the process is killed, and
    the disk that is full is the one that a message names.
    """
    import tensorflow as tf

    module = tf.Module()
    module.held = list({id(each): each for one in signatures.values() for each in one.variables}.values())
    with tempfile.TemporaryDirectory(prefix="tfvertical-", dir=below) as folder:
        tf.saved_model.save(module, folder, signatures=dict(signatures))
        made = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(signatures))
        made.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if precision != "float32":
            made.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            made.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            made.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            if integer_io:
                made.inference_input_type = made.inference_output_type = tf.uint8
        yield made


def _floats(signatures: Mapping[str, Any], below: Path | None) -> bytes:
    """The same functions as a file in float."""
    with converter(signatures, "float32", below=below) as made:
        return bytes(made.convert())


def _lighter(
    whole: bytes, floats: Callable[[], bytes], margin: Callable[[bytes], float]
) -> tuple[bytes, dict[str, Any]]:
    """A file in dynamic range with as few layers in float as it needs; as it is where none holds, to be refused."""
    try:
        return _selective.smallest(Dynamic(whole, floats), margin)
    except ExportError:
        return whole, {}


def _representative(
    task: Task, length: int | None, items: Sequence[Any], names: set[str]
) -> Iterator[dict[str, np.ndarray]]:
    """Model inputs of raw examples, one by one.

    Two corners of the first picture are made black and white, so that pixels keep their own values as integers.
    """
    for number, item in enumerate(items):
        inputs = {name: value for name, value in fixed_inputs(task, item, length).items() if name in names}
        if number == 0 and task.preprocessor.kind == "image":
            for pixels in inputs.values():
                pixels[0, 0, 0], pixels[0, -1, -1] = 0, 255
        yield inputs


def _checked(model: bytes, names: set[str], output: str, keys: Sequence[str]) -> bytes:
    """`model`, if any phone can run it and its signatures name inputs and output, which converters have lost before."""
    found = contents(model)
    refuse_custom(found)
    for key in keys:
        inputs, outputs = found.signatures.get(key, ((), ()))
        if not set(inputs) <= names or not inputs or outputs != (output,):
            raise ExportError(
                "The TFLite file lost its signature.",
                expected=f"{key}: {', '.join(sorted(names))} to {output}",
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
    made = {"text": "a", "pair": ("a", "a"), "image": np.zeros((64, 64, 3), np.uint8)}
    return made[task.items]
