"""oneDNN is on where nobody decided otherwise and TensorFlow is not there yet."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

import tfvertical
from tfvertical import _console, kernels
from tfvertical.errors import ConfigError
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


BACKENDS = """
import os, tfvertical
print(os.environ["KERAS_BACKEND"])
try:
    tfvertical.Stage, tfvertical.TextClassifier if os.environ["KERAS_BACKEND"] != "tensorflow" else None
except tfvertical.errors.ConfigError as error:
    print(error)
"""


@pytest.mark.parametrize(("chosen", "said"), [(None, "tensorflow\n"), ("jax", "jax\nKeras' backend is 'jax'; this")])
def test_keras_computes_with_tensorflow_unless_somebody_chose_otherwise(chosen: str | None, said: str):
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    environment |= {} if chosen is None else {"KERAS_BACKEND": chosen}
    command = [sys.executable, "-c", BACKENDS]
    assert subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.startswith(said)


def test_another_backend_is_told_with_what_to_do(monkeypatch):
    keras = SimpleNamespace(config=SimpleNamespace(backend=lambda: "numpy"))
    monkeypatch.setitem(sys.modules, "keras", keras)
    monkeypatch.delitem(vars(tfvertical), "load", raising=False)  # kept once it was asked for
    for ask in (lambda: tfvertical.load, _console.load_tensorflow):
        with pytest.raises(ConfigError, match=r"is 'numpy'; this package trains with T[\s\S]*KERAS_BACKEND=tensorflow"):
            ask()


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
