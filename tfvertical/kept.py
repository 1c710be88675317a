"""What has run once: the outputs of frozen parts, for the stage at hand and for the group of stages it is in."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import keras

from tfvertical import features, frontier, inline, planning, precision, replicas
from tfvertical.contracts import Encoded, Task
from tfvertical.errors import StoreError, TrainingError
from tfvertical.events import Events
from tfvertical.settings import Settings

if TYPE_CHECKING:
    from tfvertical.again import Again

Transform = Callable[[Encoded, int], Encoded]


@dataclass(frozen=True)
class Job:
    """What stays the same in all stages of a run; `steps` are those of an epoch, `total` those of the run.

    `strategy` is that of the task's weights, None for one device; `again` what runs of the same leave each other;
    `names` what training and validation data are called, for lists of what is kept.
    """

    task: Task
    train: Encoded
    validation: Encoded | None
    settings: Settings
    augment: Transform | None
    verbose: int
    steps: int
    total: int
    events: Events
    strategy: Any = None
    again: Again | None = None
    names: tuple[str, str] = ("", "")

    @property
    def precision(self) -> str:
        """The precision that was asked for; what is to be measured is decided where nobody may measure."""
        if self.settings.precision == "auto" and replicas.on_tpu(self.strategy):
            return precision.LOW
        if self.settings.precision == "auto" and replicas.several(self.strategy) is not None:
            return "float32"  # workers might measure differently
        return self.settings.precision

    @property
    def spread(self) -> str:
        """Why steps are those of `replicas`, in a few words; empty where Keras' own do what is asked for."""
        asked = self.settings
        if self.strategy is not None:
            return "they are taken on several replicas"
        if asked.jit_compile:
            return "XLA compiles each"
        if asked.accumulate > 1:
            return "each is taken in parts"
        return "those that are not finite are skipped" if asked.not_finite == "skip" else ""


@dataclass(frozen=True)
class Trained:
    """The model that a stage trains, with the examples as it takes them.

    Args:
        model: the suffix; with the prefix inside where nothing is kept.
        train: examples to train on.
        validation: examples to choose by.
        transform: what becomes of the examples before each epoch.
        inside: whether the frozen part is in the model, and runs in every step.
        kept: what was computed for this stage, and ends with it.
    """

    model: keras.Model
    train: Encoded
    validation: Encoded | None
    transform: Transform | None = None
    inside: bool = False
    kept: tuple[Encoded, ...] = ()

    def release(self) -> None:
        """Free what was kept."""
        for encoded in self.kept:
            features.release(encoded)


