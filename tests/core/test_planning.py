"""The plan of a run: what runs once, from where, and what it costs."""

from __future__ import annotations

import functools
import sys

import keras
import numpy as np
import pytest

import tfvertical as tv
from tests.core import tiny
from tfvertical import flops, identity, stages
from tfvertical.augment import Augment
from tfvertical.backbones._text_preprocessor import WordPiecePreprocessor
from tfvertical.codecs.text import Normalizer
from tfvertical.contracts import Backbone
from tfvertical.errors import ConfigError
from tfvertical.tasks.text_classifier import TextClassifier


def test_a_head_costs_next_to_nothing_and_the_table_says_so():
    task = tiny.text_task(layers=3)
    before = tiny.values(task.model)
    plan = task.plan(tiny.texts(30), adaptation=tv.Frozen(), epochs=10)
    (way,) = plan.ways
    assert way.how == "kept" and way.bytes == 30 * 16 * 4 and way.frozen > 50 * way.learning
    learning = sum(stages.describe(way.resolved)[0][2:])
    assert f"head {learning:,} at 1; {task.model.count_params() - learning:,} frozen\n" in str(plan)
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


def test_a_plan_takes_what_fit_takes():
    task = tiny.text_task(layers=1)
    for given in ("Frozen", [stages.Stage("head", {"head/": 1.0}, 3)], {"name": "Frozen"}):
        assert str(task.plan(tiny.texts(8), adaptation=given)) == str(task.plan(tiny.texts(8)))


def own_text_task(frozen):
    """A task whose body hands `frozen(x, mask)` of a frozen table from a first block to a second."""
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in ("token_ids", "padding_mask")}
    x = keras.layers.Embedding(len(tiny.VOCABULARY), 4, name="table")(inputs["token_ids"])
    crossing = frozen(x, inputs["padding_mask"])
    x = keras.layers.Dense(4, name="learner")(x)
    x = keras.ops.matmul(crossing, x) if crossing.shape[-1] is None else x * crossing
    preprocessor = WordPiecePreprocessor(tiny.VOCABULARY, Normalizer(True, True), 24, tuple(inputs))
    backbone = Backbone(keras.Model(inputs, x), preprocessor, ["table", "learner"], tiny.SOURCE)
    return TextClassifier(backbone, tiny.LABELS)


@pytest.mark.parametrize(
    "frozen",
    [
        lambda x, _: keras.ops.matmul(x, keras.ops.transpose(x, (0, 2, 1))),
        lambda x, _: keras.ops.sum(x, axis=-1)[:, None, :],
        lambda x, _: keras.ops.cast(100 * x, "int16"),
    ],
    ids=["positions by positions", "a mask for attention", "a dtype of its own"],
)
def test_what_cannot_be_kept_by_example_runs_in_every_step(frozen):
    task, options = own_text_task(frozen), {"adaptation": tv.GradualUnfreezing(blocks=1, head_epochs=1), "epochs": 1}
    plan = task.plan(tiny.texts(8), **options)
    assert [way.how for way in plan.ways] == ["kept", "inside"] and "its outputs cannot be kept by example" in str(plan)
    off = task.plan(tiny.texts(8), cache=False, **options)
    assert [way.why for way in off.ways] == ["keeping is switched off"] * 2
    assert task.fit(tiny.texts(8), verbose=0, cache_disk=0, **options).proofs[1].moved


def test_booleans_at_the_frontier_are_kept():
    task = own_text_task(lambda _, mask: keras.ops.not_equal(mask, 0)[..., None])
    options = {"adaptation": tv.GradualUnfreezing(blocks=1, head_epochs=1), "epochs": 1}
    assert "bool" in task.plan(tiny.texts(8), **options).ways[1].frontier
    history = task.fit(tiny.texts(8), verbose=0, cache_disk=0, **options)
    assert history.proofs[1].moved


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


@pytest.mark.parametrize("how", [tv.GradualUnfreezing, tv.FullFineTuning, tv.Discriminative])
def test_epochs_of_the_head_alone_are_nearly_free_where_pictures_are_augmented(how):
    plan = tiny.image_task().plan(tiny.pictures(9), adaptation=how(head_epochs=4), augment=Augment(), epochs=1)
    assert plan.ways[0].resolved.stage.name == "head" and plan.ways[0].how == "kept"


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


