"""The plan of a run: what runs once, from where, and what it costs."""

from __future__ import annotations

import keras
import pytest

import tfvertical as tv
from tests.core import tiny
from tfvertical import flops, identity
from tfvertical.augment import Augment


def test_a_head_costs_next_to_nothing_and_the_table_says_so():
    task = tiny.text_task(layers=3)
    before = tiny.values(task.model)
    plan = task.plan(tiny.texts(30), adaptation=tv.Frozen(), epochs=10)
    (way,) = plan.ways
    assert way.how == "kept" and way.bytes == 30 * 16 * 4 and way.frozen > 50 * way.learning
    mine, plain = plan.cost()
    assert plain / mine > 7
    assert "frontier (16) float32; the frozen part runs once" in str(plan) and "TFLOP" in str(plan)
    assert tiny.largest_difference(before, tiny.values(task.model)) == 0


def test_stages_start_from_what_they_have_in_common():
    """Unfreezing from the top: all stages but the last are reached from the last one's frontier."""
    task = tiny.text_task(layers=4)
    plan = task.plan(tiny.texts(30), adaptation=tv.GradualUnfreezing(blocks=2), epochs=1)
    assert [way.base for way in plan.ways] == [0, 0, 0] and len(plan.bases) == 1
    assert plan.bases[0].cost == pytest.approx(plan.ways[2].frozen)
    assert plan.once(0) == pytest.approx(plan.ways[0].frozen)
    assert plan.once(2) == pytest.approx(0)
    assert str(plan).count("from what stages 1-3 share") == 3
    alone = task.plan(
        tiny.texts(30), adaptation=tv.GradualUnfreezing(blocks=2), epochs=1, cache_bytes=5000, cache_disk=0
    )
    assert [way.how for way in alone.ways] == ["kept", "inside", "inside"] and not alone.bases
    assert "would not fit" in str(alone)


def test_what_learns_from_the_inputs_on_has_nothing_to_keep():
    task = tiny.text_task()
    (way,) = task.plan(tiny.texts(5), adaptation=tv.Discriminative(), epochs=1).ways
    assert way.how == "whole" and way.frontier == "the inputs" and way.frozen == 0


def test_augmented_views_are_kept_or_made_anew():
    task = tiny.image_task()
    options = {"adaptation": tv.GradualUnfreezing(blocks=1, head_epochs=1), "augment": Augment(), "epochs": 5}
    anew = task.plan(tiny.pictures(9), **options)
    assert "inside" in [way.how for way in anew.ways]
    kept = task.plan(tiny.pictures(9), views=2, **options)
    top = kept.ways[-1]
    assert top.how == "views" and kept.once(1) == pytest.approx(2 * top.frozen)
    assert kept.cost()[0] < anew.cost()[0]


@pytest.mark.parametrize("views", [1, 2])
def test_views_are_shown_in_turn(views: int):
    task = tiny.image_task(dropout=0.0)
    history = task.fit(
        tiny.pictures(8),
        adaptation=tv.GradualUnfreezing(blocks=1, head_epochs=1),
        augment=Augment(),
        epochs=4,
        views=views,
        verbose=0,
        cache_disk=0,
    )
    assert len(history.history["loss"]) == 5 and history.proofs[1].moved


def test_flops_are_counted_from_weights():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(5)(x))
    assert flops.forward(model, 1) == 2 * (64 * 27 * 4 + 20)
    text = tiny.bert(layers=1, dropout=0.0)
    body = keras.Model(text.input, text.output["sequence_output"])
    short, long = (flops.forward(body, length) for length in (4, 8))
    assert 2 * short < long < 2.6 * short


def test_identity_is_of_weights_options_and_connections():
    def model(units: int = 2, activation: str = "relu", twice: bool = False):
        inputs = keras.Input((3,), name="x")
        x = keras.layers.Dense(units, activation, kernel_initializer="ones")(inputs)
        return keras.Model(inputs, keras.layers.Add()([x, x]) if twice else x)

    first = identity.of_model(model())
    assert first == identity.of_model(model())
    others = [model(3), model(activation="gelu"), model(twice=True), model()]
    others[-1].weights[0].assign_add(keras.ops.full((3, 2), 1e-6))
    assert len({first, *(identity.of_model(other) for other in others)}) == 5


def test_what_cannot_be_written_down_has_no_identity():
    class Own(keras.layers.Layer):
        def get_config(self):
            raise NotImplementedError

        def call(self, x):
            return x

    inputs = keras.Input((3,))
    assert identity.of_model(keras.Model(inputs, Own()(inputs))) is None
