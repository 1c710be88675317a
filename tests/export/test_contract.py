"""Every task in every precision and output: the file holds what it must, or is refused and leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bundle import fakes
from tests.core import tiny
from tests.export.conftest import pictures
from tests.tasks import test_contract as tasks
from tfvertical import manifest
from tfvertical.contracts import Examples
from tfvertical.errors import ConfigError, ExportError
from tfvertical.export import _answers, export
from tfvertical.export._convert import PRECISIONS
from tfvertical.runtime import Embedder, Predictor
from tfvertical.runtime.contents import contents

WORDS = ["the card never arrived", "card", "the the never", "arrived 12 .", "карта", "a b c d e f g"] * 20
LINES = [line.split() for line in WORDS]
KINDS = {"text": "text_classifier", "image": "sure_image_classifier"}
OTHERS = (
    "token",
    "chain",
    "text numbers",
    "text labels",
    "pair",
    "apart",
    "pair numbers",
    "answers",
    "image numbers",
    "image labels",
)


def test_every_task_is_in_this_suite():
    assert set(tasks.KINDS.values()) <= {*KINDS, *OTHERS}


def exported(task: Any, path: Path, precision: str, examples: Any, **options: Any) -> Any:
    """Folder, parity and contents of a file that holds; None where integers lose too much, and nothing is left then."""
    try:
        folder = export(task, path, precision=precision, examples=examples, **options)
    except ExportError as error:
        assert precision == "int8" and "loses too much" in str(error)
        assert not list(path.glob("exports/*"))
        return None
    manifest.check(folder, kind="export")
    told, found = json.loads((folder / "parity.json").read_text()), contents(folder / "model.tflite")
    assert told["precision"] == precision and told["n"] == len(examples) and found.custom == ()
    return folder, told, found


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
    ranges = items[:40] if precision == "int8" else None
    held = exported(task, tmp_path, precision, examples, calibration=ranges, output=output)
    if held is None:
        return
    folder, told, found = held
    assert found.signatures["serving_default"][1] == (output,) and found.metadata is not None
    received = (
        Predictor(folder).scores(items) if output == "scores" else _answers.scores(task, Embedder(folder).embed(items))
    )
    if precision == "float32":
        np.testing.assert_allclose(received, expected, atol=1e-5)
    else:
        assert told["drop"] <= 0.01 and np.mean(received.argmax(1) == expected.argmax(1)) >= 0.99


def small(kind: str) -> Any:
    """Of one block where its head does not read two: converters take their time."""
    return tiny.make_task(kind, **({} if kind.startswith("image") or kind == "chain" else {"layers": 1}))


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS[1:])
@pytest.mark.parametrize("kind", OTHERS)
def test_every_other_task_holds_in_lower_precision_or_is_refused(kind: str, precision: str, tmp_path: Path):
    task, examples = small(kind), tiny.make_examples(kind, 60)
    given: Any = examples
    if kind.endswith("numbers"):  # R² of a head that has not learned says nothing
        given = list(examples.inputs)
    else:  # a head that is far from undecided: of a coin's toss, any rounding is seen
        for variable in task.components["head"].trainable_variables:
            variable.assign(variable * 10)
    if (kind, precision) == ("answers", "int8"):
        with pytest.raises(ConfigError, match="too close together"):
            exported(task, tmp_path, precision, given, calibration=examples)
        return
    drop = 0.5 if isinstance(given, Examples) else None
    held = exported(
        task, tmp_path, precision, given, calibration=examples if precision == "int8" else None, max_drop=drop
    )
    if held is None:
        return
    folder, told, _ = held
    assert told["agreement"] >= 0.99 and told["bytes"] == (folder / "model.tflite").stat().st_size
    assert (told.get("float_operators") is not None) == (precision != "float16")


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", [kind for kind in OTHERS if not kind.startswith("image")])
def test_every_task_of_texts_takes_any_length(kind: str, both: bool, tmp_path: Path):
    task, examples = small(kind), tiny.make_examples(kind, 20)
    _, told, found = exported(task, tmp_path, "float32", list(examples.inputs), dynamic_length=True, dynamic_batch=both)
    assert told["max_difference"] <= 1e-5
    assert {tensor.shape for tensor in found.inputs} == {(-1 if both else 1, -1)}
