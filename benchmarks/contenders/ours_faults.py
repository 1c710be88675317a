"""Training that is killed: what it says while it runs, and what it ends with."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import tfvertical as tv
from benchmarks.contenders import ours
from benchmarks.contenders.clock import Clock, figures
from tfvertical.checkpoint import Checkpoint


def train(work: dict[str, Any]) -> dict[str, Any]:
    """A head, then the top block, with saves back to back; the file `work["log"]` gets a line when training begins, and
    one for each save that is done. `digest` is that of all weights and the history in the end."""
    task, log = ours.text_task(work), Path(work["log"])
    real = Checkpoint.save

    def save(self: Checkpoint, arrays: Any, about: Any) -> None:
        real(self, arrays, about)
        _append(log, f"saved {max(self._numbers())} {time.time()}")

    Checkpoint.save = save  # type: ignore[method-assign]
    found = Checkpoint(work["checkpoint"]).load()
    _append(log, f"begun {0 if found is None else found.number} {time.time()}")
    history = task.fit(
        ours.examples(work, "train"),
        ours.examples(work, "test"),
        adaptation=tv.GradualUnfreezing(blocks=1),
        checkpoint=work["checkpoint"],
        checkpoint_every=0.0,
        verbose=0,
        **vars(ours._settings(work)),
    )
    digest = hashlib.sha256(repr(history.history).encode())
    for variable in task.model.weights:
        digest.update(variable.numpy().tobytes())
    Path(work["result"]).write_text(digest.hexdigest(), encoding="utf-8")
    return {"seconds": history.seconds, "quality": None}


def overhead(work: dict[str, Any]) -> dict[str, Any]:
    """One epoch of every weight; `steady` is its second half, with or without a position saved every two minutes."""
    task, seen, clock = ours.text_task(work), ours.Epochs(), Clock()
    options = {} if work["checkpoint"] is None else {"checkpoint": work["checkpoint"], "checkpoint_every": 120.0}
    task.fit(
        ours.examples(work, "train"),
        adaptation=tv.FullFineTuning(backbone_rate=1.0),
        callbacks=[seen],
        verbose=0,
        **options,
        **vars(ours._settings(work)),
    )
    return figures(clock.seconds, ours.accuracy(task, work), steady=sum(seen.seconds[1:]))


def _append(log: Path, line: str) -> None:
    with open(log, "a", encoding="utf-8") as file:
        file.write(line + "\n")
