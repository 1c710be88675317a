"""Head only, on a frozen backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tfvertical.contracts import Adaptation, Task
from tfvertical.stages import Stage


@dataclass(frozen=True)
class Frozen(Adaptation):
    """Train the head; the backbone stays as it was pretrained.

    The cheapest adaptation and the one to try first: the backbone's outputs are computed once and kept, so that epochs
    cost next to nothing, and a few dozen examples a class are often enough.

    Example:
        >>> [stage.name for stage in Frozen().stages(task=None, epochs=5)]
        ['head']
    """

    def stages(self, task: Task, epochs: int) -> Sequence[Stage]:
        """One stage of `epochs` epochs in which `head/` learns at the full rate."""
        return [Stage("head", {"head/": 1.0}, epochs)]
