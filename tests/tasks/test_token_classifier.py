"""Entities: aligned with words, learned, found in texts of any length, exported and found again without TensorFlow."""

from __future__ import annotations

import itertools
import json
import warnings
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

import tfvertical as tv
from tests.core import tiny
from tfvertical import backbones, batches
from tfvertical.codecs.alignment import Sentence
from tfvertical.codecs.pairs import Pair
from tfvertical.codecs.tagging import Span
from tfvertical.errors import BundleError, ConfigError, DataError
from tfvertical.objectives.token_cross_entropy import TokenCrossEntropy
from tfvertical.runtime import Predictor, Tagger
from tfvertical.tasks._metrics import EntityF1, TokenAccuracy

LEARN = {"batch_size": 8, "learning_rate": 0.02, "verbose": 0, "adaptation": tv.FullFineTuning()}


@pytest.fixture(scope="module")
def learned():
    task = tiny.token_task(layers=1, body_dropout=0.0, dropout=0.0)
    task.fit(tiny.sentences(160), tiny.sentences(24, seed=1), epochs=12, **LEARN)
    return task


def rows(encoded):
    """Per example the token ids, the word that each position answers for, and its tag."""
    at = np.arange(len(encoded))
    ids = encoded.columns["token_ids"].take(at, None)
    return ids, encoded.units.column.take(at, None), encoded.labels.take(at, None)


def test_the_first_piece_of_a_word_answers_for_it():
    task = tiny.token_task(layers=1)
    examples = tiny.labelled([("good", "cab", "came"), "a bad card"], [(Span(0, 2, "thing"),), (Span(2, 10, "thing"),)])
    ids, units, tags = rows(task.encode(examples))
    cab = [tiny.VOCABULARY[at] for at in ids[0]]
    assert cab[:2] == ["[CLS]", "good"] and cab[-1] == "[SEP]"  # `cab` is unknown as a whole: one piece
    assert units.tolist() == [[-1, 0, 1, 2, -1], [-1, 3, 4, 5, -1]]
    assert [[task.outputs[tag] if tag >= 0 else "" for tag in row] for row in tags] == [
        ["", "B-thing", "I-thing", "O", ""],
        ["", "O", "B-thing", "I-thing", ""],
    ]
    assert task.outputs == ("O", "B-thing", "I-thing", "B-time", "I-time") and task.labels == tiny.TYPES


def test_all_pieces_answer_where_that_is_asked_for():
    first, every = (tiny.token_task(layers=1, pieces=pieces) for pieces in ("first", "all"))
    item = ("good", "don't", "came")  # `don ' t` are three words to the tokenizer
    units = [rows(task.encode(tiny.labelled([item], [()])))[1].tolist() for task in (first, every)]
    assert units == [[[-1, 0, 1, -1, -1, 2, -1]], [[-1, 0, 1, 1, 1, 2, -1]]]
    assert first.scores(tiny.labelled([item], None)).shape == every.scores(tiny.labelled([item], None)).shape == (3, 5)


def test_a_word_in_several_pieces_is_one_entity_to_the_metrics_and_its_pieces_are_learned_alike():
    import tensorflow as tf

    task = tiny.token_task(layers=1, pieces="all")
    item = ("good", "don't", "came", "bad")  # `don ' t` are three words to the tokenizer
    encoded = task.encode(tiny.labelled([item], [(Span(1, 3, "thing"), Span(3, 4, "time"))]))
    tags = rows(encoded)[2]
    assert tags.tolist() == [[-1, 0, 1, -3, -3, 2, 3, -1]]
    plain = np.array([[-1, 0, 1, 1, 1, 2, 3, -1]])
    logits = np.random.default_rng(0).normal(size=(1, 8, 5)).astype(np.float32)
    for weights in ((), (1.0, 2.0, 3.0, 4.0, 5.0)):
        loss = TokenCrossEntropy(tag_weights=weights)
        np.testing.assert_array_equal(loss.loss(logits, tf.constant(tags)), loss.loss(logits, tf.constant(plain)))
    metric, accuracy = EntityF1(), TokenAccuracy()
    right = np.eye(5, dtype=np.float32)[np.maximum(plain, 0)]
    right[0, 4] = [1, 0, 0, 0, 0]  # a later piece that says otherwise
    for each in (metric, accuracy):
        each.update_state(tf.constant(tags), tf.constant(right))
    assert [float(each) for each in (metric.right, metric.found, metric.marked)] == [2, 2, 2]
    assert float(accuracy.result()) == 1


