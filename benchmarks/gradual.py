"""Unfreezing in stages: what does running the frozen part once save?"""

from __future__ import annotations

from typing import Any

from benchmarks import machine, show, work
from benchmarks.race import Contender, Race, Row

SETTINGS = {
    "length": 64,
    "epochs": 3,
    "short": 1,
    "stages": 3,
    "rate": 5e-3,
    "deep_rate": 4e-4,
    "decay": 0.01,
    "dropout": 0.1,
    "clip": 1.0,
    "precision": "auto",
    "call": "gradual",
}


def build(smoke: bool) -> dict[str, Any]:
    """banking77; the schedule begins anew in every stage."""
    return work.banking77(smoke) | SETTINGS | ({"epochs": 2} if smoke else {})


RACE = Race(
    "gradual",
    "banking77, MiniLM: the head, then the top block, then the top two, 3 epochs each, texts grouped by length "
    "everywhere; `full` trains every weight for as many epochs.",
    {
        "ours": Contender("tfvertical, `GradualUnfreezing(blocks=2)`", "ours:gradual"),
        "keras": Contender("Keras, the same schedule, grouped by length, oneDNN", "keras_text:gradual", expert=True),
        "hf": Contender("Hugging Face Trainer, the same schedule, grouped by length", "hf_trainer:gradual", True),
        "ours_f32": Contender("tfvertical, float32", "ours:float32", asks=machine.BFLOAT16),
        "hf_bf16": Contender(
            "Hugging Face Trainer, bfloat16", "hf_trainer:gradual_bfloat16", True, asks=machine.BFLOAT16
        ),
        "full": Contender(
            "Keras, full fine-tuning, 9 epochs, grouped by length, oneDNN", "keras_text:full", expert=True
        ),
    },
    (
        Row("keras", 1.8, tolerance=0.005),
        Row("hf", 2, tolerance=0.005),
        Row("hf", 2, tolerance=0.005, hero="ours_f32"),
        Row("hf_bf16", None, tolerance=0.005),
        Row("full", 3.9, tolerance=0.015),
    ),
    build,
)

if __name__ == "__main__":
    show.run(RACE)
