"""Every task in every precision and output: the file holds what it must, or is refused and leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.bundle import fakes
from tests.export.conftest import pictures
from tfvertical import manifest
from tfvertical.contracts import Examples
from tfvertical.errors import ExportError
from tfvertical.export import _answers, export
from tfvertical.export._convert import PRECISIONS
from tfvertical.runtime import Embedder, Predictor
from tfvertical.runtime.contents import contents

WORDS = ["the card never arrived", "card", "the the never", "arrived 12 .", "карта", "a b c d e f g"] * 20
LINES = [line.split() for line in WORDS]
KINDS = {"text": "text_classifier", "image": "sure_image_classifier"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("output", _answers.OUTPUTS)
def test_a_file_holds_or_is_refused(
    tmp_path: Path, kind: str, precision: str, output: str, request: pytest.FixtureRequest
):
    task, items = request.getfixturevalue(KINDS[kind]), WORDS if kind == "text" else pictures()
    expected = task.scores(fakes.examples(items))
    labels = [task.labels[at] for at in expected.argmax(1)]
    examples = Examples(items, labels, [str(number) for number in range(len(items))])
    try:
        folder = export(task, tmp_path, precision=precision, output=output, examples=examples, calibration=items[:40])
    except ExportError as error:
        assert precision == "int8" and "loses too much" in str(error)
        assert not list(tmp_path.glob("exports/*"))
        return
    manifest.check(folder, kind="export")
    told, found = json.loads((folder / "parity.json").read_text()), contents(folder / "model.tflite")
    assert told["precision"] == precision and told["n"] == len(items) and found.custom == ()
    assert found.signatures["serving_default"][1] == (output,) and found.metadata is not None
    received = (
        Predictor(folder).scores(items) if output == "scores" else _answers.scores(task, Embedder(folder).embed(items))
    )
    if precision == "float32":
        np.testing.assert_allclose(received, expected, atol=1e-5)
    else:
        assert told["drop"] <= 0.01 and np.mean(received.argmax(1) == expected.argmax(1)) >= 0.99
