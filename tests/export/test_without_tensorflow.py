"""The documented recipe, in a virtual environment that has neither TensorFlow nor Keras."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.bundle import fakes
from tfvertical.export import export

SCRIPT = """
import importlib.util, json, sys, time
began = time.perf_counter()
from tfvertical.runtime import Predictor
seconds = time.perf_counter() - began
absent = [name for name in ("tensorflow", "keras", "sklearn", "pandas") if importlib.util.find_spec(name) is None]
scores = Predictor(sys.argv[1]).scores(json.loads(sys.argv[2]))
print(json.dumps({"seconds": seconds, "absent": absent, "scores": scores.tolist()}))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """An interpreter with NumPy, Pillow, ai-edge-litert and this package."""
    folder = tmp_path_factory.mktemp("bare")
    source = folder / "source"
    shutil.copytree(root / "tfvertical", source / "tfvertical", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, source / name)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    found = folder / "venv" / "bin" / "python"
    pip = [str(found), "-m", "pip", "--disable-pip-version-check", "--no-input", "-q", "install"]
    for what in (["numpy", "pillow", "ai-edge-litert"], ["--no-deps", str(source)]):
        done = subprocess.run([*pip, *what], capture_output=True, text=True)
        if done.returncode and "No matching distribution" in done.stderr:
            pytest.skip("no package index can be reached")
        assert done.returncode == 0, done.stderr[-2000:]
    return found


@pytest.mark.parametrize("kind", ["text", "image"])
def test_the_predictor_runs(tmp_path: Path, python: Path, kind: str, request: pytest.FixtureRequest):
    task = request.getfixturevalue(f"{kind}_classifier")
    items = ["The CARD never arrived.", "", "café карта卡"]
    if kind == "image":
        from PIL import Image

        items = [str(tmp_path / f"{number}.png") for number in range(3)]
        for name, picture in zip(items, fakes.pictures(), strict=True):
            Image.fromarray(picture).save(name)
    folder = export(task, tmp_path / "out")
    command = [str(python), "-c", SCRIPT, str(folder), json.dumps(items)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["absent"] == ["tensorflow", "keras", "sklearn", "pandas"]
    expected = task.scores(fakes.examples([Path(item) for item in items] if kind == "image" else items))
    np.testing.assert_allclose(told["scores"], expected, atol=1e-5)


def test_the_example_runs(tmp_path: Path, python: Path, text_classifier):
    folder = export(text_classifier, tmp_path / "out")
    command = [str(python), str(folder / "snippets" / "example.py"), "the card"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    assert printed.split("\t")[0] in text_classifier.labels
