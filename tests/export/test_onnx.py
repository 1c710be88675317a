"""ONNX files answer as Keras does, for one example and for several."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tests.bundle import fakes
from tfvertical.errors import ConfigError, ExportError
from tfvertical.export import export, onnx
from tfvertical.export._inputs import fixed_inputs


def test_texts(tmp_path: Path, text_classifier):
    folder = export(text_classifier, tmp_path, "onnx")
    assert folder.name == "onnx-float32" and (folder / "vocab.txt").is_file()
    told = json.loads((folder / "parity.json").read_text())
    assert told["max_difference"] <= 1e-5 and told["bytes"] == (folder / "model.onnx").stat().st_size
    assert told["milliseconds"].keys() == {"1", "2"} and told["milliseconds"]["2"]["p50"] > 0
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    texts = ["the card", "never", ""]
    inputs = [fixed_inputs(text_classifier, text) for text in texts]
    batch = {name: np.concatenate([each[name] for each in inputs]) for name in inputs[0]}
    (found,) = session.run(["scores"], batch)
    np.testing.assert_allclose(found, text_classifier.scores(fakes.examples(texts)), atol=1e-5)


def test_pictures(tmp_path: Path, image_classifier):
    folder = export(image_classifier, tmp_path, "onnx")
    assert json.loads((folder / "parity.json").read_text())["agreement"] == 1.0


def test_refusals(tmp_path: Path, text_classifier, monkeypatch):
    with pytest.raises(ConfigError, match="onnx has no precision 'int8'"):
        export(text_classifier, tmp_path, "onnx", precision="int8")

    def broken(*arguments):
        raise ValueError("Unsupported ops: Cholesky")

    monkeypatch.setattr(onnx, "_export", broken)
    with pytest.raises(ExportError, match=r"does not convert to ONNX(.|\n)*Unsupported ops: Cholesky"):
        export(text_classifier, tmp_path, "onnx")
    assert not list(tmp_path.glob("exports/*"))
