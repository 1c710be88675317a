"""Rates, decay, clipping and starts, against AdamW written out in float64."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfvertical.optimizer import RunSchedule, StagedAdamW, decays
from tfvertical.tables import packed

STEPS = 20
SHAPES = [(5, 3), (3,), (7, 2), (2,)]


def schedule_reference(step: int, peak: float, steps: int, warmup: float, shape: str, offset: int = 0) -> float:
    """Rise over the warm-up, then fall to 0 at `steps`."""
    at, rising = step - offset, max(1, int(warmup * steps))
    if at < rising:
        return peak * (at + 1) / rising
    rest = min(1.0, (at - rising) / max(1, steps - rising))
    return peak * {"cosine": 0.5 * (1 + math.cos(math.pi * rest)), "linear": 1 - rest, "constant": 1.0}[shape]


def reference(values, gradients, rates, decay, decayed, starts, clip, schedule, b1=0.9, b2=0.999, eps=1e-7):
    """AdamW, float64: `gradients[step][variable]`."""
    values = [value.astype("float64") for value in values]
    m, v = ([np.zeros_like(value) for value in values] for _ in range(2))
    for step, arriving in enumerate(gradients):
        arriving = [gradient.astype("float64") for gradient in arriving]
        norm = math.sqrt(sum(float((gradient**2).sum()) for gradient in arriving))
        scale = 1.0 if clip is None or norm <= clip else clip / norm
        for at, gradient in enumerate(arriving):
            gradient = gradient * scale
            m[at] = b1 * m[at] + (1 - b1) * gradient
            v[at] = b2 * v[at] + (1 - b2) * gradient**2
            t = step + 1 - starts[at]
            update = m[at] * (math.sqrt(1 - b2**t) / (1 - b1**t)) / (np.sqrt(v[at]) + eps)
            values[at] = values[at] - schedule(step) * rates[at] * (update + decay * decayed[at] * values[at])
    return values


def problem(steps: int = STEPS):
    draw = np.random.default_rng(0)
    values = [draw.normal(size=shape).astype("float32") for shape in SHAPES]
    gradients = [
        [draw.normal(size=shape).astype("float32") * 10.0**-at for at, shape in enumerate(SHAPES)] for _ in range(steps)
    ]
    return values, gradients


def made(values) -> list[keras.Variable]:
    return [keras.Variable(value, name=f"v{at}") for at, value in enumerate(values)]


def step_all(optimizer, variables, gradients, jit: bool = False) -> None:
    @tf.function(jit_compile=jit)
    def step(given):
        optimizer.apply(given, variables)

    for given in gradients:
        step([tf.constant(gradient) for gradient in given])


def largest(variables, expected) -> float:
    return max(
        float(np.abs(variable.numpy() - value).max()) for variable, value in zip(variables, expected, strict=True)
    )


@pytest.mark.parametrize(
    ("shape", "clip", "jit"),
    [("cosine", 1.0, False), ("cosine", 1.0, True), ("linear", None, False), ("constant", 1.0, False)],
)
def test_twenty_steps_equal_the_reference(shape: str, clip: float | None, jit: bool):
    values, gradients = problem()
    rates, decayed = [1.0, 0.1, 0.01, 2.6], [True, False, True, False]
    optimizer = StagedAdamW(RunSchedule(0.05, STEPS, 0.25, shape), rates, decayed, [0] * 4, decay=0.1, clip_norm=clip)
    variables = made(values)
    optimizer.build(variables)
    step_all(optimizer, variables, gradients, jit)
    expected = reference(
        values, gradients, rates, 0.1, decayed, [0] * 4, clip, lambda s: schedule_reference(s, 0.05, STEPS, 0.25, shape)
    )
    assert largest(variables, expected) <= 1e-5
    assert max(float(np.abs(value - start).max()) for value, start in zip(expected, values, strict=True)) > 0.1


def test_decay_scales_with_rate_and_leaves_out_what_it_should():
    values, _ = problem()
    zero = [[np.zeros(shape, "float32") for shape in SHAPES]]
    optimizer = StagedAdamW(0.5, [1.0, 1.0, 0.1, 1.0], [True, False, True, False], [0] * 4, decay=0.2)
    variables = made(values)
    optimizer.build(variables)
    step_all(optimizer, variables, zero)
    for variable, value, factor in zip(variables, values, [0.9, 1.0, 0.99, 1.0], strict=True):
        np.testing.assert_allclose(variable.numpy(), value * factor, rtol=1e-6)


def test_a_variable_that_begins_later_is_corrected_from_its_own_first_step():
    """Stage one: two variables; stage two: all four. The first two go on as if nothing had happened."""
    values, gradients = problem()
    plan = RunSchedule(0.05, STEPS, 0.1, "cosine")
    variables = made(values)
    first = StagedAdamW(plan, [1.0, 0.5], [True, False], [0, 0], clip_norm=None)
    first.build(variables[:2])
    step_all(first, variables[:2], [given[:2] for given in gradients[:8]])
    # the order changes between stages: moments follow the variable, not its place
    order = [2, 0, 3, 1]
    second = StagedAdamW(plan, [0.1, 1.0, 0.1, 0.5], [True, True, False, False], [8, 0, 8, 0], clip_norm=None)
    now = [variables[at] for at in order]
    second.build(now)
    second.carry_over(first, variables[:2], now)
    assert int(second.iterations.numpy()) == 8
    step_all(second, now, [[given[at] for at in order] for given in gradients[8:]])
    schedule = lambda s: schedule_reference(s, 0.05, STEPS, 0.1, "cosine")  # noqa: E731
    whole = reference(values[:2], [g[:2] for g in gradients], [1.0, 0.5], 0.01, [True, False], [0, 0], None, schedule)
    late = reference(
        values[2:],
        [g[2:] for g in gradients[8:]],
        [0.1, 0.1],
        0.01,
        [True, False],
        [0, 0],
        None,
        lambda s: schedule(s + 8),
    )
    assert largest(variables, whole + late) <= 1e-5


def test_duplicate_rows_of_an_embedding_are_summed_before_they_are_squared():
    table = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
    rows, given = [1, 4, 1, 1], np.random.default_rng(1).normal(size=(4, 3)).astype("float32")
    dense = np.zeros_like(table)
    np.add.at(dense, rows, given)
    results = []
    for gradient in (tf.IndexedSlices(tf.constant(given), tf.constant(rows), tf.constant([6, 3])), tf.constant(dense)):
        (variable,) = made([table])
        optimizer = StagedAdamW(0.1, [1.0], [True], [0])
        optimizer.build([variable])
        for _ in range(3):
            optimizer.apply([gradient], [variable])
        results.append(variable.numpy())
    np.testing.assert_allclose(results[0], results[1], atol=1e-6)


def test_clipping_counts_an_embedding_s_rows_as_they_are_summed():
    """Two opposite gradients of one row are nothing, so they must not use up the norm."""
    table, other = np.ones((2, 2), "float32"), np.ones(2, "float32")
    variables = made([table, other])
    optimizer = StagedAdamW(0.1, [1.0, 1.0], [False] * 2, [0] * 2, clip_norm=1e-3)
    optimizer.build(variables)
    slices = tf.IndexedSlices(tf.constant([[5.0, 5.0], [-5.0, -5.0]]), tf.constant([0, 0]), tf.constant([2, 2]))
    optimizer.apply([slices, tf.constant([1e-3, 0.0])], variables)
    np.testing.assert_allclose(np.asarray(optimizer._momentums[1]), [1e-4, 0.0], rtol=1e-5)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("jit", [False, True])
def test_some_rows_move_as_if_all_could(sparse: bool, jit: bool):
    """Where the others' gradient is zero, and but for their decay."""
    values, gradients = problem()
    rows = np.array([1, 3, 6], np.int32)
    for given in gradients:
        given[2][np.setdiff1d(np.arange(7), rows)] = 0
    decayed = [True, False, True, False]
    limits = [None, None, packed(rows), None]
    optimizer = StagedAdamW(RunSchedule(0.05, STEPS), [1.0] * 4, decayed, [0] * 4, decay=0.1, rows=limits)
    variables = made(values)
    optimizer.build(variables)

    @tf.function(jit_compile=jit)
    def step(given):
        if sparse:  # as a lookup gives them: out of order, and a row twice
            order = tf.constant([6, 1, 3, 1])
            taken = tf.gather(given[2], order) * tf.constant([1.0, 0.25, 1.0, 0.75])[:, None]
            given = [*given[:2], tf.IndexedSlices(taken, order, tf.constant([7, 2])), given[3]]
        optimizer.apply(given, variables)

    for given in gradients:
        step([tf.constant(gradient) for gradient in given])
    schedule = lambda s: schedule_reference(s, 0.05, STEPS, 0.1, "cosine")  # noqa: E731
    expected = reference(values, gradients, [1.0] * 4, 0.1, decayed, [0] * 4, 1.0, schedule)
    others = np.setdiff1d(np.arange(7), rows)
    expected[2][others] = values[2][others]
    assert largest(variables, expected) <= 1e-5
    np.testing.assert_array_equal(variables[2].numpy()[others], values[2][others])
    assert [tuple(each.shape) for each in optimizer._momentums] == [(5, 3), (3,), (3, 2), (2,)]


