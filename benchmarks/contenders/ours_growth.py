"""How tfvertical's cost grows: with examples, epochs and unfrozen blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tfvertical as tv
from benchmarks.contenders import ours
from benchmarks.contenders.clock import Clock, figures
from tfvertical.contracts import Adaptation, Task
from tfvertical.stages import Stage


@dataclass(frozen=True)
class Top(Adaptation):
    """The head and the top blocks in one stage.

    Args:
        blocks: how many; none trains the head alone.
    """

    blocks: int = 0

    def stages(self, task: Task, epochs: int) -> Sequence[Stage]:
        """One stage at one rate."""
        learning = ["head/", *list(reversed(task.blocks))[: self.blocks]]
        return [Stage(f"top {self.blocks}", dict.fromkeys(learning, 1.0), epochs)]


def head(work: dict[str, Any]) -> dict[str, Any]:
    """A head on frozen MiniLM; rows: what passed before the first epoch, and the epochs."""
    seen, task, clock = ours.Epochs(), ours.text_task(work), Clock()
    task.fit(ours.examples(work, "train"), adaptation=tv.Frozen(), callbacks=[seen], verbose=0, **_options(work))
    before = (seen.began or clock.began) - clock.began
    return figures(clock.seconds, ours.accuracy(task, work), before=before, epochs=sum(seen.seconds))


def blocks(work: dict[str, Any]) -> dict[str, Any]:
    """The top `work["blocks"]` blocks and the head for one epoch, in one stage."""
    seen, task, clock = ours.Epochs(), ours.text_task(work), Clock()
    task.fit(
        ours.examples(work, "train"), adaptation=Top(work["blocks"]), callbacks=[seen], verbose=0, **_options(work)
    )
    before = (seen.began or clock.began) - clock.began
    return figures(clock.seconds, ours.accuracy(task, work), before=before, epochs=sum(seen.seconds))


def _options(work: dict[str, Any]) -> dict[str, Any]:
    return {"epochs": work["epochs"], "batch_size": work["batch"], "learning_rate": work["rate"]}
