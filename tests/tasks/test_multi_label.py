"""Sets of labels: where training begins, how thresholds are chosen, weights of a yes, what a file says."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import average_precision_score, f1_score

import tfvertical as tv
from tests.core import tiny
from tfvertical.errors import ConfigError, DataError
from tfvertical.objectives.binary_cross_entropy import BinaryCrossEntropy
from tfvertical.runtime import Predictor
from tfvertical.tasks._metrics import MicroF1

QUICK: dict[str, Any] = {"epochs": 20, "batch_size": 8, "learning_rate": 0.02, "verbose": 0}


@pytest.mark.parametrize("kind", ["text", "image"])
def test_it_learns_and_reports(kind: str):
    task = tiny.sets_task(kind, layers=1, body_dropout=0.0)
    train, held_out, test = (tiny.sets(kind, count, seed) for seed, count in enumerate((160, 60, 80)))
    task.fit(train, held_out, adaptation=tv.FullFineTuning(), **QUICK)
    report = task.evaluate(test, resamples=50)
    rows = {
        row["label"]: row["f1"] for row in report.per_class
    }  # of those without the first every other has the second
    assert report.kind == "labels" and rows["bright"] > 0.9 and rows["late"] > 0.6, report
    true, applies = task.truth(test), task.codec.applies(task.scores(test))
    assert report.metrics["micro_f1"] == pytest.approx(f1_score(true, applies, average="micro"))
    assert report.metrics["macro_f1"] == pytest.approx(f1_score(true, applies, average="macro"))
    assert report.metrics["mean_average_precision"] == pytest.approx(
        average_precision_score(true, task.scores(test), average="macro")
    )
    assert [row["threshold"] for row in report.per_class] == pytest.approx(task.thresholds)
    assert [row["support"] for row in report.per_class] == true.sum(axis=0).tolist()
    assert "mean average precision" in str(report) and any("no label applies" in note for note in report.notes)
    for error in report.errors:
        assert error["true"] != error["predicted"] and 0 <= error["score"] <= 1


def test_training_begins_at_how_often_each_label_applies():
    task = tiny.sets_task("text", layers=1)
    train = tiny.sets("text", 70)
    task._prepare(train)
    share = task.truth(train).mean(axis=0)
    bias = task.components["head"].get_layer("logits").bias.numpy()
    np.testing.assert_allclose(1 / (1 + np.exp(-bias)), share, rtol=1e-4)
    with pytest.raises(DataError, match="no label applies to any of 2 rows"):
        task.fit(tiny.labelled(["good", "bad"], [(), ()]), verbose=0)


def test_other_thresholds_are_another_model_than_the_one_that_was_measured():
    task = tiny.sets_task("text", layers=1)
    task.evaluate(tiny.sets("text", 14), resamples=10)
    task.thresholds = (0.2, 0.3, 0.5)
    assert task.report is None


def test_pages_show_the_thresholds(tmp_path: Path):
    task = tiny.sets_task("text", layers=1)
    task.thresholds = (0.125, 3.9e-7, 0.5)
    report = task.evaluate(tiny.sets("text", 14), resamples=10)
    assert [row["threshold"] for row in report.per_class] == [0.125, 3.9e-7, 0.5]
    report.save(tmp_path / "report")
    for name in ("report.html", "report.md"):
        page = (tmp_path / "report" / name).read_text()
        assert "threshold" in page.lower() and "0.125" in page and re.search(r"3\.9e\\?-07", page)


def test_thresholds_are_chosen_by_validation_data_and_saved(tmp_path: Path):
    task = tiny.sets_task("text", layers=1)
    train, held_out = tiny.sets("text", 40), tiny.sets("text", 40, seed=1)
    task.fit(train, epochs=1, verbose=0)
    assert task.thresholds == (0.5, 0.5, 0.5)
    task.fit(train, held_out, epochs=1, verbose=0)
    true, scores = task.truth(held_out), task.scores(held_out)
    for at in range(3):
        best = max(f1_score(true[:, at], scores[:, at] >= cut) for cut in np.unique(scores[:, at]))
        assert f1_score(true[:, at], scores[:, at] >= task.thresholds[at]) == pytest.approx(best)
    task.thresholds = (0.1, 0.2, 0.3)
    task.save(tmp_path / "sets")
    again = tv.load(tmp_path / "sets")
    assert again.thresholds == task.thresholds == pytest.approx((0.1, 0.2, 0.3))
    assert [each.labels for each in again.predict(train.inputs)] == [each.labels for each in task.predict(train.inputs)]


def test_the_loss_and_its_weights():
    draw = np.random.default_rng(0)
    logits, true = draw.normal(0, 2, (40, 3)), (draw.random((40, 3)) < 0.3).astype(float)
    chance = 1 / (1 + np.exp(-logits))
    plain = -np.log(np.where(true > 0, chance, 1 - chance))
    given = tf.constant(logits), tf.constant(true)
    np.testing.assert_allclose(BinaryCrossEntropy().loss(*given), plain.mean(axis=1), rtol=1e-5)
    weights = (3.0, 1.0, 0.5)
    expected = (plain * np.where(true > 0, weights, 1)).mean(axis=1)
    np.testing.assert_allclose(BinaryCrossEntropy(0, 0, weights).loss(*given), expected, rtol=1e-5)
    expected = (plain * (1 - np.exp(-plain)) ** 2).mean(axis=1)
    np.testing.assert_allclose(BinaryCrossEntropy(0, 2.0).loss(*given), expected, rtol=1e-4)
    soft = true * 0.8 + 0.1
    expected = -(soft * np.log(chance) + (1 - soft) * np.log(1 - chance)).mean(axis=1)
    np.testing.assert_allclose(BinaryCrossEntropy(0.2).loss(*given), expected, rtol=1e-5)


def test_balanced_lets_a_yes_weigh_as_much_as_all_noes():
    task = tiny.sets_task("text", layers=1)
    train = tiny.sets("text", 70)
    applies = task.truth(train).sum(axis=0)
    task.fit(train, class_weight="balanced", epochs=1, verbose=0)
    assert task._positive_weights == pytest.approx((70 - applies) / applies)
    task.fit(train, class_weight={"rare": 5.0}, epochs=1, verbose=0)
    assert task._positive_weights == (1.0, 1.0, 5.0)
    with pytest.raises(ConfigError, match="'seldom', which is no label"):
        task.fit(train, class_weight={"seldom": 5.0}, verbose=0)


def test_the_metric_counts_as_scikit_learn_does():
    draw = np.random.default_rng(0)
    logits, true = draw.normal(0, 2, (40, 3)), draw.random((40, 3)) < 0.3
    metric = MicroF1()
    for part in (slice(0, 25), slice(25, 40)):
        metric.update_state(true[part].astype("f"), logits[part].astype("f"))
    assert float(metric.result()) == pytest.approx(f1_score(true, logits > 0, average="micro"))
    metric.reset_state()
    assert float(metric.result()) == 0


def test_unknown_labels_are_told_before_training(tmp_path: Path):
    (tmp_path / "a.csv").write_text("text,label\ngood,bright\nbad,late|brigth\n")
    with pytest.raises(DataError, match=r"a.csv:3: the label 'brigth' is unknown \(nearest: 'bright'\)"):
        tiny.sets_task("text", layers=1).fit(tmp_path / "a.csv", verbose=0)


@pytest.mark.slow
def test_a_file_says_the_same(tmp_path: Path):
    task = tiny.sets_task("text", layers=1)
    examples = tiny.sets("text", 60)
    task.fit(examples, examples, epochs=2, verbose=0)
    task.save(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the converter's own
        folder = task.export(tmp_path, "litert", examples=examples)
        saved = task.export(tmp_path, "saved_model", examples=examples)
    predictor = Predictor(folder)
    told = predictor.predict(examples.inputs)
    assert [each.labels for each in told] == [each.labels for each in task.predict(examples.inputs)]
    serve = tf.saved_model.load(str(saved)).signatures["serving_default"]
    found = serve(inputs=tf.constant([text.encode() for text in examples.inputs]))
    np.testing.assert_array_equal(found["applies"].numpy(), task.codec.applies(found["scores"].numpy()))
    golden = [json.loads(line) for line in (folder / "golden.jsonl").read_text().splitlines()]
    assert all(set(line["labels"]) <= set(tiny.SETS) and len(line["scores"]) == 3 for line in golden)
