"""How tfvertical's cost grows: with examples, epochs and unfrozen blocks."""

from __future__ import annotations

from typing import Any

import tfvertical as tv
from benchmarks.contenders import ours
from benchmarks.contenders.clock import Clock, figures


def head(work: dict[str, Any]) -> dict[str, Any]:
    """A head on frozen MiniLM; rows: what passed before the first epoch, and the epochs."""
    seen, task, clock = ours.Epochs(), ours.text_task(work), Clock()
    task.fit(ours.examples(work, "train"), adaptation=tv.Frozen(), callbacks=[seen], verbose=0, **_options(work))
    before = (seen.began or clock.began) - clock.began
    return figures(clock.seconds, ours.accuracy(task, work), before=before, epochs=sum(seen.seconds))


def blocks(work: dict[str, Any]) -> dict[str, Any]:
    """The top `work["blocks"]` blocks and the head for one epoch, in one stage."""
    seen, task, clock = ours.Epochs(), ours.text_task(work), Clock()
    task.fit(ours.examples(work, "train"), adaptation=_top(work), callbacks=[seen], verbose=0, **_options(work))
    before = (seen.began or clock.began) - clock.began
    return figures(clock.seconds, ours.accuracy(task, work), before=before, epochs=sum(seen.seconds))


def _top(work: dict[str, Any]) -> tv.Adaptation:
    """The head alone, or with the top blocks, in one stage."""

    class Top(tv.Adaptation):
        def stages(self, task: Any, epochs: int) -> list[tv.Stage]:
            found = list(reversed(task.blocks))[: work["blocks"]]
            return [tv.Stage(f"top {len(found)}", {"head/": 1.0} | dict.fromkeys(found, 1.0), epochs)]

    return Top()


def _options(work: dict[str, Any]) -> dict[str, Any]:
    return {"epochs": work["epochs"], "batch_size": work["batch"], "learning_rate": work["rate"]}
