"""The blocks of a backbone, input to output: what "unfreeze the top two" means."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tfvertical import stages
from tfvertical.errors import PresetError

if TYPE_CHECKING:
    import keras

_LEAST_WEIGHTS = 6  # an encoder layer has 8 to 16 variables, an embedding at most 3


def text_blocks(model: keras.Model) -> tuple[str, ...]:
    """One pattern for the embeddings, then one per encoder layer; a last normalization belongs to the last layer.

    Args:
        model: token ids to token states, whose encoder layers are layers of its own with numbered names.

    Raises:
        PresetError: no encoder layers are to be found.
    """
    names = {id(variable): address.split("/")[1] for address, variable in _addresses(model).items()}
    blocks: list[list[str]] = [[]]
    for layer in model.layers:
        own = dict.fromkeys(names[id(variable)] for variable in layer.weights)
        encodes = len(layer.weights) >= _LEAST_WEIGHTS and re.search(r"\d$", layer.name)
        if encodes:
            blocks.append([*own])
        else:
            blocks[0 if "embed" in layer.name else -1].extend(own)
    if len(blocks) == 1:
        raise PresetError(
            f"Model {model.name!r} has no numbered encoder layers to unfreeze one by one.",
            received=", ".join(layer.name for layer in model.layers if layer.weights),
        )
    patterns = tuple(pattern(block) for block in blocks)
    check(model, patterns)
    return patterns


def joined(model: keras.Model, groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Blocks of which those that hold nothing but normalizations join the one before; the first ones, the one behind.

    By itself such a block would be none: BatchNormalization stays frozen unless it is asked for, and of another
    normalization two vectors would learn.

    Args:
        model: whose blocks they are.
        groups: variable paths of each, by a name of its own.
    """
    import keras

    kinds = (
        keras.layers.BatchNormalization,
        keras.layers.GroupNormalization,
        keras.layers.LayerNormalization,
        keras.layers.Normalization,
        keras.layers.RMSNormalization,
    )
    held = {id(each) for layer in stages.layers(model) if isinstance(layer, kinds) for each in layer.weights}
    normalizing = {address.partition("/")[2] for address, each in _addresses(model).items() if id(each) in held}
    found: dict[str, list[str]] = {}
    for name, paths in groups.items():
        before = next(reversed(found), None)
        if before is not None and (normalizing.issuperset(paths) or normalizing.issuperset(found[before])):
            found[before].extend(paths)
        else:
            found[name] = list(paths)
    return found


def pattern(names: Sequence[str]) -> str:
    """What matches the layers of these names."""
    escaped = [re.escape(name) for name in dict.fromkeys(names)]
    return f"{escaped[0]}/" if len(escaped) == 1 else f"(?:{'|'.join(escaped)})/"


def check(model: keras.Model, blocks: Sequence[str]) -> None:
    """Every variable belongs to exactly one block, and no block is empty.

    Raises:
        PresetError: with the variable or the block at fault.
    """
    paths = [address.partition("/")[2] for address in _addresses(model)]
    for path in paths:
        found = [block for block in blocks if re.match(block, path)]
        if len(found) != 1:
            raise PresetError(f"Variable {path!r} belongs to {len(found)} blocks.", expected="exactly one")
    for block in blocks:
        if not any(re.match(block, path) for path in paths):
            raise PresetError(f"Block {block!r} holds no variable.")


def _addresses(model: keras.Model) -> dict[str, object]:
    return stages.addresses({model.name: model})
