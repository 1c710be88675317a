"""Blocks whose outputs are computed again: the same step, dropout included, and less memory."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.core import tiny
from tfvertical import batches, remat, training
from tfvertical.adaptations.full_fine_tuning import FullFineTuning
from tfvertical.adaptations.gradual_unfreezing import GradualUnfreezing
from tfvertical.errors import ConfigError
from tfvertical.settings import Settings


@pytest.mark.parametrize(
    ("adaptation", "more"),
    [
        (FullFineTuning(), {}),
        (GradualUnfreezing(blocks=1), {"accumulate": 2}),
        (GradualUnfreezing(blocks=1), {"jit_compile": True}),
    ],
)
def test_steps_are_the_same_with_dropout(adaptation, more):
    found = []
    for again in (False, True):
        task = tiny.text_task(body_dropout=0.3)
        chosen = Settings(epochs=2, batch_size=4, learning_rate=0.01, precision="float32", rematerialize=again, **more)
        encoded = [task.encode(tiny.texts(count, seed=count)) for count in (14, 8)]
        history = training.run(task, *encoded, adaptation, chosen, verbose=0)
        found.append((history.history, tiny.values(task.model)))
    (plain, weights), (other, again) = found
    assert tiny.largest_difference(weights, again) <= 1e-6
    for name, values in plain.items():
        assert other[name] == pytest.approx(values, rel=1e-5), name


def test_blocks_are_the_layers_that_hold_layers():
    task = tiny.text_task()
    assert {layer.name for layer in remat.blocks(task.model)} == {"transformer_layer_0", "transformer_layer_1"}


def test_what_a_block_makes_is_not_kept_for_the_backward_pass():
    """The backward pass of a step in the graph reads the outputs of operations inside a block, or does not."""

    def read(again: bool) -> int:
        task = tiny.text_task()
        model, block = task.model, task.model.get_layer("text").get_layer("transformer_layer_0")
        rows = batches.inputs(model, task.encode(tiny.texts(4)), np.arange(4))

        def step():
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(model(rows, training=True))
            return tape.gradient(loss, block.trainable_variables[0].value)

        with remat.rematerialized(model, again):
            graph = tf.function(step).get_concrete_function().graph
        return sum(op.type == "Softmax" for op in graph.get_operations()) + sum(
            node.op == "Softmax" for function in graph.as_graph_def().library.function for node in function.node_def
        )

    assert read(again=True) > read(again=False), "attention of each block is computed a second time"


def test_a_model_without_blocks_says_so_before_it_is_trained():
    with pytest.raises(ConfigError, match="take accumulate"):
        tiny.image_task().fit(tiny.pictures(4), epochs=1, verbose=0, rematerialize=True)


@keras.saving.register_keras_serializable("tfvertical-tests")
class Leaves(keras.layers.Layer):
    """A block that leaves `training` to Keras: its Dropout is told by the context of the call."""

    def __init__(self, **options):
        super().__init__(**options)
        self.dense, self.drop = keras.layers.Dense(4, use_bias=False), keras.layers.Dropout(0.5, seed=3)

    def build(self, shape):
        self.dense.build(shape)
        self.built = True

    def call(self, inputs):
        return self.drop(self.dense(inputs))


def test_a_block_that_is_told_nothing_of_training_drops_alike_both_times():
    found = []
    for again in (False, True):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((3,))
        model = keras.Model(inputs, Leaves()(inputs))
        (block,) = remat.blocks(model)
        kernel = block.dense.kernel
        with remat.rematerialized(model, again), tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(model(tf.ones((5, 3)), training=True)))
        found.append((float(loss), tape.gradient(loss, kernel.value).numpy(), block.drop.seed_generator.state.numpy()))
    (plain, gradient, state), (other, again_gradient, again_state) = found
    assert plain == other and plain > 0
    np.testing.assert_allclose(again_gradient, gradient, rtol=1e-6)
    np.testing.assert_array_equal(again_state, state)
