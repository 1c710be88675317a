"""A functional Keras model of your own as a backbone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfvertical import stages
from tfvertical.backbones import _blocks
from tfvertical.contracts import Backbone, Preprocessor, SourceInfo
from tfvertical.errors import PresetError

if TYPE_CHECKING:
    import keras


def around(
    model: keras.Model, preprocessor: Preprocessor, blocks: Sequence[str] | None = None, *, name: str = "own"
) -> Backbone:
    """What a task takes, from a functional model of yours.

    The task uses the model's own layers: training it trains `model`, and two tasks around one model share its weights.

    Args:
        model: functional, without a head. Text: inputs by name, `padding_mask` among them, int32 `(batch, length)`, to
            token states `(batch, length, width)`. Image: one input to a feature map `(batch, rows, columns, channels)`
            or to vectors `(batch, channels)`.
        preprocessor: makes the model's inputs, of the very names.
        blocks: one regex per block over variable paths inside the model, input to output, each variable in exactly one;
            by default every layer of the model that holds weights is a block, a normalization together with the layer
            before it.
        name: what reports call it.

    Raises:
        PresetError: the model's inputs or outputs do not fit, or a variable is in no block or in two.

    Example:
        >>> import keras
        >>> from tfvertical.backbones._image_preprocessor import KerasImagePreprocessor
        >>> inputs = keras.Input((32, 32, 3), name="images")
        >>> x = keras.layers.Conv2D(8, 3, 2, name="stem")(keras.layers.Rescaling(1 / 255)(inputs))
        >>> model = keras.Model(inputs, keras.layers.Conv2D(16, 3, 2, name="top")(x))
        >>> around(model, KerasImagePreprocessor((32, 32))).blocks
        ('stem/', 'top/')
    """
    _check(model, preprocessor)
    patterns = tuple(blocks) if blocks is not None else _by_layer(model)
    _blocks.check(model, patterns)
    content = hashlib.sha256()
    for address, variable in stages.addresses({"model": model}).items():
        content.update(address.encode() + variable.numpy().tobytes())
    return Backbone(model, preprocessor, patterns, SourceInfo(name, "own", {}, content.hexdigest()))


def _check(model: keras.Model, preprocessor: Any) -> None:
    from keras.src.models.functional import Functional

    if not isinstance(model, Functional):
        raise PresetError(
            f"{type(model).__name__} {model.name!r} is no functional model.",
            fix="build it as keras.Model(inputs, outputs)",
        )
    names, ranks = [tensor.name for tensor in model.inputs], [len(tensor.shape) for tensor in model.outputs]
    text = preprocessor.kind == "text"
    if text and "padding_mask" not in names:
        raise PresetError(
            "A text backbone needs an input `padding_mask`, which pooling reads too.", received=", ".join(names)
        )
    if not text and len(names) != 1:
        raise PresetError("An image backbone has one input.", received=", ".join(names))
    made = preprocessor.inputs(*_one_item(preprocessor))
    if not set(names) <= set(made):
        raise PresetError(
            f"The preprocessor does not make all inputs of model {model.name!r}.",
            expected=", ".join(names),
            received=", ".join(made),
        )
    if len(ranks) != 1 or ranks[0] not in ((3,) if text else (2, 4)):
        wanted = "(batch, length, width)" if text else "(batch, rows, columns, channels) or (batch, channels)"
        received = ", ".join(str(tensor.shape) for tensor in model.outputs)
        raise PresetError(f"Model {model.name!r} has another output.", expected=wanted, received=received)


def _one_item(preprocessor: Any) -> tuple[np.ndarray, ...]:
    if preprocessor.kind == "text":
        return np.zeros((1, 3), np.int32), np.ones((1, 3), bool)
    return (np.zeros((1, *preprocessor.size, 3), np.uint8),)


def _by_layer(model: keras.Model) -> tuple[str, ...]:
    """One pattern for each layer with weights, by the first part of its variables' addresses."""
    groups: dict[str, list[str]] = {}
    for address in stages.addresses({"model": model}):
        path = address.partition("/")[2]
        groups.setdefault(path.split("/")[0], []).append(path)
    found = _blocks.joined(model, groups).values()
    return tuple(_blocks.pattern([path.split("/")[0] for path in paths]) for paths in found)
