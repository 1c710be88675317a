"""A model split where frozen ends is the same model: to the last bit, before and after training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from tests.core import tiny
from tfvertical import frontier, identity, nodes, stages, training
from tfvertical.adaptations.discriminative import Discriminative
from tfvertical.adaptations.frozen import Frozen
from tfvertical.adaptations.full_fine_tuning import FullFineTuning
from tfvertical.adaptations.gradual_unfreezing import GradualUnfreezing
from tfvertical.settings import Settings
from tfvertical.stages import Stage

ADAPTATIONS = [
    Frozen(),
    GradualUnfreezing(blocks=None),
    GradualUnfreezing(blocks=2, decay=2.6),
    FullFineTuning(head_epochs=1),
    Discriminative(head_epochs=1),
]


def tokens(rows: int = 3, length: int = 8) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    lengths = np.arange(length, length - rows, -1)
    mask = np.arange(length) < lengths[:, None]
    ids = np.where(mask, draw.integers(5, 40, mask.shape), 0)
    return {"token_ids": ids, "padding_mask": mask.astype("int32"), "segment_ids": np.zeros_like(ids)}


def images(rows: int = 3) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (rows, 16, 16, 3)).astype("float32")


def task_inputs(kind: str) -> dict[str, np.ndarray]:
    return tokens() if kind == "text" else {"images": images()}


def flat(outputs: Any) -> list[np.ndarray]:
    return [np.asarray(output) for output in keras.tree.flatten(outputs)]


def through(parts: frontier.Split, x: Any) -> list[np.ndarray]:
    return flat(parts.suffix(x if parts.prefix is None else parts.prefix(x, training=False), training=False))


def check_same(model: keras.Model, parts: frontier.Split, x: Any) -> None:
    whole = flat(model(x, training=False))
    for one, other in zip(whole, through(parts, x), strict=True):
        np.testing.assert_array_equal(one, other)


def check_holds_nothing_that_learns(parts: frontier.Split, model: keras.Model) -> None:
    assert parts.prefix is None or not parts.prefix.trainable_variables
    assert {id(v) for v in parts.suffix.trainable_variables} == {id(v) for v in model.trainable_variables}


CASES = [("image", adaptation) for adaptation in ADAPTATIONS] + [("text", ADAPTATIONS[1]), ("text", ADAPTATIONS[3])]


@pytest.mark.parametrize(("kind", "adaptation"), CASES, ids=lambda v: v if isinstance(v, str) else type(v).__name__)
def test_every_stage_of_every_adaptation(kind: str, adaptation: Any):
    task = tiny.make_task(kind)
    sizes = []
    for stage in adaptation.stages(task, 1):
        stages.apply(task.components, stage)
        parts = frontier.split(task.model)
        check_same(task.model, parts, task_inputs(kind))
        check_holds_nothing_that_learns(parts, task.model)
        sizes.append(0 if parts.prefix is None else len(parts.prefix.weights))
    assert sizes == sorted(sizes, reverse=True), "a later stage has a later frontier"
    assert sizes[0] > 0 or type(adaptation) in (FullFineTuning, Discriminative)


# --------------------------------------------------------------------------------------- models of many shapes
def nested() -> tuple[keras.Model, Any, str]:
    task = tiny.text_task()
    return task.model, tokens(), "text/transformer_layer_1/"


def flattened() -> tuple[keras.Model, Any, str]:
    model = tiny.bert(3)
    return model, tokens(), "model/transformer_layer_2/"


def residual() -> tuple[keras.Model, Any, str]:
    return tiny.convnet(), images(), "model/block2_conv/"


def inside_a_residual_block() -> tuple[keras.Model, Any, str]:
    """The frontier cuts the shortcut and the branch: two tensors."""
    return tiny.convnet(), images(), "model/block1_conv/"


def sequential() -> tuple[keras.Model, Any, str]:
    layers = [keras.layers.Dense(4, name="a"), keras.layers.Dense(4, "relu", name="b"), keras.layers.Dense(2, name="c")]
    return keras.Sequential([keras.Input((5,)), *layers], name="s"), vectors(), "model/c/"


def nested_sequential() -> tuple[keras.Model, Any, str]:
    body = keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(4, name="a"), keras.layers.Dense(4, name="b")], name="body"
    )
    inputs = keras.Input((5,))
    head = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(2, name="c")], name="head"
    )
    return keras.Model(inputs, head(body(inputs))), vectors(), "body/b/"


def shared_layer() -> tuple[keras.Model, Any, str]:
    inputs = keras.Input((4,))
    shared, frozen = keras.layers.Dense(4, name="shared"), keras.layers.Dense(4, name="frozen")
    x = frozen(inputs)
    y = shared(x)
    return keras.Model(inputs, keras.layers.Add()([shared(y), frozen(y)[:, ::-1], x])), vectors(4), "model/shared/"


def two_inputs() -> tuple[keras.Model, Any, str]:
    one, other = keras.Input((5,), name="one"), keras.Input((4,), name="other")
    x = keras.layers.Dense(4, name="frozen")(one)
    x = keras.layers.Dense(4, name="top")(x)
    model = keras.Model([one, other], keras.layers.Add()([x, other]))
    return model, [vectors(), vectors(4)], "model/top/"


def two_outputs() -> tuple[keras.Model, Any, str]:
    """One output is frozen all the way."""
    inputs = keras.Input((5,))
    x = keras.layers.Dense(4, name="frozen")(inputs)
    outputs = {"raw": x, "top": keras.layers.Dense(2, name="top")(x), "double": x * 2}
    return keras.Model(inputs, outputs), vectors(), "model/top/"


def many_tensors() -> tuple[keras.Model, Any, str]:
    """More than ten tensors cross: `cut_10` sorts before `cut_2`."""
    inputs = keras.Input((5,))
    towers = [keras.layers.Dense(at + 1, name=f"tower_{at}")(inputs) for at in range(13)]
    return (
        keras.Model(inputs, keras.layers.Concatenate(name="join")([learner(at)(x) for at, x in enumerate(towers)])),
        (vectors()),
        "model/learner",
    )


def learner(at: int) -> keras.layers.Layer:
    return keras.layers.Dense(2, name=f"learner_{at}")


@keras.saving.register_keras_serializable("tests")
class Doubled(keras.Model):
    """A model whose call is more than its graph: one operation, not to be looked into."""

    def call(self, x, training=None, mask=None):
        return super().call(x, training=training, mask=mask) * 2

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return super().from_config(config, custom_objects)


def own_call() -> tuple[keras.Model, Any, str]:
    inputs = keras.Input((5,))
    inner_input = keras.Input((4,))
    inner = Doubled(inner_input, keras.layers.Dense(4, name="inside")(inner_input), name="doubled")
    x = inner(keras.layers.Dense(4, name="frozen")(inputs))
    return keras.Model(inputs, keras.layers.Dense(2, name="top")(x)), vectors(), "model/top/"


def other_dtype() -> tuple[keras.Model, Any, str]:
    """A nested model casts what arrives to its own input's dtype."""
    inputs = keras.Input((5,))
    inner_input = keras.Input((5,), dtype="int32")
    inner = keras.Model(inner_input, keras.layers.Dense(4, name="inside")(inner_input), name="inner")
    x = inner(inputs * 3)
    return keras.Model(inputs, keras.layers.Dense(2, name="top")(x)), vectors(), "model/top/"


