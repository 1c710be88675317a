"""Diseases in abstracts, every weight or the top two blocks: how fast, and how many are found?"""

from __future__ import annotations

from typing import Any

from benchmarks import machine, show, work
from benchmarks.race import Contender, Race, Row

SETTINGS = {
    "length": 128,
    "epochs": 4,
    "rate": 1e-4,
    "head_rate": 1e-2,  # of tags that are trained together; chosen on the development part
    "top": {"rate": 1e-3, "dropout": 0.1},
    "head": {"rate": 1e-3, "epochs": 10, "dropout": 0.4},
    "decay": 0.01,
    "dropout": 0.1,
    "clip": 1.0,
    "batch": 16,
    "precision": "auto",  # as users get it: bfloat16 where the processor is faster at it
}


def build(smoke: bool) -> dict[str, Any]:
    """The NCBI disease corpus: 5,424 sentences to train on, 940 to test on."""
    made = work.diseases(smoke) | SETTINGS
    return made | {"epochs": 2, "head": SETTINGS["head"] | {"epochs": 2}} if smoke else made


RACE = Race(
    "ner",
    "NCBI disease (5,424 sentences), MiniLM, 4 epochs (the head alone 10) at batch 16: seconds from words to strict F1 "
    "on the test part.",
    {
        "ours": Contender("tfvertical, every weight, `crf`", "ours_ner:full"),
        "top": Contender("tfvertical, the top two blocks and a head that reads four and convolves", "ours_ner:top"),
        "head": Contender("tfvertical, a head alone that reads all and convolves, 10 epochs", "ours_ner:head"),
        "hf": Contender("Hugging Face Trainer, every weight", "hf_ner:full", True),
        "ours_f32": Contender("tfvertical, every weight, `crf`, float32", "ours_ner:float32"),
        "hf_bf16": Contender("Hugging Face Trainer, bfloat16", "hf_ner:bfloat16", True, asks=machine.BFLOAT16),
    },
    (
        Row("hf", 1.2, tolerance=0.005, measure="training"),
        Row("ours", 2.0, tolerance=0.03, measure="training", hero="top"),
        Row("ours", None, tolerance=0.03, measure="training", hero="head"),
        Row("hf", 1.2, tolerance=0.005, measure="training", hero="ours_f32"),
        Row("hf_bf16", None, tolerance=0.005, measure="training"),
    ),
    build,
)

if __name__ == "__main__":
    show.run(RACE)
