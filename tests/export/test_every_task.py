"""Every task beside the classifiers of texts and pictures, in every lower precision: its file holds, or is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.core import tiny
from tfvertical import manifest
from tfvertical.errors import ConfigError, ExportError
from tfvertical.export import export
from tfvertical.runtime.contents import contents

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

KINDS = (
    "token",
    "chain",
    "text numbers",
    "text labels",
    "pair",
    "apart",
    "answers",
    "image numbers",
    "image labels",
)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float16", "dynamic", "int8"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_lower_precision_holds_or_is_refused(kind: str, precision: str, tmp_path: Path):
    task, examples = tiny.make_task(kind), tiny.make_examples(kind, 60)
    given = examples
    if kind.endswith("numbers"):  # R² of a head that has not learned says nothing
        given = list(examples.inputs)
    else:  # a head that is far from undecided: of a coin's toss, any rounding is seen
        for variable in task.components["head"].trainable_variables:
            variable.assign(variable * 10)
    try:
        folder = export(task, tmp_path, precision=precision, examples=given, calibration=examples, max_drop=0.5)
    except ConfigError as error:
        assert (kind, precision) == ("answers", "int8") and "too close together" in str(error)
        return
    except ExportError as error:
        assert precision == "int8" and "loses too much" in str(error)
        assert not list(tmp_path.glob("exports/*"))
        return
    manifest.check(folder, kind="export")
    told, found = json.loads((folder / "parity.json").read_text()), contents(folder / "model.tflite")
    assert told["precision"] == precision and told["n"] == 60 and told["agreement"] >= 0.99
    assert found.custom == () and told["bytes"] == (folder / "model.tflite").stat().st_size
    if precision != "float16":
        assert told["float_operators"] is not None