def masked() -> tuple[keras.Model, Any, str]:
    """Keras' implicit mask, which a tensor carries beside its values, crosses the frontier."""
    inputs = keras.Input((6,), dtype="int32")
    x = keras.layers.Embedding(9, 4, mask_zero=True, name="embedding_table")(inputs)
    x = keras.layers.LSTM(4, return_sequences=True, name="recurrent")(keras.layers.Dropout(0.1)(x))
    x = keras.layers.GlobalAveragePooling1D()(x)
    ids = np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 1]], "int32")
    return keras.Model(inputs, keras.layers.Dense(2, name="top")(x)), ids, "model/(recurrent|top)/"


def vectors(width: int = 5) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(3, width)).astype("float32")


MODELS = [
    nested,
    flattened,
    residual,
    inside_a_residual_block,
    sequential,
    nested_sequential,
    shared_layer,
    two_inputs,
    two_outputs,
    many_tensors,
    own_call,
    other_dtype,
    masked,
]


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras' own, when it writes a .keras file
@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_training_the_suffix_moves_the_whole_which_still_saves(make: Callable, tmp_path):
    model, x, pattern = make()
    stages.apply_stage(model, Stage("s", {pattern: 1.0}, 1))
    parts = frontier.split(model)
    assert parts.prefix is not None
    check_same(model, parts, x)
    check_holds_nothing_that_learns(parts, model)
    before, frozen = flat(model(x, training=False)), tiny.values(parts.prefix)
    cut = parts.prefix(x, training=False)
    targets = keras.tree.map_structure(lambda t: np.ones(t.shape, "float32"), model(x))
    parts.suffix.compile(keras.optimizers.SGD(0.1), loss="mse")
    parts.suffix.fit(cut, targets, epochs=2, verbose=0)
    after = flat(model(x, training=False))
    assert any(not np.array_equal(one, other) for one, other in zip(before, after, strict=True))
    assert tiny.largest_difference(frozen, tiny.values(parts.prefix)) == 0
    check_same(model, parts, x)
    model.save(tmp_path / "whole.keras")
    again = keras.saving.load_model(tmp_path / "whole.keras", compile=False)
    for one, other in zip(after, flat(again(x, training=False)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_how_many_tensors_cross():
    for make, count in (
        (residual, 1),
        (inside_a_residual_block, 1),
        (two_inputs, 2),
        (two_outputs, 2),
        (masked, 2),
        (many_tensors, 13),
    ):
        model, _, pattern = make()
        stages.apply_stage(model, Stage("s", {pattern: 1.0}, 1))
        assert len(frontier.split(model).suffix.inputs) == count, make.__name__


def test_the_branch_of_a_residual_block_crosses_beside_its_shortcut():
    model = tiny.convnet()
    stages.apply_stage(model, Stage("s", {"model/block1_norm/": 1.0, "model/block2": 1.0}, 1, batch_norm=True))
    parts = frontier.split(model)
    assert len(parts.suffix.inputs) == 2
    check_same(model, parts, images())


def test_nothing_frozen_leaves_no_prefix():
    model, _, _ = two_inputs()
    stages.apply_stage(model, Stage("all", {".*": 1.0}, 1))
    parts = frontier.split(model)
    assert parts.prefix is None and parts.suffix is model


def test_everything_frozen_is_all_prefix():
    model = tiny.convnet()
    model.trainable = False
    parts = frontier.split(model)
    check_same(model, parts, images())
    assert not parts.suffix.weights


@pytest.mark.parametrize(
    "layer", ["RandomFlip", "RandomRotation", "RandomErasing", "RandAugment", "RandomCrop", "MixUp"]
)
def test_random_augmentation_is_never_cached(layer: str):
    options = {"RandomRotation": {"factor": 0.2}, "RandomCrop": {"height": 16, "width": 16}}.get(layer, {})
    augment = getattr(keras.layers, layer)(**options)
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1.0)(inputs)
    try:
        x = augment(x)
    except Exception:  # some of Keras' augmentations take no symbolic tensor
        pytest.skip(f"{layer} cannot stand in a functional model")
    x = keras.layers.Flatten()(keras.layers.Conv2D(2, 3, name="frozen")(x))
    model = keras.Model(inputs, keras.layers.Dense(2, name="top")(x))
    stages.apply_stage(model, Stage("s", {"model/top/": 1.0}, 1))
    parts = frontier.split(model)
    assert parts.prefix is None or augment not in parts.prefix.layers
    assert augment in parts.suffix.layers


class Mine(keras.layers.RandomFlip):
    """An augmentation of one's own, made of one of Keras'."""


@pytest.mark.parametrize(
    "make", [Mine, lambda: keras.layers.Pipeline([keras.layers.RandomFlip()])], ids=["subclass", "pipeline"]
)
def test_augmentation_made_of_keras_own_is_never_cached_either(make):
    augment, inputs = make(), keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(2, 3, name="frozen")(augment(keras.layers.Rescaling(1.0)(inputs)))
    model = keras.Model(inputs, keras.layers.Dense(2, name="top")(keras.layers.Flatten()(x)))
    stages.apply_stage(model, Stage("s", {"model/top/": 1.0}, 1))
    parts = frontier.split(model)
    assert parts.prefix is None or augment not in parts.prefix.layers
    assert augment in parts.suffix.layers


def test_dropout_before_the_frontier_lies_in_the_prefix():
    model = tiny.convnet(dropout=0.5)
    stages.apply_stage(model, Stage("s", {"model/block2": 1.0}, 1))
    parts = frontier.split(model)
    assert model.get_layer("block1_drop") in parts.prefix.layers
    assert model.get_layer("block2_drop") in parts.suffix.layers


# ----------------------------------------------------------------------------------- numbers that are not finite
def padded() -> keras.Model:
    """What stands around a picture is less than anything in it; then a sum that is too large for bright ones."""
    images = keras.Input((4, 4, 1), name="images")
    x = keras.layers.Rescaling(1.0, name="scaled")(images)
    x = keras.ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=-np.inf)
    x = keras.layers.MaxPooling2D(3, 2, name="highest")(x)
    x = keras.layers.Rescaling(1e30, name="grown")(keras.layers.Flatten()(x))
    return keras.Model(images, keras.layers.Dense(2, name="top")(x))