def test_a_word_that_no_window_has_room_for_is_counted(monkeypatch: pytest.MonkeyPatch):
    """As byte pairs cut what has no spaces: here a piece a character."""
    task, answers = tiny.token_task(layers=1), tiny.answer_task(layers=1)
    letters = {letter: at for at, letter in enumerate(tiny.VOCABULARY)}
    monkeypatch.setattr(
        type(task.preprocessor),
        "tokenize",
        lambda self, texts: [np.array([letters[each] for each in text.strip()], np.int32) for text in texts],
    )
    items = ["x" * 1000, "x" * 22, ("ab", "y" * 23), "ab"]  # 24 tokens, of which two are special
    encoded = task.encode(tiny.labelled(items, None))
    assert encoded.truncated == 2 and encoded.lengths.max() == 24
    assert task.evaluate(tiny.labelled(items, [()] * 4), resamples=10).data["truncated"] == 2
    asked = [Pair("a", "x" * 1000), Pair("b", "x" * 1000), Pair("a", "ab"), Pair("a" * 9, "ab")]
    assert answers.encode(tiny.labelled(asked, None)).truncated == 3


def test_words_that_leave_no_piece_are_anything():
    task = tiny.token_task(layers=1)
    scores = task.scores(tiny.labelled([("good", "\u200b", "card"), ()], None))
    assert scores.shape == (3, 5)
    np.testing.assert_allclose(scores[1], 0.2)
    assert task.predict([""]) == [()] and task.predict([[]]) == [()]


def test_a_text_in_windows_has_the_scores_of_its_words_and_no_entity_is_lost(learned):
    words = [word for item in tiny.sentences(60, seed=3).inputs for word in Sentence.of(item).words]
    assert len(words) > 300
    encoded = learned.encode(tiny.labelled([tuple(words)], None))
    assert len(encoded) > 10 and encoded.lengths.max() <= learned.preprocessor.length
    where = encoded.units.column.take(np.arange(len(encoded)), None)
    assert sorted(where[where >= 0]) == list(range(len(words)))
    (found,) = learned.predict([words])
    text = " ".join(words)
    assert all(text[each.start : each.end] == each.text for each in found)
    expected = sum(first in tiny.WORDS[:4] and second == "card" for first, second in itertools.pairwise(words))
    got = sum(each.label == "thing" for each in found)
    assert abs(got - expected) <= 0.1 * expected


@pytest.mark.parametrize("before", range(3))
def test_no_entity_is_lost_where_windows_meet(learned, before):
    """Whichever word of three each window begins to answer for."""
    words = ["was"] * before + ["good", "card", "came"] * 100
    where = learned.encode(tiny.labelled([tuple(words)], None)).units.column
    rows = [where.take(np.array([at]), None)[0] for at in range(len(where))]
    borders = [int(row[row >= 0].min()) for row in rows[1:]]
    assert len(borders) > 10 and "card" in {words[at] for at in borders}, "windows meet within entities"
    (found,) = learned.predict([words])
    places = Sentence.of(words).places
    things = {each.start: each.text for each in found if each.label == "thing"}
    assert things == {int(places[at, 0]): "good card" for at in range(before, len(words), 3)}


def test_a_place_outside_the_text_is_named():
    """As in rows that are made by hand; what is read from files is checked there."""
    rows = tiny.labelled(["good card", "never"], [(Span(0, 9, "thing"),), (Span(0, 9, "time"),)])
    with pytest.raises(DataError, match=r"row:1: 0…9 \('time'\) is no place in the text, which has 5 characters"):
        tiny.token_task(layers=1).fit(rows, verbose=0)
    asked = tiny.labelled([Pair("card", "good card")], [(Span(5, 12, "answer"),)])
    with pytest.raises(DataError, match=r"row:0: 5…12 \('answer'\) is no place in the text, which has 9 characters"):
        tiny.answer_task(layers=1).fit(asked, verbose=0)


