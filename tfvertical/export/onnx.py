"""ONNX, by way of Keras' own exporter: for servers and devices that run onnxruntime."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tfvertical.contracts import Exporter, Margin, Predict, Task, TextPreprocessor
from tfvertical.errors import ConfigError, ExportError, MissingPackageError, TfverticalError
from tfvertical.export import _handover
from tfvertical.export._convert import any_item
from tfvertical.export._inputs import call, fixed_inputs
from tfvertical.export._timing import THREADS, timed
from tfvertical.files import write_bytes

_FIX = "pip install 'tfvertical[onnx]'"


@dataclass(frozen=True)
class Onnx(Exporter):
    """A `.onnx` file: model inputs by name, any number of examples of one length, to `scores`.

    Preprocessing stays outside; `preprocessing.json` and the assets beside say how. So does reading a long text in
    windows, where the task does: `windows` says so.

    Args:
        precision: `"float32"`.

    Raises:
        ConfigError: another precision.
        ExportError: an operator that ONNX, or Keras' way to it, does not have.
        MissingPackageError: tf2onnx, which writes the file, or onnxruntime, which runs it for the check, is missing.
    """

    in_windows: ClassVar[bool] = True
    packages: ClassVar[tuple[str, ...]] = ("tf2onnx", "onnxruntime")
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.precision != "float32":
            raise ConfigError(f"onnx has no precision {self.precision!r}.", expected="'float32'")

    def chosen(self, items: str, target: str = "label") -> str:
        return self.precision

    def write(
        self, task: Task, folder: Path, calibration: Sequence[Any] = (), margin: Margin | None = None
    ) -> dict[str, Any]:
        _session_class()  # a missing package is better said before a minute of conversion
        length = task.preprocessor.length if isinstance(task.preprocessor, TextPreprocessor) else None
        path = folder / "model.onnx"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the converter, about NumPy
                _export(task, path, length)
        except TfverticalError:
            raise
        except ImportError as error:
            raise MissingPackageError("Writing ONNX needs tf2onnx.", fix=_FIX) from error
        except Exception as error:  # the converter's own errors have no common class
            raise ExportError(
                "The model does not convert to ONNX.",
                received=f"{type(error).__name__}: {str(error).strip()[:500]}",
                fix="replace the layer named above, or export as litert or saved_model",
            ) from error
        _handover.preprocessing(task, folder, () if length is None else (length,))
        return {}

    def load(self, task: Task, folder: Path) -> Predict:
        session = _session(folder / "model.onnx")
        names = [each.name for each in session.get_inputs()]

        length = task.preprocessor.length if isinstance(task.preprocessor, TextPreprocessor) else 0

        def predict(items: Sequence[Any]) -> np.ndarray:
            rows = []
            for item in items:
                read = (fixed_inputs(task, item, None, part) for part in task.parts(item, length))
                said = [session.run(["scores"], {name: each[name] for name in names})[0][0] for each in read]
                rows.append(task.scored(item, length, said))
            return np.concatenate(rows)

        return predict

    def measured(self, task: Task, folder: Path, items: Sequence[Any]) -> dict[str, Any]:
        path = folder / "model.onnx"
        found: dict[str, dict[str, float]] = {}
        for threads in THREADS:
            session = _session(path, threads)
            inputs = fixed_inputs(task, items[0])
            given = {each.name: inputs[each.name] for each in session.get_inputs()}
            found[str(threads)] = timed(partial(session.run, ["scores"], given))
        return {"bytes": path.stat().st_size, "milliseconds": found}


def _export(task: Task, path: Path, length: int | None) -> None:
    """Keras' file, its output called `scores`."""
    import keras
    import onnx

    class Scores(keras.layers.Layer):
        def call(self, outputs: Any) -> Any:
            return task.activation(outputs)

    whole = keras.Model(task.model.input, Scores()(task.model.output))
    sample = fixed_inputs(task, any_item(task), length)
    call(whole, sample)  # Keras' exporter refuses a model that was never called

    def spec(tensor: Any) -> keras.InputSpec:
        return keras.InputSpec(shape=(None, *sample[tensor.name].shape[1:]), dtype=tensor.dtype, name=tensor.name)

    _teach()
    structure = whole.input[0] if isinstance(whole.input, list) and len(whole.input) == 1 else whole.input
    signature = [keras.tree.map_structure(spec, structure)]
    whole.export(str(path), format="onnx", verbose=False, input_signature=signature)
    model = onnx.load(path)
    (output,) = model.graph.output
    model.graph.node.append(onnx.helper.make_node("Identity", [output.name], ["scores"]))
    output.name = "scores"
    write_bytes(path, model.SerializeToString())


def _teach() -> None:
    """Let tf2onnx write TensorFlow's complementary error function, which exact GELUs are computed with: 1 - erf.

    It has no handler of it (tf2onnx 1.17).
    """
    from tf2onnx.handler import tf_op

    if any("Erfc" in handlers for opsets in tf_op.get_opsets().values() for handlers in opsets):
        return

    @tf_op("Erfc")
    class Erfc:
        @classmethod
        def version_9(cls, context: Any, node: Any, **_: Any) -> None:
            (output,), name = node.output, node.name
            shape, kind = context.get_shape(output), context.get_dtype(output)
            context.remove_node(name)
            found = context.make_node("Erf", node.input, shapes=[shape], dtypes=[kind])
            one = context.make_const(f"{name}_one", np.ones((), np.float32))
            given = [one.output[0], found.output[0]]
            context.make_node("Sub", given, name=name, outputs=[output], shapes=[shape], dtypes=[kind])


def _session(path: Path, threads: int = 0) -> Any:
    """One that runs the file on so many threads; 0: as many as it likes."""
    made = _session_class()
    from onnxruntime import SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = threads
    return made(str(path), options, providers=["CPUExecutionProvider"])


def _session_class() -> Any:
    try:
        from onnxruntime import InferenceSession
    except ImportError as error:
        raise MissingPackageError("Checking an ONNX file needs onnxruntime.", fix=_FIX) from error
    return InferenceSession
