"""Tags that are learned together: equal to counting every sequence, and as good in a file as in the task."""

from __future__ import annotations

import itertools
import json
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfvertical as tv
from tests.core import tiny
from tfvertical.codecs.entities import best_tags, marginals, runs
from tfvertical.codecs.tagging import Span
from tfvertical.errors import BundleError, ConfigError
from tfvertical.objectives import _chain
from tfvertical.objectives.conditional_random_field import ConditionalRandomField
from tfvertical.runtime import Tagger
from tfvertical.tasks._metrics import EntityF1, TokenAccuracy

TAGS = 3


def scored(scores: np.ndarray, steps: np.ndarray) -> dict[tuple[int, ...], float]:
    """Every sequence of tags and what it is worth."""
    found = {}
    for tags in itertools.product(range(TAGS), repeat=len(scores)):
        worth = sum(scores[at, tag] for at, tag in enumerate(tags)) + steps[-2, tags[0]] + steps[-1, tags[-1]]
        found[tags] = worth + sum(steps[pair] for pair in itertools.pairwise(tags))
    return found


@pytest.fixture(scope="module")
def batch():
    """Outputs `(5, 7 + 5, 3)`, labels `(5, 7)` with gaps, and the counted positions of each row; the last has none."""
    random = np.random.default_rng(0)
    scores, steps = random.normal(size=(5, 7, TAGS)) * 2, random.normal(size=(TAGS + 2, TAGS)) * 2
    outputs = np.concatenate([scores, np.tile(steps, (5, 1, 1))], axis=1).astype(np.float32)
    labels = np.full((5, 7), -1)
    places = [np.array([1, 2, 3, 4]), np.array([0, 2, 6]), np.array([5]), np.arange(5), np.array([], int)]
    for row, at in enumerate(places):
        labels[row, at] = random.integers(0, TAGS, len(at))
    return outputs, labels, places, steps


@pytest.mark.parametrize("compiled", [False, True])
def test_the_likelihood_is_that_of_all_sequences(batch, compiled: bool):
    outputs, labels, places, steps = batch

    @tf.function(jit_compile=compiled)
    def graded(outputs, labels):
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            loss = ConditionalRandomField().loss(outputs, labels)
        return loss, tape.gradient(loss, outputs)

    loss, gradient = graded(tf.constant(outputs), tf.constant(labels, tf.float32))
    of_steps = np.zeros_like(steps)  # all rows' steps are read from the first one
    for row, at in enumerate(places[:-1]):
        every = scored(outputs[row, at], steps)
        mine = every[tuple(labels[row, at])]
        expected = (np.logaddexp.reduce(list(every.values())) - mine) / len(at)
        assert float(loss[row]) == pytest.approx(expected, rel=1e-5, abs=1e-5)
        chances = np.exp(np.array(list(every.values())) - np.logaddexp.reduce(list(every.values())))
        for number, place in enumerate(at):  # the gradient is what a tag is expected, minus what is there
            for tag in range(TAGS):
                likely = sum(chance for tags, chance in zip(every, chances, strict=True) if tags[number] == tag)
                there = float(labels[row, place] == tag)
                assert float(gradient[row, place, tag]) == pytest.approx((likely - there) / len(at), abs=1e-5)
        for tags, more in [*zip(every, chances / len(at), strict=True), (tuple(labels[row, at]), -1 / len(at))]:
            of_steps[-2, tags[0]] += more
            of_steps[-1, tags[-1]] += more
            for pair in itertools.pairwise(tags):
                of_steps[pair] += more
    assert float(loss[-1]) == 0.0 and not np.any(gradient[-1, :7]) and np.isfinite(gradient).all()
    assert not np.any(np.delete(np.asarray(gradient[1, :7]), places[1], axis=0)), "what is not labelled learns nothing"
    np.testing.assert_allclose(gradient[0, 7:], of_steps, atol=1e-5)


def test_a_tag_that_is_ruled_out_learns_nothing_and_spoils_nothing():
    outputs = np.random.default_rng(4).normal(size=(1, 5 + TAGS + 2, TAGS)).astype(np.float32)
    outputs[0, [0, 2, 4], 2] = -np.inf
    given, labels = tf.constant(outputs), tf.constant([[0, 1, 0, 1, 1]])
    with tf.GradientTape() as tape:
        tape.watch(given)
        loss = ConditionalRandomField().loss(given, labels)
    every = scored(outputs[0, :5].astype(np.float64), outputs[0, 5:].astype(np.float64))
    expected = (np.logaddexp.reduce(list(every.values())) - every[(0, 1, 0, 1, 1)]) / 5
    gradient = tape.gradient(loss, given).numpy()
    assert float(loss[0]) == pytest.approx(expected, rel=1e-5)
    assert np.isfinite(gradient).all() and not gradient[0, [0, 2, 4], 2].any()


