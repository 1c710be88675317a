"""Layers that are computed in one go give what they give otherwise, and are."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from tests.core import tiny
from tfvertical import batches, constants, frontier, fused, kernels, outputs, precision, stages, steps

LAYERS = {
    "dense": lambda: keras.layers.Dense(5, activation="gelu"),
    "dense without a bias": lambda: keras.layers.Dense(5, use_bias=False),
    "dense over its axis": lambda: keras.layers.Dense(5, activation="softmax"),
    "heads": lambda: keras.layers.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de"),
    "of heads": lambda: keras.layers.EinsumDense("abc,bcd->ad", 5),
    "one bias for all heads": lambda: keras.layers.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="e"),
    "normalized": lambda: keras.layers.LayerNormalization(epsilon=1e-12),
    "normalized, axis counted from the front": lambda: keras.layers.LayerNormalization(axis=2, epsilon=1e-3),
    "normalized over two axes": lambda: keras.layers.LayerNormalization(axis=(1, 2)),
    "normalized without an offset": lambda: keras.layers.LayerNormalization(center=False),
    "attention": lambda: _Attention(),
}


class _Attention(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.attention = keras.layers.MultiHeadAttention(2, 3)

    def build(self, shape):
        self.attention.build(shape, shape)

    def call(self, x):
        return self.attention(x, x)


def model_of(layer: keras.layers.Layer) -> keras.Model:
    inputs = keras.Input((4, 8), name="x")
    model = keras.Model({"x": inputs}, layer(inputs))
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape))
    return model


def optimized(model: keras.Model, inputs: dict[str, tf.Tensor], held: bool = False) -> set[str]:
    """The operations that TensorFlow makes of a model's graph."""
    with context.collect_graphs(optimized=True) as graphs:
        batches.graph(model, held)(inputs)
    return {node.op for graph in graphs for node in graph.node}


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("kind", LAYERS)
def test_layers_give_what_they_give_otherwise(kind: str, held: bool):
    model = model_of(LAYERS[kind]())
    x = tf.constant(np.random.default_rng(1).normal(size=(3, 4, 8)), tf.float32)
    want = model({"x": x}, training=False)
    found = batches.graph(model, held)({"x": x})[0]
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)
    assert found.shape == want.shape
    assert not any("call" in vars(layer) for layer in model.layers), "and are Keras' own again"


def test_a_graph_that_fails_leaves_the_layers_as_they_were():
    model = model_of(keras.layers.Dense(2))
    with pytest.raises(ZeroDivisionError), fused.fused(model):
        raise ZeroDivisionError
    assert "call" not in vars(model.layers[-1])


@pytest.mark.skipif(not kernels.onednn(), reason="without oneDNN there is nothing to find")
@pytest.mark.parametrize("held", [False, True])
def test_encoders_are_found_by_the_graph_passes(held: bool):
    task = tiny.text_task()
    model = next(iter(task.components.values()))
    inputs = batches.inputs(model, task.encode(tiny.texts(8)), np.arange(8))
    operations = optimized(model, inputs, held)
    assert any("LayerNorm" in each for each in operations) and any("FusedMatMul" in each for each in operations)
    assert not operations & {"Tanh", "SquaredDifference", "Rsqrt", "Einsum"}, "what they are made of elsewhere"


