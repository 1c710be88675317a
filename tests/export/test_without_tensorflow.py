"""The documented recipe, in a virtual environment that has neither TensorFlow nor Keras."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bundle import fakes
from tests.core import tiny
from tests.tasks.test_contract import KINDS, OTHER_HEADS
from tfvertical.export import export

SCRIPT = """
import importlib.util, json, sys, time
began = time.process_time()  # not wall time: other tests share the machine
from tfvertical.runtime import Predictor
seconds = time.process_time() - began
absent = [name for name in ("tensorflow", "keras", "sklearn", "pandas") if importlib.util.find_spec(name) is None]
scores = Predictor(sys.argv[1]).scores(json.loads(sys.argv[2]))
print(json.dumps({"seconds": seconds, "absent": absent, "scores": scores.tolist()}))
"""

EVERY = """
import dataclasses, importlib.util, json, sys
from tfvertical.runtime import Answerer, Predictor, Tagger
assert importlib.util.find_spec("tensorflow") is None
for reader, folder, items in json.load(open(sys.argv[1])):
    found = {"Answerer": Answerer, "Predictor": Predictor, "Tagger": Tagger}[reader](folder).predict(items)
    flat = [[dataclasses.asdict(one) for one in (each if isinstance(each, tuple) else [each])] for each in found]
    print(json.dumps(flat, default=lambda array: array.tolist()))
"""
READERS = {"token": "Tagger", "chain": "Tagger", "answers": "Answerer"}


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
    assert told["seconds"] < 0.3
    assert told["absent"] == ["tensorflow", "keras", "sklearn", "pandas"]
    expected = task.scores(fakes.examples([Path(item) for item in items] if kind == "image" else items))
    np.testing.assert_allclose(told["scores"], expected, atol=1e-5)


def _is(one: Any, other: Any) -> bool:
    """Equal, numbers to four digits."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_is(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_is, one, other))
    return one == (pytest.approx(other, rel=1e-4, abs=1e-4) if isinstance(one, float) else other)


@pytest.mark.slow
def test_every_task_says_there_what_it_says_here(tmp_path: Path, python: Path):
    from PIL import Image

    told, asked = [], []
    heads = {kind: (kind, {}) for kind in sorted(KINDS.values())}
    heads |= {name: OTHER_HEADS[name] for name in ("bi-encoder", "chain", "quantiles", "levels of pairs")}
    for at, (kind, options) in enumerate(heads.values()):
        small = {} if kind.startswith("image") else {"layers": 1}
        task, inputs = tiny.make_task(kind, **small, **options), list(tiny.make_examples(kind, 5, seed=3).inputs)
        for variable in task.components["head"].trainable_variables:  # no two answers are nearly as good
            variable.assign(variable * 5)
        if kind.startswith("image"):
            for number, pixels in enumerate(inputs):
                inputs[number] = tmp_path / f"{at}-{number}.png"
                Image.fromarray(pixels).save(inputs[number])
        told.append(task.predict(inputs))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of the converter's own
            folder = export(task, tmp_path / str(at))
        asked.append((READERS.get(kind, "Predictor"), str(folder), inputs))
    (tmp_path / "asked.json").write_text(json.dumps(asked, default=str))
    command = [str(python), "-c", EVERY, str(tmp_path / "asked.json")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    for name, here, there in zip(heads, told, map(json.loads, done.stdout.splitlines()), strict=True):
        flat = [[dataclasses.asdict(one) for one in (each if isinstance(each, tuple) else [each])] for each in here]
        assert len(flat) == 5 and _is(json.loads(json.dumps(flat, default=np.ndarray.tolist)), there), name


@pytest.mark.parametrize(
    ("kind", "words", "told"),
    [
        ("text", ["the card"], "positive\t|negative\t"),
        ("text labels", ["the card"], r"LabelSet\("),
        ("pair numbers", ["the card", "good"], r"\(Number\(label='price'"),
        ("token", ["the card"], r"\("),
        ("answers", ["card", "the good card"], r"Answer\("),
    ],
)
def test_the_example_runs(tmp_path: Path, python: Path, kind: str, words: list[str], told: str):
    folder = export(tiny.make_task(kind, layers=1), tmp_path / "out")
    command = [str(python), str(folder / "snippets" / "example.py"), *words]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    assert re.match(told, printed), printed
    missing = subprocess.run(
        command[:-1] if len(words) > 1 else command[:2], capture_output=True, text=True, cwd=tmp_path
    )
    assert missing.returncode == 1 and missing.stderr.startswith("Run this export without TensorFlow")
