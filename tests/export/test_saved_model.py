"""A SavedModel takes raw items, in a process that has nothing of this package."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.bundle import fakes
from tfvertical import stages
from tfvertical.export import export

SCRIPT = """
import json, sys
import tensorflow as tf
if sys.argv[2] == "text":
    import tensorflow_text
    inputs = json.loads(sys.argv[3])
else:
    inputs = [open(name, "rb").read() for name in json.loads(sys.argv[3])]
loaded = tf.saved_model.load(sys.argv[1])
found = loaded.signatures["serving_default"](inputs=tf.constant(inputs))
classes = loaded.signatures["classes"]()["classes"]
assert not {"keras_hub", "tfvertical"} & set(sys.modules)
text = lambda strings: [s.decode() for s in strings.numpy()]
print(json.dumps({"label": text(found["label"]), "score": found["score"].numpy().tolist(),
    "scores": found["scores"].numpy().tolist(), "classes": text(classes)}))
"""


def elsewhere(folder: Path, kind: str, inputs: list[str]) -> dict:
    command = [sys.executable, "-c", SCRIPT, str(folder), kind, json.dumps(inputs)]
    done = subprocess.run(command, check=True, capture_output=True, cwd=folder)
    return json.loads(done.stdout)


def same(found: dict, task, items: list) -> None:
    expected = task.scores(fakes.examples(items))
    np.testing.assert_allclose(found["scores"], expected, atol=1e-5)
    assert found["classes"] == list(task.labels)
    assert found["label"] == [task.labels[best] for best in expected.argmax(1)]
    np.testing.assert_allclose(found["score"], expected.max(1), atol=1e-5)


def test_texts_in_a_process_with_tensorflow_text_alone(tmp_path: Path, text_classifier):
    folder = export(text_classifier, tmp_path, "saved_model")
    texts = ["The CARD never arrived.", "", "café карта", "a text " * 50]
    same(elsewhere(folder, "text", texts), text_classifier, texts)


def test_pictures_in_a_process_with_tensorflow_alone(tmp_path: Path, image_classifier):
    from PIL import Image

    names = []
    for number, picture in enumerate(fakes.pictures()):
        names.append(str(tmp_path / f"{number}.{'jpg' if number % 2 else 'png'}"))
        Image.fromarray(picture).save(names[-1])
    folder = export(image_classifier, tmp_path / "out", "saved_model")
    same(elsewhere(folder, "image", names), image_classifier, [Path(name) for name in names])


@pytest.mark.parametrize("kind", ["text_classifier", "image_classifier"])
def test_weights_are_stored_once(tmp_path: Path, kind: str, request: pytest.FixtureRequest):
    task = request.getfixturevalue(kind)
    folder = export(task, tmp_path, "saved_model")
    held = sum(v.numpy().nbytes for v in stages.addresses(task.components).values())
    (data,) = (folder / "variables").glob("variables.data*")
    assert held <= data.stat().st_size < held + 20_000
