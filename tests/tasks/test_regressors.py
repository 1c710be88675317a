"""Numbers of texts, pictures and pairs: units inside the model, losses, bounds, levels, what is refused, files."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfvertical as tv
from tests.core import tiny
from tfvertical.errors import ConfigError, DataError, ExportError
from tfvertical.objectives.distance_loss import DistanceLoss
from tfvertical.objectives.ordinal_loss import OrdinalLoss
from tfvertical.objectives.quantile_loss import QuantileLoss
from tfvertical.runtime import Predictor
from tfvertical.tasks._metrics import AbsoluteError
from tfvertical.tasks._number_layers import OwnUnits, Thresholds

QUICK: dict[str, Any] = {"epochs": 25, "batch_size": 8, "learning_rate": 0.02, "verbose": 0}


@pytest.mark.parametrize("kind", ["text", "image", "pair"])
def test_it_learns_numbers_of_any_size(kind: str):
    task = tiny.number_task(kind, layers=1, body_dropout=0.0)
    train, test = tiny.numbered(kind, 160), tiny.numbered(kind, 60, seed=1)
    task.fit(train, adaptation=tv.FullFineTuning(), **QUICK)
    report = task.evaluate(test, resamples=50)
    assert report.kind == "numbers" and report.metrics["r2"] > 0.6, report
    rows = {row["label"]: row for row in report.per_class}
    assert rows["price"]["mae"] > 1000 > 1 > rows["age"]["mae"]
    assert report.metrics["r2"] == pytest.approx(np.mean([row["r2"] for row in rows.values()]))
    assert report.metrics["r2"] == pytest.approx(task.quality(test, task.scores(test)))
    for name in ("mean absolute error", "price", "rank correlation"):
        assert name in str(report)


def test_units_are_weights_that_nothing_moves_and_a_second_fit_keeps():
    task = tiny.number_task("text", layers=1)
    train = tiny.numbered("text", 24)
    numbers = np.array(train.labels)
    task.fit(train, adaptation=tv.FullFineTuning(), epochs=2, verbose=0)
    layer = task.components["head"].get_layer("own_units")
    np.testing.assert_allclose(layer.mean.numpy(), numbers.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(layer.deviation.numpy(), numbers.std(axis=0), rtol=1e-6)
    kept = [each.numpy() for each in layer.weights]
    task.fit(tiny.labelled(train.inputs, [(a * 7, b) for a, b in train.labels]), epochs=1, verbose=0)
    for one, other in zip(kept, layer.weights, strict=True):
        np.testing.assert_array_equal(one, other.numpy())


def test_a_loaded_regressor_learns_on_in_its_units(tmp_path: Path):
    task, train = tiny.number_task("text", layers=1), tiny.numbered("text", 24)
    task.fit(train, epochs=1, verbose=0)
    task.save(tmp_path / "saved")
    again = tv.load(tmp_path / "saved")
    again.fit(tiny.numbered("text", 16, seed=1), epochs=1, verbose=0, checkpoint=tmp_path / "run")
    for one, other in zip(task._behind.weights, again._behind.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_a_validation_number_far_off_costs_no_bundle(tmp_path: Path):
    """Its squared error is beyond float32, in every epoch."""
    task = tiny.number_task("text", layers=1)
    held_out = tiny.labelled(["good"], [(1e25, 0.3)])
    with pytest.warns(UserWarning, match="val_loss is inf"):
        task.fit(tiny.numbered("text", 24), held_out, epochs=2, verbose=0)
    assert task.run["history"]["val_loss"] == [None, None] and None not in task.run["history"]["loss"]
    task.save(tmp_path / "saved")
    again = tv.load(tmp_path / "saved")
    assert again.run["history"] == task.run["history"]
    assert again.evaluate(tiny.numbered("text", 8), resamples=10).history["val_loss"] == [None, None]


def test_losses_are_the_textbooks_in_deviations():
    draw = np.random.default_rng(0)
    true, found = draw.normal(0, 10, (50, 2)), draw.normal(0, 10, (50, 2))
    deviations = (2.0, 30.0)
    apart = (found - true) / np.array(deviations)
    got = DistanceLoss("mse", deviations).loss(tf.constant(found), tf.constant(true))
    np.testing.assert_allclose(got, (apart**2 / 2).mean(axis=1), rtol=1e-5)
    got = DistanceLoss("huber", deviations).loss(tf.constant(found), tf.constant(true))
    expected = np.where(np.abs(apart) <= 1, apart**2 / 2, np.abs(apart) - 0.5).mean(axis=1)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    quantiles, told = (0.05, 0.5, 0.95), draw.normal(0, 10, (50, 6))
    got = QuantileLoss(quantiles, deviations).loss(tf.constant(told), tf.constant(true))
    each = []
    for number in range(2):
        for at, quantile in enumerate(quantiles):
            error = (true[:, number] - told[:, 3 * number + at]) / deviations[number]
            each.append(np.where(error >= 0, quantile * error, (quantile - 1) * error))
    np.testing.assert_allclose(got, np.mean(each, axis=0), rtol=1e-5)
    logits, levels = draw.normal(0, 2, (50, 3)), draw.integers(0, 4, (50, 1)).astype(float)
    got = OrdinalLoss().loss(tf.constant(logits), tf.constant(levels))
    chance = 1 / (1 + np.exp(-logits))
    above = levels > np.arange(3)
    np.testing.assert_allclose(got, -np.log(np.where(above, chance, 1 - chance)).mean(axis=1), rtol=1e-5)


def test_bounds_never_cross_and_thresholds_stay_in_order():
    draw = np.random.default_rng(0)
    layer = OwnUnits(2, 3)
    layer.build((None, 6))
    layer.fit(draw.normal(5, 2, (50, 2)))
    told = layer(draw.normal(0, 5, (100, 6)).astype("f")).numpy().reshape(100, 2, 3)
    assert (np.diff(told, axis=-1) >= 0).all()
    levels = Thresholds(5)
    levels.build((None, 1))
    share = np.array([0.1, 0.2, 0.4, 0.2, 0.1])
    levels.fit(np.repeat(np.arange(5), (100 * share).astype(int))[:, None])
    chance = keras.ops.sigmoid(levels(np.zeros((1, 1), "f"))).numpy()[0]
    np.testing.assert_allclose(chance, 1 - np.cumsum(share)[:-1], atol=1e-5)
    levels.steps.assign(draw.normal(0, 5, 3))
    assert (np.diff(levels(draw.normal(0, 5, (50, 1)).astype("f")).numpy(), axis=1) <= 0).all()


def test_the_metric_reads_outputs_as_the_codec_does():
    metric = AbsoluteError(parts=3)
    metric.update_state(np.array([[1.0], [5.0]]), np.array([[0.0, 2.0, 9.0], [0.0, 5.0, 9.0]]))
    assert float(metric.result()) == 0.5
    metric = AbsoluteError(ordinal=True)
    metric.update_state(np.array([[2.0], [0.0]]), np.array([[3.0, -1.0], [-1.0, -2.0]]))
    assert float(metric.result()) == 0.5
    assert AbsoluteError.from_config(metric.get_config()).ordinal


def test_bounds_cover_what_they_promise():
    draw = np.random.default_rng(0)
    plain = tiny.texts(600)
    numbers = [(float(10 * (label == "positive") + draw.normal(0, 1)),) for label in plain.labels]
    task = tv.TextRegressor(tiny.text_backbone(1, 0.0), ["price"], units=["EUR"], loss="quantile", interval=0.8)
    task.fit(tiny.labelled(plain.inputs[:400], numbers[:400]), adaptation=tv.FullFineTuning(), **QUICK)
    test = tiny.labelled(plain.inputs[400:], numbers[400:])
    report = task.evaluate(test, resamples=20)
    assert 0.65 < report.metrics["coverage"] < 0.92 and report.metrics["r2"] > 0.8, report
    for (number,) in task.predict(test.inputs[:20]):
        assert number.low <= number.value <= number.high


def test_levels_are_learned_and_told():
    task = tiny.number_task("text", layers=1, body_dropout=0.0, loss="ordinal")
    train, test = tiny.numbered("text", 160, levels=True), tiny.numbered("text", 60, seed=1, levels=True)
    task.fit(train, adaptation=tv.FullFineTuning(), **QUICK)
    report = task.evaluate(test, resamples=20)
    assert report.metrics["quadratic_kappa"] > 0.5 and report.metrics["within_one"] > 0.9, report
    assert {each[0].value for each in task.predict(test.inputs)} <= set(tiny.LEVELS)
    with pytest.raises(DataError, match=r"no level: 3 \(row:0\)"):
        task.fit(tiny.labelled(["good"], [(3.0,)]), verbose=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"class_weight": "balanced"}, "class_weight is for labels"),
        ({"label_smoothing": 0.1}, "label_smoothing and focal are for labels"),
        ({"focal": 2.0}, "label_smoothing and focal are for labels"),
    ],
)
def test_what_is_for_labels_is_refused(options: dict[str, Any], words: str):
    with pytest.raises(ConfigError, match=words):
        tiny.number_task("text", layers=1).fit(tiny.numbered("text", 8), verbose=0, **options)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_rows_made_by_hand_whose_number_is_not_finite_are_named(bad: float):
    train = tiny.numbered("text", 8)
    rows = tiny.labelled(train.inputs, [*train.labels[:5], (bad, 0.3), *train.labels[6:]])
    for call in (tiny.number_task("text", layers=1).fit, tiny.number_task("text", layers=1).evaluate):
        with pytest.raises(DataError, match=r"1 rows have a number that is not finite: .*\(row:5\)"):
            call(rows)


def test_numbers_that_never_change_are_refused():
    train = tiny.numbered("text", 8)
    with pytest.raises(DataError, match=r"age is the same in all 8 rows; there is nothing to learn"):
        tiny.number_task("text", layers=1).fit(
            tiny.labelled(train.inputs, [(a, 1.0) for a, _ in train.labels]), verbose=0
        )


def _told(true: np.ndarray, found: np.ndarray, **options: Any) -> Any:
    """The report of an untrained task on such numbers."""
    task = tiny.number_task("text", layers=1)
    rows = tiny.labelled(tiny.texts(len(true)).inputs, [tuple(each) for each in true.tolist()])
    return task.evaluate(rows, scores=found, resamples=10, **options)


def test_a_number_that_is_the_same_in_all_rows_hides_no_other():
    true = np.array([[1000.0 * row, 3.0] for row in range(12)])
    found = true.copy()
    found[4, 0] += 500
    report = _told(true, found)
    assert not report.notes and [row["id"] for row in report.errors] == ["row:4"], "what is right is no error"
    found[7, 1] += 0.0001
    report = _told(true, found)
    assert [(row["id"], row["true"]) for row in report.errors] == [("row:4", "price 4000"), ("row:7", "age 3")]
    assert report.errors[0]["score"] > 0.1 > 1e-4 > report.errors[1]["score"] > 0
    found[:, 0] = -true[:, 0]
    assert ["price" in note for note in _told(true, found).notes] == [True]
    (one,) = _told(true[1:2], true[1:2] * 1.5).errors
    assert one["score"] == pytest.approx(0.5)
    (one,) = _told(np.zeros((1, 2)), np.array([[0.0, 2.0]])).errors
    assert one["true"] == "age 0" and one["score"] == 2


def test_no_mean_is_taken_over_several_units(tmp_path: Path):
    true = np.array([[1000.0 * row, 0.1 * row] for row in range(12)])
    report = _told(true, true * 1.1, before=true * 1.2, baselines={"simple": true * 1.3}, overlap=[0])
    parts = [report.before, report.baselines["simple"], report.without_overlap]
    for names in (report.metrics, report.intervals, *(part["metrics"] for part in parts)):
        assert set(names) == {"r2", "spearman"}
    assert all(row["mae"] > 0 for row in report.per_class)
    report.save(tmp_path / "report")
    assert "in its own unit" not in (tmp_path / "report" / "report.html").read_text()
    for text in ((tmp_path / "report" / "report.md").read_text(), str(report)):
        assert "root mean squared error" not in text and "550" in text  # of the price, by itself
    task = tv.TextRegressor(tiny.text_backbone(1, 0.0), ["price"])
    one = task.evaluate(tiny.labelled(["good", "bad"], [(1.0,), (2.0,)]), resamples=10)
    assert {"mae", "rmse", "bias"} <= set(one.metrics) and "mae" in one.intervals


def test_an_interval_is_of_the_quantile_loss():
    backbone = tiny.text_backbone(1, 0.0)
    for loss in ("mse", "huber", "ordinal"):
        levels = tiny.LEVELS if loss == "ordinal" else ()
        for interval in (0.9, 7):
            with pytest.raises(ConfigError, match=rf"belongs to the quantile loss(.|\n)*{loss}"):
                tv.TextRegressor(backbone, ["price"], loss=loss, levels=levels, interval=interval)
    assert tv.TextRegressor(backbone, ["price"], loss="quantile").codec.interval == 0.9


def test_a_bundle_that_names_an_interval_for_nothing_is_loaded():
    task = tiny.make_task("text numbers")
    config = task.config()
    config["head"] = {**config["head"], "interval": 0.9}
    again = type(task).restore(task.model, config, task.preprocessor.assets())
    assert again.head_options["loss"] == "mse" and again.head_options["interval"] is None
    assert again.codec.config() == task.codec.config()


def test_a_table_s_columns_are_the_labels(tmp_path: Path):
    train = tiny.numbered("text", 24)
    rows = [f"{text},{a},{b}\n" for text, (a, b) in zip(train.inputs, train.labels, strict=True)]
    (tmp_path / "a.csv").write_text("text,price,age\n" + "".join(rows))
    task = tiny.number_task("text", layers=1)
    history = task.fit(tmp_path / "a.csv", tmp_path / "a.csv", epochs=2, verbose=0)
    assert "val_mae" in history.history
    assert task.evaluate(tmp_path / "a.csv", resamples=10).rows == 24
    (tmp_path / "a.csv").write_text("text,price\n" + rows[0])
    with pytest.raises(DataError, match="no column 'age'"):
        task.fit(tmp_path / "a.csv", verbose=0)


def test_a_run_in_parts_ends_as_one(tmp_path: Path):
    train = tiny.numbered("text", 24)
    whole, again = (tiny.number_task("text", layers=1) for _ in range(2))
    options: dict[str, Any] = {"epochs": 2, "batch_size": 8, "verbose": 0}
    whole.fit(train, **options)
    again.fit(train, checkpoint=tmp_path / "run", **options)
    third = tiny.number_task("text", layers=1)
    third.fit(train, checkpoint=tmp_path / "run", **options)  # takes the result
    for one in (again, third):
        assert tiny.largest_difference(tiny.values(whole.model), tiny.values(one.model)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["mse", "quantile", "ordinal"])
def test_a_file_tells_the_same_numbers(loss: str, tmp_path: Path):
    units = ("EUR",) if loss == "ordinal" else ("EUR", "years")
    task = tiny.number_task("text", layers=1, loss=loss, units=units)
    examples = tiny.numbered("text", 60, levels=loss == "ordinal")
    task.fit(examples, epochs=1, verbose=0)
    task.save(tmp_path)
    assert tuple(row["unit"] for row in task.evaluate(examples, resamples=10).per_class) == units
    for each in (task, tv.load(tmp_path)):
        assert tuple(one.unit for one in each.predict(examples.inputs[:1])[0]) == units
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the converter's own
        folder = task.export(tmp_path, "litert", examples=examples)
        saved = task.export(tmp_path, "saved_model", examples=examples)
        with pytest.raises(ConfigError, match="trainable_head and label_names"):
            task.export(tmp_path / "other", "litert", trainable_head=True)
    predictor = Predictor(folder)
    assert predictor.labels == task.labels
    items = examples.inputs[:9]
    told = zip(predictor.predict(items), task.predict(items), strict=True)
    for ours, theirs in told:
        for one, other in zip(ours, theirs, strict=True):
            assert (one.label, one.unit) == (other.label, other.unit)
            assert one.value == pytest.approx(other.value, rel=1e-4)
            assert (one.low is None) == (other.low is None) == (loss == "mse")
            assert one.low is None or one.low == pytest.approx(other.low, rel=1e-4)
    serve = tf.saved_model.load(str(saved)).signatures["serving_default"]
    found = serve(inputs=tf.constant([text.encode() for text in items]))
    assert set(found) == {"scores"} and found["scores"].shape == (9, len(task.outputs))
    golden = [json.loads(line) for line in (folder / "golden.jsonl").read_text().splitlines()]
    assert all(len(line["scores"]) == len(task.outputs) and "label" not in line for line in golden)


def test_golden_numbers_of_a_tiny_unit_keep_their_digits(tmp_path: Path):
    task, some = tiny.number_task("text", layers=1), tiny.numbered("text", 24)
    task.fit(tiny.labelled(some.inputs, [(a * 1e-12, b * 1e-9) for a, b in some.labels]), epochs=1, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the converter's own
        folder = task.export(tmp_path, "litert")
    golden = [json.loads(line) for line in (folder / "golden.jsonl").read_text().splitlines()]
    told = np.array([line["scores"] for line in golden])
    assert 0 < np.abs(told).max() < 1e-6
    np.testing.assert_allclose(told, Predictor(folder).scores([line["text"] for line in golden]), rtol=1e-6)


def test_a_file_that_tells_other_numbers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    task = tiny.number_task("text", layers=1)
    task.fit(tiny.numbered("text", 24), epochs=1, verbose=0)
    received = task.scores(tiny.numbered("text", 24))
    other = received + np.array([0.0, 1e-6], "f")  # small, but of a number that is small
    assert task.apart(received, received).max() == 0 < 1e-5 < task.apart(received, other).max()
    assert task.agree(received, other).all()
    monkeypatch.setattr(type(task), "scored", lambda self, item, length, answers: np.stack(answers) * 1.01)
    task.save(tmp_path)
    with warnings.catch_warnings(), pytest.raises(ExportError, match="does not score as the task does"):
        warnings.simplefilter("ignore", DeprecationWarning)
        task.export(tmp_path, "litert")