@pytest.mark.parametrize(("value", "name"), [(1e10, "grown"), (np.nan, "images"), (np.inf, "images"), (1.0, None)])
def test_an_infinity_that_belongs_there_is_not_the_fault(value: float, name: str | None):
    pictures = np.ones((3, 4, 4, 1), "float32")
    pictures[1] = value
    found = frontier.first_not_finite(padded(), {"images": pictures})
    if name is None:
        assert found is None
    else:
        assert found is not None and found[0] == name and found[1].tolist() == [False, True, False]


def test_an_overflow_that_the_output_does_not_show_is_told_all_the_same():
    inputs = keras.Input((2,), name="x")
    model = keras.Model(inputs, keras.ops.tanh(keras.layers.Rescaling(1e30, name="grown")(inputs)))
    found = frontier.first_not_finite(model, {"x": np.array([[1, 1], [1, 1e10]], "float32")})
    assert found is not None and found[0] == "grown" and found[1].tolist() == [False, True]


def test_numbers_of_no_example_concern_all():
    inputs = keras.Input((2,), name="x")
    scale = keras.layers.Embedding(1, 2, embeddings_initializer=keras.initializers.Constant(np.nan), name="scale")
    model = keras.Model(inputs, inputs * scale(keras.ops.zeros_like(inputs[:1, 0], "int32")))
    found = frontier.first_not_finite(model, {"x": np.ones((3, 2), "float32")})
    assert found is not None and found[0] == "scale" and found[1].tolist() == [True] * 3


