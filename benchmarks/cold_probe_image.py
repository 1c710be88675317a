"""A head on a frozen image model, from files to an evaluated model: how much faster than with the usual tools?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks import machine, show, work
from benchmarks.race import Contender, Outcome, Race, Row

SETTINGS = {"epochs": 10, "short": 2, "rate": 2e-3, "decay": 0.1, "dropout": 0.3, "clip": None}
LITE0_FLOPS = 2 * 407e6  # EfficientNet-Lite0 at 224 pixels: 407 million multiply-adds a picture, as published


def build(smoke: bool) -> dict[str, Any]:
    """clothing, every picture."""
    return work.clothing(smoke) | SETTINGS | ({"epochs": 2, "short": 1} if smoke else {})


def notes(outcomes: Mapping[str, list[Outcome]]) -> list[str]:
    """The machine's speed in matrix products, and which share of it the frozen part reaches."""
    pictures = len(work.clothing(False)["train"]["items"])
    seconds = [outcome.measures.get("prefix") for outcome in outcomes["ours"]]
    return machine.share(seconds, pictures * LITE0_FLOPS, pictures)


RACE = Race(
    "cold_probe_image",
    "clothing (3,068 photographs), EfficientNet-Lite0 frozen, a linear head for 10 epochs: seconds from files to test "
    "accuracy.",
    {
        "ours": Contender("tfvertical, `Frozen()`", "ours:cold_image"),
        "keras": Contender("Keras `fit`, frozen, decoded pictures kept in memory", "keras_image:frozen"),
        "timm": Contender("timm features + LogisticRegression(C=0.1)", "sklearn_probes:pictures", True),
    },
    (
        Row("keras", 8, tolerance=0.015),
        Row("timm", 1.1, tolerance=0.015),
    ),
    build,
    notes,
)

if __name__ == "__main__":
    show.run(RACE)
