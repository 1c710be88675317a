"""Every weight learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tfvertical.contracts import Adaptation, Task
from tfvertical.stages import Stage


@dataclass(frozen=True)
class FullFineTuning(Adaptation):
    """Train every weight, the backbone at a smaller rate than the new head.

    Args:
        backbone_rate: the backbone's learning rate as a multiple of the head's.
        head_epochs: epochs of the head alone first, on the frozen backbone and on pictures that are not augmented; they
            are nearly free and keep the random head's first gradients away from pretrained weights (Kumar et al. 2022,
            "LP-FT").
        batch_norm: let BatchNormalization learn and use batch statistics.

    Example:
        >>> [stage.name for stage in FullFineTuning(head_epochs=2).stages(task=None, epochs=3)]
        ['head', 'all']
    """

    backbone_rate: float = 0.1
    head_epochs: int = 0
    batch_norm: bool = False

    def stages(self, task: Task, epochs: int) -> Sequence[Stage]:
        """The head alone for `head_epochs`, then everything for `epochs`."""
        everything = Stage("all", {"head/": 1.0, ".*": self.backbone_rate}, epochs, batch_norm=self.batch_norm)
        if not self.head_epochs:
            return [everything]
        return [Stage("head", {"head/": 1.0}, self.head_epochs, augment=False), everything]
