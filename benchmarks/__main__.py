"""Run every benchmark and write RESULTS.md: `make bench`, or `python -m benchmarks [NAME …]`."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks import machine
from tfvertical.files import write_text

NAMES = ("quality",)
RESULTS = Path(__file__).parent / "RESULTS.md"


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all."""
    parts = ["# Results", "", machine.describe(), ""]
    parts.append("Versions: " + ", ".join(f"{name} {version(name)}" for name in machine.PACKAGES) + ".")
    for name in names or NAMES:
        parts += ["", importlib.import_module(f"benchmarks.{name}").main()]
    write_text(RESULTS, "\n".join(parts) + "\n")
    print(f"Written: {RESULTS}")


if __name__ == "__main__":
    main(sys.argv[1:])
