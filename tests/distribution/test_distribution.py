"""Which devices train, by name: what is there is taken and told, what is not is refused with what was looked for."""

from __future__ import annotations

import json
import urllib.error

import pytest

from tests.core import tiny
from tests.forking import Forked
from tfvertical import distribution
from tfvertical.errors import ClusterError, ConfigError, TrainingError


def test_auto_takes_one_device_where_there_is_one():
    found = distribution.resolve("auto", environment={})
    assert (found.name, found.strategy, found.replicas, found.first) == ("one_device", None, 1, True)
    assert found.describe(32, 100) == "Trains on one device (there is no GPU): batches of 32, 4 steps an epoch."
    with found.scope():
        pass


def test_auto_passes_by_a_cluster_of_one():
    alone = {"cluster": {"worker": ["127.0.0.1:1"]}, "task": {"type": "worker", "index": 0}}
    assert distribution.resolve("auto", environment={"TF_CONFIG": json.dumps(alone)}).name == "one_device"


@pytest.mark.parametrize(
    ("name", "environment", "said"),
    [
        ("mirrored", {}, "0 GPUs and 1 logical CPUs"),
        ("multi_worker", {}, "TF_CONFIG is not set"),
        ("multi_worker", {"TF_CONFIG": "{"}, "TF_CONFIG cannot be used"),
        ("auto", {"TF_CONFIG": "{"}, "TF_CONFIG cannot be used"),
        ("tpu", {}, "tfvertical doctor"),
        ("parameter_server", {}, "take multi_worker"),
    ],
)
def test_what_is_not_there_is_refused_with_what_was_looked_for(name, environment, said):
    with pytest.raises(ClusterError) as caught:
        distribution.resolve(name, environment=environment)
    assert said in str(caught.value)
    assert "Fix: " in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "devices", "name", "said"),
    [
        ({"TPU_NAME": "mine"}, {}, "tpu", "there is a TPU, mine"),
        ({"COLAB_TPU_ADDR": "10.0.0.2:8470"}, {}, "tpu", "there is a TPU, grpc://10.0.0.2:8470"),
        ({}, {"GPU": ("GPU:0", "GPU:1")}, "mirrored", "there are 2 GPUs"),
        ({}, {"GPU": ("GPU:0",)}, "one_device", "there is a GPU"),
    ],
)
def test_auto_says_what_it_takes_and_why(monkeypatch, environment, devices, name, said):
    monkeypatch.setattr(distribution, "_devices", lambda kind: devices.get(kind, ()))
    monkeypatch.setattr(distribution, "_once", lambda key, make: None)
    found = distribution.resolve("auto", environment=environment)
    assert (found.name, found.why) == (name, said)


@pytest.mark.parametrize("error", [urllib.error.URLError("no route"), ValueError("no such TPU"), RuntimeError("busy")])
def test_a_tpu_that_does_not_start_is_told_with_a_way_to_go_on(monkeypatch, error):
    """What a notebook leaves in the environment when its runtime is changed."""
    import tensorflow as tf

    def asked(tpu):
        assert tpu == "grpc://10.0.0.2:8470"
        raise error

    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", asked)
    with pytest.raises(ClusterError, match=r"does not start: (?s:.*)unset TPU_NAME and COLAB_TPU_ADDR"):
        distribution.resolve("auto", environment={"COLAB_TPU_ADDR": "10.0.0.2:8470"})


SECOND = """
import tensorflow as tf
from unittest import mock
from tests.core import tiny
from tfvertical import random_states
from tfvertical.errors import TrainingError

processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
for _ in range(2):
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        task = tiny.image_task()
    try:
        with mock.patch.object(random_states, "apart", wraps=random_states.apart) as apart:
            task.fit(tiny.pictures(4), epochs=1, verbose=0)
    except TrainingError as error:
        print(error)
    else:
        print("trained, draws apart:", apart.called)
"""


def test_a_cell_that_makes_a_strategy_a_second_time_is_told_before_anything_hangs(root):
    out, error = Forked(["-c", SECOND], root).communicate(timeout=300)
    first, *more = out.splitlines()
    assert first == "trained, draws apart: True", error[-2000:]
    assert "A second MirroredStrategy" in more[0] and "distribution.resolve" in " ".join(more)


DRAWN = """
import keras, numpy as np, tensorflow as tf
import tfvertical as tv
from tests.core import tiny
from tfvertical import random_states

processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tv.distribution.resolve("mirrored", environment={}).strategy
with strategy.scope():
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dropout(0.5, seed=1)])


@tf.function
def masks():
    def own():
        here = tf.distribute.get_replica_context().replica_id_in_sync_group

        def draw(at, _):
            return at + 1, model(tf.ones((2, 64)), training=True)

        with random_states.apart(model, here):  # one of them draws more often, as with fewer examples in parts
            _, found = tf.while_loop(lambda at, _: at <= here, draw, [0, tf.zeros((2, 64))])
        return found, tf.identity(random_states.states(model)[0].value)

    return strategy.run(own)


seen = []
for _ in range(2):
    found, states = (strategy.experimental_local_results(each) for each in masks())
    seen += [row.tobytes() for each in found for row in each.numpy()]
    assert np.array_equal(*(each.numpy() for each in states)), states
weights = []
for again in (False, True):
    with strategy.scope():
        task = tiny.text_task(body_dropout=0.3)
    task.fit(tiny.texts(14), epochs=2, batch_size=4, rematerialize=again, accumulate=2, precision="float32",
             adaptation=tv.FullFineTuning(), verbose=0)
    weights.append(tiny.values(task.model))
print(len(seen), len(set(seen)), tiny.largest_difference(*weights) <= 1e-6)
"""