def test_long_rows_are_as_exact_as_short_ones():
    random, length = np.random.default_rng(3), 500
    scores, steps = random.normal(size=(length, TAGS)) * 5, random.normal(size=(TAGS + 2, TAGS)) * 5
    outputs = tf.constant(np.concatenate([scores, steps])[None], tf.float32)
    labels = random.integers(0, TAGS, (1, length))
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        loss = ConditionalRandomField().loss(outputs, tf.constant(labels))
    total, chances, after = steps[-2] + scores[0], [], steps[-1]
    befores = [total]
    for now in scores[1:]:
        total = np.logaddexp.reduce(total[:, None] + steps[:TAGS], axis=0) + now
        befores.append(total)
    every = np.logaddexp.reduce(total + steps[-1])
    for before, now in zip(befores[::-1], scores[::-1], strict=True):
        chances.append(np.exp(before + after - every))
        after = np.logaddexp.reduce(steps[:TAGS] + now + after, axis=1)
    there = np.eye(TAGS)[labels[0]]
    np.testing.assert_allclose(tape.gradient(loss, outputs)[0, :length] * length, chances[::-1] - there, atol=2e-5)
    worth = (scores * there).sum() + sum(steps[pair] for pair in itertools.pairwise(labels[0]))
    worth += steps[-2, labels[0, 0]] + steps[-1, labels[0, -1]]
    assert float(loss[0]) == pytest.approx((every - worth) / length, rel=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
def test_the_best_tags_are_those_of_the_best_sequence(batch, compiled: bool):
    outputs, labels, places, steps = batch
    best = tf.function(lambda outputs, labels: _chain.best(_chain.chain(outputs, labels)), jit_compile=compiled)
    found = best(tf.constant(outputs), tf.constant(labels))
    for row, at in enumerate(places):
        every = scored(outputs[row, at], steps) if len(at) else {(): 0.0}
        assert tuple(found[row, : len(at)].numpy()) == max(every, key=every.__getitem__)
        assert not np.any(found[row, len(at) :])


def test_a_single_word_has_neighbours_on_no_side():
    outputs = np.random.default_rng(1).normal(size=(2, 1 + TAGS + 2, TAGS)).astype(np.float32)
    outputs[1, 1:] = outputs[0, 1:]
    loss = ConditionalRandomField().loss(tf.constant(outputs), tf.constant([[1], [0]]))
    for row, tag in ((0, 1), (1, 0)):
        worth = outputs[row, 0] + outputs[row, -2] + outputs[row, -1]
        assert float(loss[row]) == pytest.approx(np.logaddexp.reduce(worth) - worth[tag], rel=1e-5, abs=1e-5)
    assert _chain.best(_chain.chain(tf.constant(outputs), tf.constant([[1], [0]]))).shape == (2, 1)


def test_probabilities_given_all_words_are_those_of_all_sequences():
    random = np.random.default_rng(2)
    lengths = [4, 1, 0, 3, 5, 3]
    splits = np.concatenate([[0], np.cumsum(lengths)])
    logits, steps = random.normal(size=(splits[-1], TAGS)) * 3, random.normal(size=(TAGS + 2, TAGS)) * 3
    alone = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = marginals(alone.astype(np.float32), splits, steps)
    for first, last in itertools.pairwise(splits):
        if first == last:
            continue
        every = scored(logits[first:last], steps)
        total = np.logaddexp.reduce(list(every.values()))
        for word in range(last - first):
            for tag in range(TAGS):
                likely = sum(np.exp(worth - total) for tags, worth in every.items() if tags[word] == tag)
                assert found[first + word, tag] == pytest.approx(likely, abs=1e-5)
    assert marginals(np.zeros((0, TAGS), np.float32), np.array([0, 0]), steps).shape == (0, TAGS)
    flat = marginals(alone.astype(np.float32), splits, np.zeros((TAGS + 2, TAGS)))
    np.testing.assert_allclose(flat, alone, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_entities_are_those_of_the_most_probable_sequence_that_makes_sense(seed: int):
    random = np.random.default_rng(seed)
    task = tiny.TokenClassifier(tiny.text_backbone(1), ["thing"], crf=True)
    steps = random.normal(size=(TAGS + 2, TAGS)).astype(np.float32)
    task.components["head"].get_layer("steps").steps.assign(steps)
    items = [tuple(random.choice(tiny.WORDS, length)) for length in (5, 1, 0, 3, *[5] * 60)]
    splits = np.concatenate([[0], np.cumsum([len(item) for item in items])])
    logits = random.normal(size=(splits[-1], TAGS))
    alone = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    given, other = marginals(alone, splits, steps), 0
    for first, last, entities in zip(splits[:-1], splits[1:], task.decode(alone, items), strict=True):
        every = scored(logits[first:last], steps) if last > first else {(): 0.0}
        sensible = [tags for tags in every if all(tag != 2 or before for before, tag in itertools.pairwise((0, *tags)))]
        best = np.array(max(sensible, key=every.__getitem__), int)
        other += (best_tags(given[first:last], np.array([0, last - first])) != best).any()
        starts, ends, _ = runs(best, np.array([0, last - first]))
        assert len(entities) == len(starts)
        for entity, start, end in zip(entities, starts, ends, strict=True):
            assert len(entity.text.split()) == end - start
            expected = given[np.arange(first + start, first + end), best[start:end]].mean()
            assert entity.score == pytest.approx(expected, abs=1e-6)
    assert other, "each word's probability by itself says otherwise now and then"
    np.testing.assert_array_equal(task.probabilities(alone, items), given)


def test_many_sentences_are_searched_as_each_alone(monkeypatch):
    from tfvertical.codecs import entities

    random = np.random.default_rng(3)
    splits = np.concatenate([[0], np.cumsum(random.integers(0, 12, 40))])
    scores, steps = random.dirichlet(np.ones(5), splits[-1]), random.normal(size=(7, 5))
    together = best_tags(scores, splits, steps)
    monkeypatch.setattr(entities, "_AT_ONCE", 60)
    np.testing.assert_array_equal(best_tags(scores, splits, steps), together)
    for first, last in itertools.pairwise(splits):
        np.testing.assert_array_equal(
            best_tags(scores[first:last], np.array([0, last - first]), steps), together[first:last]
        )
    np.testing.assert_array_equal(best_tags(scores, splits, np.zeros((7, 5))), best_tags(scores, splits))


def test_many_sentences_are_as_each_alone(monkeypatch):
    from tfvertical.codecs import entities

    random = np.random.default_rng(3)
    lengths = random.integers(0, 12, 40)
    splits = np.concatenate([[0], np.cumsum(lengths)])
    scores, steps = random.dirichlet(np.ones(5), splits[-1]), random.normal(size=(7, 5))
    together = marginals(scores, splits, steps)
    monkeypatch.setattr(entities, "_AT_ONCE", 60)
    np.testing.assert_allclose(marginals(scores, splits, steps), together, atol=1e-7)
    for first, last in itertools.pairwise(splits):
        alone = marginals(scores[first:last], np.array([0, last - first]), steps)
        np.testing.assert_allclose(alone, together[first:last], atol=1e-7)


def test_scores_of_no_chance_are_numbers():
    scores = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], np.float32)
    steps = np.full((TAGS + 2, TAGS), -40.0)
    assert np.isfinite(marginals(scores, np.array([0, 2]), steps)).all()


