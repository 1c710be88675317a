"""Freed memory is kept from step to step."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from tfvertical.memory import keep_freed
taken = keep_freed()
np.ones(10_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(9_000_000)
print(taken, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
@pytest.mark.parametrize("kept", ["1", "0"])
def test_pages_are_mapped_once(kept: str):
    environment = {**os.environ, "TFVERTICAL_KEEP_MEMORY": kept}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    taken, faults = done.stdout.split()
    if kept == "1" and taken == "False":
        pytest.skip("this C library has no mallopt")
    assert taken == str(kept == "1")
    assert int(faults) < 1000 if kept == "1" else int(faults) > 1000