def test_no_two_replicas_drop_the_same_places(root):
    """And what is computed again drops what was dropped."""
    out, error = Forked(["-c", DRAWN], root).communicate(timeout=300)
    assert out.split() == ["8", "8", "True"], error[-2000:]


def test_a_name_that_is_none_has_its_nearest():
    with pytest.raises(ConfigError, match="Nearest: 'mirrored'"):
        distribution.resolve("miror")


def test_workers_cannot_be_joined_once_tensorflow_has_computed():
    import tensorflow as tf

    tf.constant(1.0) + 1.0
    workers = {"cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}, "task": {"type": "worker", "index": 0}}
    with pytest.raises(ClusterError, match="restart the process"):
        distribution.resolve("auto", environment={"TF_CONFIG": json.dumps(workers)}, timeout=0.1)


def test_training_within_a_scope_is_refused():
    import tensorflow as tf

    task = tiny.image_task()
    with tf.distribute.OneDeviceStrategy("/cpu:0").scope(), pytest.raises(TrainingError, match="train outside it"):
        task.fit(tiny.pictures(4), epochs=1, verbose=0)


# Every task and adaptation once, and what settings change in a step; all tasks by all adaptations are in
# `benchmarks.distribution`. A last batch of 1 on 4 replicas: three have nothing to do. `within`: how
# far weights may be apart in narrower types. In float16 they are, since parts of a loss overflow less often than the
# whole, and the loss scale leaves out fewer steps at first.
CASES = {
    2: [
        {"kind": "text", "how": "gradual", "batch": 8, "count": 37, "rematerialize": True},
        {"kind": "image", "how": "statistics", "batch": 8, "count": 37},
        {"kind": "text", "how": "full", "batch": 8, "count": 21, "accumulate": 2, "early_stopping": 1},
        {"kind": "token", "how": "full", "batch": 8, "count": 21, "precision": "mixed_bfloat16", "within": 1e-4},
        {"kind": "text", "how": "full", "batch": 8, "count": 21, "precision": "mixed_float16", "within": None},
    ],
    4: [
        {"kind": "image", "how": "full", "batch": 4, "count": 33},
        {"kind": "text", "how": "discriminative", "batch": 8, "count": 22},
        {"kind": "image", "how": "full", "batch": 8, "count": 22, "spoilt": 13, "not_finite": "skip"},
        {"kind": "text", "how": "gradual", "batch": 8, "count": 21, "as_tpu": True},
    ],
    3: [
        {"kind": "text numbers", "how": "frozen", "batch": 8, "count": 21},
        {"kind": "text", "how": "frozen", "batch": 8, "count": 21, "average": 0.999},
        {"kind": "text labels", "how": "frozen", "batch": 8, "count": 22, "class_weight": "balanced"},
        {"kind": "answers", "how": "full", "batch": 8, "count": 21, "as_tpu": True},
        {"kind": "apart", "how": "frozen", "batch": 8, "count": 20},
        {"kind": "chain", "how": "frozen", "batch": 8, "count": 21},
        {"kind": "pair", "how": "full", "batch": 2, "count": 13},  # fewer than replicas
        {"kind": "pair numbers", "how": "frozen", "batch": 8, "count": 5},  # all of them are less than a batch
        {"kind": "image numbers", "how": "discriminative", "batch": 8, "count": 21},
        {"kind": "image labels", "how": "frozen", "batch": 8, "count": 21},
    ],
}


@pytest.mark.parametrize("replicas", CASES)
def test_replicas_train_as_one_device_does(root, replicas):
    asked = [{name: value for name, value in case.items() if name != "within"} for case in CASES[replicas]]
    ran = Forked(["-m", "tests.distribution.pairs", str(replicas), json.dumps(asked)], root)
    out, error = ran.communicate(timeout=600)
    assert ran.returncode == 0, error[-3000:]
    for case, found in zip(CASES[replicas], json.loads(out.splitlines()[-1]), strict=True):
        assert found["moved"] > 1e-3, case
        within = case.get("within", 1e-6)
        if within is None:
            assert found["together"]["loss"][-1] < found["together"]["loss"][0], case
            continue
        assert found["weights"] <= within, (case, found["weights"])
        for name, values in found["alone"].items():
            if "within" in case and not name.endswith("loss"):
                continue  # what counts answers that are right makes leaps
            if "spoilt" in case and not name.startswith("val_"):
                continue  # of a step that is left out, the share of the replicas that were well still counts there
            assert found["together"][name] == pytest.approx(values, rel=10 * within), (case, name)
        assert {step["why"] for step in found["steps"]} == {"they are taken on several replicas"}
        assert {step["compiled"] for step in found["steps"]} == {case.get("as_tpu", False)}
        assert f"Trains on {replicas} replicas (mirrored, asked for): batches of {case['batch']}, " in found["said"]
        left_out = [each for step in found["steps"] for each in step.get("skipped", ())]
        assert [each["rows"] for each in left_out] == ([[case["spoilt"]]] * 3 if "spoilt" in case else [])
        idle = replicas - case["batch"]
        assert (f"{idle} of them have nothing to do" in found["said"]) == (idle > 0)


def test_xla_does_not_compile_several_replicas():
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        task = tiny.image_task()
    with pytest.raises(ConfigError, match="leave jit_compile out"):
        task.fit(tiny.pictures(4), epochs=1, verbose=0, jit_compile=True)
