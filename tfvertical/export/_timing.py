"""How long one answer takes on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

WARM, RUNS = 3, 30
THREADS = (1, 2)
PROCESS = "process"  # in the place of a number of threads: those that the process has


def timed(run: Callable[[], Any]) -> dict[str, float]:
    """Milliseconds that `run` takes: `p50` and `p95` of 30 runs, after three that warm up."""
    taken = []
    for number in range(WARM + RUNS):
        began = time.perf_counter()
        run()
        if number >= WARM:
            taken.append(1e3 * (time.perf_counter() - began))
    p50, p95 = np.percentile(taken, [50, 95])
    return {"p50": round(float(p50), 3), "p95": round(float(p95), 3)}


def latency(path: Path, inputs: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Of a TFLite file: threads (`"1"`, `"2"`) -> `p50` and `p95` in milliseconds."""
    from tfvertical.runtime.litert import LiteRT

    return {str(threads): timed(partial(LiteRT(path, threads=threads), inputs)) for threads in THREADS}
