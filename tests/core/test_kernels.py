"""oneDNN is on where nobody decided otherwise and TensorFlow is not there yet."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tfvertical.kernels import SWITCH

PROGRAM = """
import sys
{first}
import tfvertical
from tfvertical import kernels
print(kernels.onednn(), kernels.prefer_onednn())
"""


@pytest.mark.parametrize(
    ("first", "set_to", "on"),
    [("", None, "True"), ("", "0", "False"), ("import tensorflow", None, None)],
    ids=["unset", "switched off", "TensorFlow first"],
)
def test_the_switch(first: str, set_to: str | None, on: str | None):
    environment = {name: value for name, value in os.environ.items() if name != SWITCH}
    environment |= {} if set_to is None else {SWITCH: set_to}
    program = PROGRAM.format(first=first)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    computes, again = done.stdout.split()
    assert again == "False", "it is set once, and never after TensorFlow"
    assert on is None or computes == on