class Kept:
    """What has run once: the outputs of frozen parts for the stage at hand, and for the group of stages it is in.

    Args:
        job: what stays the same in all stages.
        planned: how each stage is trained.

    Attributes:
        policy: the dtype policy that frozen parts compute by, and why; None until the first of them runs.
    """

    def __init__(self, job: Job, planned: planning.Plan):
        self.job, self.planned = job, planned
        self.keeping = features.Keeping.of(job.settings, {"preset": job.task.source.preset})
        self.sharing = replicas.sharing(job.strategy)
        self.base: tuple[int, list[Encoded]] | None = None
        self.policy: tuple[str, str] | None = None

    def trained(self, at: int) -> Trained:
        """Stage `at`'s model and examples; without a kept prefix where keeping turns out to be impossible."""
        way = self.planned.ways[at]
        if self.base is not None and all(later.base != self.base[0] for later in self.planned.ways[at:]):
            self.drop()
        again, train, validation = self.job.again, self.job.train, self.job.validation
        if again is not None and again.ready:
            self.policy = again.policy
            return _present(again.trained)
        if way.how == "whole":
            transform = self.job.augment if way.resolved.stage.augment else None
            return Trained(_copy_of(self.job.task.model), train, validation, transform)
        if way.how in ("kept", "views"):
            try:
                return (self._views if way.how == "views" else self._once)(way, self._memory(at))
            except (StoreError, TrainingError) as error:
                warnings.warn(
                    f"Stage {way.resolved.stage.name!r} runs its frozen part in every step: {error}", stacklevel=2
                )
        transform = self.job.augment if way.resolved.stage.augment else None
        model = inline.inline(_present(way.parts.prefix), way.parts.suffix)
        return Trained(model, train, validation, transform, inside=True)

    def _memory(self, at: int) -> int:
        """Bytes of memory for what is computed for a stage alone: those of a base that stays beside it are taken.

        By the plan, since a run that goes on in such a stage may not have that base yet, and must choose as it did.
        """
        left = self.keeping.memory
        given = [one for one in (self.job.train, self.job.validation) if one is not None]
        for number, base in enumerate(self.planned.bases):
            members = [one for one, way in enumerate(self.planned.ways) if way.base == number]
            if members[0] <= at <= members[-1]:
                prefix = _present(base.parts.prefix)
                sizes = [features.cost(prefix, [one], self.keeping.dtype) for one in given]
                for size in sizes:
                    left -= size if size <= left else 0
        return left

    def _once(self, way: planning.Way, memory: int) -> Trained:
        """From the group's base where there is one, otherwise from the model's inputs."""
        given = [self.job.train, self.job.validation]
        if way.base is None:
            return self._advanced(way.parts, given, memory)
        base = self.planned.bases[way.base]
        if self.base is None:
            found = self._advanced(base.parts, given, self.keeping.memory)
            self.base = (way.base, [found.train, *([] if found.validation is None else [found.validation])])
        kept: list[Encoded | None] = [*self.base[1], None][:2]
        parts = frontier.split(base.parts.suffix, planning.moves(self.job.task, [way.resolved]))
        if parts.prefix is None:
            train, validation = kept
            return Trained(base.parts.suffix, _present(train), validation)
        return self._advanced(parts, kept, memory)

    def _advanced(self, parts: frontier.Split, encoded: Sequence[Encoded | None], memory: int) -> Trained:
        """Both sets of examples through a prefix."""
        train, validation = self._through(_present(parts.prefix), [_present(encoded[0])], encoded[1], memory)
        kept = tuple(one for one in (train, validation) if one is not None)
        return Trained(parts.suffix, _present(train), validation, kept=kept)

    def _views(self, way: planning.Way, memory: int) -> Trained:
        """As many augmented views as are asked for, each run once; epochs take them in turn."""
        augment = _present(self.job.augment)
        count = min(self.job.settings.views, way.resolved.stage.epochs)
        given = (augment(self.job.train, view) for view in range(count))
        *views, validation = self._through(_present(way.parts.prefix), given, self.job.validation, memory)
        kept = (*views, *([] if validation is None else [validation]))
        return Trained(way.parts.suffix, views[0], validation, lambda _, epoch: views[epoch % count], kept=kept)

    def _through(
        self, prefix: keras.Model, train: Iterable[Encoded], validation: Encoded | None, memory: int
    ) -> list[Any]:
        """Sets of examples through a prefix, each in what those before it leave of `memory`."""
        found: list[Encoded | None] = []
        of_train, of_validation = self.job.names
        for one, name in itertools.chain(((each, of_train) for each in train), [(validation, of_validation)]):
            found.append(None if one is None else self._run(prefix, one, memory, name))
            memory -= 0 if found[-1] is None else features.held(found[-1])
        return found

    def _run(self, prefix: keras.Model, encoded: Encoded, memory: int, name: str) -> Encoded:
        if self.policy is None:
            self.policy = precision.frozen(self.job.precision, prefix, encoded)
        about = dict(self.keeping.about) | ({"data_name": name} if name else {})
        keeping = replace(self.keeping, memory=memory, policy=self.policy[0], about=about)
        found = features.compute(prefix, encoded, keeping, self.sharing, replicas.forward(prefix, self.job.strategy))
        self.job.events.emit(
            "features",
            source=found.source,
            examples=len(encoded),
            bytes=features.cost(prefix, [encoded], keeping.dtype),
            precision=self.policy[0],
            seconds=round(found.seconds, 2),
            error=found.error,
        )
        if self.job.verbose:
            print(f"  {_told(found)} the frozen part's outputs for {len(encoded):,} examples, {found.seconds:.1f} s.")
        return found.encoded

    def drop(self) -> None:
        """Let go of the base."""
        for encoded in self.base[1] if self.base is not None else ():
            features.release(encoded)
        self.base = None


def _told(found: features.Found) -> str:
    lossy = f" (at a loss of {found.error:.1e})" if found.error else ""
    return {"computed": f"Computed{lossy}", "memory": "Still had", "disk": "Found on disk"}[found.source]


def _present(value: Any) -> Any:
    """`value`, which the plan says is there."""
    if value is None:
        raise TrainingError("A stage was planned with a frozen part, or data, that it does not have.")
    return value


def _copy_of(model: keras.Model) -> keras.Model:
    """A second model of the same layers, so that `fit` never compiles the user's own."""
    return keras.Model(model.input, model.output, name=f"{model.name}_trained")
