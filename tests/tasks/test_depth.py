"""A head that reads several blocks side by side."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

import tfvertical as tv
from tests.core import tiny
from tfvertical import batches
from tfvertical.contracts import Backbone
from tfvertical.errors import ConfigError
from tfvertical.tasks._depth import side_by_side


def test_the_outputs_of_the_last_blocks_stand_side_by_side():
    backbone = tiny.text_backbone(2)
    width = backbone.model.output.shape[-1]
    together = side_by_side(backbone, 3)
    assert together.model.output.shape == (None, None, 3 * width) and side_by_side(backbone, 1) is backbone
    inputs = {name: np.ones((2, 5), np.int32) for name in (tensor.name for tensor in backbone.model.inputs)}
    found = together.model(batches.arrange(together.model, inputs))
    np.testing.assert_array_equal(found[..., 2 * width :], backbone.model(batches.arrange(backbone.model, inputs)))
    names = [layer.name for layer in backbone.model.layers if layer.weights]
    inner = [backbone.model.get_layer(name).output for name in names[-3:-1]]
    for at, states in enumerate(keras.Model(backbone.model.input, inner)(batches.arrange(backbone.model, inputs))):
        np.testing.assert_array_equal(found[..., at * width : (at + 1) * width], states)
    assert {id(each) for each in together.model.weights} == {id(each) for each in backbone.model.weights}


def test_a_block_s_output_is_what_the_next_one_takes():
    """Behind its residual connection, which is a layer without weights, and not its last layer with some."""
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    embed, one, two = keras.layers.Embedding(10, 4, name="embed"), *(keras.layers.Dense(4, name=n) for n in "ab")
    states = embed(ids)
    middle = states + one(states)
    model = keras.Model(ids, middle + two(middle))
    made = Backbone(model, tiny.text_preprocessor(24), ["embed/", "a/", "b/"], tiny.SOURCE)
    given = np.array([[1, 5, 7]])
    first = embed(given)
    second = first + one(first)
    expected = np.concatenate([first, second, second + two(second)], axis=-1)
    np.testing.assert_allclose(side_by_side(made, 3).model(given), expected, rtol=1e-6)


def test_a_block_that_takes_no_token_states_is_told():
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    states = keras.layers.Embedding(10, 4, name="embed")(ids)
    other = keras.layers.Embedding(10, 4, name="a")(ids)
    made = Backbone(keras.Model(ids, states + other), tiny.text_preprocessor(24), ["embed/", "a/"], tiny.SOURCE)
    with pytest.raises(ConfigError, match=r"block 'a/' takes no token states(.|\n)*fewer last_blocks"):
        side_by_side(made, 2)


@pytest.mark.parametrize("count", [0, 4])
def test_there_are_only_so_many_blocks(count: int):
    with pytest.raises(ConfigError, match=r"last_blocks is \d(.|\n)*1 to 3"):
        tiny.token_task(layers=2, last_blocks=count)


@pytest.mark.parametrize("format", ["litert", "onnx"])
def test_it_is_saved_and_exported(tmp_path: Path, format: str):
    task, examples = tiny.token_task(last_blocks=2), tiny.sentences(20)
    task.save(tmp_path)
    again = tv.load(tmp_path)
    np.testing.assert_array_equal(again.scores(examples), task.scores(examples))
    assert again.config()["head"]["last_blocks"] == 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the converter's own
        folder = again.export(tmp_path, format, examples=examples)
    assert json.loads((folder / "parity.json").read_text())["max_difference"] <= 1e-5
