"""A linear head on features that are known: how fast are ten epochs, steady and with compilation?"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import cold_probe_text, processes, show
from benchmarks.race import Contender, Race, Row


def build(smoke: bool) -> dict[str, Any]:
    """banking77 with MiniLM's features, computed once for the peers; tfvertical uses the cache of its own first run."""
    made = cold_probe_text.build(smoke)
    folder = Path(tempfile.mkdtemp(prefix="warm_head_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made["features"] = str(folder / "features.npz")
    processes.run("keras_once:save_features", made)
    return made


RACE = Race(
    "warm_head",
    "10 epochs of a 384→77 head on 10,003 cached features, batch 32: `steady` is ten times the median epoch after the "
    "first, `seconds` everything with compilation (for tfvertical from encoded texts, its cache's look-up included).",
    {
        "ours": Contender("tfvertical, features in its cache", "ours:warm_head"),
        "keras": Contender("Keras `fit`, default", "keras_head:default"),
        "tuned": Contender("Keras `fit`, steps_per_execution=64, tensors, oneDNN", "keras_head:tuned", expert=True),
        "torch": Contender("PyTorch loop", "torch_loop:warm_head", True),
    },
    (
        Row("keras", 8, measure="steady"),
        Row("tuned", 2, measure="steady"),
        Row("torch", 3, measure="steady"),
        Row("keras", 4, measure="seconds"),
    ),
    build,
)

if __name__ == "__main__":
    show.run(RACE)
