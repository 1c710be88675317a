"""A head on a frozen text model, from raw texts to an evaluated model: how much faster than with the usual tools?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks import machine, show, work
from benchmarks.race import Contender, Outcome, Race, Row

SETTINGS = {"length": 64, "epochs": 10, "short": 2, "rate": 5e-3, "decay": 0.1, "dropout": 0.3, "clip": None}
ASKED = {"precision": "auto", "call": "cold_text"}  # of tfvertical


def build(smoke: bool) -> dict[str, Any]:
    """banking77, every row; the settings all contenders train a head with."""
    return work.banking77(smoke) | SETTINGS | ASKED | ({"epochs": 2, "short": 1} if smoke else {})


def notes(outcomes: Mapping[str, list[Outcome]]) -> list[str]:
    """The machine's speed in matrix products, and which share of it the frozen part reaches."""
    texts = len(work.banking77(False)["train"]["items"])
    return machine.share([outcome.measures.get("prefix") for outcome in outcomes["ours"]], machine.bert_flops(), texts)


RACE = Race(
    "cold_probe_text",
    "banking77 (10,003 texts), MiniLM frozen, a linear head for 10 epochs: seconds from raw texts to test accuracy.",
    {
        "ours": Contender("tfvertical, `Frozen()`", "ours:cold_text"),
        "ours_f32": Contender("tfvertical, `Frozen()`, float32", "ours:float32", asks=machine.BFLOAT16),
        "keras": Contender("Keras `fit`, frozen, padded to 64", "keras_text:padded"),
        "bucketed": Contender("Keras `fit`, frozen, grouped by length, oneDNN", "keras_text:bucketed", expert=True),
        "sentences": Contender("sentence-transformers + LogisticRegression(C=10)", "sklearn_probes:sentences", True),
        "once": Contender(
            "Keras expert: `predict` once, tuned `fit` of the head, oneDNN", "keras_once:one_head", expert=True
        ),
        "sentences_bf16": Contender(
            "sentence-transformers in bfloat16 + LogisticRegression(C=10)",
            "sklearn_probes:sentences_bfloat16",
            True,
            asks=machine.BFLOAT16,
        ),
        "once_bf16": Contender(
            "Keras expert, `predict` in bfloat16", "keras_once:one_head_bfloat16", expert=True, asks=machine.BFLOAT16
        ),
    },
    (
        Row("keras", 25),
        Row("bucketed", 8),
        Row("sentences", 1.2),
        Row("once", 1.2),
        Row("sentences", 1.2, hero="ours_f32"),
        Row("once", 1.2, hero="ours_f32"),
        Row("sentences_bf16", None),
        Row("once_bf16", None),
    ),
    build,
    notes,
)

if __name__ == "__main__":
    show.run(RACE)