@pytest.mark.parametrize("given", [{"class_weight": {"thing": 3.0}}, {"focal": 2.0}])
def test_fit_counts_words_as_it_was_told_to(given):
    """Trained so slowly that the weights stand still, the losses are those of what the task says."""
    task = tiny.token_task(layers=1, body_dropout=0.0, dropout=0.0)
    train, held_out = tiny.sentences(12), tiny.sentences(8, seed=1)
    still = {"epochs": 1, "batch_size": 12, "learning_rate": 1e-12, "precision": "float32", "verbose": 0}
    history = task.fit(train, held_out, **still, **given)
    for name, examples in (("loss", train), ("val_loss", held_out)):
        true = task.truth(examples)
        right = np.take_along_axis(task.scores(examples), true[:, None], 1)[:, 0]
        weights = np.array([1.0, 3.0, 3.0, 1.0, 1.0])[true] if "class_weight" in given else (1 - right) ** 2
        ends = np.cumsum([len(Sentence.of(item).places) for item in examples.inputs])[:-1]
        each = [part.mean() for part in np.split(-weights * np.log(right), ends)]
        assert history.history[name][0] == pytest.approx(np.mean(each), rel=1e-4), name


def test_a_sentence_of_5000_words_in_a_file(tmp_path: Path):
    draw = np.random.default_rng(0)
    words = [str(word) for word in draw.choice(tiny.WORDS, 5000)]
    lines = [f"{word}\t{'B-time' if word == 'never' else 'O'}\n" for word in words]
    (tmp_path / "one.conll").write_text("".join(lines) + "\ngood\tB-thing\ncard\tI-thing\n")
    task = tiny.token_task(layers=1)
    task.fit(tmp_path / "one.conll", epochs=1, batch_size=64, verbose=0)
    (found, _) = task.predict([words, ["good"]])
    report = task.evaluate(tmp_path / "one.conll", resamples=10)
    assert report.rows == 2 and report.data["truncated"] == 0
    assert sum(row["support"] for row in report.per_class) == words.count("never") + 1
    task.save(tmp_path / "saved")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the converter's own
        told = Tagger(task.export(tmp_path / "saved")).predict([words])
    assert [(each.start, each.end, each.label) for each in told[0]] == [(e.start, e.end, e.label) for e in found]


def test_validation_data_are_not_cut_where_entities_begin():
    task = tiny.token_task(layers=1)
    examples = tiny.labelled(["goodcard never was very good card never"], [(Span(4, 8, "thing"),)])
    assert task.encode(examples).units.splits.tolist() == [0, 8]
    held_out = task._labelled(examples, held_out=True)
    assert held_out.units.splits.tolist() == [0, 7]
    tags = held_out.labels.take(np.arange(1), None)[0]
    assert tags[tags >= 0].tolist() == [1, 0, 0, 0, 0, 0, 0]
    history = task.fit(tiny.sentences(8), examples, epochs=1, verbose=0)
    assert {"val_f1", "val_loss"} <= history.history.keys()


def test_an_item_that_is_no_text_is_named():
    with pytest.raises(DataError, match=r"item:1: Entities are found in a text or in a list of words"):
        tiny.token_task(layers=1).predict(["good card", None])


def test_a_sentence_of_5000_words(learned):
    words = list(np.random.default_rng(0).choice(tiny.WORDS, 5000))
    assert learned.scores(tiny.labelled([tuple(words)], None)).shape == (5000, 5)
    assert learned.scores(tiny.labelled(["x" * 20_000], None)).shape == (1, 5)


def test_it_learns_and_tells_what_it_finds(learned):
    test = tiny.sentences(60, seed=2)
    report = learned.evaluate(test, resamples=50, before=np.full((_words(test), 5), 0.2, np.float32))
    assert report.kind == "entities" and report.metrics["f1"] > 0.9
    low, high = report.intervals["f1"]
    assert low <= report.metrics["f1"] <= high
    assert report.metrics["overlap_f1"] >= report.metrics["f1"]
    assert sum(row["support"] for row in report.per_class) == sum(map(len, test.labels))
    assert report.before["metrics"]["f1"] == 0 and report.before["differences"]["f1"]["low"] > 0.5
    missed = sum(row["count"] for row in report.error_kinds if row["kind"] != "spurious")
    assert missed == sum(map(len, test.labels)) - round(report.metrics["recall"] * sum(map(len, test.labels)))
    (entities,) = learned.predict(["The good card  never\u00a0came."])
    assert [(each.text, each.start, each.end, each.label) for each in entities] == [
        ("good card", 4, 13, "thing"),
        ("never", 15, 20, "time"),
    ]
    assert all(0.5 < each.score <= 1 for each in entities)