def test_what_else_fit_takes_changes_nothing_of_the_plan():
    task = tiny.text_task(layers=1)
    same = task.plan(tiny.texts(8), class_weight="balanced", callbacks=[], verbose=0, checkpoint="there", epochs=1)
    assert str(same) == str(task.plan(tiny.texts(8), epochs=1))
    with pytest.raises(ConfigError, match="no training setting 'class_weights'"):
        task.plan(tiny.texts(8), class_weights="balanced")
    with pytest.raises(ConfigError, match=r"no option of evaluate called 'verbose'[\s\S]*leave it out"):
        task.evaluate(tiny.texts(8), verbose=0)
    with pytest.raises(ConfigError, match="Nearest: 'resamples'"):
        task.evaluate(tiny.texts(8), resample=9)


SHIFT = 1.0


def doubled(x):
    return x * 2.0


def own_layers(factor: float = 1.0) -> list[type[keras.layers.Layer]]:
    """The same layer after edits in a notebook: the first two are equal, and have the same name as the others."""

    class Own(keras.layers.Layer):
        def call(self, x):
            return keras.ops.relu(doubled(x)) + SHIFT

    first = Own

    class Own(keras.layers.Layer):  # with a remark
        def call(self, x):
            return keras.ops.relu(doubled(x)) + SHIFT

    again = Own

    class Own(keras.layers.Layer):
        def call(self, x):
            return keras.ops.gelu(doubled(x)) + SHIFT

    other = Own

    class Own(keras.layers.Layer):
        def call(self, x):
            return keras.ops.relu(doubled(x)) * factor + SHIFT

    return [first, again, other, Own]


def through(layer) -> str | None:
    inputs = keras.Input((3,), name="x")
    return identity.of_model(keras.Model(inputs, layer(inputs)))


def test_identity_is_of_the_code_of_own_layers(monkeypatch):
    first, again, *others = (through(layer()) for layer in own_layers())
    assert first is not None and first == again
    found = {first, *others, through(own_layers(factor=2.0)[-1]())}
    monkeypatch.setattr(sys.modules[__name__], "SHIFT", 1.5)
    found.add(through(own_layers()[0]()))
    monkeypatch.setattr(sys.modules[__name__], "doubled", lambda x: x * 3.0)
    found.add(through(own_layers()[0]()))
    assert len(found) == 6 and None not in found
    unknown = functools.partial(lambda x, held: x, held=object())
    monkeypatch.setattr(sys.modules[__name__], "doubled", unknown)
    assert through(own_layers()[0]()) is None, "nobody can tell what it holds"


def named(factor: float, kept: float = 0.0):
    @keras.saving.register_keras_serializable("tests")
    def shape(x, more=kept):
        return x * factor + more

    return shape


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Lambda,
        lambda function: keras.layers.Dense(2, function, kernel_initializer="ones"),
        lambda function: keras.Sequential([keras.Input((3,)), keras.layers.Activation(function)]),
        lambda function: keras.layers.TimeDistributed(keras.layers.Dense(2, function, kernel_initializer="ones")),
    ],
)
def test_identity_is_of_functions_that_layers_are_given(layer):
    def given(function):
        inputs = keras.Input((4, 3), name="x") if isinstance(layer(function), keras.layers.TimeDistributed) else None
        made = layer(function)
        return through(made) if inputs is None else identity.of_model(keras.Model(inputs, made(inputs)))

    found = [given(named(*each)) for each in ((2.0,), (2.0,), (3.0,), (2.0, 1.0))]
    assert None not in found and found[0] == found[1] and len(set(found)) == 3


def test_identity_is_of_arrays_in_the_graph():
    inputs = keras.Input((2000,), name="x")
    table = np.arange(2000, dtype="float32")

    def added(at: int, by: float) -> str | None:
        other = table.copy()
        other[at] += by
        return identity.of_model(keras.Model(inputs, inputs + other))

    found = {
        added(0, 0.0),
        added(1000, 1.0),
        added(3, 1e-6 * 3),
        identity.of_model(keras.Model(inputs, inputs[:, ::-1])),
    }
    assert added(0, 0.0) in found and len(found) == 4 and None not in found
