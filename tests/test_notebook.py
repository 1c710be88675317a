"""The notebooks run from their first cells to their last."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def executed(name: str, folder: Path) -> Any:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    resources = {"metadata": {"path": folder}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    return notebook


@pytest.mark.real
def test_the_quickstart_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("QUICKSTART_POSTS", "240")
    monkeypatch.setenv("QUICKSTART_OUT", str(tmp_path / "model"))
    last = executed("quickstart.ipynb", tmp_path).cells[-1].outputs[-1]["data"]["text/plain"]
    assert last.startswith("[Prediction(label=")
    assert (tmp_path / "model" / "exports" / "litert-float32" / "model.tflite").is_file()


@pytest.mark.real
def test_the_way_to_an_app_runs(tmp_path, monkeypatch):
    pytest.importorskip("mediapipe")
    monkeypatch.setenv("EDGE_POSTS", "240")
    monkeypatch.setenv("EDGE_OUT", str(tmp_path / "model"))
    cells = executed("edge.ipynb", tmp_path).cells
    before, after = json.loads("[" + cells[-1].outputs[-1]["data"]["text/plain"].strip("()") + "]")
    assert after > before + 0.1, "the head has learned on the device"
    exports = tmp_path / "model" / "exports"
    kept = next(exports / f"litert-{name}" for name in ("dynamic", "float16") if (exports / f"litert-{name}").is_dir())
    told = json.loads((kept / "parity.json").read_text())
    assert told["agreement"] >= 0.99 and told["bytes"] < 50e6


@pytest.mark.real
def test_the_way_on_a_tpu_runs_without_one(tmp_path, monkeypatch):
    monkeypatch.setenv("TPU_POSTS", "240")
    monkeypatch.setenv("TPU_KEPT", str(tmp_path / "kept"))
    monkeypatch.setenv("TPU_RUN", f"file://{tmp_path}/bucket/unfinished")
    cells = executed("tpu.ipynb", tmp_path).cells
    said = "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", ()))
    assert "Trains on one device" in said
    assert (tmp_path / "kept" / "model" / "exports" / "litert-float32" / "model.tflite").is_file()
    assert list((tmp_path / "bucket" / "unfinished").glob("position-*")), "a disconnect would have gone on from here"
