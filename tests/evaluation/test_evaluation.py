"""From a task and rows to a report: what is asked, what is refused, what is told."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.evaluation.conftest import Fake, random_scores
from tfvertical import evaluation
from tfvertical.contracts import Encoded, Examples, SourceInfo, Task
from tfvertical.errors import ConfigError, DataError
from tfvertical.evaluating import metrics

Build = Callable[..., tuple[Fake, Examples, np.ndarray]]


def test_numbers_are_those_of_metrics(build: Build) -> None:
    task, examples, y_true = build(4, 120)
    report = evaluation.evaluate(task, examples, resamples=50)
    summary = metrics.summary(y_true, task.scores(examples))
    assert {name: report.metrics[name] for name in summary} == summary
    assert np.sum(report.confusion) == report.rows == 120
    assert [row["support"] for row in report.per_class] == np.bincount(y_true).tolist()
    assert report.metrics["macro_roc_auc"] == pytest.approx(np.mean([row["roc_auc"] for row in report.per_class]))
    assert report.curves["roc"][0]["label"] == "all classes together"
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["rows"] == 120


def test_before_and_baselines_are_compared_in_pairs(build: Build) -> None:
    task, examples, y_true = build(3, 200, skill=3)
    weak, scores = random_scores(200, 3, y_true, 0, seed=5), task.scores(examples)
    report = evaluation.evaluate(task, examples, before=weak, baselines={"itself": scores}, resamples=100)
    assert report.before is not None
    assert report.before == evaluation.compare(y_true, scores, weak, resamples=100)
    assert report.before["metrics"] == metrics.summary(y_true, weak)
    assert report.before["differences"]["macro_f1"]["low"] > 0
    assert report.baselines["itself"]["differences"]["accuracy"] == {"value": 0, "low": 0, "high": 0}


def test_score_is_repeated_without_overlapping_rows(build: Build) -> None:
    task, examples, y_true = build(3, 60)
    report = evaluation.evaluate(task, examples, overlap=np.array([0, 5, 5]), resamples=20)
    keep = np.setdiff1d(np.arange(60), [0, 5])
    rest = report.without_overlap
    assert rest is not None and (rest["overlap"], rest["rows"]) == (2, 58)
    assert rest["metrics"] == metrics.summary(y_true[keep], task.scores(examples)[keep])
    assert report.rows == 60
    everything = evaluation.evaluate(task, examples, overlap=range(60), resamples=20).without_overlap
    assert everything == {"overlap": 60, "rows": 0, "metrics": {}, "intervals": {}}


def test_absent_and_single_classes_are_said_not_warned(build: Build) -> None:
    task, examples, _ = build(3, 40)
    one = dataclasses.replace(examples, labels=["label 1"] * 40)
    report = evaluation.evaluate(task, one, resamples=20)
    assert "2 of 3 labels have no row here (label 0, label 2)" in report.notes[0]
    assert report.metrics["macro_roc_auc"] is None
    assert [row["roc_auc"] for row in report.per_class] == [None] * 3
    assert report.per_class[1]["average_precision"] == 1.0
    assert "–" in str(report)


def test_worst_errors_have_the_greatest_loss(build: Build) -> None:
    task, examples, y_true = build(3, 100, text="x" * 300)
    report = evaluation.evaluate(task, examples, examples_shown=5, resamples=20)
    scores = task.scores(examples)
    wrong = np.flatnonzero(scores.argmax(axis=1) != y_true)
    worst = sorted(wrong, key=lambda i: scores[i, y_true[i]])[:5]
    assert [error["id"] for error in report.errors] == [examples.ids[i] for i in worst]
    assert [error["true_score"] for error in report.errors] == [float(scores[i, y_true[i]]) for i in worst]
    assert all(len(error["text"]) == 201 and error["true"] != error["predicted"] for error in report.errors)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"labels": ["lable 1"] * 10}, DataError, "test.csv:2: the model knows no label 'lable 1'"),
        ({"labels": None}, DataError, "no labels"),
        ({"inputs": [], "labels": [], "ids": []}, DataError, "no row"),
    ],
)
def test_rows_that_cannot_be_evaluated(build: Build, change: dict[str, Any], kind: type, message: str) -> None:
    task, examples, _ = build(2, 10)
    with pytest.raises(kind, match=message):
        evaluation.evaluate(task, dataclasses.replace(examples, **change))


def test_scores_that_do_not_fit(build: Build) -> None:
    task, examples, _ = build(2, 10)
    with pytest.raises(ConfigError, match=r"baseline 'b'.*\n.*\(10, 2\).*\n.*\(10, 3\)"):
        evaluation.evaluate(task, examples, baselines={"b": np.ones((10, 3))})
    with pytest.raises(DataError, match="`before` are not finite in 1 rows, the first being row 4"):
        evaluation.evaluate(task, examples, before=np.where(np.arange(20).reshape(10, 2) == 8, np.nan, 0.5))
    with pytest.raises(ConfigError, match="overlap"):
        evaluation.evaluate(task, examples, overlap=[10])


def _pictures(folder: Path, labels: list[str]) -> Examples:
    paths = []
    for i, label in enumerate(labels):
        path = folder / label / f"patient_jones_{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        exif = Image.Exif()
        exif[0x010E] = "secret place"
        Image.fromarray(np.full((300, 150, 3), 40 * i, np.uint8)).save(path, exif=exif)
        paths.append(path)
    paths[0].write_bytes(b"not a picture")
    return Examples(paths, labels, [f"{p.parent.name}/{p.name}:1" for p in paths])


def test_pictures_are_shown_small_and_without_what_else_their_files_hold(tmp_path: Path) -> None:
    examples = _pictures(tmp_path, ["cat", "cat", "dog"])
    wrong = {
        row: np.array([0.9, 0.1] if label == "dog" else [0.1, 0.9], np.float32)
        for row, label in zip(examples.ids, examples.labels, strict=True)
    }
    report = evaluation.evaluate(Fake(("cat", "dog"), wrong), examples, resamples=20)
    shown = {error["file"]: error["thumbnail"] for error in report.errors}
    assert shown["patient_jones_0.jpg"] is None
    assert shown["patient_jones_1.jpg"].startswith("data:image/png;base64,")
    assert "secret" not in json.dumps(report.to_json())
    hidden = json.dumps(evaluation.evaluate(Fake(("cat", "dog"), wrong), examples, show_examples=False).to_json())
    assert "jones" not in hidden and "base64" not in hidden and '"id": "row 2"' in hidden


@pytest.mark.parametrize("shape", [(200, 100), (200, 100, 1), (200, 100, 3), (200, 100, 4)])
def test_arrays_are_shown_as_pictures_too(shape: tuple[int, ...]) -> None:
    examples = Examples([np.zeros(shape, np.uint8)], ["b"], ["array:0"])
    report = evaluation.evaluate(Fake(("a", "b"), {"array:0": np.array([1, 0], np.float32)}), examples, resamples=5)
    assert report.errors[0]["thumbnail"].startswith("data:image/png;base64,")


def test_what_a_model_reads_ends_no_report(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png", exif=b"no directory of tags")
    gone, strange = tmp_path / "gone.png", np.zeros((8, 8, 3))
    examples = Examples([tmp_path / "a.png", gone, strange], ["b"] * 3, ["0", "1", "2"])
    scores = {name: np.array([1, 0], np.float32) for name in examples.ids}
    report = evaluation.evaluate(Fake(("a", "b"), scores), examples, resamples=5)
    shown = {error["id"]: error["thumbnail"] for error in report.errors}
    assert shown["0"].startswith("data:image/png;base64,") and shown["1"] is None and shown["2"] is None


class _Encoding(Task):
    """A whole task, as far as evaluation looks: it must be encoded once, and say where its weights came from."""

    target = "label"
    labels = ("a", "b")
    source = SourceInfo("minilm_l6_v2", "package", {"keras": "3"}, "0" * 64, "Apache-2.0")
    encoded = 0

    def encode(self, examples: Examples) -> Encoded:
        self.encoded += 1
        return Encoded({}, None, np.arange(len(examples)), None, np.ones(len(examples)), truncated=3, unknown=0.25)

    def scores(self, examples: Examples | Encoded) -> np.ndarray:
        return np.tile(np.array([0.6, 0.4], np.float32), (len(examples), 1))


def test_a_whole_task_is_encoded_once_and_accounted_for() -> None:
    _Encoding.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]
    task = _Encoding()  # type: ignore[abstract]
    report = evaluation.evaluate(task, Examples(["x", "y"], ["a", "b"], ["1", "2"]), resamples=5)
    assert task.encoded == 1
    assert (report.data["truncated"], report.data["unknown_tokens"]) == (3, 0.25)
    assert report.model["preset"] == "minilm_l6_v2" and report.model["licence"] == "Apache-2.0"
