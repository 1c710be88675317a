"""oneDNN is on where nobody decided otherwise and TensorFlow is not there yet."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tfvertical.kernels import SWITCH

PROGRAM = """
import os
{first}
import tfvertical
from tfvertical import kernels
print(os.environ.get(kernels.SWITCH), kernels.onednn())
"""


@pytest.mark.parametrize(
    ("first", "set_to", "said"),
    [("", None, ["1", "True"]), ("", "0", ["0", "False"]), ("import tensorflow", None, ["None"])],
    ids=["unset", "switched off", "TensorFlow first"],
)
def test_the_switch(first: str, set_to: str | None, said: list[str]):
    environment = {name: value for name, value in os.environ.items() if name != SWITCH}
    environment |= {} if set_to is None else {SWITCH: set_to}
    program = PROGRAM.format(first=first)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split()[: len(said)] == said
