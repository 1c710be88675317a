"""How a run comes to each stage's frontier: what runs once, from where, what is kept, and what that should cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from tfvertical import features, flops, frontier, stages
from tfvertical.contracts import Encoded, Task
from tfvertical.settings import Settings

BACKWARD = 2.0  # a backward pass costs about two forward ones


@dataclass(frozen=True)
class Way:
    """How one stage is trained.

    Args:
        resolved: the stage, worked out.
        parts: the model split at the stage's frontier; None for `prefix` where nothing is frozen.
        how: `kept` (the frozen part runs once), `views` (once for each augmented view), `inside` (in every step,
            without gradients) or `whole` (there is no frozen part).
        why: a few words.
        bytes: what keeping takes.
        base: number of the group whose common frozen part this stage's starts from; None for the model's inputs.
        frozen: FLOPs of the frozen part, one example.
        learning: FLOPs of a forward pass behind the frontier, one example.
    """

    resolved: stages.Resolved
    parts: frontier.Split
    how: str
    why: str
    bytes: int
    frozen: float
    learning: float
    base: int | None = None

    def step(self, inside: bool) -> float:
        """FLOPs that a training step spends on one example, with the frozen part inside it or without."""
        return (1 + BACKWARD) * self.learning + (self.frozen if inside else 0.0)

    @property
    def frontier(self) -> str:
        """The tensors at the frontier, as `name (shape) dtype`."""
        if self.parts.prefix is None:
            return "the inputs"
        names = [
            f"({', '.join(str(size or '*') for size in t.shape[1:])}) {t.dtype}" for t in _outputs(self.parts.prefix)
        ]
        return " + ".join(names)


@dataclass(frozen=True)
class Base:
    """What several stages in a row have in common before their frontiers: run once, advanced from in each.

    Args:
        parts: the model split there.
        bytes: what keeping takes.
        cost: FLOPs of its frozen part, one example.
    """

    parts: frontier.Split
    bytes: int
    cost: float


@dataclass(frozen=True)
class Plan:
    """A run's stages with their ways; printed, it is a table.

    Args:
        ways: one a stage.
        bases: what groups of stages start from.
        examples: how many there are to train on.
        settings: those of the run.
    """

    ways: tuple[Way, ...]
    bases: tuple[Base, ...] = field(repr=False)
    examples: int
    settings: Settings

    def once(self, at: int) -> float:
        """FLOPs an example that stage `at` spends once, before its first epoch."""
        way = self.ways[at]
        if way.how == "views":
            return way.frozen * min(self.settings.views, way.resolved.stage.epochs)
        if way.how != "kept":
            return 0.0
        if way.base is None:
            return way.frozen
        first = not any(earlier.base == way.base for earlier in self.ways[:at])
        return way.frozen - (0.0 if first else self.bases[way.base].cost)

    def epoch(self, at: int) -> float:
        """FLOPs an example of an epoch of stage `at`."""
        return self.ways[at].step(self.ways[at].how == "inside")

    def cost(self) -> tuple[float, float]:
        """FLOPs of the whole run, and of the same run without keeping anything."""
        mine = plain = 0.0
        for at, way in enumerate(self.ways):
            epochs = way.resolved.stage.epochs
            mine += self.once(at) + epochs * self.epoch(at)
            plain += epochs * ((1 + BACKWARD) * way.learning + way.frozen)
        return mine * self.examples, plain * self.examples

    def _sharing(self, way: Way) -> str:
        """Which stages start from the same base."""
        members = [at for at, other in enumerate(self.ways, 1) if way.base is not None and other.base == way.base]
        return f", from what stages {members[0]}-{members[-1]} share" if members else ""

    def __str__(self) -> str:
        lines = []
        for at, way in enumerate(self.ways):
            stage = way.resolved.stage
            learning = "; ".join(f"{part} {count:,} at {rate:g}" for part, rate, count in stages.describe(way.resolved))
            lines += [
                f"{at + 1}. {stage.name!r}, {stage.epochs} epoch{'s' * (stage.epochs > 1)}: {learning}; "
                f"{stages.frozen(way.resolved):,} frozen",
                f"   frontier {way.frontier}; {way.why}{self._sharing(way)}"
                + (f", {way.bytes / 1e6:,.0f} MB" if way.bytes else ""),
                f"   {self.once(at) * self.examples / 1e12:.2f} TFLOP once, "
                f"{self.epoch(at) * self.examples / 1e12:.2f} an epoch",
            ]
        mine, plain = self.cost()
        lines.append(
            f"In all {mine / 1e12:.2f} TFLOP; {plain / 1e12:.2f} if nothing were kept ({plain / mine:.1f} times)."
        )
        return "\n".join(lines)


def plan(
    task: Task, resolved: Sequence[stages.Resolved], encoded: Sequence[Encoded], settings: Settings, augmented: bool
) -> Plan:
    """Work out how each stage is trained; changes nothing.

    Args:
        task: what is trained.
        resolved: its stages, worked out.
        encoded: the training examples, and those of validation if there are any.
        settings: of the run; `cache`, `cache_bytes`, `cache_dtype`, `views`.
        augmented: whether the run augments.
    """
    length = _mean_length(encoded)
    total = flops.forward(task.model, length)
    ways = [_way(task, one, encoded, settings, augmented and one.stage.augment, (length, total)) for one in resolved]
    bases: list[Base] = []
    at = 0
    while at < len(ways):
        last, base = _common(task, ways, at, encoded, settings, length)
        if base is not None:
            for member in range(at, last + 1):
                if ways[member].how == "kept":
                    ways[member] = replace(ways[member], base=len(bases))
            bases.append(base)
        at = last + 1
    return Plan(tuple(ways), tuple(bases), len(encoded[0]), settings)


def _way(
    task: Task,
    resolved: stages.Resolved,
    encoded: Sequence[Encoded],
    settings: Settings,
    augmented: bool,
    sizes: tuple[float, float],
) -> Way:
    length, total = sizes
    parts = _split(task, [resolved])
    if parts.prefix is None or not parts.prefix.weights:  # scaling pixels is not worth keeping what comes out
        return Way(resolved, frontier.Split(None, task.model), "whole", "nothing is frozen before it", 0, 0.0, total)
    frozen = flops.forward(parts.prefix, length)
    views = min(settings.views, resolved.stage.epochs)
    how, why, times = "kept", "the frozen part runs once", 1
    if not settings.cache:
        how, why = "inside", "keeping is switched off"
    elif not features.cacheable(parts.prefix):
        how, why = "inside", "its outputs cannot be kept by example"
    elif augmented and not views:
        how, why = "inside", "augmented anew in every epoch"
    elif augmented:
        how, why, times = "views", f"{views} augmented views, in turn", views
    # what cannot be kept has no size
    size = 0 if how == "inside" else times * features.cost(parts.prefix, encoded, settings.cache_dtype)
    if not features.fits(size, settings):
        how, why, size = "inside", f"{size / 1e6:,.0f} MB would not fit", 0
    return Way(resolved, parts, how, why, size, frozen, total - frozen)


def _common(
    task: Task, ways: Sequence[Way], first: int, encoded: Sequence[Encoded], settings: Settings, length: float
) -> tuple[int, Base | None]:
    """The stages from `first` on that are best reached from one kept base: the number of the last one, and the base.

    The base holds nothing that any of them moves. Every stage but one is spared its cost.
    """
    best: tuple[float, int, Base | None] = (0.0, first, None)
    for last in range(first + 1, len(ways)):
        group = ways[first : last + 1]
        members = [way for way in group if way.how == "kept"]
        parts = _split_for(task, group)
        if parts.prefix is None or not parts.prefix.weights:
            break
        if ways[last].how != "kept" or not features.cacheable(parts.prefix):
            continue
        cost = flops.forward(parts.prefix, length)
        size = features.cost(parts.prefix, encoded, settings.cache_dtype)
        spared = (len(members) - 1) * cost
        fits = features.fits(size + max(way.bytes for way in group), settings)
        if spared > best[0] and fits:
            best = (spared, last, Base(parts, size, cost))
    return best[1], best[2]


def _split_for(task: Task, ways: Sequence[Way]) -> frontier.Split:
    """The split for several stages at once: that of the last one, where it moves whatever the others do."""
    last = ways[-1]
    wider = all(set(way.resolved.rates) <= set(last.resolved.rates) for way in ways)
    return last.parts if wider else _split(task, [way.resolved for way in ways])


def _split(task: Task, resolved: Sequence[stages.Resolved]) -> frontier.Split:
    """The task's model before and behind all that some of the stages move.

    The head's dropout learns nothing, but belongs behind the frontier: before it, it would rest. Dropout inside the
    frozen backbone stays before it: what is frozen runs in inference mode.
    """
    return frontier.split(task.model, moves(task, resolved))


def moves(task: Task, resolved: Sequence[stages.Resolved]) -> Callable[[Any], bool]:
    """Whether an operation belongs behind the frontier of these stages."""
    ids = {id(variable) for one in resolved for variable in one.learning().values()}
    head = {id(layer) for layer in task.components["head"].layers if isinstance(layer, keras.layers.Dropout)}

    def moving(operation: Any) -> bool:
        own = any(id(variable) in ids for variable in getattr(operation, "variables", ()))
        return own or id(operation) in head or frontier.augments(operation)

    return moving


def _mean_length(encoded: Sequence[Encoded]) -> float:
    lengths = encoded[0].lengths
    return 1.0 if lengths is None or not len(lengths) else float(np.mean(lengths))


def _outputs(model: keras.Model) -> list[Any]:
    return list(keras.tree.flatten(model.output))
