"""Full fine-tuning on short posts of all lengths: what does padding cost?"""

from __future__ import annotations

from typing import Any

from benchmarks import machine, show, work
from benchmarks.race import Contender, Race, Row

SETTINGS = {
    "length": 128,
    "epochs": 2,
    "short": 1,
    "share": 0.125,
    "rate": 2e-4,
    "decay": 0.01,
    "dropout": 0.1,
    "clip": 1.0,
    "precision": "auto",
    "call": "full",
}


def build(smoke: bool) -> dict[str, Any]:
    """4,000 posts to train on, 2,000 to test on; the padded contender is timed on an eighth of an epoch."""
    return work.posts(smoke) | SETTINGS | ({"length": 32} if smoke else {})


RACE = Race(
    "var_len",
    "4,000 posts in three sentiments, MiniLM, every weight, 2 epochs, lengths as they come.",
    {
        "ours": Contender("tfvertical, `FullFineTuning()`", "ours:full"),
        "keras": Contender("KerasHub, padded to 128", "keras_text:padded_full"),
        "hf": Contender("Hugging Face Trainer, grouped by length", "hf_trainer:full", True),
        "ours_f32": Contender("tfvertical, float32", "ours:float32", asks=machine.BFLOAT16),
        "hf_bf16": Contender("Hugging Face Trainer, bfloat16", "hf_trainer:full_bfloat16", True, asks=machine.BFLOAT16),
    },
    (
        Row("keras", 4, tolerance=0.01),
        Row("hf", 1.2, tolerance=0.01),
        Row("hf", 1.2, tolerance=0.01, hero="ours_f32"),
        Row("hf_bf16", None, tolerance=0.01),
    ),
    build,
)

if __name__ == "__main__":
    show.run(RACE)