def test_marked_entities_may_stand_in_any_order_and_may_not_overlap():
    task = tiny.token_task(layers=1)
    text = "good card came the never was very bad card"
    spans = [Span(start, end, "thing") for start, end in ((0, 9), (15, 18), (34, 42))]
    scores = np.full((9, 5), 0.01, np.float32)
    for word, tag in enumerate((1, 0, 0, 1, 2, 0, 0, 0, 0)):
        scores[word, tag] = 0.9
    told = [
        task.evaluate(tiny.labelled([text], [order]), scores=scores, resamples=10)
        for order in (tuple(spans), tuple(spans[::-1]), (spans[1], spans[2], spans[0]))
    ]
    for report in told[1:]:
        assert report.metrics == told[0].metrics and report.error_kinds == told[0].error_kinds
        assert report.errors == told[0].errors
    assert {row["kind"]: row["count"] for row in told[0].error_kinds if row["count"]} == {
        "missed": 1,
        "wrong_border": 2,
    }
    for item, label in (
        (text, (Span(5, 14, "thing"), Span(0, 9, "time"))),
        (("good", "card"), (Span(0, 2, "thing"), Span(1, 2, "thing"))),
    ):
        for call in (task.encode, task.evaluate):
            with pytest.raises(DataError, match=r"row:0: the entities (0…9 \('time'\)|0…2 .*) and .* overlap"):
                call(tiny.labelled([item], [label]))


def _words(examples):
    return sum(len(Sentence.of(item).places) for item in examples.inputs)


def test_a_report_counts_what_is_right_found_and_marked(tmp_path: Path):
    task = tiny.token_task(layers=1)
    text = "good card came the never was very bad card"
    scores = np.full((9, 5), 0.01, np.float32)
    for word, tag in enumerate((1, 1, 0, 1, 2, 0, 0, 0, 3)):  # thing · thing, thing, time
        scores[word, tag] = 0.9
    spans = (Span(0, 9, "thing"), Span(19, 24, "time"), Span(29, 33, "thing"))
    report = task.evaluate(tiny.labelled([text], [spans]), scores=scores, resamples=10)
    things, times = report.per_class
    assert (things["right"], things["found"], things["support"]) == (0, 3, 2)
    assert (things["overlap_right"], things["overlap_covered"]) == (2, 1)
    assert [things[f"token_{each}"] for each in ("right", "found", "marked")] == [2, 4, 3]
    assert [times[f"token_{each}"] for each in ("right", "found", "marked")] == [0, 1, 1]
    assert report.metrics["token_precision"] == 2 / 5 and report.metrics["token_recall"] == 2 / 4
    assert sum(row["marked"] for row in report.error_kinds) == 3  # none of which was found as it is
    assert sum(row["found"] for row in report.error_kinds) == 4
    report.save(tmp_path / "report")
    page, lines = (tmp_path / "report" / "report.html").read_text(), (tmp_path / "report" / "report.md").read_text()
    assert "| words | 5 | 2 | 4 | 2 |" in lines and "| overlapping | 4 | 2 | 3 | 1 |" in lines
    for told in (page, lines, str(report)):
        assert "a further one over it" in told and "f these found" in told
    old = report.to_json()
    for row in [*old["per_class"], *old["error_kinds"]]:
        for name in ("right", "token_right", "overlap_right", "marked", "found"):
            row.pop(name, None) if "kind" in row or name != "found" else None
    (tmp_path / "old.json").write_text(json.dumps(old))
    assert "of these found" not in str(tv.Report.load(tmp_path / "old.json"))  # a report from before these were counted


