"""Training that is killed: what it says while it runs, and what it ends with."""

from __future__ import annotations

import hashlib
import itertools
import time
from pathlib import Path
from typing import Any

import keras

import tfvertical as tv
from benchmarks.contenders import ours
from benchmarks.contenders.clock import Clock, figures
from tfvertical.checkpoint import Checkpoint
from tfvertical.resume import Saver


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
    """Every weight is trained. Behind the epoch that traces, of each four epochs the first alone ends with a save,
    which is written during the second.

    The rows are of each four epochs: `cost N`, seconds that the save took, and `epoch N`, those of an epoch without.
    """
    task, clock, begins = ours.text_task(work), Clock(), list[float]()
    real = Saver._save

    def save(self: Saver, steps: int, epoch: int, *more: Any) -> None:
        if epoch % 4 == 2:
            real(self, steps, epoch, *more)

    Saver._save = save  # type: ignore[method-assign]
    seen = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begins.append(time.perf_counter()))
    task.fit(
        ours.examples(work, "train"),
        adaptation=tv.FullFineTuning(backbone_rate=1.0),
        callbacks=[seen],
        verbose=0,
        checkpoint=work["checkpoint"],
        checkpoint_every=1e9,  # seconds: none within an epoch
        **vars(ours._settings(work)),
    )
    took = [end - begin for begin, end in itertools.pairwise(begins[1:])]  # but for the epoch that traces
    rows = {}
    for number, (ends, writes, *alone) in enumerate(zip(*[iter(took)] * 4, strict=False)):
        rows[f"cost {number}"], rows[f"epoch {number}"] = ends + writes - sum(alone), sum(alone) / 2
    return figures(clock.seconds, ours.accuracy(task, work), **rows)


def _append(log: Path, line: str) -> None:
    with open(log, "a", encoding="utf-8") as file:
        file.write(line + "\n")
