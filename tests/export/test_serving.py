"""TensorFlow Serving's own loader, which is TensorFlow's C library, runs a SavedModel's signature on raw items."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bundle import fakes
from tests.export import native
from tfvertical.export import export

TEXTS = ["The CARD never arrived.", "", "café карта", "a text " * 50, "\N{CREDIT CARD} \x00 lost"]


def served(folder: Path, items: list[bytes]) -> dict[str, Any]:
    """What the signature answers in a process that loads no Python of TensorFlow."""
    import tensorflow as tf
    import tensorflow_text
    from tensorflow.core.protobuf import saved_model_pb2

    library = Path(tf.sysconfig.get_lib()) / "libtensorflow_cc.so.2"
    if not library.is_file():
        pytest.skip(f"this platform's TensorFlow has no {library.name}")
    held = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    signature = held.meta_graphs[0].signature_def["serving_default"]
    asked = {
        "library": str(library),
        "ops": sorted(map(str, (Path(tensorflow_text.__file__).parent / "python" / "ops").glob("*.so"))),
        "folder": str(folder),
        "inputs": {name: each.name for name, each in signature.inputs.items()},
        "outputs": {name: each.name for name, each in signature.outputs.items()},
        "items": [base64.b64encode(item).decode() for item in items],
    }
    command = [sys.executable, "-I", "-S", native.__file__]  # no packages: nothing can import TensorFlow
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return {name: np.reshape(each["values"], each["shape"]) for name, each in json.loads(done.stdout).items()}


def test_texts(tmp_path: Path, text_classifier):
    folder = export(text_classifier, tmp_path, "saved_model")
    same(served(folder, [text.encode() for text in TEXTS]), text_classifier, TEXTS)


def test_pictures(tmp_path: Path, image_classifier):
    from PIL import Image

    paths = []
    for number, picture in enumerate(fakes.pictures()):
        paths.append(tmp_path / f"{number}.{'jpg' if number % 2 else 'png'}")
        Image.fromarray(picture).save(paths[-1])
    folder = export(image_classifier, tmp_path / "out", "saved_model")
    same(served(folder, [path.read_bytes() for path in paths]), image_classifier, paths)


def same(found: dict[str, Any], task: Any, items: list[Any]) -> None:
    expected = task.scores(fakes.examples(items))
    np.testing.assert_allclose(found["scores"], expected, atol=1e-5)
    assert found["label"].tolist() == [task.labels[best] for best in expected.argmax(1)]
    np.testing.assert_allclose(found["score"], expected.max(1), atol=1e-5)