def test_the_report_s_pages(learned, tmp_path: Path):
    test = tiny.sentences(30, seed=5)
    wrong = replace(test, labels=[tuple(Span(s, e, "time") for s, e, _ in label) for label in test.labels])
    report = learned.evaluate(wrong, resamples=20)
    report.save(tmp_path / "report")
    loaded = tv.Report.load(tmp_path / "report").to_json()
    assert json.loads(json.dumps(loaded)) == json.loads(json.dumps(report.to_json()))
    page, text, card = (
        (tmp_path / "report" / name).read_text() for name in ("report.html", "report.md", "model_card.md")
    )
    for told in (page, text, str(report)):
        assert "wrong type" in told and "thing" in told
    assert "<th>Kind</th>" in page and "| row | kind | true |" in text
    assert "30 texts" in text and "Types (2): thing, time" in card and "[" in report.errors[0]["text"]
    with pytest.raises(ConfigError, match="An overlap is not a row"):
        learned.evaluate(wrong, resamples=20, overlap=[30])
    without = learned.evaluate(wrong, resamples=20, overlap=[3, 3, 0]).without_overlap
    assert (without["overlap"], without["rows"]) == (2, 28) and set(without["metrics"]) >= {"f1", "macro_f1"}
    old = {name: value for name, value in report.to_json().items() if name not in ("kind", "error_kinds")}
    (tmp_path / "old.json").write_text(json.dumps(old))
    assert tv.Report.load(tmp_path / "old.json").kind == "label"  # a report from before there were others
    hidden = learned.evaluate(wrong, resamples=20, show_examples=False)
    assert all("text" not in row for row in hidden.errors)


@pytest.mark.parametrize(
    "head",
    [{}, {"crf": True, "hidden": [6], "convolutions": 2, "last_blocks": 3}],
    ids=["last block", "chain of all blocks"],
)
def test_cached_is_uncached(head):
    train, test = tiny.sentences(24), tiny.sentences(8, seed=1)
    found = []
    for cache in (True, False):
        task = tiny.token_task(body_seed=3, **head)
        history = task.fit(
            train,
            test,
            epochs=2,
            cache=cache,
            cache_disk=0,
            batch_size=6,
            learning_rate=0.01,
            verbose=0,
            precision="float32",
            adaptation=tv.GradualUnfreezing(blocks=1),
        )
        found.append((history.history["loss"], tiny.values(task.model)))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-5)
    assert tiny.largest_difference(found[0][1], found[1][1]) <= 1e-5


def test_each_text_counts_the_same_by_the_mean_over_its_words():
    """Windows of a text count by their words, and together as often as they are windows."""
    import tensorflow as tf

    task = tiny.token_task(layers=1)
    sentences = tiny.sentences(20, longest=40)
    encoded = task.encode(sentences)
    rows, loss = [], []
    for at, (logits,) in batches.infer(task.model, encoded):
        tags = encoded.labels.take(at, logits.shape[1])
        loss += TokenCrossEntropy().loss(tf.constant(logits), tf.constant(tags)).numpy().tolist()
        rows += at.tolist()
    counted = np.array(loss)[np.argsort(rows)] * encoded.weights
    scores, true = task.scores(encoded), task.truth(sentences)
    each = -np.log(np.take_along_axis(scores, true[:, None], 1))[:, 0]
    means = np.array([part.mean() for part in np.split(each, encoded.units.splits[1:-1])])
    windows = np.bincount(encoded.rows)
    assert windows.max() > 1, "some texts have several windows"
    np.testing.assert_allclose(np.bincount(encoded.rows, counted), means * windows, rtol=1e-5)


def test_class_weights_and_the_focal_loss_count_words():
    import tensorflow as tf

    logits = tf.constant(np.random.default_rng(0).normal(size=(2, 4, 3)), tf.float32)
    labels = np.array([[0, 1, 2, -1], [0, 0, -1, -1]])
    each = -np.log(tf.nn.softmax(logits).numpy())
    right = np.take_along_axis(each, np.maximum(labels, 0)[..., None], 2)[..., 0]

    def mean(values):
        return np.array([values[0, :3].sum() / 3, values[1, :2].sum() / 2])

    found = TokenCrossEntropy().loss(logits, tf.constant(labels, tf.float32))
    np.testing.assert_allclose(found, mean(right), rtol=1e-5)
    weighted = TokenCrossEntropy(tag_weights=(1.0, 2.0, 5.0)).loss(logits, tf.constant(labels))
    np.testing.assert_allclose(weighted, mean(right * np.array([1, 2, 5])[np.maximum(labels, 0)]), rtol=1e-5)
    focal = TokenCrossEntropy(focal=2.0).loss(logits, tf.constant(labels))
    np.testing.assert_allclose(focal, mean(right * (1 - np.exp(-right)) ** 2), rtol=1e-5)
    assert float(TokenCrossEntropy().loss(logits, tf.fill([2, 4], -1)).numpy().sum()) == 0.0
    task, examples = tiny.token_task(layers=1), tiny.sentences(30)
    task._weighted(examples, "balanced")
    tags = task.truth(examples)
    counts = np.bincount(tags, minlength=5)
    np.testing.assert_allclose(
        [weight * count for weight, count in zip(task._tag_weights, counts, strict=True) if count],
        len(tags) / (counts > 0).sum(),
    )
    task._weighted(examples, {"thing": 3.0})
    assert task._tag_weights == (1.0, 3.0, 3.0, 1.0, 1.0)
    with pytest.raises(ConfigError, match=r"'thong'(.|\n)*thing"):
        task._weighted(examples, {"thong": 3.0})
    task._weighted(examples, None)
    assert task._tag_weights == ()


