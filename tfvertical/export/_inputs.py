"""Raw items to model inputs of one fixed shape, and a functional model called by input names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfvertical.contracts import ImagePreprocessor, Task, TextPreprocessor
from tfvertical.errors import ExportError

if TYPE_CHECKING:
    import keras


def fixed_inputs(
    task: Task,
    item: Any,
    length: int | Sequence[int] | None = None,
    part: Mapping[str, tuple[np.ndarray, np.ndarray | None]] | None = None,
) -> dict[str, np.ndarray]:
    """One raw item as a batch of one: texts cut and padded to `length` tokens, pictures at the model's size.

    Args:
        task: whose preprocessor it is.
        item: a text, a pair of them, or for entities a list of words; a picture as path, encoded bytes or uint8 array.
        length: tokens, special ones included; of several in ascending order, the first that holds the text. The
            preprocessor's own where None.
        part: one of `task.parts`, to which a text is cut; as much as fits from its beginning where None.

    Returns:
        Model input name -> array `(1, …)`.
    """
    preprocessor = task.preprocessor
    if isinstance(preprocessor, TextPreprocessor):
        lengths = [length or preprocessor.length] if isinstance(length, int | None) else list(length)
        sides = task.sides(item, lengths[-1]) if part is None else part
        longest = max(len(ids) for ids, _ in sides.values())
        length = next(each for each in lengths if each >= longest)
        return {
            side + name: array
            for side, each in sides.items()
            for name, array in _padded(preprocessor, *each, length).items()
        }
    if isinstance(preprocessor, ImagePreprocessor):
        return preprocessor.inputs(preprocessor.pixels(item)[None])
    raise ExportError(
        f"{type(preprocessor).__name__} is no preprocessor that can be exported.", expected="text or image"
    )


def _padded(
    preprocessor: TextPreprocessor, wrapped: np.ndarray, segments: np.ndarray | None, length: int
) -> dict[str, np.ndarray]:
    ids = np.full((1, length), preprocessor.pad_id, np.int32)
    ids[0, : len(wrapped)] = wrapped
    mask = np.arange(length)[None] < len(wrapped)
    if segments is None:
        return preprocessor.inputs(ids, mask)
    padded = np.zeros((1, length), np.int32)
    padded[0, : len(segments)] = segments
    return preprocessor.inputs(ids, mask, padded)


def call(model: keras.Model, inputs: Mapping[str, Any]) -> Any:
    """The model's raw outputs in inference mode, its inputs bound by name whatever structure it takes them in.

    Raises:
        ExportError: the preprocessor does not make an input that the model needs.
    """
    names = [tensor.name for tensor in model.inputs]
    structure = model.input
    if isinstance(structure, dict):
        names = list(structure)
    missing = [name for name in names if name not in inputs]
    if missing:
        raise ExportError(
            f"The model needs an input {missing[0]!r} that the preprocessor does not make.",
            received=", ".join(sorted(inputs)),
        )
    if isinstance(structure, dict):
        return model({name: inputs[name] for name in names}, training=False)
    bound = [inputs[name] for name in names]
    return model(bound if isinstance(structure, (list, tuple)) else bound[0], training=False)
