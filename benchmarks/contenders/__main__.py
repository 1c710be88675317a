"""Run one contender in this process: `python -m benchmarks.contenders MODULE:FUNCTION WORK.json`.

The last line printed is JSON: seconds, quality, rows, and the peak of memory. Peers run in another environment, so
nothing here needs more than the standard library.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
from pathlib import Path


def main(call: str, path: str) -> None:
    """Import the module, call the function, print what it found."""
    module, _, name = call.partition(":")
    work = json.loads(Path(path).read_text(encoding="utf-8"))
    found = getattr(importlib.import_module(f"benchmarks.contenders.{module}"), name)(work)
    unit = 1 if sys.platform == "darwin" else 1024
    found["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