def test_rows_go_through_the_config():
    optimizer = StagedAdamW(0.1, [1.0] * 2, [True] * 2, [0] * 2, rows=[None, packed(np.array([0, 9]))])
    again = StagedAdamW.from_config(json.loads(json.dumps(optimizer.get_config())))
    again.build(made([np.ones(2, "float32"), np.ones((20, 2), "float32")]))
    assert again.get_config()["rows"] == (None, "8040") and again._momentums[1].shape == (2, 2)
    with pytest.raises(ValueError, match="3 variables learn, but there are 2 rows"):
        StagedAdamW(0.1, [1.0] * 3, [True] * 3, [0] * 3, rows=[None] * 2).build(made([np.ones(2, "float32")] * 3))


# -------------------------------------------------------------------------------------------------------- schedule
@pytest.mark.parametrize("shape", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 11, 15, 100])
def test_the_schedule_rises_to_its_peak_and_no_higher_then_falls(steps: int, warmup: float, shape: str):
    schedule = RunSchedule(0.5, steps, warmup, shape)
    rates = [float(schedule(step)) for step in range(steps)]
    assert rates == pytest.approx(
        [schedule_reference(step, 0.5, steps, warmup, shape) for step in range(steps)], abs=1e-6
    )
    assert min(rates) > 0 and max(rates) <= 0.5 + 1e-7
    top = int(np.argmax(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    if shape != "constant" and steps > max(1, int(warmup * steps)):
        assert float(schedule(steps)) == pytest.approx(0, abs=1e-7)


def test_the_schedule_begins_at_its_offset():
    late, early = RunSchedule(0.5, 10, 0.2, "linear", offset=7), RunSchedule(0.5, 10, 0.2, "linear")
    assert [float(late(step + 7)) for step in range(10)] == [float(early(step)) for step in range(10)]


def test_no_decay_on_biases_and_normalization():
    layers = [keras.layers.Dense(3, name="d"), keras.layers.LayerNormalization(name="n")]
    inputs = x = keras.Input((4, 4))
    x = keras.layers.MultiHeadAttention(2, 3, name="a")(x, x)
    for layer in layers:
        x = layer(x)
    model = keras.Model(inputs, x)
    names = [variable.path for variable in model.weights]
    found = dict(zip(names, decays(names, model.weights), strict=True))
    assert {name for name, decayed in found.items() if decayed} == {
        "a/query/kernel", "a/key/kernel", "a/value/kernel", "a/attention_output/kernel", "d/kernel"
    }  # fmt: skip


# --------------------------------------------------------------------------------------------------- state, strategy
def small_model() -> keras.Model:
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.Dense(2, name="b")(keras.layers.Dense(3, "tanh", name="a")(inputs)))


def compiled(model: keras.Model, **options) -> keras.Model:
    fields = {"rates": [1.0, 1.0, 0.1, 0.1], "decays": [True, False] * 2, "starts": [0] * 4} | options
    model.compile(StagedAdamW(RunSchedule(0.1, 12, 0.2), **fields), loss="mse")
    return model


DATA = (
    np.random.default_rng(0).normal(size=(24, 4)).astype("float32"),
    np.random.default_rng(1).normal(size=(24, 2)).astype("float32"),
)


def fit(model: keras.Model, epochs: int) -> None:
    model.fit(*DATA, batch_size=4, epochs=epochs, shuffle=False, verbose=0)


def test_config_round_trip():
    optimizer = StagedAdamW(
        RunSchedule(0.1, 12, 0.2, "linear", 3), [1.0, 0.1], [True, False], [0, 5], 0.02, None, 0.8, 0.99, 1e-6
    )
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert again.rates == (1.0, 0.1) and again.decays == (True, False) and again.starts == (0, 5)
    assert float(again._learning_rate(4)) == float(optimizer._learning_rate(4))


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras' own, when it writes a .keras file
@pytest.mark.parametrize("how", ["keras", "checkpoint"])
def test_state_is_restored_and_training_goes_on_to_the_same_bits(how: str, tmp_path):
    through = compiled(small_model())
    start = through.get_weights()
    fit(through, 2)
    interrupted = compiled(small_model())
    interrupted.set_weights(start)
    fit(interrupted, 1)
    if how == "keras":
        interrupted.save(tmp_path / "half.keras")
        resumed = keras.saving.load_model(tmp_path / "half.keras")
    else:
        tf.train.Checkpoint(model=interrupted, optimizer=interrupted.optimizer).write(str(tmp_path / "half"))
        resumed = compiled(small_model())
        resumed.optimizer.build(resumed.trainable_variables)
        tf.train.Checkpoint(model=resumed, optimizer=resumed.optimizer).read(str(tmp_path / "half")).assert_consumed()
    assert int(resumed.optimizer.iterations.numpy()) == 6
    fit(resumed, 1)
    for one, other in zip(through.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_wrong_number_of_rates():
    with pytest.raises(ValueError, match="4 variables learn, but there are 2 rates"):
        StagedAdamW(0.1, [1.0, 1.0], [True] * 4, [0] * 4).build(small_model().trainable_variables)


PROGRAM = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import numpy as np
from tests.core.test_optimizer import compiled, fit, small_model
one = compiled(small_model(), clip_norm=0.05)
start = one.get_weights()
fit(one, 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    two = compiled(small_model(), clip_norm=0.05)
    two.set_weights(start)
fit(two, 2)
apart = lambda left, right: max(float(np.abs(a - b).max()) for a, b in zip(left, right))
now = two.get_weights()
print("RESULT", strategy.num_replicas_in_sync, apart(one.get_weights(), now), apart(start, now))
"""


def test_two_replicas_equal_one(root):
    """Clipping after the sum over replicas: clipping each replica's own gradient gives other weights."""
    said = subprocess.run([sys.executable, "-c", PROGRAM], cwd=root, capture_output=True, text=True, check=True)
    _, replicas, apart, moved = said.stdout.splitlines()[-1].split()
    assert replicas == "2" and float(apart) <= 1e-5 and float(moved) > 0.05


def test_a_scaled_loss_gives_the_step_of_one_that_is_not():
    def learned(scale: float | None) -> np.ndarray:
        weight = keras.Variable(np.linspace(-1, 1, 5).astype("float32"))
        optimizer = StagedAdamW(0.1, rates=[1.0], decays=[True], starts=[0], clip_norm=0.5, loss_scale=scale)
        optimizer.build([weight])
        for _ in range(3):
            with tf.GradientTape() as tape:
                loss = optimizer.scale_loss(tf.reduce_sum(tf.square(weight.value)))
            optimizer.apply([tape.gradient(loss, weight.value)], [weight])
        return weight.numpy()

    np.testing.assert_allclose(learned(2.0**15), learned(None), rtol=1e-6)


def test_the_scale_is_halved_at_an_overflow_and_doubled_after_calm(monkeypatch):
    from tfvertical import optimizer as module

    monkeypatch.setattr(module, "CALM", 3)
    weight = keras.Variable(np.ones(2, "float32"))
    optimizer = StagedAdamW(0.1, rates=[1.0], decays=[True], starts=[0], loss_scale=4.0)
    optimizer.build([weight])
    seen = []
    for gradient in (np.inf, 1.0, 1.0, 1.0, np.inf, np.inf, np.inf, np.inf):
        optimizer.apply([tf.fill([2], gradient)], [weight])
        seen.append((float(optimizer._scale.numpy()), int(optimizer.skipped.numpy())))
    assert [scale for scale, _ in seen] == [2.0, 2.0, 2.0, 4.0, 2.0, 1.0, 1.0, 1.0]
    assert [skipped for _, skipped in seen] == [0, 0, 0, 0, 0, 0, 1, 2], "at a scale of 1 it is the numbers' own fault"
    assert np.isfinite(weight.numpy()).all()
    again = StagedAdamW.from_config(optimizer.get_config())
    assert again.loss_scale == 4.0
