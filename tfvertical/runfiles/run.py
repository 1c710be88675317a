"""What a run file says, as objects: the plan of one training run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tfvertical.augment import Augment
from tfvertical.contracts import Adaptation
from tfvertical.settings import Settings


@dataclass(frozen=True)
class DataPlan:
    """Where the rows come from and how they are read and split.

    Args:
        sources: `train`, and `validation` and `test` where they are given: an absolute path or `tfds:NAME`.
        load: keywords of `data.load`, for every source.
        split: keywords of `data.split`, by which `train` is divided into what is not given; None for no split.
        class_weight: `balanced`, label -> weight, or None.
    """

    sources: Mapping[str, str]
    load: Mapping[str, Any] = field(default_factory=dict)
    split: Mapping[str, Any] | None = None
    class_weight: str | Mapping[str, float] | None = None


@dataclass(frozen=True)
class EvaluationPlan:
    """How the test data are reported.

    Args:
        examples: list the worst errors with their text or picture; False keeps every one out of reports and logs.
        before: score the test data before adaptation too, on the same rows.
    """

    examples: bool = True
    before: bool = False


@dataclass(frozen=True)
class ExportPlan:
    """One export of the finished task.

    Args:
        format: a file name in `export/`.
        options: the format's own (`precision`, `length`).
    """

    format: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """A checked run file.

    Args:
        task: file name in `tasks/`.
        preset: name of the backbone.
        labels: the label names in their order, or None for those of the training data, sorted.
        options: the other keywords of the task's `from_preset`.
        data: where the rows come from.
        adaptation: how the model is adapted.
        training: everything about training that is not one of the others.
        checkpoint_every: seconds between two saves of the run's position within an epoch.
        strategy: which devices train, a name in `distribution.STRATEGIES`.
        augment: random views of pictures, or None.
        evaluation: how the test data are reported.
        export: what is exported when all is done.
        written: the file as plain values, overrides included; it goes into the bundle.
    """

    task: str
    preset: str
    labels: tuple[str, ...] | None
    options: Mapping[str, Any]
    data: DataPlan
    adaptation: Adaptation
    training: Settings = field(default_factory=Settings)
    checkpoint_every: float = 120.0
    strategy: str = "auto"
    augment: Augment | None = None
    evaluation: EvaluationPlan = field(default_factory=EvaluationPlan)
    export: tuple[ExportPlan, ...] = ()
    written: Mapping[str, Any] = field(default_factory=dict, repr=False)
