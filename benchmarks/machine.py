"""What a figure was measured on, and how fast that machine multiplies matrices."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks import processes

BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")  # flags of processors that compute in bfloat16
WIDE = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")  # from the fastest on
PACKAGES = (
    "tfvertical",
    "tensorflow",
    "keras",
    "keras-hub",
    "keras-cv",
    "numpy",
    "scikit-learn",
    "ai-edge-litert",
    "mediapipe",
)
PEERS = ("torch", "transformers", "accelerate", "sentence-transformers", "timm", "scikit-learn", "onnxruntime")
_LIST = "import importlib.metadata as m, json; print(json.dumps({n: m.version(n) for n in %r}))"


def describe() -> str:
    """Date, processor, cores and memory in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = f"{platform.system()}, Python {platform.python_version()}"
    return f"{datetime.date.today().isoformat()}; {processor()}, {os.cpu_count()} cores, {memory:.0f} GiB; {python}."


def processor() -> str:
    """Its name, and the widest instructions of those that decide how fast it multiplies matrices."""
    information = Path("/proc/cpuinfo")
    text = information.read_text() if information.is_file() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    best = [flag for flag in WIDE if flag in text.split()]
    return " with ".join([names[0] if names else platform.processor() or platform.machine(), *best[:1]])


def versions() -> list[str]:
    """Ours, and the peers' if their environment is there."""
    lines = ["Versions: " + ", ".join(f"{name} {version(name)}" for name in PACKAGES) + "."]
    if processes.PEERS.exists():
        done = subprocess.run([str(processes.PEERS), "-c", _LIST % (PEERS,)], capture_output=True, text=True)
        if done.returncode == 0:
            found = json.loads(done.stdout)
            lines.append("Peers: " + ", ".join(f"{name} {number}" for name, number in found.items()) + ".")
    return lines


def gigaflops() -> float:
    """The machine's own speed in float32 matrix products: two threads, the best of several sizes and libraries."""
    return max(
        float(processes.run("products:numpy_speed", {})["seconds"]),
        float(processes.run("products:tensorflow_speed", {}, expert=True)["seconds"]),
    )


def bert_flops(width: int = 384, inner: int = 1536, layers: int = 6) -> float:
    """Operations of MiniLM's forward pass over banking77's training texts, padding not counted.

    Two for each weight of a matrix and token (four of width by width, two of width by inner, in each layer), and four
    for each pair of tokens and feature: scores and weighted sum.
    """
    from benchmarks import work
    from tfvertical import backbones

    preprocessor = backbones.load("minilm_l6_v2", length=64, weights=False).preprocessor
    pieces = preprocessor.tokenize(work.banking77(False)["train"]["items"])
    lengths = [min(len(ids) + 2, 64) for ids in pieces]
    return float(sum(layers * (2 * n * (4 * width**2 + 2 * width * inner) + 4 * n**2 * width) for n in lengths))


def share(seconds: Sequence[float | None], operations: float, rows: int) -> list[str]:
    """A sentence: the machine's speed, the frozen part's, and their ratio.

    Args:
        seconds: a round's time before the first epoch; None where it is not known.
        operations: what the frozen part computes in it.
        rows: how many examples it runs over.
    """
    known = [value for value in seconds if value]
    if not known:
        return []
    peak, took = gigaflops(), statistics.median(known)
    reached = operations / took / 1e9
    return [
        f"Matrix products in float32 on {processes.THREADS} threads: {peak:.0f} GFLOP/s. The frozen part, with reading "
        f"and encoding, takes {took:.1f} s for {rows:,} examples: {reached:.0f} GFLOP/s, {reached / peak:.0%} of that."
    ]
