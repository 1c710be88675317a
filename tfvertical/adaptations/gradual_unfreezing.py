"""Blocks begin to learn one after another, from the output towards the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

from tfvertical.contracts import Adaptation, Task
from tfvertical.errors import ConfigError
from tfvertical.stages import Stage

_EPOCHS = ("epochs_per_block", "head_epochs", "final_epochs")


@dataclass(frozen=True)
class GradualUnfreezing(Adaptation):
    """Head first, then block by block from the top (ULMFiT: Howard and Ruder 2018).

    Args:
        blocks: how many blocks learn in the end, counted from the output; None for all, embeddings or stem included.
        step: how many more blocks learn in each stage.
        epochs_per_block: epochs of each stage that unfreezes; None for what `fit` was asked for.
        head_epochs: epochs of the head alone; 0 for none, None for what `fit` was asked for. With a cache they are
            nearly free.
        final_epochs: epochs of the last stage, when all `blocks` learn; None for the same as the other stages.
        head_rate: the head's learning rate once blocks learn too, as a multiple of its rate in the first stage.
        backbone_rate: the blocks' learning rate as a multiple of the head's in the first stage.
        decay: each block learns this many times slower than the one above it; 1 for one rate (ULMFiT used 2.6).
        augment_head: train the head alone on augmented pictures too, which rules out the cache in its stage.
        batch_norm: let BatchNormalization learn and use batch statistics.

    Raises:
        ConfigError: more blocks are asked for than the backbone has.
    """

    blocks: int | None = 2
    step: int = 1
    epochs_per_block: int | None = None
    head_epochs: int | None = None
    final_epochs: int | None = None
    head_rate: float = 1.0
    backbone_rate: float = 0.1
    decay: float = 1.0
    augment_head: bool = False
    batch_norm: bool = False

    def __post_init__(self) -> None:
        for name in ("blocks", "step", *_EPOCHS):
            value = getattr(self, name)
            least = 0 if name == "head_epochs" else 1
            if name in ("blocks", *_EPOCHS) and value is None:
                continue
            if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
                none = ", or None for all" if name == "blocks" else ", or None" if name in _EPOCHS else ""
                raise ConfigError(
                    f"GradualUnfreezing: {name} is {value!r}.", expected=f"a whole number, at least {least}{none}"
                )
        if self.decay < 1:
            raise ConfigError(f"GradualUnfreezing: decay is {self.decay}.", expected="1 or more")

    def stages(self, task: Task, epochs: int) -> Sequence[Stage]:
        """`head`, then `top 1`, `top 2` … up to `blocks`."""
        top_down = list(reversed(task.blocks))
        count = len(top_down) if self.blocks is None else self.blocks
        if count > len(top_down):
            raise ConfigError(
                f"GradualUnfreezing: blocks is {count}, but the backbone has {len(top_down)}.",
                fix=f"choose 1…{len(top_down)}, or null (None) for all",
            )
        depths = sorted({*range(self.step, count + 1, self.step), count})
        alone = epochs if self.head_epochs is None else self.head_epochs
        stages = [Stage("head", {"head/": 1.0}, alone, augment=self.augment_head)] if alone else []
        for depth in depths:
            rates = {"head/": self.head_rate} | {
                pattern: self.backbone_rate / self.decay**level for level, pattern in enumerate(top_down[:depth])
            }
            length = self.epochs_per_block or epochs
            if depth == count:
                length = self.final_epochs or length
            stages.append(Stage(f"top {depth}", rates, length, batch_norm=self.batch_norm))
        return stages
