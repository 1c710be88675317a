"""What is told of installations and machines as people have them, and of this one."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tfvertical import doctor
from tfvertical.cli import main
from tfvertical.doctor import Facts, Finding, examine

WHOLE = {
    "tensorflow": "2.21.0",
    "tensorflow-text": "2.21.0",
    "keras": "3.12.0",
    "keras-hub": "0.32",
    "keras-nlp": "0.32",
}
TPU = {"tensorflow-tpu": "2.20.0", "tensorflow-text": "2.20.1", "keras": "3.12.0"}
PROBED = {"errors": {}, "cores": 2, "onednn": True, "bfloat16": 0.0, "gpus": [], "tpus": [], "cuda": False}
SEEN = PROBED | {"tpus": ["/physical_device:TPU:0"]}
NEEDS = ("tensorflow<2.22,>=2.20", "keras<4,>=3.12", "onnx>=1; extra == 'onnx'")
CLUSTER = {"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 1}}


def told(state: str, facts: Facts) -> list[Finding]:
    return [finding for finding in examine(facts) if finding.state == state]


@pytest.mark.parametrize(
    "facts",
    [
        Facts(WHOLE, NEEDS, probed=PROBED, free=10**11),
        Facts(TPU, NEEDS, chips=["TPU v5e"], probed=SEEN),
        Facts(WHOLE, NEEDS, {"TF_CONFIG": json.dumps(CLUSTER), "KERAS_BACKEND": "tensorflow"}, probed=PROBED),
    ],
    ids=["a processor", "a TPU", "a worker"],
)
def test_what_is_well_is_told_without_a_fix(facts):
    assert {finding.state for finding in examine(facts)} == {"ok"}
    assert not any(finding.fix for finding in examine(facts))


@pytest.mark.parametrize(
    ("facts", "what", "words"),
    [
        (
            Facts(WHOLE | {"tensorflow-cpu": "2.21.0"}),
            "TensorFlow wheels",
            "pip uninstall -y tensorflow tensorflow-cpu",
        ),
        (
            Facts(WHOLE | TPU, chips=["TPU v5e"], probed=SEEN),
            "TensorFlow wheels",
            "then pip install tensorflow-tpu==2.20.0",
        ),
        (Facts({"keras": "3.12.0"}, NEEDS), "tensorflow", "pip install 'tensorflow<2.22,>=2.20'"),
        (Facts(WHOLE | {"keras": "2.15.0"}, NEEDS), "keras", "2.15.0, where <4,>=3.12 is needed"),
        (Facts(WHOLE | {"tensorflow-text": "2.19.0"}), "tensorflow-text", "pip install 'tensorflow-text==2.21.*'"),
        (Facts(TPU | {"tensorflow-text": "2.21.0"}), "tensorflow-text", "install --no-deps 'tensorflow-text==2.20.*'"),
        (Facts(WHOLE, environment={"KERAS_BACKEND": "jax"}), "Keras backend", "KERAS_BACKEND is 'jax'"),
        (Facts(WHOLE, probed=PROBED | {"backend": "torch"}), "Keras backend", "configuration file says 'torch'"),
        (Facts(WHOLE, environment={"TF_USE_LEGACY_KERAS": "1"}), "Keras 2", "unset TF_USE_LEGACY_KERAS"),
        (Facts(WHOLE, chips=["TPU v5e"], probed=PROBED), "TPU", "pip install tensorflow-tpu"),
        (Facts(TPU, chips=["TPU v5e"] * 2, probed=PROBED), "TPU", "2 chips (TPU v5e), and TensorFlow sees none"),
        (Facts(WHOLE, probed={"failed": "killed by SIGILL"}), "Importing TensorFlow", "killed by SIGILL"),
        (Facts(WHOLE, probed={"errors": {"keras_hub": "ImportError: x"}}), "import keras_hub", "ImportError: x"),
        (Facts(WHOLE, environment={"TF_CONFIG": "{"}), "Cluster", "TF_CONFIG cannot be used: JSONDecodeError"),
        (
            Facts(WHOLE, environment={"TF_CONFIG": json.dumps(CLUSTER | {"task": {"type": "worker", "index": 2}})}),
            "Cluster",
            "task index 2, where the cluster lists 2",
        ),
    ],
)
def test_a_problem_says_what_and_how_to_mend_it(facts, what, words):
    (found,) = told("problem", facts)
    assert found.what == what and found.fix
    assert words in f"{found.found} {found.fix}"


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        (Facts(WHOLE, nvidia=True, probed=PROBED), "GPU"),
        (Facts(WHOLE, environment={"COLAB_TPU_ADDR": "10.0.0.2:8470"}), "TPU"),
        (Facts(WHOLE | {"keras-nlp": "0.31"}), "keras-hub"),
        (Facts(WHOLE, free=10**9), "Room"),
    ],
)
def test_what_works_and_could_be_better_is_a_note(facts, what):
    assert not told("problem", facts)
    (found,) = told("note", facts)
    assert found.what == what and found.fix


JSON = some.recursive(
    some.none() | some.booleans() | some.floats() | some.text() | some.integers(),
    lambda inner: some.lists(inner) | some.dictionaries(some.sampled_from(["cluster", "task", "type", "index"]), inner),
)


@given(JSON)
def test_any_tf_config_is_judged(config):
    examine(Facts(WHOLE, environment={"TF_CONFIG": json.dumps(config)}))


def test_chips_are_read_off_the_bus(tmp_path):
    for name, vendor, device in (("a", "0x1ae0", "0x0063"), ("b", "0x1ae0", "0x0042"), ("c", "0x10de", "0x0063")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / name / "device").write_text(f"{device}\n")
    (tmp_path / "without").mkdir()
    assert list(doctor._chips(tmp_path)) == ["TPU v5e"], "a network card of the same maker is none"
    assert list(doctor._chips(tmp_path / "missing")) == []


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("kill -ILL $$", "killed by SIGILL"),
        ("echo boom >&2; exit 3", "exit code 3: boom"),
        ("echo no JSON", "exit code 0"),
        ("exec sleep 60", "not done after 1 s"),
    ],
)
def test_an_installation_that_crashes_is_told(script, words, tmp_path: Path, monkeypatch):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(doctor.sys, "executable", str(python))
    monkeypatch.setattr(doctor, "PATIENCE", 1)
    assert words in doctor._probed()["failed"]


def test_a_home_that_may_not_be_looked_into_or_written_is_told(tmp_path: Path, monkeypatch):
    real = Path.is_dir

    def refuse(path: Path) -> bool:
        if path.is_relative_to(tmp_path):
            raise PermissionError(path)
        return real(path)

    monkeypatch.setenv("TFVERTICAL_HOME", str(tmp_path / "theirs" / "cache"))
    monkeypatch.setattr(Path, "is_dir", refuse)
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    monkeypatch.setattr(doctor, "_probed", lambda: PROBED)
    (found,) = [finding for finding in told("note", doctor.look()) if finding.what == "Room"]
    assert "theirs/cache may not be written" in found.found and "TFVERTICAL_HOME" in found.fix


def test_this_machine(capsys):
    """Twice, as a person and as a program: the tests' own installation is sound."""
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "Versions: Python" in said and "Processor: " in said and "problem" not in said
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"what", "found", "state", "fix"} == set(found[0])


def test_a_problem_is_an_exit_code(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "look", lambda: Facts({"keras\x1b[31m": "1"}, ["tensorflow>=2"]))
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "fix: pip install 'tensorflow>=2'" in said and "\x1b" not in said
