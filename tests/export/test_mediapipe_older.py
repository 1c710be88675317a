"""The last MediaPipe of 0.10, which apps may still have, loads the files and answers with Keras' scores and names."""

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

VERSION = "0.10.35"
TEXTS = ["the card never arrived", "Card, card: NEVER!", "", "the 12 cards .", "the card " * 200]
SCRIPT = """
import json, sys
import mediapipe, numpy as np
from mediapipe.tasks.python import BaseOptions, text, vision
kind, model, items = sys.argv[1:]
base = BaseOptions(model_asset_path=model)
if kind == "text":
    classifier = text.TextClassifier.create_from_options(text.TextClassifierOptions(base_options=base))
    items = json.loads(items)
else:
    classifier = vision.ImageClassifier.create_from_options(vision.ImageClassifierOptions(base_options=base))
    items = [mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels) for pixels in np.load(items)]
with classifier:
    found = [classifier.classify(item).classifications[0].categories for item in items]
print(json.dumps([mediapipe.__version__, [{each.category_name: each.score for each in some} for some in found]]))
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


def classified(python: Path, kind: str, folder: Path, items: str, labels: list[str]) -> np.ndarray:
    """Scores `(items, labels)` as that MediaPipe gives them."""
    command = [str(python), "-c", SCRIPT, kind, str(folder / "model.tflite"), items]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    version, found = json.loads(done.stdout.splitlines()[-1])
    assert version == VERSION
    assert all(set(scores) == set(labels) for scores in found)
    return np.array([[scores[name] for name in labels] for scores in found])


def test_texts(tmp_path: Path, python: Path, text_classifier: Any):
    folder = export(text_classifier, tmp_path)
    found = classified(python, "text", folder, json.dumps(TEXTS), text_classifier.labels)
    np.testing.assert_allclose(found, text_classifier.scores(fakes.examples(TEXTS)), atol=1e-5)


def test_pictures(tmp_path: Path, python: Path, sure_image_classifier: Any):
    task, seen = sure_image_classifier, pictures()[:12]
    folder = export(task, tmp_path / "out")
    whole = np.stack([task.preprocessor.pixels(picture).astype(np.uint8) for picture in seen])
    np.save(tmp_path / "seen.npy", whole)
    found = classified(python, "image", folder, str(tmp_path / "seen.npy"), task.labels)
    np.testing.assert_allclose(found, task.scores(fakes.examples(seen)), atol=1e-5)
