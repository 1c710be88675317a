"""A head that sees a word's neighbours."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

import tfvertical as tv
from tests.core import tiny
from tfvertical.errors import ConfigError
from tfvertical.runtime import Tagger
from tfvertical.tasks._heads import Neighbours, token_head


def test_it_is_a_dilated_convolution():
    states = np.random.default_rng(0).normal(size=(2, 9, 5)).astype(np.float32)
    mask = np.ones((2, 9), np.int32)
    layer = Neighbours(distance=2)
    found = layer(states, mask)
    kernel = layer.products.kernel.numpy().reshape(3, 5, 5)
    same = keras.layers.Conv1D(5, 3, padding="same", dilation_rate=2, use_bias=False)
    same.build(states.shape)
    same.kernel.assign(kernel)
    expected = keras.layers.LayerNormalization(epsilon=1e-6)(states + keras.activations.gelu(same(states)))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_padding_changes_nothing():
    """Whatever stands there, and however much of it."""
    head = token_head(keras.Input((None, 5)), 3, hidden=[4], dropout=0.5, seed=0, convolutions=3)
    states = np.random.default_rng(0).normal(size=(1, 6, 5)).astype(np.float32)
    alone = head([states, np.ones((1, 6), np.int32)])
    padded = np.concatenate([states, np.full((1, 8, 5), 7.0, np.float32)], axis=1)
    mask = np.arange(14)[None] < 6
    np.testing.assert_allclose(head([padded, mask.astype(np.int32)])[:, :6], alone, atol=1e-6)


def test_a_word_is_seen_from_as_far_as_the_layers_reach():
    head = token_head(keras.Input((None, 5)), 3, hidden=[4], dropout=0.0, seed=0, convolutions=3)
    states = np.random.default_rng(0).normal(size=(1, 30, 5)).astype(np.float32)
    other = states.copy()
    other[0, 15] += 1
    mask = np.ones((1, 30), np.int32)
    moved = np.abs(np.asarray(head([states, mask])) - np.asarray(head([other, mask])))[0].max(axis=-1)
    assert np.flatnonzero(moved > 1e-6).tolist() == list(range(8, 23))  # 1 + 2 + 4 to each side


def test_none_is_the_head_as_it_was():
    """Bundles that do not know the option are read."""
    task, examples = tiny.token_task(layers=1, hidden=[4]), tiny.sentences(5)
    assert [tensor.name for tensor in task.components["head"].inputs] == ["states"]
    config = task.config()
    assert config["head"].pop("convolutions") == 0
    again = tv.TokenClassifier.restore(task.model, config, task.preprocessor.assets())
    np.testing.assert_array_equal(again.scores(examples), task.scores(examples))


@pytest.mark.parametrize("count", [-1, 11])
def test_there_are_only_so_many(count: int):
    with pytest.raises(ConfigError, match=rf"convolutions is {count}(.|\n)*0 to 10"):
        tiny.token_task(layers=1, convolutions=count)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["litert", "onnx"])
def test_it_learns_is_saved_and_exported(tmp_path: Path, format: str):
    task = tiny.token_task(layers=1, body_dropout=0.0, hidden=[8], convolutions=2, crf=True, last_blocks=2)
    train, test = tiny.sentences(160), tiny.sentences(24, seed=1)
    task.fit(train, test, adaptation=tv.Frozen(), epochs=8, batch_size=8, learning_rate=0.02, verbose=0)
    assert task.quality(test, task.scores(test)) > 0.5
    task.save(tmp_path)
    again = tv.load(tmp_path)
    np.testing.assert_array_equal(again.scores(test), task.scores(test))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the converter's own
        folder = again.export(tmp_path, format, examples=test)
    assert json.loads((folder / "parity.json").read_text())["max_difference"] <= 1e-5
    if format == "litert":
        items = [*test.inputs, "The good card never came. " * 12]
        told = [[(each.start, each.end, each.label) for each in row] for row in Tagger(folder).predict(items)]
        assert told == [[(each.start, each.end, each.label) for each in row] for row in again.predict(items)]


def test_a_backbone_without_a_mask_is_told():
    backbone = tiny.text_backbone(1)
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    states = keras.layers.Embedding(30, 4, name="embed")(ids)
    bare = replace(backbone, model=keras.Model({"token_ids": ids}, states), blocks=["embed/"])
    with pytest.raises(ConfigError, match="no input `padding_mask`"):
        tv.TokenClassifier(bare, ["thing"], convolutions=1)
