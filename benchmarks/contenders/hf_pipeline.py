"""A transformers pipeline's first answer. Runs in the peers' environment."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.contenders.clock import figures


def start(work: dict[str, Any]) -> dict[str, Any]:
    """From the import to the features of one text, on the same weights."""
    began = time.perf_counter()
    from transformers import pipeline

    pipeline("feature-extraction", model=work["minilm"], device="cpu")("The card never arrived.")
    return figures(time.perf_counter() - began, 1.0)
