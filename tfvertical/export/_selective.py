"""Full integers with exceptions: which operators must stay in float so that a file keeps what the model knows."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tfvertical.errors import ExportError
from tfvertical.export._biases import Biases
from tfvertical.runtime.contents import contents

NEAR = 0.1  # of its limits: from there, means of outputs are corrected too, at a run over the examples for each layer
GROUPS = 8  # neighbouring operators that are tried together; each costs a run over the examples
TRIES = 24  # files with fewer operators in float that are tried at most


class Integers:
    """Files of one calibration, each with other operators left in float.

    The last step from logits to scores always stays in float: integers of 8 bits would leave 256 different scores.

    Args:
        converter: a `tf.lite.TFLiteConverter` that is set up for full integers, with its `representative_dataset`.
        biases: what corrects the files.
    """

    def __init__(self, converter: Any, biases: Biases):
        import tensorflow as tf

        self.biases = biases
        self._options = tf.lite.experimental.QuantizationDebugOptions
        with quiet_interpreter():
            self._debugger = tf.lite.experimental.QuantizationDebugger(
                converter=converter, debug_dataset=converter.representative_dataset, debug_options=self._but(())
            )

    def model(self, floats: Sequence[str] = ()) -> bytes:
        """The file in which the operators with these outputs compute in float."""
        try:
            with quiet_interpreter():
                self._debugger.options = self._but(floats)
                return self.biases.by_weights(bytes(self._debugger.get_nondebug_quantized_model()))
        except ValueError as error:  # nothing is left for the debugger to look at
            raise ExportError(
                "With these operators in float, no integers are left.", fix="export in float16"
            ) from error

    def groups(self) -> list[list[str]]:
        """Outputs of the operators, in the order of computation, cut into `GROUPS` parts."""
        from ai_edge_litert import schema_py_generated as schema

        graph = schema.Model.GetRootAs(self._debugger.calibrated_model, 0).Subgraphs(0)
        operators = [graph.Operators(index) for index in range(graph.OperatorsLength())]
        names = [graph.Tensors(each.Outputs(0)).Name().decode() for each in operators]
        size = -(-len(names) // GROUPS)
        return [names[at : at + size] for at in range(0, len(names), size)]

    def too_large(self, model: bytes) -> bool:
        """Whether its weights take more than they would in float16."""
        return _weights(model) > _weights(bytes(self._debugger.calibrated_model)) / 2

    def _but(self, floats: Sequence[str]) -> Any:
        return self._options(denylisted_ops=["SOFTMAX"], denylisted_nodes=list(floats))


def smallest(integers: Integers, margin: Callable[[bytes], float]) -> tuple[bytes, dict[str, Any]]:
    """The smallest file found that holds, and what stayed in float, for `parity.json`.

    Everything in integers, if that holds; else the best single group in float; else groups added in the order of what
    each alone brought. Of those, operators go back into integers for as long as the file holds.

    Args:
        integers: of the model.
        margin: how far a file is above its limits; below 0, it loses too much.

    Raises:
        ExportError: only a file as large as one in float16, which loses nothing, would hold.
    """
    whole = integers.model()
    reached = margin(whole)
    if reached > -NEAR:
        nearer = integers.biases.by_outputs(whole)
        if (after := margin(nearer)) >= reached:
            whole, reached = nearer, after
    if reached >= 0:
        return whole, {"float_operators": []}
    groups = integers.groups()
    alone = [_tried(integers, margin, group) for group in groups]
    holding = [(size, model, group) for reached, size, model, group in alone if reached >= 0]
    if holding:
        _, model, floats = max(holding, key=lambda each: each[0])
    else:
        model, floats = next(_added(integers, margin, sorted(alone, key=lambda each: -each[0])), (b"", []))
    if model:
        model, floats = _fewer(integers, margin, model, floats)
    if not model or integers.too_large(model):
        raise ExportError(
            "In integers the model loses too much, unless so much stays in float that float16 is smaller.",
            received=f"{max(reached for reached, *_ in alone):+.4f} from the limits with the best part in float",
            fix="export in float16 or dynamic, or calibrate on more like what the model will see",
        )
    return model, {"float_operators": floats}


def _tried(
    integers: Integers, margin: Callable[[bytes], float], floats: list[str]
) -> tuple[float, int, bytes, list[str]]:
    try:
        model = integers.model(floats)
    except ExportError:  # no integers are left
        return -1.0, 0, b"", floats
    return margin(model), -len(model), model, floats


def _added(
    integers: Integers, margin: Callable[[bytes], float], alone: Sequence[tuple[float, int, bytes, list[str]]]
) -> Iterator[tuple[bytes, list[str]]]:
    floats: list[str] = []
    for _, _, _, group in alone:
        floats = [*floats, *group]
        reached, _, model, _ = _tried(integers, margin, floats)
        if not model:
            return
        if reached >= 0:
            yield model, floats


def _fewer(
    integers: Integers, margin: Callable[[bytes], float], model: bytes, floats: list[str]
) -> tuple[bytes, list[str]]:
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
            reached, _, found, _ = _tried(integers, margin, rest)
            if reached >= 0:
                model, floats, parts = found, rest, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts *= 2
    return model, floats


def _weights(model: bytes) -> int:
    return sum(size for part, size in contents(model).sizes.items() if part.endswith(" constants"))


@contextlib.contextmanager
def quiet_interpreter() -> Iterator[None]:
    """Calibration runs in an interpreter that TensorFlow itself calls outdated, at every use."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated", UserWarning)
        yield