@pytest.mark.parametrize("compiled", [False, True])
def test_f1_while_training_is_that_of_the_highest_tags(compiled):
    """Equal to the strict count on the same tags, whatever lies between words, and with weights of rows."""
    import tensorflow as tf

    from tfvertical.codecs.entities import best_tags, runs
    from tfvertical.evaluating import entities

    random, metric, total = np.random.default_rng(0), EntityF1(), np.zeros(3)
    update = tf.function(metric.update_state, jit_compile=compiled, reduce_retracing=True)
    for _ in range(30):
        rows, length = 6, 12
        true = best_tags(random.dirichlet(np.full(5, 0.3), rows * length), np.arange(rows + 1) * length)
        outputs = random.dirichlet(np.full(5, 0.5), rows * length).astype(np.float32)
        outputs[np.arange(rows * length), true] += random.choice([0.0, 1.0], rows * length, p=[0.2, 0.8])
        weight = random.integers(0, 2, rows).astype(np.float32)
        found, splits = outputs.argmax(1), np.arange(rows + 1) * length
        counted = entities.counts(runs(true, splits), runs(found, splits), 2, splits).sum(axis=2)
        total += counted @ weight
        # spread over positions: some of them answer for no word
        places = np.stack([np.sort(random.choice(20, length, replace=False)) for _ in range(rows)])
        labels, wide = np.full((rows, 20), -1), random.normal(size=(rows, 20, 5)).astype(np.float32)
        np.put_along_axis(labels, places, true.reshape(rows, length), 1)
        np.put_along_axis(wide, places[..., None], outputs.reshape(rows, length, 5), 1)
        update(tf.constant(labels, tf.float32), tf.constant(wide), tf.constant(weight))
    right, got, marked = total
    assert [float(each) for each in (metric.right, metric.found, metric.marked)] == [right, got, marked]
    assert float(metric.result()) == pytest.approx(2 * right / (got + marked)) and 50 < right < marked
    metric.reset_state()
    assert float(metric.result()) == 0.0


def test_accuracy_while_training_counts_words_and_not_batches():
    metric, random, right, count = TokenAccuracy(), np.random.default_rng(0), 0, 0
    for length in (3, 30, 7):
        labels, outputs = random.integers(-1, 5, (4, length)), random.normal(size=(4, length, 5))
        weight = random.integers(0, 2, 4)
        metric.update_state(labels, outputs, weight)
        counted = (labels >= 0) & (weight[:, None] > 0)
        right += ((outputs.argmax(-1) == labels) & counted).sum()
        count += counted.sum()
    assert float(metric.result()) == pytest.approx(right / count)


def test_epochs_are_judged_by_the_entities(learned):
    assert learned.run["settings"]["monitor"] is None and learned.monitor == "val_f1"
    assert learned.run["best_epoch"] == int(np.argmax(learned.run["history"]["val_f1"]))


def test_padding_changes_nothing():
    """A sentence scores the same alone and beside a longer one."""
    task = tiny.token_task()
    one, other = ("good", "card"), ("the",) * 15
    alone, beside = (task.scores(tiny.labelled(items, None)) for items in ([one], [one, other]))
    np.testing.assert_allclose(alone, beside[:2], atol=1e-6)


