"""Names to classes: found by file, imported on first use, spelled either way."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tfvertical.adaptations.gradual_unfreezing import GradualUnfreezing
from tfvertical.contracts import Adaptation, BackboneSource, Exporter, Objective, Source, Task
from tfvertical.errors import ConfigError
from tfvertical.registry import Registry, to_config

ROOMS = {
    "adaptations": Adaptation,
    "objectives": Objective,
    "tasks": Task,
    "backbones": BackboneSource,
    "data": Source,
    "export": Exporter,
}


@pytest.mark.parametrize("room", ROOMS)
def test_every_file_of_a_room_holds_the_class_named_after_it(room: str):
    modules = Registry(room).modules()
    assert modules and not [name for name in modules if name.startswith("_")]
    for module in modules:
        found = Registry(room).get(module)
        assert issubclass(found, ROOMS[room]) and found.__name__.lower() == module.replace("_", "")
        assert Registry(room).get(found.__name__) is found


@pytest.mark.parametrize("name", ["gradual_unfreezing", "GradualUnfreezing", "gradual-unfreezing"])
def test_spellings(name: str):
    assert Registry("adaptations").get(name) is GradualUnfreezing


def test_did_you_mean():
    with pytest.raises(
        ConfigError, match=r"no adaptation called 'gradual_unfreezin'[\s\S]*Nearest: 'gradual_unfreezing'"
    ):
        Registry("adaptations").get("gradual_unfreezin")
    with pytest.raises(ConfigError, match="no adaptation called '_nothing'"):
        Registry("adaptations").get("_nothing")
    with pytest.raises(ConfigError, match=r"one of .*ImageClassifier.*\s+Nearest: 'TextClassifier'"):
        Registry("tasks").module("TextClasifier")


def test_configurations():
    adaptation = GradualUnfreezing(blocks=None, decay=2.6)
    assert Registry("adaptations").build(to_config(adaptation)) == adaptation
    assert Registry("adaptations").build("gradual_unfreezing") == GradualUnfreezing()
    with pytest.raises(ConfigError, match=r"no option 'block'[\s\S]*Nearest: 'blocks'"):
        Registry("adaptations").build({"name": "gradual_unfreezing", "block": 3})
    with pytest.raises(ConfigError, match="without a name"):
        Registry("adaptations").build({"blocks": 3})


@pytest.mark.parametrize("thing", [GradualUnfreezing, object(), "frozen"])
def test_what_cannot_be_written_down(thing):
    with pytest.raises(ConfigError, match="dataclass"):
        to_config(thing)


def test_asking_for_names_imports_nothing():
    program = (
        "import sys; from tfvertical.registry import Registry\n"
        "for room in ('tasks', 'adaptations', 'export'): Registry(room).modules()\n"
        "Registry('tasks').module('TextClassifier')\n"
        "print([name for name in ('tensorflow', 'keras', 'tfvertical.tasks') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
