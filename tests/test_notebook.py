"""The notebook runs from its first cell to its last."""

from __future__ import annotations

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "quickstart.ipynb"


@pytest.mark.real
def test_the_quickstart_runs(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("QUICKSTART_POSTS", "240")
    monkeypatch.setenv("QUICKSTART_OUT", str(tmp_path / "model"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    last = notebook.cells[-1].outputs[-1]["data"]["text/plain"]
    assert last.startswith("[Prediction(label=")
    assert (tmp_path / "model" / "exports" / "litert-float32" / "model.tflite").is_file()
