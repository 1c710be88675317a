"""How long a TFLite file takes on this machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

WARM, RUNS = 3, 30


def latency(path: Path, inputs: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Milliseconds: threads (`"1"`, `"2"`) -> `p50` and `p95` of 30 runs, after three that warm up."""
    from tfvertical.runtime.litert import LiteRT

    found = {}
    for threads in (1, 2):
        run = LiteRT(path, threads=threads)
        taken = []
        for number in range(WARM + RUNS):
            began = time.perf_counter()
            run(inputs)
            if number >= WARM:
                taken.append(1e3 * (time.perf_counter() - began))
        p50, p95 = np.percentile(taken, [50, 95])
        found[str(threads)] = {"p50": round(float(p50), 3), "p95": round(float(p95), 3)}
    return found