@pytest.fixture
def bfloat16():
    """Keras' own switch, which holds for all layers that are made."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("kind", ["text", "image", "chain", "apart", "answers"])
def test_the_frontier_may_lie_inside_the_head_by_whatever_policy_it_was_built(kind: str, bfloat16):
    task = tiny.make_task(kind)
    calls, _, _ = frontier.replay(task.model)
    assert all(operation is not task.components["head"] for operation, *_ in calls)


@pytest.mark.filterwarnings("error:Stage")
def test_a_head_is_trained_on_what_is_kept_by_whatever_policy_it_was_built(bfloat16):
    task = tiny.text_task()
    settings = Settings(epochs=2, batch_size=4, cache_disk=0)
    history = training.run(task, task.encode(tiny.texts(16)), None, Frozen(), settings, verbose=0)
    assert history.steps[0]["chunks"] and np.isfinite(history.history["loss"]).all()


# ------------------------------------------------------------------------------------------- what calls leave behind
def counts(model: keras.Model) -> list[tuple[int, int]]:
    """How many calls Keras has noted at each layer, and at what is no layer in a body's graph."""
    inside = [part for layer in stages.layers(model) for part in getattr(layer, "operations", [])]
    every = {id(each): each for each in [*stages.layers(model), *inside]}
    return [(len(each._inbound_nodes), len(each._outbound_nodes)) for each in every.values()]


@pytest.mark.parametrize(
    ("kind", "adaptation", "cache"),
    [("text", Frozen(), True), ("image", Frozen(), False), ("image", GradualUnfreezing(blocks=1, head_epochs=1), True)],
)
def test_layers_hold_no_more_calls_after_plans_and_runs(kind: str, adaptation: Any, cache: bool):
    task, examples = tiny.make_task(kind), tiny.make_examples(kind, 12)
    before, encoded = counts(task.model), task.encode(examples)
    plan = task.plan(examples, adaptation=adaptation, epochs=2)
    assert counts(task.model) == before
    split = frontier.split(task.model)
    held = counts(task.model)
    settings = Settings(epochs=2, batch_size=6, cache=cache, cache_disk=0)
    training.run(task, encoded, None, adaptation, settings, verbose=0)
    assert counts(task.model) == held
    identity.of_model(task.model)
    assert counts(task.model) == held
    assert "frontier" in str(plan)
    again = keras.Model(split.suffix.input, split.suffix.output)  # somebody's own may be built upon
    assert len(again.layers) == len(split.suffix.layers)


def test_a_call_of_somebody_s_own_keeps_its_place():
    inputs, layer = keras.Input((3,)), keras.layers.Dense(2)
    layer(inputs)
    with nodes.forgotten():
        nodes.called(layer, keras.Input((3,)))
        own = layer(keras.Input((3,)))
        nodes.called(layer, keras.Input((3,)))
    assert own._keras_history.node_index == 2 and layer._inbound_nodes[2].outputs[0] is own
    assert len(layer._inbound_nodes) == 3
