"""Heads that read more than the last block: what frozen blocks know of a word differs from one to the next."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import keras

from tfvertical import stages
from tfvertical.contracts import Backbone
from tfvertical.errors import ConfigError


def side_by_side(backbone: Backbone, count: int) -> Backbone:
    """The backbone with the outputs of its last blocks side by side: `(batch, length, count * width)`.

    On frozen BERT, a tagger that reads the last four finds nearly as much as one that trains every weight, and more
    than one that reads the last (Devlin et al. 2019, section 5.3).

    Args:
        backbone: of texts.
        count: how many blocks, counted from the output.

    Raises:
        ConfigError: it has fewer, or one whose output is no token states.
    """
    if not 1 <= count <= len(backbone.blocks):
        raise ConfigError(f"last_blocks is {count}.", expected=f"1 to {len(backbone.blocks)}, the backbone's blocks")
    if count == 1:
        return backbone
    model = backbone.model
    read = [_output(model, pattern) for pattern in backbone.blocks[-count:-1]] + [model.output]
    together = keras.layers.Concatenate(axis=-1, name="side_by_side")(read)
    return replace(backbone, model=keras.Model(model.input, together, name=model.name))


def _output(model: keras.Model, pattern: str) -> Any:
    """The token states behind the last layer of a block."""
    inside = {
        id(variable)
        for address, variable in stages.addresses({"": model}).items()
        if re.match(pattern, address.removeprefix("/"))
    }
    layers = [layer for layer in model.layers if inside & {id(variable) for variable in layer.weights}]
    last = model.output.shape
    if not layers or not isinstance(layers[-1].output, keras.KerasTensor) or layers[-1].output.shape != last:
        raise ConfigError(
            f"The output of the block {pattern!r} is no token states.",
            expected=f"one tensor of shape {last}",
            fix="give last_blocks=1",
        )
    return layers[-1].output
