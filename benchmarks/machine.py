"""What a figure was measured on."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path

PACKAGES = ("tfvertical", "tensorflow", "keras", "keras-hub", "keras-cv", "numpy", "scikit-learn")


def describe() -> str:
    """Date, processor, cores and memory in one line."""
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        names = [
            line.partition(":")[2].strip() for line in information.read_text().splitlines() if "model name" in line
        ]
        processor = names[0] if names else processor
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = f"{platform.system()}, Python {platform.python_version()}"
    return f"{datetime.date.today().isoformat()}; {processor}, {os.cpu_count()} cores, {memory:.0f} GiB; {python}."
