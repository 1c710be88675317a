"""Thin bundles: only the weights that differ from the base model's, and the SHA-256 of each that was left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tfvertical import stages
from tfvertical.contracts import Backbone, Task
from tfvertical.errors import BundleError
from tfvertical.files import parse_json
from tfvertical.sealing import weights

LoadBase = Callable[[str], Backbone]  # preset name -> backbone with its pretrained weights


def split(task: Task, values: Mapping[str, np.ndarray], base: LoadBase | None) -> tuple[dict[str, np.ndarray], bytes]:
    """What to store of `values`, and the `base.json` that says where the rest comes from.

    Args:
        task: its source names the base model.
        values: address -> values, all of the task's.
        base: how to load the base model; by name where None.

    Raises:
        BundleError: no component of the task looks like its base model.
    """
    found = _base(task.source.preset, base)
    left_out: dict[str, str] = {}
    components = []
    for component in task.components:
        originals = stages.addresses({component: found.model})
        if originals.keys() <= values.keys():
            components.append(component)
            for address, original in weights.arrays(originals).items():
                if weights.digest(original) == weights.digest(values[address]):
                    left_out[address] = weights.digest(original)
    if not components:
        raise BundleError(
            f"No component of this task is built on {task.source.preset!r}.", fix="save it whole, without thin=True"
        )
    content = {
        "preset": task.source.preset,
        "weights_sha256": found.source.weights_sha256,
        "components": components,
        "weights": left_out,
    }
    rest = {address: value for address, value in values.items() if address not in left_out}
    return rest, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def restore(content: bytes, where: str, base: LoadBase | None) -> dict[str, np.ndarray]:
    """Address -> values of the weights that `base.json` says were left out.

    Raises:
        BundleError: the base model is not the one that was saved against.
        PresetError: it cannot be had.
    """
    info: dict[str, Any] = parse_json(content, where)
    if not isinstance(info, dict) or set(info) != {"preset", "weights_sha256", "components", "weights"}:
        raise BundleError(f"{where} names no base model.")
    found = _base(info["preset"], base)
    values: dict[str, np.ndarray] = {}
    for component in info["components"]:
        values |= weights.arrays(stages.addresses({component: found.model}))
    for address, expected in info["weights"].items():
        if address not in values or weights.digest(values[address]) != expected:
            raise BundleError(
                f"{where}: {address!r} of the base model {info['preset']!r} is not what it was.",
                expected=f"weights of SHA-256 {info['weights_sha256']}",
                received=found.source.weights_sha256,
                fix="fetch the very version the bundle was made from, or save it whole, without thin=True",
            )
    return {address: values[address] for address in info["weights"]}


def _base(preset: str, load: LoadBase | None) -> Backbone:
    if load is None:
        from tfvertical import backbones

        load = backbones.load
    return load(preset)
