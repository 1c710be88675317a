"""Nothing frozen, nothing to pad: how fast is plain fine-tuning?"""

from __future__ import annotations

from typing import Any

from benchmarks import show, work
from benchmarks.machine import BFLOAT16
from benchmarks.race import Contender, Race, Row

SETTINGS = {"length": 64, "epochs": 1, "short": 1, "rate": 2e-4, "decay": 0.01, "dropout": 0.1, "clip": 1.0}


def build(smoke: bool) -> dict[str, Any]:
    """2,000 texts of 64 tokens each, 1,000 to test on."""
    return work.long_texts(smoke) | SETTINGS


RACE = Race(
    "full_ft",
    "2,000 texts of 64 tokens in 77 intents (messages of an intent joined), MiniLM, every weight, one epoch.",
    {
        "ours": Contender("tfvertical, float32", "ours:full"),
        "keras": Contender("plain Keras, float32", "keras_text:padded_full"),
        "hf": Contender("Hugging Face Trainer, float32", "hf_trainer:full", True),
        "ours_bf16": Contender("tfvertical, bfloat16", "ours:full_bfloat16", asks=BFLOAT16),
        "hf_bf16": Contender("Hugging Face Trainer, bfloat16", "hf_trainer:full_bfloat16", True, asks=BFLOAT16),
    },
    (
        Row("hf", 1.2, tolerance=0.01),
        Row("keras", 1.1, tolerance=0.01),
        Row("ours", 1.25, tolerance=0.01, hero="ours_bf16"),
        Row("hf_bf16", 0.8, tolerance=0.01, hero="ours_bf16"),
    ),
    build,
)

if __name__ == "__main__":
    show.run(RACE)
