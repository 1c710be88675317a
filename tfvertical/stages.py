"""A stage is data: address patterns with rates, and a number of epochs. What no pattern matches is frozen.

An address is `component/variable.path`, equal in every process: Keras' automatic layer names (`dense_1`, which count up
over the life of a process) are renumbered from 0 within their component. This is the one place that decides what
learns, and the one place that touches Keras' tracking.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tfvertical.errors import AddressError, nearest
from tfvertical.plain import plain

if TYPE_CHECKING:
    import keras

    from tfvertical.contracts import Objective


@dataclass(frozen=True)
class Stage:
    """Some epochs in which some variables learn, each at its rate.

    Args:
        name: what histories and messages call it.
        rates: regex over addresses, matched from their start -> multiplier of the whole update, weight decay included.
            The first match wins; an address that nothing matches is frozen, and so is one with rate 0.
        epochs: how many passes over the training data.
        batch_norm: let BatchNormalization layers that a pattern matches learn and use batch statistics. By default they
            stay in inference mode: small batches of a new domain ruin the statistics of pretraining.
        augment: show augmented inputs, where the run augments; without, what is frozen can be cached.
        objective: the loss of this stage; None for the task's own.

    Raises:
        AddressError: from `resolve`, when a pattern has no effect.

    Example:
        >>> Stage("head", {"head/": 1.0}, epochs=3).epochs
        3
    """

    name: str
    rates: Mapping[str, float]
    epochs: int
    batch_norm: bool = False
    augment: bool = True
    objective: Objective | None = None

    def __post_init__(self) -> None:
        for name in ("rates", "epochs"):  # positions and histories are JSON
            object.__setattr__(self, name, plain(getattr(self, name)))
        if self.epochs < 1:
            raise AddressError(f"Stage {self.name!r} has {self.epochs} epochs.", expected="at least 1")
        for pattern, rate in self.rates.items():
            if not 0.0 <= rate < float("inf"):
                raise AddressError(f"Stage {self.name!r}: rate of {pattern!r} is {rate}.", expected="0 or more, finite")
            try:
                re.compile(pattern)
            except re.error as error:
                raise AddressError(f"Stage {self.name!r}: {pattern!r} is no regular expression: {error}.") from error


@dataclass(frozen=True)
class Resolved:
    """A stage worked out on a model: which variable learns at which rate.

    Args:
        stage: the stage.
        rates: address -> rate, for every variable that learns.
        variables: address -> variable, for every variable of the model.
    """

    stage: Stage
    rates: Mapping[str, float]
    variables: Mapping[str, Any] = field(repr=False)

    def learning(self) -> dict[str, Any]:
        """Address -> variable, of those that learn."""
        return {address: self.variables[address] for address in self.rates}


def components_of(model: keras.Model) -> dict[str, keras.Model]:
    """The parts of a functional model that addresses name: its nested models, or the model itself as `model`.

    A task's model consists of nested models only (`text`, `head`); any other model is one component called `model`.
    """
    import keras

    holders = [layer for layer in model.layers if layer.weights]
    if holders and all(isinstance(layer, keras.Model) for layer in holders):
        return {layer.name: layer for layer in holders}
    return {"model": model}


def addresses(components: Mapping[str, keras.Model]) -> dict[str, Any]:
    """Address -> variable for every weight of the components, in Keras' own order.

    Raises:
        AddressError: two variables have one address (two layers of the same name).
    """
    found: dict[str, Any] = {}
    for component, model in components.items():
        automatic = _automatic_names(model)
        numbers: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        for variable in model.weights:  # weights: variables without the random state of dropout
            path: list[str] = []
            for segment in variable.path.removeprefix(f"{model.name}/").split("/"):
                if segment in automatic:
                    stem = automatic[segment]
                    seen = numbers["/".join(path), stem]
                    segment = f"{stem}_{seen.setdefault(segment, len(seen))}"
                path.append(segment)
            address = "/".join([component, *path])
            if address in found and found[address] is not variable:
                raise AddressError(f"Two variables have the address {address!r}.", fix="give their layers unique names")
            found[address] = variable
    return found


def _automatic_names(model: keras.Model) -> dict[str, str]:
    """Layer names that Keras made up (`dense_12`) -> their stem (`dense`)."""
    from keras.src.utils.naming import to_snake_case

    found = {}
    for layer in model._flatten_layers(include_self=False):
        stem = to_snake_case(type(layer).__name__)
        if re.fullmatch(re.escape(stem) + r"(_\d+)?", layer.name):
            found[layer.name] = stem
    return found


def layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The model and every layer inside it, nested ones included."""
    return list(model._flatten_layers())


def batch_norm_variables(components: Mapping[str, keras.Model]) -> set[int]:
    """`id` of every variable that a BatchNormalization layer holds."""
    import keras

    return {
        id(variable)
        for model in components.values()
        for layer in layers(model)
        if isinstance(layer, keras.layers.BatchNormalization)
        for variable in layer.variables
    }