def test_f1_while_training_is_that_of_the_best_sequence(batch):
    outputs, labels, places, _ = batch
    metric = EntityF1(chained=True)
    metric.update_state(tf.constant(labels), tf.constant(outputs))
    best = _chain.best(_chain.chain(tf.constant(outputs), tf.constant(labels))).numpy()
    alike = EntityF1()
    in_order = np.full((5, 7), -1)
    for row, at in enumerate(places):
        in_order[row, : len(at)] = labels[row, at]
    alike.update_state(tf.constant(in_order), tf.one_hot(best, TAGS))
    assert [float(each) for each in (metric.right, metric.found, metric.marked)] == [
        float(each) for each in (alike.right, alike.found, alike.marked)
    ]
    assert EntityF1.from_config(metric.get_config()).chained
    accuracy, plain = TokenAccuracy(), TokenAccuracy()
    accuracy.update_state(tf.constant(labels), tf.constant(outputs))
    plain.update_state(tf.constant(labels), tf.constant(outputs[:, :7]))
    assert float(accuracy.result()) == float(plain.result())


@pytest.fixture(scope="module")
def learned():
    task = tiny.token_task(layers=1, body_dropout=0.0, dropout=0.0, crf=True)
    task.fit(
        tiny.sentences(160),
        tiny.sentences(24, seed=1),
        epochs=12,
        batch_size=8,
        learning_rate=0.02,
        verbose=0,
        adaptation=tv.FullFineTuning(),
    )
    return task


def test_it_learns_which_tags_follow_each_other(learned):
    assert learned.evaluate(tiny.sentences(60, seed=2), resamples=20).metrics["f1"] > 0.9
    steps = learned.steps
    assert steps.shape == (7, 5)
    tags = {tag: at for at, tag in enumerate(learned.outputs)}
    assert steps[tags["B-thing"], tags["I-thing"]] > steps[tags["B-thing"], tags["I-time"]]
    assert steps[-2, tags["I-thing"]] < steps[-2, tags["O"]], "no text begins inside an entity"


