"""What makes a run this run: only the same one may go on from a saved position."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np

from tfvertical import identity, stages
from tfvertical.contracts import Encoded, Objective, Task
from tfvertical.settings import Settings

INDIFFERENT = ("cache_bytes", "cache_disk")  # where outputs are kept changes none; whether they are, positions know
DECIDED = ("threshold", "thresholds")  # what a run chooses at its end


def of_run(
    task: Task,
    resolved: Sequence[stages.Resolved],
    moving: Mapping[str, Any],
    train: Encoded,
    validation: Encoded | None,
    settings: Settings,
    augment: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Task, settings, stages, data and what stays frozen, as flat JSON values: a message can show how two runs differ.

    Args:
        task: what is trained; what its head begins with follows from its configuration.
        resolved: the run's stages, worked out.
        moving: address -> variable of all that some stage moves, in the order in which a position has their values.
        train, validation: the examples.
        settings: all of them.
        augment: how examples are augmented.
    """
    everything = {address: variable for each in resolved for address, variable in each.variables.items()}
    still = sorted(set(everything) - set(moving))
    frozen = hashlib.sha256(b"".join(identity.of_variables([everything[address] for address in still])))
    # in their order, by which a position numbers them
    shapes = hashlib.sha256(repr([(name, tuple(each.shape)) for name, each in moving.items()]).encode())
    chosen = {name: value for name, value in asdict(settings).items() if name not in INDIFFERENT}
    data = {"train": identity.of_examples(train)}
    if validation is not None:
        data["validation"] = identity.of_examples(validation)
    described = task.config()
    described["head"] = {name: value for name, value in described["head"].items() if name not in DECIDED}
    described["source"] = {name: value for name, value in described["source"].items() if name != "versions"}
    graph = identity.of_graph(task.model)  # None where an operation cannot be written down: nothing is known then
    content = {
        "task": {"class": type(task).__name__, **described},
        "augment": augment,
        "settings": chosen,
        "stages": {f"{at} {each.stage.name}": _described(each.stage) for at, each in enumerate(resolved)},
        "order": " ".join(each.stage.name for each in resolved),
        "data": data,
        "model": {"frozen": frozen.hexdigest(), "learning": shapes.hexdigest()} | ({"graph": graph} if graph else {}),
    }
    return flat(json.loads(json.dumps(content)))


def _described(stage: stages.Stage) -> dict[str, Any]:
    return {
        "rates": dict(stage.rates),
        "epochs": stage.epochs,
        "batch_norm": stage.batch_norm,
        "augment": stage.augment,
        "objective": None if stage.objective is None else _made_of(stage.objective),
    }


def _made_of(objective: Objective) -> dict[str, Any]:
    """Its class, and what it was made with."""
    fields = asdict(objective) if is_dataclass(objective) else vars(objective)
    content: dict[str, Any] = json.loads(json.dumps({"class": type(objective).__name__, **fields}, default=_plain))
    return content


def _plain(value: Any) -> Any:
    """What JSON does not know: numbers of arrays; of anything else the class, as its address is another each time."""
    return np.asarray(value).tolist() if hasattr(value, "__array__") else type(value).__name__


def flat(content: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys.

    Example:
        >>> flat({"settings": {"epochs": 3}, "seed": 0})
        {'settings.epochs': 3, 'seed': 0}
    """
    found: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{above}{key}"
        found |= flat(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return found
