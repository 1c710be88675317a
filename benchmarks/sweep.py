"""Eight heads on one data set: what do the other seven cost?"""

from __future__ import annotations

from typing import Any

from benchmarks import cold_probe_text, machine, show
from benchmarks.race import Contender, Race, Row

HEADS = [(rate, seed) for rate in (1e-3, 2e-3, 5e-3, 1e-2) for seed in (0, 1)]


def build(smoke: bool) -> dict[str, Any]:
    """As for one head, with eight pairs of rate and seed."""
    return cold_probe_text.build(smoke) | {"call": "sweep", "heads": HEADS[:2] if smoke else HEADS}


RACE = Race(
    "sweep",
    "banking77, MiniLM frozen: eight heads (four rates, two seeds), 10 epochs each, from raw texts to eight test "
    "accuracies; the quality is their mean. Against the eight runs the expert's quality counts: heads "
    "and frozen features are the same.",
    {
        "ours": Contender("tfvertical", "ours:sweep"),
        "once": Contender("Keras expert: `predict` once, eight tuned `fit`s, oneDNN", "keras_once:heads", expert=True),
        "ours_f32": Contender("tfvertical, float32", "ours:float32", asks=machine.BFLOAT16),
        "once_bf16": Contender(
            "Keras expert, `predict` in bfloat16", "keras_once:heads_bfloat16", expert=True, asks=machine.BFLOAT16
        ),
        "keras": Contender("eight Keras `fit`s, frozen, padded to 64", "keras_text:sweep_padded"),
    },
    (
        Row("keras", 150, quality_of="once"),
        Row("once", 2),
        Row("once", 2, hero="ours_f32"),
        Row("once_bf16", None),
    ),
    build,
)

if __name__ == "__main__":
    show.run(RACE)
