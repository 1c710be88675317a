"""Two texts in one sequence: how they are joined and cut, what is refused, and that a file reads them alike."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

import tfvertical as tv
from tests.core import tiny
from tfvertical import data
from tfvertical.codecs.pairs import Pair, fitted
from tfvertical.errors import ConfigError, DataError
from tfvertical.runtime import Predictor


@pytest.mark.parametrize("first", range(0, 15))
@pytest.mark.parametrize("second", range(0, 15))
def test_the_longer_one_is_cut_first(first: int, second: int):
    one, other = fitted(np.arange(first), np.arange(second), 9)
    assert len(one) + len(other) == min(9, first + second)
    assert one.tolist() == list(range(len(one))) and other.tolist() == list(range(len(other)))
    if len(one) < first and len(other) < second:
        assert abs(len(one) - len(other)) <= 1
    elif len(one) < first:
        assert len(one) >= len(other) - 1  # of an odd room
    elif len(other) < second:
        assert len(other) >= len(one) - 1


def test_both_stand_in_one_sequence_and_segments_tell_them_apart():
    task = tiny.pair_task(layers=1)
    encoded = task.encode(tiny.labelled([Pair("good card", "never came"), ("bad", "the")], list(tiny.LABELS)))
    at = np.arange(2)
    ids = encoded.columns["token_ids"].take(at, None)
    assert [[tiny.VOCABULARY[one] for one in row] for row in ids] == [
        ["[CLS]", "good", "card", "[SEP]", "never", "came", "[SEP]"],
        ["[CLS]", "bad", "[SEP]", "the", "[SEP]", "[PAD]", "[PAD]"],
    ]
    assert encoded.columns["segment_ids"].take(at, None).tolist() == [[0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 0, 0]]
    long = task.encode(tiny.labelled([("good " * 30, "bad card"), ("a", "b")], None))
    assert long.truncated == 1 and long.lengths.tolist() == [24, 5]
    digests = {column.digest() for column in encoded.columns.values()}
    other = task.encode(tiny.labelled([("good card never", "came"), ("bad", "the")], None))
    assert not digests & {column.digest() for column in other.columns.values()}


def test_the_order_and_both_texts_count():
    task = tiny.pair_task()
    one = task.scores(tiny.labelled([("good", "bad"), ("bad", "good"), ("good", "good")], None))
    assert len(np.unique(one[:, 0])) == 3
    with pytest.raises(DataError, match="row:0: two texts are wanted"):
        task.encode(tiny.labelled(["good"], None))
    assert len(task.predict(Pair("good", "bad"))) == 1 == len(task.predict([("good", "bad")]))


def test_it_learns():
    task = tiny.pair_task(layers=1, body_dropout=0.0, dropout=0.0)
    options = {"epochs": 12, "batch_size": 8, "learning_rate": 0.02, "verbose": 0}
    task.fit(tiny.pairs(160), adaptation=tv.FullFineTuning(), **options)
    assert task.evaluate(tiny.pairs(40, seed=1), resamples=20).metrics["accuracy"] > 0.9


def test_pairs_may_be_lists():
    task = tiny.pair_task(layers=1)
    train = tiny.labelled([["good", "bad"], ["bad", "card"]], list(tiny.LABELS))
    task.fit(train, epochs=1, verbose=0)
    assert task.evaluate(train, resamples=10).without_overlap["overlap"] == 2


def test_pairs_from_files_and_lists(tmp_path: Path):
    (tmp_path / "a.csv").write_text("q,a,label\nWhere?,Here.,yes\nWhen?,,no\nWho?,Nobody,no\n")
    columns = {"kind": "pair", "text": ["q", "a"]}
    with pytest.raises(DataError, match=r"a.csv:3: the second text is empty"):
        data.load(tmp_path / "a.csv", **columns)
    found = data.load(tmp_path / "a.csv", policy="skip", **columns)
    assert found.inputs == [Pair("Where?", "Here."), Pair("Who?", "Nobody")] and found.ids == ["a.csv:2", "a.csv:4"]
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": ["Where?", "Here."], "label": "yes"}) + "\n")
    assert data.load(tmp_path / "a.jsonl", kind="pair", labels=["yes", "no"]).inputs == [Pair("Where?", "Here.")]
    lists = data.load(([("a", "b"), ["c", "d"], ("A", " b ")], ["x", "y", "x"]), kind="pair")
    assert lists.inputs == [Pair("a", "b"), Pair("c", "d"), Pair("A", " b ")]
    assert list(data.overlap(data.load(([("a", "b")], ["x"]), kind="pair", labels=["x", "y"]), lists)) == [0, 2]
    for bad, words in (
        (("a",), "two texts are wanted"),
        ("ab", "two texts are wanted"),
        (("a", None), "the second text is missing"),
        ((3, "b"), "a first text is wanted"),
        (None, "the pair is missing"),
    ):
        with pytest.raises(DataError, match=words):
            data.load(([bad, ("c", "d")], ["x", "y"]), kind="pair")
    with pytest.raises(DataError, match=r"no column 'b'(.|\n)*text='…'"):
        data.load(tmp_path / "a.csv", kind="pair", text=["q", "b"])
    with pytest.raises(ConfigError, match="one column for kind 'text'"):
        data.load(tmp_path / "a.csv", text=["q", "a"])
    with pytest.raises(ConfigError, match="two columns for kind 'pair'"):
        data.load(tmp_path / "a.csv", kind="pair", text=["q", "a", "label"])


def test_roberta_puts_two_end_tokens_between():
    from tfvertical.backbones._text_preprocessor_hub import _TWICE, HubTextPreprocessor

    class RobertaTokenizer:
        pad_token_id, start_token_id, end_token_id = 1, 0, 2

    assert RobertaTokenizer.__name__ in _TWICE
    made = HubTextPreprocessor.__new__(HubTextPreprocessor)
    made.tokenizer, made._start, made._end = RobertaTokenizer(), [0], [2]
    ids, segments = made.wrap_pair(np.array([5, 6]), np.array([7]), 9)
    assert ids.tolist() == [0, 5, 6, 2, 2, 7, 2] and segments.tolist() == [0, 0, 0, 0, 0, 1, 1]
    assert len(made.wrap_pair(np.arange(9), np.arange(9), 9)[0]) == 9


@pytest.mark.slow
def test_a_file_reads_pairs_as_the_task_does(tmp_path: Path):
    task = tiny.pair_task(layers=1)
    examples = tiny.pairs(60, seed=3)
    task.save(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the converter's own
        folder = task.export(tmp_path, "litert", length=[12, 24], examples=examples)
    predictor = Predictor(folder)
    items = [*examples.inputs, ("the " * 40, "good"), ("good", "the " * 40)]
    np.testing.assert_allclose(predictor.scores(items), task.scores(tiny.labelled(items, None)), atol=1e-5)
    golden = [json.loads(line) for line in (folder / "golden.jsonl").read_text().splitlines()]
    assert len(golden) > 50 and all(len(line["texts"]) == 2 for line in golden)
    for line in golden:
        inputs = predictor.prepare(tuple(line["texts"]))
        assert inputs["token_ids"][0].tolist() == line["token_ids"]
        assert inputs["segment_ids"][0].tolist() == line["segment_ids"]
        np.testing.assert_allclose(predictor.scores([tuple(line["texts"])])[0], line["scores"], atol=1e-5)
    with pytest.raises(DataError, match="reads pairs of texts"):
        predictor.scores(["good"])


def test_a_file_has_no_length_that_holds_no_pair(tmp_path: Path):
    with pytest.raises(ConfigError, match="A length of 3 tokens"):
        tiny.pair_task(layers=1).export(tmp_path, "litert", length=3, examples=[("", "")])


@pytest.mark.parametrize("make", [tiny.pair_task, tiny.apart_task])
def test_a_saved_model_reads_two_tensors_of_texts(make, tmp_path: Path):
    import tensorflow as tf

    task = make(layers=1)
    items = [*tiny.pairs(12, seed=3).inputs, ("the " * 40, "good"), ("good", "the " * 40), ("", ""), ("Ça va?", "")]
    folder = task.export(tmp_path, "saved_model", examples=items)
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    first, second = (tf.constant([text.encode() for text in side]) for side in zip(*items, strict=True))
    found = serve(first=first, second=second)
    expected = task.scores(tiny.labelled(items, None))
    np.testing.assert_allclose(found["scores"], expected, atol=1e-5)
    assert [label.decode() for label in found["label"].numpy()] == [task.labels[best] for best in expected.argmax(1)]


def test_texts_that_are_read_apart_give_what_each_gives_alone():
    task = tiny.apart_task(layers=1, dropout=0.0)
    examples = tiny.pairs(12)
    encoded = task.encode(examples)
    assert sorted(encoded.columns) == sorted(
        f"{side}_{name}" for side in ("first", "second") for name in ("token_ids", "padding_mask", "segment_ids")
    )
    body = task.components["text"]
    alone = []
    for side in (0, 1):
        one = tiny.text_task(layers=1).encode(tiny.labelled([pair[side] for pair in examples.inputs], None))
        rows = np.arange(12)
        inputs = {name: column.take(rows, 24) for name, column in one.columns.items()}
        states, mask = body(inputs, training=False).numpy(), inputs["padding_mask"][..., None]
        alone.append((states * mask).sum(axis=1) / mask.sum(axis=1))
    one, other = alone
    seen = np.concatenate([one, other, np.abs(one - other), one * other], axis=1)
    logits = task.components["head"].get_layer("logits")(seen).numpy()
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(task.scores(examples), expected, atol=1e-5)


def test_a_frozen_backbone_that_reads_apart_learns_and_is_kept(tmp_path: Path):
    task = tiny.apart_task(layers=1, body_dropout=0.0, dropout=0.0)
    plan = task.plan(tiny.pairs(64), batch_size=8)
    assert plan.ways[0].how == "kept" and plan.ways[0].frontier == "(64) float32"
    task.fit(tiny.pairs(240), epochs=30, batch_size=8, learning_rate=0.02, verbose=0)
    test = tiny.pairs(40, seed=1)
    report = task.evaluate(test, resamples=20)
    assert report.metrics["accuracy"] > 0.8
    task.save(tmp_path / "apart")
    again = tv.load(tmp_path / "apart")
    np.testing.assert_array_equal(again.scores(test), task.scores(test))
    cut = task.encode(tiny.labelled([("the " * 40, "good"), ("good", "the")], None))
    assert cut.truncated == 1 and cut.lengths.tolist() == [24, 3]


def test_another_encoder_is_refused():
    with pytest.raises(ConfigError, match="no encoder 'both'"):
        tiny.pair_task(layers=1, encoder="both")


@pytest.mark.slow
def test_a_file_reads_texts_apart_as_the_task_does(tmp_path: Path):
    task = tiny.apart_task(layers=1)
    examples = tiny.pairs(60, seed=3)
    task.save(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the converter's own
        folder = task.export(tmp_path, "litert", length=[6, 24], examples=examples)
        task.export(tmp_path, "onnx", examples=examples)
    predictor = Predictor(folder)
    items = [*examples.inputs, ("the " * 40, "good"), ("good", "the " * 40)]
    np.testing.assert_allclose(predictor.scores(items), task.scores(tiny.labelled(items, None)), atol=1e-5)
