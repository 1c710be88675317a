"""Which variables learn, and by what name they are called."""

from __future__ import annotations

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.core import tiny
from tfvertical import stages
from tfvertical.errors import AddressError
from tfvertical.stages import Stage, apply_stage


def dense(width: int = 3, **options) -> keras.layers.Layer:
    return keras.layers.Dense(width, **options)


def sequence(*layers: keras.layers.Layer, size: int = 4, **options) -> keras.Model:
    inputs = x = keras.Input((size,))
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x, **options)


def learning(model: keras.Model) -> set[str]:
    return {variable.path for variable in model.trainable_variables}


def test_frozen_children_begin_to_learn_though_the_model_is_trainable_already():
    """`layer.trainable = True` where it is True already reaches no child: the trap this module exists for."""
    model = sequence(dense(name="body"), dense(name="top"))
    model.get_layer("body").trainable = False
    assert model.trainable
    model.trainable = True
    assert learning(model) == {"top/kernel", "top/bias"}, "Keras has changed: setting True reaches children now"
    apply_stage(model, Stage("all", {".*": 1.0}, 1))
    assert learning(model) == {"body/kernel", "body/bias", "top/kernel", "top/bias"}


def test_a_frozen_whole_around_nested_models_learns():
    body, top = sequence(dense(name="inner"), name="body"), sequence(dense(name="inner"), size=3, name="top")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, top(body(inputs)))
    model.trainable = False
    apply_stage(model, Stage("top", {"top/": 1.0}, 1))
    assert [variable.path for variable in model.trainable_variables] == [v.path for v in top.weights]
    assert {id(v) for v in model.trainable_variables} == {id(v) for v in top.weights}


def test_unfreezing_gives_variables_to_the_next_fit_only_after_compile():
    """Keras reads trainability when it compiles; this is why each stage is a fit of its own."""
    model = sequence(dense(name="body"), dense(1, name="top"))
    apply_stage(model, Stage("top", {"model/top/": 1.0}, 1))
    model.compile("sgd", "mse")
    x, y = np.ones((8, 4), "float32"), np.ones((8, 1), "float32")
    model.fit(x, y, verbose=0)
    before = tiny.values(model)
    apply_stage(model, Stage("all", {".*": 1.0}, 1))
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    after = tiny.values(model)
    assert all(not np.array_equal(before[name], after[name]) for name in before)


def test_what_no_pattern_matches_is_frozen_and_so_is_rate_0():
    model = sequence(dense(name="a"), dense(name="b"), dense(name="c"))
    resolved = apply_stage(model, Stage("s", {"model/a/kernel": 0.5, "model/b/": 0.0}, 1))
    assert dict(resolved.rates) == {"model/a/kernel": 0.5}
    assert learning(model) == {"a/kernel"}
    assert not model.get_layer("b").trainable and not model.get_layer("c").trainable


def test_first_match_wins():
    model = sequence(dense(name="a"), dense(name="b"))
    rates = stages.resolve(stages.components_of(model), Stage("s", {"model/b/bias": 2.0, ".*": 0.1}, 1)).rates
    assert rates["model/b/bias"] == 2.0 and {rate for name, rate in rates.items() if name != "model/b/bias"} == {0.1}


def test_a_pattern_that_matches_nothing_is_named_with_the_nearest():
    task = tiny.text_task()
    with pytest.raises(AddressError, match=r"Stage 'head': no variable matches 'hed/'[\s\S]*Nearest: 'head/'"):
        stages.resolve(task.components, Stage("head", {"hed/": 1.0}, 1))


def test_a_pattern_that_never_wins_is_refused():
    """`head/` after `.*` would be silently trained at the other rate."""
    model = sequence(dense(name="body"), dense(name="head"))
    with pytest.raises(AddressError, match=r"'model/head/'[\s\S]*'\.\*'"):
        apply_stage(model, Stage("s", {".*": 0.1, "model/head/": 1.0}, 1))


