"""oneDNN is on where nobody decided otherwise and TensorFlow is not there yet."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tfvertical import kernels
from tfvertical.kernels import SWITCH

PROGRAM = """
import os
{first}
import tfvertical
from tfvertical import kernels
print(os.environ.get(kernels.SWITCH), kernels.onednn())
print(kernels.hint())
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
    wasted = said == ["None"] and done.stdout.split()[1] == "False"
    assert ("import tfvertical first" in done.stdout) is wasted


def test_who_imported_tensorflow_first_is_told_where_that_costs_time(monkeypatch):
    monkeypatch.delenv(SWITCH, raising=False)
    monkeypatch.setattr(kernels.sys, "platform", "linux")
    monkeypatch.setattr(kernels.platform, "machine", lambda: "x86_64")
    for on, told in ((False, True), (True, False)):
        monkeypatch.setattr(kernels, "onednn", lambda on=on: on)
        assert (kernels.hint() is not None) is told
    monkeypatch.setattr(kernels, "onednn", lambda: False)
    monkeypatch.setattr(kernels.platform, "machine", lambda: "arm64")
    assert kernels.hint() is None
