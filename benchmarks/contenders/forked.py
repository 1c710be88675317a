"""What a process that was forked does; importing this file imports nothing, so that whoever forks stays light."""

from __future__ import annotations

import os
from typing import Any

PRELOADED = ["benchmarks.contenders.ours_faults", "keras_hub"]  # what takes long to import


def train(work: dict[str, Any], home: str) -> None:
    """`ours_faults.train` in silence; `home` becomes TFVERTICAL_HOME, whatever it was when the server began."""
    os.environ["TFVERTICAL_HOME"] = home
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    from benchmarks.contenders import ours_faults

    ours_faults.train(work)
