"""Heads that read more than the last block: what frozen blocks know of a word differs from one to the next."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras

from tfvertical import frontier, stages
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
        ConfigError: it has fewer, or one that takes no token states.
    """
    if not 1 <= count <= len(backbone.blocks):
        raise ConfigError(f"last_blocks is {count}.", expected=f"1 to {len(backbone.blocks)}, the backbone's blocks")
    if count == 1:
        return backbone
    calls, inputs, output = frontier.replay(backbone.model)
    every = stages.addresses({"": backbone.model})
    read = []
    for pattern in backbone.blocks[-count + 1 :]:  # what each of these takes is what the one before it gives
        inside = {id(variable) for address, variable in every.items() if re.match(pattern, address.removeprefix("/"))}
        read.append(_taken(calls, inside, output.shape, pattern))
    together = keras.layers.Concatenate(axis=-1, name="side_by_side")([*read, output])
    return replace(backbone, model=keras.Model(inputs, together, name=backbone.model.name))


def _taken(calls: Sequence[Any], inside: set[int], shape: Any, pattern: str) -> Any:
    """The first token states that a layer with one of some variables takes."""
    for operation, args, kwargs, _ in calls:
        if not inside.isdisjoint(id(variable) for variable in getattr(operation, "weights", ())):
            taken = keras.tree.flatten([args, kwargs])
            states = (each for each in taken if isinstance(each, keras.KerasTensor) and each.shape == shape)
            if (found := next(states, None)) is not None:
                return found
    raise ConfigError(
        f"The block {pattern!r} takes no token states, so a head cannot read those before it.",
        expected=f"a tensor of shape {shape}",
        fix="give fewer last_blocks",
    )
