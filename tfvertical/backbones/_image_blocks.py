"""The blocks of an image backbone, input to output: its stem, its convolutional stages or encoder layers, its top."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tfvertical import stages
from tfvertical.backbones import _blocks

if TYPE_CHECKING:
    import keras

# How KerasHub and KerasCV number stages and encoder layers: stack2_block1_1_conv, block3a_expand_conv, dark4_csp/…,
# vit_encoder/transformer_block_7/…; `conv2d_5` is no stage.
_NUMBERED: Final = re.compile(
    r"(?:^|/)((?:v2_)?(?:[a-z_]*?(?:stack|stage|block|dark|expanded_conv|transformer[a-z_]*?|encoder|layers?)|conv)_?\d+)"
    r"(?![0-9d])"
)


def image_blocks(model: keras.Model) -> tuple[str, ...]:
    """One pattern a block, over variable paths inside the model; each variable belongs to exactly one.

    Blocks are told by the numbers in layer names. What has none (a normalization, a shortcut) goes with what precedes
    it; before the first is the stem, after the last the top, if there is more than a normalization. A network without
    numbers is one block.

    Args:
        model: a flat functional model; its layers are in the order of its graph.

    Raises:
        PresetError: two blocks cannot be told apart by their names.
    """
    paths = [address.partition("/")[2] for address in stages.addresses({"image": model})]
    keys = [_key(path) for path in paths]
    numbered = [at for at, key in enumerate(keys) if key is not None]
    groups: dict[str, list[str]] = {}
    current = "stem"
    for at, (path, key) in enumerate(zip(paths, keys, strict=True)):
        if key is not None:
            current = key
        elif numbered and at > numbered[-1]:
            current = "top"
        groups.setdefault(current, []).append(path)
    patterns = tuple(_pattern(key, members, paths) for key, members in _blocks.joined(model, groups).items())
    _blocks.check(model, patterns)
    return patterns


def _key(path: str) -> str | None:
    """The path up to the number of its stage: `stack2`, `vit_encoder/transformer_block_7`."""
    found = _NUMBERED.search(path)
    return None if found is None else path[: found.end(1)]


def _pattern(key: str, members: Sequence[str], paths: Sequence[str]) -> str:
    """The shortest pattern that takes in the members and nothing else."""
    by_layer = sorted({re.escape(path.split("/")[0]) for path in members})
    choices = [
        re.escape(key) + r"(?![0-9])",
        f"{by_layer[0]}/" if len(by_layer) == 1 else f"(?:{'|'.join(by_layer)})/",
    ]
    for choice in choices:
        if [path for path in paths if re.match(choice, path)] == list(members):
            return choice
    return "(?:" + "|".join(re.escape(path) for path in members) + ")$"