def test_what_cannot_be(learned):
    with pytest.raises(ConfigError, match="one or more different names"):
        tiny.TokenClassifier(tiny.text_backbone(), [])
    with pytest.raises(ConfigError, match="takes a text backbone"):
        tiny.TokenClassifier(tiny.image_backbone(), ["A"])
    with pytest.raises(DataError, match=r"row:0: the task knows no entities of type 'thong'(.|\n)*thing"):
        learned.encode(tiny.labelled([("a",)], [(Span(0, 1, "thong"),)]))
    with pytest.raises(DataError, match="in a text or in a list of words"):
        learned.predict([3])
    with pytest.raises(DataError, match="row:0: the model knows no entities of type 'x'"):
        learned.evaluate(tiny.labelled([("a",)], [(Span(0, 1, "x"),)]))
    with pytest.raises(ConfigError, match="do not fit the words and tags"):
        learned.evaluate(tiny.sentences(3), before=np.zeros((2, 5)))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "dynamic"])
def test_a_file_finds_what_the_task_finds(learned, precision: str, tmp_path: Path):
    examples = tiny.sentences(80, seed=7)
    learned.save(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the converter's own
        folder = learned.export(tmp_path, "litert", precision=precision, length=[12, 20], examples=examples)
    told = json.loads((folder / "parity.json").read_text())
    assert told["n"] + told["left_out"] == 80
    if precision == "dynamic":
        assert told["drop"] <= 0.01 and told["f1"]["float32"] > 0.9
    tagger = Tagger(folder)
    assert tagger.labels == learned.labels
    long = " ".join(word for item in tiny.sentences(30, seed=8).inputs for word in Sentence.of(item).words)
    items = [*examples.inputs[:20], "The good card  never\u00a0came.", "", "\u200b", long[:60]]
    mine, theirs = learned.predict(items), tagger.predict(items)
    if precision == "float32":
        for item in items:
            np.testing.assert_allclose(tagger.scores(item), learned.scores(tiny.labelled([item], None)), atol=1e-5)
        assert [[replace(each, score=0) for each in row] for row in mine] == [
            [replace(each, score=0) for each in row] for row in theirs
        ]
    assert len(tagger.predict([long])[0]) > 10  # longer than the file: in windows
    golden = [json.loads(line) for line in (folder / "golden.jsonl").read_text().splitlines()]
    assert len(golden) >= 50 and any(len(line.get("windows", ())) > 2 for line in golden)
    for line in golden:
        (found,) = tagger.predict([line["text"]])
        told = [{"text": e.text, "start": e.start, "end": e.end, "label": e.label} for e in found]
        assert told == line["entities"]
        assert all(each["text"] == line["text"][each["start"] : each["end"]] for each in line["entities"])
    with pytest.raises(BundleError, match=r"finds entities(.|\n)*Tagger"):
        Predictor(folder)


def test_exports_that_there_are_none_of(learned, tmp_path: Path):
    for options, words in (
        ({"format": "saved_model"}, "where their words stand"),
        ({"format": "litert", "output": "embedding"}, "scores of tags"),
        ({"format": "litert", "trainable_head": True}, "scores of tags"),
    ):
        with pytest.raises(ConfigError, match=words):
            learned.export(tmp_path, **options)
    assert not list(tmp_path.iterdir())


def masked_model() -> keras.Model:
    """States that carry the mask of their positions, as Keras' own layers pass it on."""
    keras.utils.set_random_seed(0)
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in ("token_ids", "padding_mask")}
    x = keras.layers.Embedding(len(tiny.VOCABULARY), 8, mask_zero=True, name="words")(inputs["token_ids"])
    x = keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True), name="both_ways")(x)
    return keras.Model(inputs, x)


@pytest.mark.filterwarnings("ignore:(?s).*does not support masking")  # Keras': the head is given the mask as an input
@pytest.mark.parametrize("batch_size", [4, 64])
def test_a_mask_beside_the_states_changes_no_loss(batch_size):
    found = []
    for adaptation in (tv.Frozen(), tv.FullFineTuning()):
        task = tv.TokenClassifier(backbones.around(masked_model(), tiny.text_preprocessor()), tiny.TYPES, dropout=0.0)
        options = {"epochs": 1, "batch_size": batch_size, "learning_rate": 1e-8, "precision": "float32", "verbose": 0}
        found.append(task.fit(tiny.sentences(17), tiny.sentences(9), adaptation=adaptation, **options).history)
    for name in ("loss", "val_loss", "accuracy"):
        assert found[0][name] == pytest.approx(found[1][name], rel=1e-4), name
