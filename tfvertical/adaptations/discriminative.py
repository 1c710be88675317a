"""Every block learns, each slower than the one above it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tfvertical.contracts import Adaptation, Task
from tfvertical.errors import ConfigError
from tfvertical.stages import Stage


@dataclass(frozen=True)
class Discriminative(Adaptation):
    """Train every weight with rates that fall from the output to the input (ULMFiT: Howard and Ruder 2018).

    Args:
        decay: each block learns this many times slower than the one above it.
        backbone_rate: the top block's learning rate as a multiple of the head's.
        head_epochs: epochs of the head alone first, on the frozen backbone and on pictures that are not augmented.
        batch_norm: let BatchNormalization learn and use batch statistics.
    """

    decay: float = 2.6
    backbone_rate: float = 0.1
    head_epochs: int = 0
    batch_norm: bool = False

    def __post_init__(self) -> None:
        if self.decay < 1:
            raise ConfigError(f"Discriminative: decay is {self.decay}.", expected="1 or more")

    def stages(self, task: Task, epochs: int) -> Sequence[Stage]:
        """The head alone for `head_epochs`, then everything for `epochs`."""
        rates = {"head/": 1.0} | {
            pattern: self.backbone_rate / self.decay**level for level, pattern in enumerate(reversed(task.blocks))
        }
        everything = Stage("discriminative", rates, epochs, batch_norm=self.batch_norm)
        if not self.head_epochs:
            return [everything]
        return [Stage("head", {"head/": 1.0}, self.head_epochs, augment=False), everything]
