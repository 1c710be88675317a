"""Integers with exceptions: which operators must stay in float so that a file keeps what the model knows."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from tfvertical.errors import ExportError
from tfvertical.export._biases import Biases
from tfvertical.runtime.contents import contents

NEAR = 0.1  # a file that misses its limits by less is brought `nearer`, at a run over the examples for each layer
GROUPS = 8  # neighbouring operators that are tried together; each costs a run over the examples
TRIES = 24  # files with fewer operators in float that are tried at most


class Files(Protocol):
    """Files of one model, each with other operators in float."""

    instead: str  # what to do where none holds

    def model(self, floats: Sequence[str] = ()) -> bytes:
        """The file in which the operators with these outputs compute in float."""

    def nearer(self, model: bytes) -> bytes:
        """A file nearer to the float one, with as much in float; the same if there is none."""

    def groups(self) -> list[list[str]]:
        """Outputs of the operators, in the order of computation, cut into parts."""

    def too_large(self, model: bytes) -> bool:
        """Whether its weights take more than they would in float16."""


class Integers:
    """Files of one calibration, each with other operators left in float.

    The last step from logits to scores always stays in float: integers of 8 bits would leave 256 different scores.
    That is a softmax, or else the last linear layer and all behind it (`whole_end`).

    Args:
        converter: a `tf.lite.TFLiteConverter` that is set up for full integers, with its `representative_dataset`.
        biases: what corrects the files.
        whole_end: keep the last linear layer in float, and what is computed from it.
    """

    instead = "export in float16 or dynamic, or calibrate on more like what the model will see"

    def __init__(self, converter: Any, biases: Biases, whole_end: bool = False):
        import tensorflow as tf

        self._biases = biases
        self._options = tf.lite.experimental.QuantizationDebugOptions
        self._end: tuple[str, ...] = ()
        with quiet_interpreter():
            self._debugger = tf.lite.experimental.QuantizationDebugger(
                converter=converter, debug_dataset=converter.representative_dataset, debug_options=self._but(())
            )
        if whole_end:
            self._end = _last_linear(bytes(self._debugger.calibrated_model))

    def model(self, floats: Sequence[str] = ()) -> bytes:
        """The file in which the operators with these outputs compute in float."""
        try:
            with quiet_interpreter():
                self._debugger.options = self._but(floats)
                made = bytes(self._debugger.get_nondebug_quantized_model())
        except ValueError as error:  # nothing is left for the debugger to look at
            raise ExportError(
                "With these operators in float, no integers are left.", fix="export in float16"
            ) from error
        return self._biases.by_weights(made)

    def nearer(self, model: bytes) -> bytes:
        """The file with the means of all layers as in float."""
        return self._biases.by_outputs(model)

    def groups(self) -> list[list[str]]:
        """Outputs of the operators, in the order of computation, cut into parts."""
        every = (name for _, _, name in _operators(bytes(self._debugger.calibrated_model)))
        return cut([name for name in every if name not in self._end])

    def too_large(self, model: bytes) -> bool:
        """Whether its weights take more than they would in float16."""
        return weights(model) > weights(bytes(self._debugger.calibrated_model)) / 2

    def _but(self, floats: Sequence[str]) -> Any:
        return self._options(denylisted_ops=["SOFTMAX"], denylisted_nodes=[*self._end, *floats])


def _operators(model: bytes) -> list[tuple[int, Any, str]]:
    """Kind, operator and name of its output, of all in the main graph, in the order of computation."""
    from ai_edge_litert import schema_py_generated as schema

    root = schema.Model.GetRootAs(model, 0)
    graph = root.Subgraphs(0)
    operators = (graph.Operators(index) for index in range(graph.OperatorsLength()))
    return [
        (root.OperatorCodes(each.OpcodeIndex()).BuiltinCode(), each, graph.Tensors(each.Outputs(0)).Name().decode())
        for each in operators
    ]


def _last_linear(model: bytes) -> tuple[str, ...]:
    """Outputs of the last dense layer and of all that is computed from it, by name.

    By name and not by kind: a sigmoid or a product also stands in the middle of many a network.
    """
    from ai_edge_litert import schema_py_generated as schema

    every = _operators(model)
    dense = [at for at, (kind, _, _) in enumerate(every) if kind == schema.BuiltinOperator.FULLY_CONNECTED]
    if not dense:
        return ()
    reached, names = {every[dense[-1]][1].Outputs(0)}, [every[dense[-1]][2]]
    for _, operator, name in every[dense[-1] + 1 :]:
        if reached & {operator.Inputs(at) for at in range(operator.InputsLength())}:
            reached |= {operator.Outputs(at) for at in range(operator.OutputsLength())}
            names.append(name)
    return tuple(names)


def smallest(files: Files, margin: Callable[[bytes], float]) -> tuple[bytes, dict[str, Any]]:
    """The smallest file found that holds, and what stayed in float, for `parity.json`.

    Everything in integers, brought nearer if it is near, if that holds; else the best single group in float; else
    groups added in the order of what each alone brought. Of those, operators go back into integers for as long as the
    file holds. Files with something in float are tried as they are: to bring each nearer would take too long.

    Args:
        files: of the model.
        margin: how far a file is above its limits; below 0, it loses too much.

    Raises:
        ExportError: only a file as large as one in float16, which loses nothing, would hold.
    """
    whole = files.model()
    reached = margin(whole)
    if reached > -NEAR and (nearer := files.nearer(whole)) != whole and (after := margin(nearer)) >= reached:
        whole, reached = nearer, after
    if reached >= 0:
        return whole, {"float_operators": []}
    alone = [_tried(files, margin, group) for group in files.groups()]
    holding = [(size, model, group) for reached, size, model, group in alone if reached >= 0]
    if holding:
        _, model, floats = max(holding, key=lambda each: each[0])
    else:
        model, floats = next(_added(files, margin, sorted(alone, key=lambda each: -each[0])), (b"", []))
    if model:
        model, floats = _fewer(files, margin, model, floats)
    if not model or files.too_large(model):
        raise ExportError(
            "In integers the model loses too much, unless so much stays in float that float16 is smaller.",
            received=f"{max((reached for reached, *_ in alone), default=reached):+.4f} from the limits with the best "
            "part in float",
            fix=files.instead,
        )
    return model, {"float_operators": floats}


def _tried(files: Files, margin: Callable[[bytes], float], floats: list[str]) -> tuple[float, int, bytes, list[str]]:
    try:
        model = files.model(floats)
    except ExportError:  # no integers are left
        return -1.0, 0, b"", floats
    return margin(model), -len(model), model, floats


def _added(
    files: Files, margin: Callable[[bytes], float], alone: Sequence[tuple[float, int, bytes, list[str]]]
) -> Iterator[tuple[bytes, list[str]]]:
    floats: list[str] = []
    for _, _, _, group in alone:
        floats = [*floats, *group]
        reached, _, model, _ = _tried(files, margin, floats)
        if not model:
            return
        if reached >= 0:
            yield model, floats


def _fewer(files: Files, margin: Callable[[bytes], float], model: bytes, floats: list[str]) -> tuple[bytes, list[str]]:
    """Fewer operators in float with which the file still holds, and that file.

    A half is left out if the file holds without it, then a quarter, and so on (delta debugging by complements: Zeller
    and Hildebrandt, 2002); `TRIES` files at most.
    """
    parts, tries = 2, 0
    while len(floats) > 1:
        size = -(-len(floats) // parts)
        for at in range(0, len(floats), size):
            if tries == TRIES:
                return model, floats
            tries += 1
            rest = floats[:at] + floats[at + size :]
            reached, _, found, _ = _tried(files, margin, rest)
            if reached >= 0:
                model, floats, parts = found, rest, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts *= 2
    return model, floats


def cut(names: list[str]) -> list[list[str]]:
    """Neighbours together, in `GROUPS` parts or fewer."""
    size = -(-len(names) // GROUPS)
    return [names[at : at + size] for at in range(0, len(names), max(size, 1))]


def weights(model: bytes) -> int:
    """Bytes of all constants."""
    return sum(size for part, size in contents(model).sizes.items() if part.endswith(" constants"))


@contextlib.contextmanager
def quiet_interpreter() -> Iterator[None]:
    """Calibration runs in an interpreter that TensorFlow itself calls outdated, at every use."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated", UserWarning)
        yield