@pytest.mark.parametrize("pattern", ["model/stem_norm/", r"model/.*(gamma|beta)$", "model/(stem_norm|block1_norm)"])
def test_a_pattern_of_batch_normalization_alone_needs_it_to_learn(pattern: str):
    """Else the stage would train the rest as if it were not there."""
    model, rates = tiny.convnet(), {"model/block2": 1.0}
    if "gamma" in pattern:
        rates = {"model/block2_conv": 1.0}
    with pytest.raises(AddressError, match=r"has no effect: it matches BatchNormalization only[\s\S]*batch_norm=True"):
        apply_stage(model, Stage("s", {**rates, pattern: 1.0}, 1))
    found = apply_stage(model, Stage("s", {**rates, pattern: 1.0}, 1, batch_norm=True)).rates
    assert {"model/stem_norm/gamma", "model/stem_norm/beta"} <= set(found)
    apply_stage(model, Stage("s", {**rates, pattern: 0.0}, 1))  # to freeze them is no mistake


def test_a_pattern_of_statistics_alone_has_no_effect():
    with pytest.raises(AddressError, match="'model/stem_norm/moving' has no effect: what it matches are statistics"):
        apply_stage(tiny.convnet(), Stage("s", {"model/stem_norm/moving": 1.0, ".*": 1.0}, 1, batch_norm=True))


def test_resolve_changes_nothing():
    model = sequence(dense(name="a"), dense(name="b"))
    before = learning(model)
    stages.resolve(stages.components_of(model), Stage("s", {"model/a/": 1.0}, 1))
    assert learning(model) == before


def test_nothing_to_learn_is_refused():
    with pytest.raises(AddressError, match="nothing would learn"):
        apply_stage(sequence(dense(name="a")), Stage("s", {".*": 0.0}, 1))


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf")])
def test_impossible_rates(rate):
    with pytest.raises(AddressError, match="finite"):
        Stage("s", {"head/": rate}, 1)


def test_impossible_stages():
    with pytest.raises(AddressError, match="regular expression"):
        Stage("s", {"head/(": 1.0}, 1)
    with pytest.raises(AddressError, match="0 epochs"):
        Stage("s", {"head/": 1.0}, 0)


# ------------------------------------------------------------------------------------------------------- addresses
def anonymous() -> keras.Model:
    """Two levels of layers that Keras names itself."""
    inputs = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), dense(5), keras.layers.BatchNormalization(), dense(4)])
    x = keras.layers.Add()([dense(4)(inner(inputs)), dense(4)(inputs)])
    body = keras.Model(inputs, x, name="text")
    head = sequence(dense(2))
    outer = keras.Input((4,))
    return keras.Model(outer, head(body(outer)))


def test_automatic_names_never_appear_and_addresses_do_not_depend_on_what_was_built_before():
    first = list(stages.addresses(stages.components_of(anonymous())))
    for _ in range(3):
        anonymous()
    again = list(stages.addresses(stages.components_of(anonymous())))
    strip = [address.partition("/")[2] for address in first], [address.partition("/")[2] for address in again]
    assert strip[0] == strip[1]
    assert len(set(first)) == len(first)
    assert "dense_0/kernel" in strip[0]


PROGRAM = """
import json, sys
from tests.core import tiny
from tfvertical import stages
import keras
for _ in range(int(sys.argv[1])):
    keras.layers.Dense(3); keras.layers.LayerNormalization(); tiny.convnet()
print(json.dumps([list(stages.addresses(tiny.make_task(kind).components)) for kind in ("text", "image")]))
"""


def test_addresses_are_equal_in_another_process(root):
    here = [list(stages.addresses(tiny.make_task(kind).components)) for kind in ("text", "image")]
    said = subprocess.run([sys.executable, "-c", PROGRAM, "2"], cwd=root, capture_output=True, text=True, check=True)
    assert json.loads(said.stdout.splitlines()[-1]) == here
    for addresses in here:
        assert len(set(addresses)) == len(addresses)
        assert all(address.split("/")[0] in ("text", "image", "head") for address in addresses)


