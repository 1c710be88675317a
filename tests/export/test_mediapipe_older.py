"""The last MediaPipe of 0.10, which apps may still have, loads the files and answers as Keras and the files do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bundle import fakes
from tests.export.conftest import pictures
from tfvertical.export import export
from tfvertical.runtime import Embedder, Predictor

VERSION = "0.10.35"
TEXTS = ["the card never arrived", "Card, card: NEVER!", "", "the 12 cards .", "the card " * 200]
SCRIPT = """
import json, sys
import mediapipe, numpy as np
from mediapipe.tasks.python import BaseOptions, text, vision
kind, model, items = sys.argv[1:]
module, items = (text, json.loads(items)) if kind.startswith("Text") else (vision, np.load(items))
options = getattr(module, kind + "Options")(base_options=BaseOptions(model_asset_path=model))
if module is vision:
    items = [mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels) for pixels in items]
with getattr(module, kind).create_from_options(options) as task:
    if kind.endswith("Embedder"):
        found = [task.embed(item).embeddings[0].embedding.tolist() for item in items]
    else:
        found = [task.classify(item).classifications[0].categories for item in items]
        found = [{each.category_name: each.score for each in some} for some in found]
print(json.dumps([mediapipe.__version__, found]))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with that MediaPipe."""
    folder = tmp_path_factory.mktemp("older")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    found = folder / "bin" / "python"
    pip = [str(found), "-m", "pip", "--disable-pip-version-check", "--no-input", "-q", "install"]
    done = subprocess.run([*pip, f"mediapipe=={VERSION}"], capture_output=True, text=True)
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("no package index can be reached, or it has no such MediaPipe")
    assert done.returncode == 0, done.stderr[-2000:]
    return found


def told(python: Path, kind: str, folder: Path, items: str) -> list[Any]:
    """What that MediaPipe's task says of each item."""
    command = [str(python), "-c", SCRIPT, kind, str(folder / "model.tflite"), items]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    version, found = json.loads(done.stdout.splitlines()[-1])
    assert version == VERSION
    return found


def classified(python: Path, kind: str, folder: Path, items: str, labels: list[str]) -> np.ndarray:
    """Scores `(items, labels)` as that MediaPipe gives them."""
    found = told(python, kind, folder, items)
    assert all(set(scores) == set(labels) for scores in found)
    return np.array([[scores[name] for name in labels] for scores in found])


def test_texts(tmp_path: Path, python: Path, text_classifier: Any):
    folder = export(text_classifier, tmp_path)
    found = classified(python, "TextClassifier", folder, json.dumps(TEXTS), text_classifier.labels)
    np.testing.assert_allclose(found, text_classifier.scores(fakes.examples(TEXTS)), atol=1e-5)


def test_texts_in_lower_precision(tmp_path: Path, python: Path, text_classifier: Any):
    folder = export(text_classifier, tmp_path, precision="dynamic", examples=["the card", "never"] * 50)
    found = classified(python, "TextClassifier", folder, json.dumps(TEXTS), text_classifier.labels)
    np.testing.assert_allclose(found, Predictor(folder).scores(TEXTS), atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_pictures(tmp_path: Path, python: Path, sure_image_classifier: Any, precision: str):
    task, seen = sure_image_classifier, pictures()
    given = {} if precision == "float32" else {"examples": seen, "calibration": seen[:40]}
    folder, seen = export(task, tmp_path / "out", precision=precision, **given), seen[:12]
    found = classified(python, "ImageClassifier", folder, whole(task, seen, tmp_path), task.labels)
    truth = task.scores(fakes.examples(seen)) if precision == "float32" else Predictor(folder).scores(seen)
    np.testing.assert_allclose(found, truth, atol=1e-5)


@pytest.mark.parametrize("kind", ["text", "image"])
def test_embeddings(tmp_path: Path, python: Path, kind: str, request: pytest.FixtureRequest):
    task = request.getfixturevalue(f"{kind}_classifier")
    seen = TEXTS if kind == "text" else pictures()[:12]
    folder = export(task, tmp_path / "out", output="embedding")
    items = json.dumps(TEXTS) if kind == "text" else whole(task, seen, tmp_path)
    found = told(python, f"{kind.title()}Embedder", folder, items)
    np.testing.assert_allclose(found, Embedder(folder).embed(seen), atol=1e-5)


def whole(task: Any, seen: list[Any], folder: Path) -> str:
    """A file of pictures as large as the model takes them."""
    np.save(folder / "seen.npy", np.stack([task.preprocessor.pixels(picture).astype(np.uint8) for picture in seen]))
    return str(folder / "seen.npy")