def test_longer_texts_are_read_in_windows_and_put_together_before_they_are_weighed(learned):
    words = list(np.random.default_rng(0).choice(tiny.WORDS, 300))
    encoded = learned.encode(tiny.labelled([tuple(words)], None))
    scores = learned.scores(encoded)
    assert scores.shape == (300, 5)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    own = (encoded.units.column.take(np.arange(len(encoded)), None) >= 0).sum(axis=1)
    assert len(own) > 5
    given = marginals(scores, np.array([0, 300]), learned.steps)
    apart = marginals(scores, np.concatenate([[0], np.cumsum(own)]), learned.steps)
    assert np.abs(given - apart).max() > 1e-3, "what stands on both sides of a window's border counts"
    (found,) = learned.predict([words])
    tags = best_tags(scores, np.array([0, 300]), learned.steps)
    starts, ends, _ = runs(tags, np.array([0, 300]))
    assert [each.text for each in found] == [" ".join(words[a:b]) for a, b in zip(starts, ends, strict=True)]
    means = [given[np.arange(a, b), tags[a:b]].mean() for a, b in zip(starts, ends, strict=True)]
    np.testing.assert_allclose([each.score for each in found], means, atol=1e-5)


def test_a_saved_one_scores_the_same_and_a_file_finds_the_same(learned, tmp_path: Path):
    examples = tiny.sentences(80, seed=7)
    learned.save(tmp_path)
    again = tv.load(tmp_path)
    np.testing.assert_array_equal(again.scores(examples), learned.scores(examples))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the converter's own
        folder = again.export(tmp_path, "litert", length=[12, 20], examples=examples)
    assert json.loads((folder / "parity.json").read_text())["max_difference"] <= 1e-5
    onnx = json.loads((again.export(tmp_path, "onnx", examples=examples) / "parity.json").read_text())
    assert onnx["max_difference"] <= 1e-5
    tagger = Tagger(folder)
    words = tuple(np.random.default_rng(0).choice(tiny.WORDS, 60))  # longer than the file: in windows
    assert tagger.scores(words).shape == (60, 5)
    for item in [*examples.inputs[:20], "The good card  never\u00a0came.", ""]:
        np.testing.assert_allclose(tagger.scores(item), learned.scores(tiny.labelled([item], None)), atol=1e-5)


@pytest.mark.parametrize("steps", [[[0.0]], "none", [[0.0] * 5] * 6 + [[float("inf")] * 5], [[0.0] * 5, [0.0]]])
def test_steps_that_are_none_are_refused(learned, tmp_path: Path, steps: object):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the converter's own
        folder = learned.export(tmp_path, "litert", examples=tiny.sentences(10).inputs)
    path = folder / "preprocessing.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"steps": steps}))
    with pytest.raises(BundleError, match="7 rows of 5 numbers"):
        Tagger(folder, verify=False)


def test_scores_of_before_and_of_others_are_not_put_through_the_steps_of_now():
    """A report compares what was told then, or by another model, with what is told now."""
    examples = tiny.sentences(40)
    task = tiny.token_task(layers=1, crf=True)
    sure = (0.9 * np.eye(len(task.outputs))[task.truth(examples)] + 0.02).astype(np.float32)
    steps = task.components["head"].get_layer("steps").steps
    steps.assign(np.where(np.arange(steps.shape[1]) == 0, 9.0, -9.0) * np.ones(steps.shape))  # nothing is named now
    report = task.evaluate(examples, before=sure, baselines={"other": sure}, resamples=20)
    assert report.metrics["f1"] == 0.0
    assert report.before["metrics"]["f1"] == report.baselines["other"]["metrics"]["f1"] == 1.0
    told = task.probabilities(task.scores(examples), examples.inputs)
    assert task.evaluate(examples, before=told, resamples=20).before["metrics"]["f1"] == 0.0, "what it knew then"


def test_a_bundle_from_before_there_was_a_chain_has_none():
    task = tiny.token_task(layers=1)
    del task.head_options["crf"]
    assert task.steps is None and task.scores(tiny.labelled([("good",)], None)).shape == (1, 5)


def test_what_does_not_go_together():
    with pytest.raises(ConfigError, match="one piece of each answers"):
        tiny.token_task(layers=1, crf=True, pieces="all")
    task = tiny.token_task(layers=1, crf=True)
    for options in ({"label_smoothing": 0.1}, {"focal": 2.0}, {"class_weight": {"thing": 2.0}}):
        with pytest.raises(ConfigError, match="all tags of a text together"):
            task.fit(tiny.labelled([("good",)], [(Span(0, 1, "thing"),)]), epochs=1, verbose=0, **options)
    assert isinstance(task.objective(), ConditionalRandomField)
    assert keras.saving.get_registered_name(type(task.components["head"].get_layer("steps"))) == "tfvertical>Steps"
