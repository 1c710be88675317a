"""How a run trains, as data: what a run file says under `training:` and what `fit` takes as keywords."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, get_args, get_type_hints

from tfvertical.errors import ConfigError, nearest
from tfvertical.plain import plain

CACHE_DTYPES = ("float32", "float16", "bfloat16")
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
POLICIES = ("stop", "skip")
SCHEDULES = ("cosine", "linear", "constant")
# what people say by habit -> what it is here
HABITS = {
    "lr": "it is called learning_rate",
    "optimizer": "it is AdamW; learning_rate, schedule, warmup, weight_decay and clip_norm set it",
    "lr_scheduler": "it is called schedule: " + ", ".join(SCHEDULES),
    "lr_scheduler_type": "it is called schedule: " + ", ".join(SCHEDULES),
    "warmup_ratio": "it is called warmup",
    "warmup_steps": "it is called warmup, a share of all steps",
    "max_grad_norm": "it is called clip_norm",
    "batch": "it is called batch_size",
    "per_device_train_batch_size": "it is called batch_size, of all devices together",
    "gradient_accumulation_steps": "it is called accumulate: batch_size / accumulate rows are computed at a time",
    "num_epochs": "it is called epochs",
    "num_train_epochs": "it is called epochs",
    "patience": "it is called early_stopping, in epochs",
    "validation_data": "it is the second argument, fit(train, validation); in a run file data.validation",
    "validation_split": "divide the rows first, tv.data.split(rows); in a run file data.split",
    "loss": "a task has its own, which focal and label_smoothing change; a regressor's is from_preset(…, loss=…)",
    "metrics": "a task has its own; monitor chooses by which of them epochs are judged",
}


@dataclass(frozen=True)
class Settings:
    """Everything about training that is not the model, the data or the adaptation.

    Args:
        epochs: passes over the training data in each stage, unless the adaptation says otherwise.
        batch_size: examples a step.
        learning_rate: peak rate; a stage's rates multiply it.
        schedule: `cosine`, `linear` (both decay to 0 over the whole run) or `constant`, after the warm-up.
        warmup: share of all steps in which the rate rises from 0, 0…1.
        restart: begin the schedule anew in every stage.
        weight_decay: decoupled decay (AdamW); never on biases and normalization weights.
        clip_norm: largest norm of all gradients together; None for no clipping.
        label_smoothing: 0…1, share of the target spread over all classes.
        focal: power of the focal loss (Lin et al. 2017): examples whose label the model is sure of count less; 0 for
            none, 2 is usual.
        early_stopping: end a stage after this many epochs without a better `monitor`; None to run them all.
        restore_best: end with the weights of the best epoch of the run (needs validation data).
        monitor: the quantity that decides which epoch is best; lower is better for losses and errors, higher for all
            else. None for the task's own: `val_loss`, and `val_f1` where entities are found.
        group_by_length: put texts of like length into a batch, which saves padding and mixes examples less; None to do
            so where it saves any: not where only outputs of one length are trained on.
        cache: run what is frozen once and keep its outputs, in memory or on disk.
        cache_bytes: bytes of memory they may take; of more, batches are read from disk.
        cache_disk: bytes that those of all runs may take on disk, where another run finds them; 0 for none there.
        cache_dtype: how they are kept: `float32`, or in half the room as `float16` or `bfloat16`; the loss is told.
        views: augmented views of each example that run through the frozen part once and are kept, shown in turn;
            0 makes new ones in every epoch, for which the frozen part runs in every step.
        precision: `float32`; `mixed_bfloat16` for products in half the width, also in what is frozen, with weights,
            logits and loss in float32, and all of a head that learns alone;
            `mixed_float16` for GPUs without bfloat16, with a loss that is scaled; or `auto` for bfloat16 where the
            processor is faster at it and nearly the same comes out.
        average: decay of an exponential moving average of all that learns (`0.999`), by which epochs are judged and
            with which each stage ends; n / (n + 9) in the n-th step of a weight, as long as that is less. None to use
            the weights as they are.
        rematerialize: compute what a block gives again in the backward pass, instead of keeping it: less memory, more
            time, the same step. For backbones whose blocks are layers, as KerasHub's text encoders.
        accumulate: parts in which each batch is computed, one after another, before the weights move once: less memory,
            the same step, but for BatchNormalization that learns, whose statistics are then those of the parts.
        jit_compile: compile every step with XLA, for batches of one size and a few lengths; a TPU does so always.
        not_finite: what to do with a step whose loss or gradients are not finite, and which moves nothing: `stop` the
            run, or `skip` the step.
        skip_limit: steps that a stage may skip before it stops all the same, as it does where an epoch has no other.
        seed: of data order, dropout and augmentation; the head's first weights follow the task's own `seed`.

    Raises:
        ConfigError: a value is out of range; all of them in one message.
    """

    epochs: int = 3
    batch_size: int = 32
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    warmup: float = 0.1
    restart: bool = False
    weight_decay: float = 0.01
    clip_norm: float | None = 1.0
    label_smoothing: float = 0.0
    focal: float = 0.0
    early_stopping: int | None = None
    restore_best: bool = True
    monitor: str | None = None
    group_by_length: bool | None = None
    cache: bool = True
    cache_bytes: int = 2_000_000_000
    cache_disk: int = 10_000_000_000
    cache_dtype: str = "float32"
    views: int = 0
    precision: str = "auto"
    average: float | None = None
    rematerialize: bool = False
    accumulate: int = 1
    jit_compile: bool = False
    not_finite: str = "stop"
    skip_limit: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        self._check_types()
        wrong = [
            f"{name} is {getattr(self, name)!r}, expected {expected}"
            for name, expected, right in (
                ("epochs", "1 or more", self.epochs >= 1),
                ("batch_size", "1 or more", self.batch_size >= 1),
                ("learning_rate", "above 0 and at most 10", 0 < self.learning_rate <= 10),
                ("schedule", "one of " + ", ".join(SCHEDULES), self.schedule in SCHEDULES),
                ("warmup", "0…1", 0 <= self.warmup <= 1),
                ("weight_decay", "0…1", 0 <= self.weight_decay <= 1),
                ("clip_norm", "above 0, or none", self.clip_norm is None or self.clip_norm > 0),
                ("label_smoothing", "0 or more, below 1", 0 <= self.label_smoothing < 1),
                ("focal", "0…10", 0 <= self.focal <= 10),
                ("early_stopping", "1 or more, or none", self.early_stopping is None or self.early_stopping >= 1),
                ("cache_bytes", "0 or more", self.cache_bytes >= 0),
                ("cache_disk", "0 or more", self.cache_disk >= 0),
                ("cache_dtype", "one of " + ", ".join(CACHE_DTYPES), self.cache_dtype in CACHE_DTYPES),
                ("views", "0 or more", self.views >= 0),
                ("precision", "one of " + ", ".join(PRECISIONS), self.precision in PRECISIONS),
                ("average", "0…1, less than 1, or None", self.average is None or 0 < self.average < 1),
                ("accumulate", "1 or more", self.accumulate >= 1),
                ("not_finite", "one of " + ", ".join(POLICIES), self.not_finite in POLICIES),
                ("skip_limit", "0 or more", self.skip_limit >= 0),
                ("seed", "0 or more", self.seed >= 0),
            )
            if not right
        ]
        if wrong:
            raise ConfigError("Training settings: " + "; ".join(wrong) + ".")

    def _check_types(self) -> None:
        kinds = get_type_hints(type(self))
        wrong = [
            f"{name} is {getattr(self, name)!r}, expected {self.__dataclass_fields__[name].type}"
            for name, kind in kinds.items()
            if not _is(getattr(self, name), kind)
        ]
        if wrong:
            raise ConfigError("Training settings: " + "; ".join(wrong) + ".")

    @classmethod
    def of(cls, options: Mapping[str, object]) -> Settings:
        """Settings from keywords, NumPy's numbers too; an unknown one is named with the nearest that exist."""
        known = list(cls.__dataclass_fields__)
        for name in options:
            if name in HABITS:
                raise ConfigError(f"There is no training setting {name!r}.", fix=HABITS[name])
            if name not in known:
                raise ConfigError(f"There is no training setting {name!r}.", nearest=nearest(name, known))
        return cls(**plain(options))


def monitored(quantities: Sequence[str]) -> list[str]:
    """What an epoch can be judged by, of a task whose metrics have these names: on training and on validation data.

    Example:
        >>> monitored(["accuracy"])
        ['loss', 'accuracy', 'val_loss', 'val_accuracy']
    """
    return [prefix + name for prefix in ("", "val_") for name in ("loss", *quantities)]


def _is(value: object, kind: Any) -> bool:
    """Whether a value is of an annotated kind; a whole number will do for a float, True is no number."""
    choices = get_args(kind) or (kind,)
    if isinstance(value, bool):
        return bool in choices
    return isinstance(value, choices) or (float in choices and isinstance(value, Real))
