"""A contender's process: which interpreter, which environment, how many threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfvertical import packages
from tfvertical.kernels import SWITCH

ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".venv-peers" / "bin" / "python"
THREADS = 2
LONGEST = 6 * 3600  # seconds a contender may take
LIMITS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TQDM_DISABLE": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "true",
    "KERAS_BACKEND": "tensorflow",
}


class Failed(Exception):
    """A contender ended with an error; the message is its last line."""


def run(call: str, work: Mapping[str, Any], peer: bool = False, expert: bool = False) -> dict[str, Any]:
    """What a contender found, in a fresh interpreter.

    Args:
        call: `module:function` under `contenders/`.
        work: plain values, handed over as JSON.
        peer: use the peers' environment.
        expert: turn TensorFlow's oneDNN on.

    Raises:
        Failed: it did not end well.
    """
    with tempfile.TemporaryDirectory() as folder:
        path, home = Path(folder) / "work.json", Path(folder) / "home"
        path.write_text(json.dumps(work), encoding="utf-8")
        done = subprocess.run(
            [str(PEERS) if peer else sys.executable, "-m", "benchmarks.contenders", call, str(path)],
            cwd=ROOT,
            env=environment(home) | ({SWITCH: "1"} if expert else {}),
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )
    if done.returncode != 0:
        print(done.stderr[-4000:], file=sys.stderr)
        raise Failed((done.stderr.strip().splitlines() or ["no message"])[-1][:200])
    return json.loads(done.stdout.strip().splitlines()[-1])


def environment(home: Path) -> dict[str, str]:
    """Two threads everywhere, nothing from outside, and no cache of an earlier run.

    Args:
        home: a new folder that becomes TFVERTICAL_HOME; only the downloaded packages are shown in it.
    """
    downloaded = packages.home() / "packages"
    downloaded.mkdir(parents=True, exist_ok=True)
    home.mkdir()
    (home / "packages").symlink_to(downloaded)
    outside = {name: value for name, value in os.environ.items() if name != SWITCH}  # our import has set it
    return {**outside, **dict.fromkeys(LIMITS, str(THREADS)), **QUIET, "TFVERTICAL_HOME": str(home)}


def missing(peer: bool, flags: Sequence[str]) -> str:
    """Why a contender cannot run here, or nothing.

    Args:
        peer: it needs the peers' environment.
        flags: the processor must have one of these, if any are named.
    """
    if peer and not PEERS.exists():
        return "needs `make bench-peers`"
    information = Path("/proc/cpuinfo")
    if flags and not set(flags) & set(information.read_text().split() if information.is_file() else ()):
        return f"this processor has none of {', '.join(flags)}"
    return ""
