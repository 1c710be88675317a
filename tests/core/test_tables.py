"""Rows of embedding tables that examples look up: which they are, and that training leaves all others alone."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfvertical as tv
from tests.core import tiny
from tfvertical import batches, stages, tables, training
from tfvertical.contracts import Adaptation, Encoded
from tfvertical.settings import Settings


def ids(encoded: Encoded) -> np.ndarray:
    return np.unique(batches.gather(encoded, np.arange(len(encoded)))["token_ids"])


def opened(task) -> keras.Model:
    stages.apply(task.components, stages.Stage("all", {".*": 1.0}, 1))
    return task.model


@given(st.sets(st.integers(0, 300), min_size=1))
def test_rows_are_written_and_read(rows: set[int]):
    ascending = np.array(sorted(rows), np.int32)
    np.testing.assert_array_equal(tables.unpacked(tables.packed(ascending)), ascending)


def test_rows_are_those_of_the_examples_and_of_padding(monkeypatch):
    monkeypatch.setattr(tables, "AT_ONCE", 5)
    task = tiny.text_task()
    encoded = task.encode(tiny.texts(24))
    (found,) = tables.touched(opened(task), encoded).values()
    np.testing.assert_array_equal(found, ids(encoded))
    assert 0 in found and len(found) < len(tiny.VOCABULARY) / 2


def test_padding_counts_where_no_slice_shows_it(monkeypatch):
    monkeypatch.setattr(tables, "AT_ONCE", 1)
    encoded = tiny.text_task().encode(tiny.texts(24))
    assert 0 in tables._ids(encoded, {"token_ids"}, len(tiny.VOCABULARY))


def test_both_sides_of_a_pair_are_looked_at():
    task = tiny.pair_task(encoder="bi")
    encoded = task.encode(tiny.pairs(24))
    names = [name for name in encoded.columns if name.endswith("token_ids")]
    every = batches.gather(encoded, np.arange(len(encoded)))
    (found,) = tables.touched(opened(task), encoded).values()
    assert len(names) == 2
    np.testing.assert_array_equal(found, np.unique(np.concatenate([every[name].ravel() for name in names])))


def test_a_frozen_table_has_no_rows():
    task = tiny.text_task()
    stages.apply(task.components, stages.Stage("head", {"head/": 1.0}, 1))
    assert tables.touched(task.model, task.encode(tiny.texts(8))) == {}


def encoded_of(name: str) -> Encoded:
    task = tiny.text_task()
    encoded = task.encode(tiny.texts(8))
    return Encoded({name: encoded.columns["token_ids"]}, encoded.lengths, encoded.rows, encoded.labels, encoded.weights)


def looked_up(tied: bool = False, shifted: bool = False) -> keras.Model:
    import keras_hub

    inputs = keras.Input((None,), dtype="int32", name="words")
    table = keras_hub.layers.ReversibleEmbedding(100, 4)
    x = table(inputs + 1 if shifted else inputs)
    return keras.Model(inputs, table(x, reverse=True) if tied else keras.layers.Dense(2)(x))


def test_a_table_that_something_else_uses_is_left_out():
    assert len(tables.touched(looked_up(), encoded_of("words"))) == 1
    assert tables.touched(looked_up(tied=True), encoded_of("words")) == {}


def test_a_table_that_is_given_something_else_is_left_out():
    assert tables.touched(looked_up(shifted=True), encoded_of("words")) == {}


def test_positions_beside_a_table_are_no_rows():
    import keras_hub

    inputs = keras.Input((24,), dtype="int32", name="words")
    layer = keras_hub.layers.TokenAndPositionEmbedding(100, 24, 4)
    model = keras.Model(inputs, keras.layers.Dense(2)(layer(inputs)))
    assert list(tables.touched(model, encoded_of("words"))) == [id(layer.token_embedding.embeddings)]


def test_words_that_an_augmentation_brings_learn_too():
    task = tiny.text_task()
    before = tiny.values(task.model)
    train, other = task.encode(tiny.texts(8)), task.encode(tiny.labelled(["z"] * 8, list(tiny.LABELS) * 4))
    settings = Settings(epochs=1, batch_size=8, learning_rate=1e-2)
    training.run(task, train, None, tv.FullFineTuning(), settings, augment=lambda encoded, epoch: other, verbose=0)
    (name,) = [name for name in before if "token_embedding" in name]
    row = tiny.VOCABULARY.index("z")
    assert (tiny.values(task.model)[name][row] != before[name][row]).any()


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.table = keras.layers.Embedding(100, 4)

    def call(self, words):
        return self.table(words)


def test_a_model_that_is_no_graph_is_not_looked_into():
    model = Own()
    model(np.zeros((1, 2), "int32"))
    assert tables.touched(model, encoded_of("words")) == {}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_training_moves_what_it_looks_up_as_before_and_nothing_else(accumulate: int, monkeypatch):
    weights = []
    for worth in (tables.WORTH, 0.0):
        monkeypatch.setattr(tables, "WORTH", worth)
        keras.utils.set_random_seed(0)
        task = tiny.text_task(dropout=0.2)
        before, examples = tiny.values(task.model), tiny.texts(24)
        settings = dict(batch_size=8, learning_rate=1e-2, weight_decay=0.0, precision="float32", accumulate=accumulate)
        task.fit(examples, adaptation=tv.FullFineTuning(), epochs=2, verbose=0, **settings)
        weights.append(tiny.values(task.model))
    assert tiny.largest_difference(*weights) < 1e-6
    (name,) = [name for name in before if "token_embedding" in name]
    rows = ids(task.encode(examples))
    others = np.setdiff1d(np.arange(len(tiny.VOCABULARY)), rows)
    np.testing.assert_array_equal(weights[0][name][others], before[name][others])
    words = np.setdiff1d(rows, [0])  # nothing comes of padding
    assert (weights[0][name][words] != before[name][words]).any(axis=1).all()


@dataclass(frozen=True)
class WordsFirst(Adaptation):
    """The table of words, while positions beside it are frozen; then everything."""

    def stages(self, task, epochs):
        words = stages.Stage("words", {"head/": 1.0, "text/token_embedding": 0.1}, epochs)
        return [words, stages.Stage("all", {"head/": 1.0, ".*": 0.1}, epochs)]


def test_rows_are_the_same_in_all_stages_wherever_the_frozen_part_runs():
    weights, examples = [], tiny.texts(24)
    for cache, how in ((True, "kept"), (False, "inside")):
        task = tiny.text_task(body_dropout=0.0, dropout=0.0)
        before = tiny.values(task.model)
        settings = dict(batch_size=8, learning_rate=1e-2, precision="float32", cache=cache, cache_disk=0)
        assert task.plan(examples, adaptation=WordsFirst(), **settings).ways[0].how == how
        task.fit(examples, adaptation=WordsFirst(), epochs=2, verbose=0, **settings)
        weights.append(tiny.values(task.model))
    assert tiny.largest_difference(*weights) < 1e-5
    (name,) = [name for name in before if "token_embedding" in name]
    others = np.setdiff1d(np.arange(len(tiny.VOCABULARY)), ids(task.encode(examples)))
    for found in weights:
        np.testing.assert_array_equal(found[name][others], before[name][others])
