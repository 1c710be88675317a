"""Stages of your own, and what else may be given as an adaptation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from numbers import Real
from typing import Any

from tfvertical.adaptations.frozen import Frozen
from tfvertical.contracts import Adaptation, Task
from tfvertical.errors import ConfigError, nearest
from tfvertical.registry import Registry, to_config
from tfvertical.stages import Stage


@dataclass(frozen=True)
class Stages(Adaptation):
    """The stages that are given, one after another.

    Args:
        in_order: `Stage`s, or what they are made of as mappings, as a run file has them: `name`, `rates`, `epochs`, and
            if need be `batch_norm`, `augment` and `objective` (`{name: CrossEntropy, focal: 2.0}`).

    Raises:
        ConfigError: there is none, or one of them is no stage or cannot be written down.
        AddressError: a stage has no epochs, a rate below 0, or a pattern that is no regular expression.

    Example:
        >>> made = Stages([{"name": "head", "rates": {"head/": 1.0}, "epochs": 2}])
        >>> made.in_order[0].epochs
        2
    """

    in_order: Sequence[Any] = (Stage("head", {"head/": 1.0}, 3),)

    def __post_init__(self) -> None:
        if not isinstance(self.in_order, Sequence) or isinstance(self.in_order, str) or not self.in_order:
            raise ConfigError(
                "An adaptation has no stages.", expected="a list of at least one", received=repr(self.in_order)
            )
        found = tuple(_stage(given, number) for number, given in enumerate(self.in_order, 1))
        object.__setattr__(self, "in_order", found)
        for stage in found:
            try:  # a bundle is written at the end, when it would be too late to say so
                json.dumps(stage.objective and to_config(stage.objective))
            except TypeError as error:
                raise ConfigError(f"Stage {stage.name!r}: its objective cannot be written down: {error}.") from error

    def stages(self, task: Task, epochs: int) -> Sequence[Stage]:
        """The same for every task; each says its own epochs."""
        return self.in_order


def adaptation_of(given: Any) -> Adaptation:
    """What `fit` and `plan` take as an adaptation: an object, its name, a mapping as in run files, or a list of stages.

    Raises:
        ConfigError: it is nothing of that, or there is no such name.
        AddressError: a stage cannot be.

    Example:
        >>> adaptation_of("frozen"), len(adaptation_of([Stage("head", {"head/": 1.0}, 2)]).in_order)
        (Frozen(), 1)
    """
    if given is None:
        return Frozen()
    if isinstance(given, Adaptation):
        return given
    if isinstance(given, str | Mapping):
        built: Adaptation = Registry("adaptations").build(given)
        return built
    if isinstance(given, list | tuple):
        return Stages(tuple(given))
    raise ConfigError(
        f"{given!r} is no adaptation.",
        expected="an object of a dataclass (GradualUnfreezing(blocks=2)), its name, or a list of stages",
        fix="call it" if isinstance(given, type) else "put it into a list" if isinstance(given, Stage) else None,
    )


def _stage(given: Any, number: int) -> Stage:
    """A stage as it is, or made of a mapping."""
    if isinstance(given, Stage):
        return given
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"Stage {number} is none.", expected="a Stage, or a mapping of its fields", received=repr(given)
        )
    known = {field.name: field.default for field in fields(Stage)}
    for name in given:
        if name not in known:
            raise ConfigError(f"Stage {number} has no {name!r}.", nearest=nearest(str(name), known))
    if missing := [name for name, default in known.items() if default is MISSING and name not in given]:
        raise ConfigError(f"Stage {number}: {', '.join(missing)} must be given.")
    for name, expected, right in (
        ("name", "text", isinstance(given["name"], str)),
        ("rates", "pattern -> number", _rates(given["rates"])),
        ("epochs", "a whole number", isinstance(given["epochs"], int) and not isinstance(given["epochs"], bool)),
        ("batch_norm", "true or false", isinstance(given.get("batch_norm", False), bool)),
        ("augment", "true or false", isinstance(given.get("augment", True), bool)),
        ("objective", "a mapping with a name", isinstance(given.get("objective"), str | Mapping | None)),
    ):
        if not right:
            raise ConfigError(f"Stage {number}: {name} is {given[name]!r}.", expected=expected)
    objective = given.get("objective")
    try:
        made = None if objective is None else Registry("objectives").build(objective)
    except TypeError as error:  # a field without a default is not there
        raise ConfigError(f"Stage {number}: {error}.") from error
    return Stage(**{**given, "objective": made})


def _rates(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(pattern, str) and isinstance(rate, Real) and not isinstance(rate, bool)
        for pattern, rate in value.items()
    )