def trained(step_of, drops: bool = True) -> tuple[dict[str, np.ndarray], float, list[str]]:
    """Weights and loss after three steps, with dropout or without, and the operations of the step's graph."""
    keras.utils.set_random_seed(0)
    task = tiny.text_task(body_dropout=0.1 * drops, dropout=0.2 * drops)
    model, encoded = task.model, task.encode(tiny.texts(24))
    model.compile(keras.optimizers.SGD(0.5), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.optimizer.build(model.trainable_variables)
    steps.make_metrics(model, batches.batch(encoded, model, np.arange(2)))
    step = tf.function(step_of(model), autograph=False)
    for at in range(0, 24, 8):
        batch = batches.batch(encoded, model, np.arange(at, at + 8))
        step(batch)
    operations = [node.op for node in step.get_concrete_function(batch).graph.as_graph_def().node]
    return tiny.values(model), float(model.get_metrics_result()["loss"]), operations


@pytest.mark.parametrize("compiled", [False, True])
def test_training_steps_are_those_of_keras(compiled: bool):
    drops = not compiled  # what is compiled drops by a hash, at other places than TensorFlow's generator
    ours, loss, found = trained(functools.partial(steps.taken_by, compiled=compiled), drops)
    plain, want, before = trained(lambda model: lambda batch: model.train_step(batch), drops)
    np.testing.assert_allclose(loss, want, rtol=1e-5)
    assert tiny.largest_difference(ours, plain) < 1e-5
    if kernels.onednn():
        assert found.count("BatchMatMulV2") < before.count("BatchMatMulV2") / 2, (
            "attention's projections are products of matrices"
        )
        assert "ResourceGather" in found and "ResourceGather" not in before, "no table is read whole"


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("mask", [False, True])
def test_rows_are_those_that_keras_looks_up(mask: bool, policy: str):
    layer = keras.layers.ReversibleEmbedding(7, 4, mask_zero=mask, dtype=policy)
    ids = tf.constant([[3, 0, 6], [1, 1, 2]])
    with tf.GradientTape() as tape:
        want = layer(ids)
    gradient = tape.gradient(want, layer.embeddings.value)
    with fused.fused(keras.Sequential([layer]), trained=True), tf.GradientTape() as tape:
        assert ("call" in vars(layer)) == (kernels.onednn() and not mask)
        found = layer(ids)
        backwards = layer(tf.ones((1, 4)), reverse=True)
    assert backwards.shape == (1, 7) and found.dtype == want.dtype
    np.testing.assert_array_equal(tf.cast(found, tf.float32), tf.cast(want, tf.float32))
    np.testing.assert_array_equal(
        tf.convert_to_tensor(tape.gradient(found, layer.embeddings.value)), tf.convert_to_tensor(gradient)
    )


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64"])
def test_rows_are_looked_up_by_ids_of_any_dtype(dtype: str):
    layer, ids = keras.layers.Embedding(7, 4), tf.constant([[3, 0, 6]], dtype)
    want = layer(ids)
    with fused.fused(keras.Sequential([layer]), trained=True):
        np.testing.assert_array_equal(layer(ids), want)


def test_held_matrices_are_those_of_now():
    model = model_of(keras.layers.Dense(2, use_bias=False))
    x = {"x": tf.ones((1, 4, 8))}
    live, held = batches.graph(model), batches.graph(model, held=True)
    before = [np.asarray(graph(x)[0]) for graph in (live, held)]
    model.layers[-1].kernel.assign_add(np.ones((8, 2), np.float32))
    np.testing.assert_allclose(live(x)[0], before[0] + 8, rtol=1e-5)
    np.testing.assert_array_equal(held(x)[0], before[1])


def test_bfloat16_is_as_near_as_without():
    task = tiny.text_task()
    model, encoded = next(iter(task.components.values())), task.encode(tiny.texts(32))
    inputs = batches.inputs(model, encoded, np.arange(32))
    want = np.asarray(batches.graph(model)(inputs)[0])
    with precision.lowered(model, precision.LOW):
        plain = tf.cast(model(batches.arrange(model, inputs), training=False), tf.float32)
        low = np.asarray(tf.cast(batches.graph(model, held=True)(inputs)[0], tf.float32))
    assert 0 < np.abs(low - want).mean() < 1.5 * np.abs(plain - want).mean()


def test_lora_is_added_to_its_layer():
    model = model_of(keras.layers.Dense(5))
    layer = model.layers[-1]
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    x = {"x": tf.ones((1, 4, 8))}
    np.testing.assert_allclose(batches.graph(model, held=True)(x)[0], model(x), rtol=1e-5)


def test_training_looks_up_a_table_with_lora_as_keras_does():
    layer = keras.layers.Embedding(10, 4)
    layer.build((None,))
    layer.enable_lora(2)
    layer.lora_embeddings_b.assign(np.ones(layer.lora_embeddings_b.shape))
    model, ids = keras.Sequential([keras.Input((3,), dtype="int32"), layer]), tf.constant([[1, 2, 3]])
    want = model(ids)
    with fused.fused(model, trained=True):
        np.testing.assert_array_equal(model(ids), want)


@pytest.mark.parametrize(("weights", "held"), [(10**8, True), (0, False)])
def test_matrices_are_held_where_a_graph_has_room_for_them(weights: int, held: bool, monkeypatch):
    task = tiny.text_task()
    stages.apply(task.components, stages.Stage("head", {"head/": 1.0}, 1))
    prefix, encoded = frontier.split(task.model).prefix, task.encode(tiny.texts(8))
    monkeypatch.setattr(constants, "WEIGHTS", weights)
    asked = []
    monkeypatch.setattr(outputs, "graph", lambda model, held: asked.append(held) or batches.graph(model, held))
    with precision.lowered(prefix, precision.LOW):
        specs = outputs.specs_of(prefix, "float32")
        kept = [outputs.InMemory(spec, encoded) for spec in specs]
        outputs.run(prefix, encoded, specs, kept)
    assert asked == [held] and np.isfinite(kept[0].values).all()