def test_duplicated_towers_have_addresses_of_their_own():
    """Two KerasHub BERTs in one model share most of their variables' paths."""
    one, other = tiny.bert(seed=0), tiny.bert(seed=1)
    paths = [variable.path for tower in (one, other) for variable in tower.weights]
    assert len(set(paths)) < len(paths), "no trap any more"
    components = {"query": one, "document": other}
    found = stages.addresses(components)
    assert len(found) == len(paths)
    resolved = stages.apply(components, Stage("s", {"document/transformer_layer_1/": 1.0}, 1))
    assert not one.trainable_variables and other.trainable_variables
    assert all(address.startswith("document/transformer_layer_1/") for address in resolved.rates)


def test_two_layers_of_one_name_are_refused():
    class Pair(keras.layers.Layer):
        def build(self, shape):
            self.left = self.add_weight(shape=(2,), name="same")
            self.right = self.add_weight(shape=(2,), name="same")

        def call(self, x):
            return x + self.left + self.right

    inputs = keras.Input((2,))
    with pytest.raises(AddressError, match="Two variables have the address 'model/two/same'"):
        apply_stage(keras.Model(inputs, Pair(name="two")(inputs)), Stage("s", {".*": 1.0}, 1))


def test_a_layer_shared_by_two_components_learns_once():
    shared = dense(4, name="shared")
    inputs = [keras.Input((4,)), keras.Input((4,))]
    left = keras.Model(inputs[0], dense(4, name="own")(shared(inputs[0])), name="left")
    right = keras.Model(inputs[1], shared(inputs[1]), name="right")
    components = {"left": left, "right": right}
    resolved = stages.apply(components, Stage("s", {"left/shared/": 1.0}, 1))
    assert {id(v) for v in resolved.learning().values()} == {id(v) for v in shared.weights}
    assert shared.trainable and len(right.trainable_variables) == 2


# ---------------------------------------------------------------------------------------------- BatchNormalization
def test_batch_normalization_stays_in_inference_mode_unless_asked():
    model = tiny.convnet(dropout=0.0)
    x = np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 3)).astype("float32")
    for batch_norm in (False, True):
        resolved = apply_stage(model, Stage("all", {".*": 1.0}, 1, batch_norm=batch_norm))
        assert model.get_layer("stem_norm").trainable is batch_norm
        assert ("model/stem_norm/gamma" in resolved.rates) is batch_norm
        moved = not np.array_equal(np.asarray(model(x, training=True)), np.asarray(model(x, training=False)))
        assert moved is batch_norm


@pytest.mark.parametrize("batch_norm", [False, True])
def test_moving_statistics_never_learn(batch_norm):
    model = tiny.convnet()
    resolved = apply_stage(model, Stage("all", {".*": 1.0}, 1, batch_norm=batch_norm))
    assert not [address for address in resolved.rates if "moving" in address]
    assert not [variable.path for variable in model.trainable_variables if "moving" in variable.path]


def test_a_frozen_block_keeps_its_statistics_when_another_lets_them_move():
    model = tiny.convnet(dropout=0.0)
    apply_stage(model, Stage("top", {"model/block2": 1.0}, 1, batch_norm=True))
    before = {v.path: v.numpy() for v in model.weights if "moving" in v.path}
    model(np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 3)).astype("float32"), training=True)
    moved = {path for path, v in before.items() if not np.array_equal(v, model_weight(model, path))}
    assert moved == {"block2_norm/moving_mean", "block2_norm/moving_variance"}


def model_weight(model: keras.Model, path: str) -> np.ndarray:
    return next(variable.numpy() for variable in model.weights if variable.path == path)


def test_describe_counts_weights():
    task = tiny.text_task()
    said = stages.describe(stages.resolve(task.components, Stage("s", {"head/": 1.0}, 1)))
    assert said == [("head", 1.0, 16 * 2 + 2)]