def resolve(components: Mapping[str, keras.Model], stage: Stage) -> Resolved:
    """Work out which variables learn in `stage`, and at which rate; changes nothing.

    Raises:
        AddressError: a pattern matches no address, or only what earlier ones took or what does not learn.
    """
    variables = addresses(components)
    declared = _declared_learnable(components)
    can_learn = declared if stage.batch_norm else declared - batch_norm_variables(components)
    rates: dict[str, float] = {}
    won: dict[str, str] = {}
    for address, variable in variables.items():
        pattern = next((pattern for pattern in stage.rates if re.match(pattern, address)), None)
        if pattern is not None:
            won[address] = pattern
            if stage.rates[pattern] > 0 and id(variable) in can_learn:
                rates[address] = stage.rates[pattern]
    for pattern, rate in stage.rates.items():
        taken = [address for address in won if won[address] == pattern]
        if not taken:
            raise _unused(stage, pattern, won, variables)
        if rate > 0 and rates.keys().isdisjoint(taken):
            raise _idle(stage, pattern, any(id(variables[address]) in declared for address in taken))
    if not rates:
        raise AddressError(f"Stage {stage.name!r}: nothing would learn.", fix="give some pattern a rate above 0")
    return Resolved(stage, rates, variables)


def _unused(stage: Stage, pattern: str, won: Mapping[str, str], addresses: Mapping[str, Any]) -> AddressError:
    """Why a pattern has no effect: earlier ones take all that it matches, or it matches nothing."""
    taken = next((won[address] for address in addresses if re.match(pattern, address)), None)
    if taken is not None:
        return AddressError(
            f"Stage {stage.name!r}: {pattern!r} has no effect: {taken!r} stands before it, and the first match wins.",
            fix="put the narrower pattern first",
        )
    folders = sorted({"/".join(a.split("/")[:depth]) + "/" for a in addresses for depth in (1, 2)})
    return AddressError(
        f"Stage {stage.name!r}: no variable matches {pattern!r}.", nearest=nearest(pattern, folders) or folders[:5]
    )


def _idle(stage: Stage, pattern: str, batch_norm: bool) -> AddressError:
    """Why nothing learns of what a pattern matches: it is BatchNormalization that stays frozen, or never learns."""
    if batch_norm:
        return AddressError(
            f"Stage {stage.name!r}: {pattern!r} has no effect: it matches BatchNormalization only, which stays frozen.",
            fix="let it learn with batch_norm=True, or leave the pattern out",
        )
    return AddressError(
        f"Stage {stage.name!r}: {pattern!r} has no effect: what it matches are statistics and counters, which no "
        "gradient moves.",
        fix="leave the pattern out",
    )


def _declared_learnable(components: Mapping[str, keras.Model]) -> set[int]:
    """`id` of every variable that its layer declared trainable; moving averages and counters were not."""
    every = (layer for model in components.values() for layer in layers(model))
    return {id(variable) for layer in every for variable in layer._trainable_variables}


def apply(components: Mapping[str, keras.Model], stage: Stage) -> Resolved:
    """Make exactly the stage's variables trainable, all else frozen, and return what was worked out.

    Freezing goes by layer as well as by variable: a frozen layer is what puts BatchNormalization into inference mode.
    """
    resolved = resolve(components, stage)
    learning = {id(variable) for variable in resolved.learning().values()}
    for model in components.values():
        model.trainable = False  # setting True where it already is True would not reach frozen children,
        model.trainable = True  # so every layer is closed and opened first.
        for layer in model._flatten_layers(include_self=False):
            if not any(id(variable) in learning for variable in layer.variables):
                layer.trainable = False
        for variable in model.weights:
            variable.trainable = id(variable) in learning
    return resolved


def apply_stage(model: keras.Model, stage: Stage) -> Resolved:
    """`apply` for any functional model of yours; compile it afterwards, since Keras reads trainability at compile.

    Example:
        >>> import keras
        >>> dense = keras.layers.Dense
        >>> model = keras.Sequential([keras.Input((4,)), dense(3, name="body"), dense(2, name="top")])
        >>> sorted(apply_stage(model, Stage("top", {"model/top/": 1.0}, epochs=1)).rates)
        ['model/top/bias', 'model/top/kernel']
        >>> len(model.trainable_variables)
        2
    """
    model.trainable = True  # a model frozen as a whole says that nothing learns, whatever its parts do
    return apply(components_of(model), stage)


def frozen(resolved: Resolved) -> int:
    """How many weights do not learn, moving statistics included."""
    every = sum(int(variable.shape.num_elements() or 0) for variable in resolved.variables.values())
    return every - sum(count for _, _, count in describe(resolved))


def describe(resolved: Resolved) -> Sequence[tuple[str, float, int]]:
    """Per rate and component: `(component, rate, number of weights)`, for plans and logs."""
    counts: dict[tuple[str, float], int] = defaultdict(int)
    for address, rate in resolved.rates.items():
        counts[address.split("/")[0], rate] += int(resolved.variables[address].shape.num_elements() or 0)
    return [(component, rate, count) for (component, rate), count in counts.items()]
