"""bfloat16 products: asked for or chosen, learnt with, and gone when training ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.core import tiny
from tfvertical import batches, features, precision, stages, training
from tfvertical.adaptations.frozen import Frozen
from tfvertical.adaptations.full_fine_tuning import FullFineTuning
from tfvertical.settings import Settings
from tfvertical.tasks.text_classifier import TextClassifier


def policies(task) -> set[str]:
    return {layer.dtype_policy.name for layer in stages.layers(task.model)}


@pytest.mark.parametrize("make", [tiny.text_task, tiny.image_task])
def test_training_in_bfloat16_learns_and_leaves_float32(make):
    task = make()
    examples = tiny.texts(16) if make is tiny.text_task else tiny.pictures(16)
    encoded = task.encode(examples)
    before = policies(task)
    want = np.asarray(task.scores(examples))
    settings = Settings(epochs=3, batch_size=4, learning_rate=0.01, precision="mixed_bfloat16")
    computed: list[set[str]] = []
    seen = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: computed.append(
            {layer.compute_dtype for layer in stages.layers(task.model) if layer.weights}
        )
    )
    history = training.run(task, encoded, None, FullFineTuning(), settings, callbacks=[seen], verbose=0)
    assert computed[0] == {"float32", "bfloat16"}, "the head and the containers keep theirs"
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert [each["precision"] for each in history.steps] == ["mixed_bfloat16"]
    assert policies(task) == before == {"float32"}
    assert {variable.dtype for variable in task.model.weights} <= {"float32", "uint32", "int32"}
    assert np.asarray(task.scores(examples)).dtype == want.dtype


def frozen_features(precision: str, monkeypatch) -> tuple[np.ndarray, dict, set[str]]:
    """What a head is trained on in a precision, how its stage was, and in which precision the head computed."""
    task, seen, computed = tiny.text_task(), [], set()
    real = features.compute

    def compute(*arguments, **keywords):
        seen.append(real(*arguments, **keywords))
        return seen[-1]

    def epoch_ended(epoch, logs):
        computed.update(layer.compute_dtype for layer in task.components["head"].layers if layer.weights)

    settings = Settings(epochs=1, batch_size=4, precision=precision, cache_disk=0)
    encoded, watch = task.encode(tiny.texts(8)), keras.callbacks.LambdaCallback(on_epoch_end=epoch_ended)
    with monkeypatch.context() as patch:
        patch.setattr(features, "compute", compute)
        patch.setattr(features, "release", lambda encoded: None)
        history = training.run(task, encoded, None, Frozen(), settings, callbacks=[watch], verbose=0)
    return seen[0].encoded.columns["cut_0"].take(np.arange(8), None), history.steps[0], computed


def test_a_head_alone_stays_in_float32_on_what_is_frozen_in_bfloat16(monkeypatch):
    full, at_full, of_full = frozen_features("float32", monkeypatch)
    low, at_low, of_low = frozen_features("mixed_bfloat16", monkeypatch)
    assert of_full == of_low == {"float32"}
    assert (at_full["frozen_precision"], at_low["frozen_precision"]) == ("float32", "mixed_bfloat16")
    assert full.dtype == low.dtype == np.float32
    assert 1e-5 < np.abs(full - low).max() < 0.1, "other numbers, and near: not those of the other precision's cache"
    assert frozen_features("mixed_float16", monkeypatch)[1]["frozen_precision"] == "float32"


def test_convolutions_are_not_faster_in_bfloat16(monkeypatch):
    monkeypatch.setattr(precision, "speed", lambda: 2.0)
    task = tiny.image_task()
    assert precision.choose("auto", task.model, task.encode(tiny.pictures(2)))[0] == "float32"
    assert precision.choose("mixed_bfloat16", task.model, task.encode(tiny.pictures(2)))[0] == "mixed_bfloat16"


def test_a_run_that_is_taken_up_again_computes_as_it_began(tmp_path, monkeypatch):
    """Another machine, or a file of measurements that was lost, does not change how a run goes on."""
    settings = Settings(epochs=4, batch_size=4, cache_disk=0)
    train = tiny.texts(16)

    def fit(checkpoint=None, callbacks=()):
        task = tiny.text_task()
        run = {"callbacks": callbacks, "checkpoint": checkpoint, "verbose": 0}
        history = training.run(task, task.encode(train), None, Frozen(), settings, **run)
        return tiny.values(task.model), history

    def stop(epoch, logs):
        raise KeyboardInterrupt

    monkeypatch.setattr(precision, "speed", lambda: 2.0)
    whole, _ = fit()
    with pytest.raises(KeyboardInterrupt):
        fit(
            tmp_path / "run", [keras.callbacks.LambdaCallback(on_epoch_begin=lambda at, _: stop(at, _) if at else None)]
        )
    monkeypatch.setattr(precision, "speed", lambda: 0.0)
    features.forget()
    again, history = fit(tmp_path / "run")
    assert history.steps[0]["frozen_precision"] == "mixed_bfloat16"
    assert tiny.largest_difference(whole, again) == 0.0


def test_a_graph_of_another_precision_is_not_used_again():
    task = tiny.text_task()
    encoded, rows = task.encode(tiny.texts(4)), np.arange(4)
    with precision.lowered(task.model, precision.LOW):
        low = batches.outputs(task.model, encoded, rows)[0]
    high = batches.outputs(task.model, encoded, rows)[0]
    want = np.asarray(task.model(batches.batch(encoded, task.model, rows)[0], training=False))
    np.testing.assert_allclose(high, want, atol=1e-5)
    assert np.abs(low.astype("float32") - high).max() > 1e-5


def test_policies_come_back_after_an_error():
    task = tiny.text_task()
    with pytest.raises(ZeroDivisionError), precision.lowered(task.model, precision.LOW):
        raise ZeroDivisionError
    assert policies(task) == {"float32"}


def test_a_head_s_hidden_layers_are_lowered_where_blocks_learn_with_it():
    task = tiny.make_task("chain")
    head = task.components["head"]
    with precision.lowered(task.model, precision.LOW, precision.spared(head, task.model.trainable_variables)):
        low = {layer.name for layer in stages.layers(head) if layer.dtype_policy.name == precision.LOW}
        outputs = task.model(batches.batch(task.encode(tiny.sentences(4)), task.model, np.arange(4))[0])
    parts = {f"neighbours_{at}{part}" for at in range(2) for part in ("", "_products", "_unit")}
    assert low == {"hidden_0"} | parts and outputs.dtype == "float32"
    alone = precision.spared(head, head.trainable_variables)
    assert {layer.name for layer in alone} >= low | {"logits"}


def test_outputs_in_bfloat16_are_near_those_in_float32():
    task = tiny.text_task()
    found = precision.difference(task.model, task.encode(tiny.texts(8)), stages.layers(task.components["head"]))
    assert 0 < found < precision.APART


@pytest.mark.parametrize(
    ("ratio", "apart", "chosen", "why"),
    [
        (0.0, 0.0, "float32", "no bfloat16"),
        (1.1, 0.0, "float32", "not faster"),
        (2.0, 0.5, "float32", "50%"),
        (2.0, float("nan"), "float32", "nan%"),
        (2.0, 0.01, "mixed_bfloat16", "2.0 times"),
    ],
)
def test_it_is_chosen_where_it_is_faster_and_nearly_the_same(ratio, apart, chosen, why, monkeypatch):
    monkeypatch.setattr(precision, "speed", lambda: ratio)
    monkeypatch.setattr(precision, "difference", lambda *_: apart)
    task = tiny.text_task()
    found = precision.choose("auto", task.model, task.encode(tiny.texts(2)))
    assert found[0] == chosen and why in found[1]
    assert precision.choose("mixed_bfloat16", task.model, task.encode(tiny.texts(2)))[0] == "mixed_bfloat16"


class Halved(keras.layers.Layer):
    """Has a constant that is float32, whatever arrives."""

    def call(self, x):
        return x * tf.constant(0.5)


def test_a_layer_that_does_not_compute_in_bfloat16_is_no_reason_to_stop(monkeypatch):
    monkeypatch.setattr(precision, "speed", lambda: 2.0)
    backbone = tiny.text_backbone()
    model = keras.Model(backbone.model.input, Halved()(backbone.model.output))
    task = TextClassifier(replace(backbone, model=model), tiny.LABELS)
    encoded = task.encode(tiny.texts(4))
    chosen, why = precision.choose("auto", task.model, encoded)
    assert chosen == "float32" and why.startswith("a layer does not compute in bfloat16: ")
    assert policies(task) == {"float32"}
    settings = Settings(epochs=1, batch_size=4, cache_disk=0)
    assert training.run(task, encoded, None, Frozen(), settings, verbose=0).steps[0]["frozen_precision"] == "float32"


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="the processor's flags are read from /proc/cpuinfo")
def test_it_is_measured_once_a_machine(tmp_path, monkeypatch):
    """A clock read anew by each process would decide which weights the same seed gives."""
    monkeypatch.setenv("TFVERTICAL_HOME", str(tmp_path))
    monkeypatch.setattr(precision, "_FLAGS", ("fpu", "fp", "asimd"))  # any processor's
    found = iter([1.9, 1.1, 1.3])
    monkeypatch.setattr(precision, "_measure", lambda: next(found))

    def another_process() -> float:
        precision._kept.cache_clear()
        return precision.speed()

    assert [another_process(), another_process()] == [1.9, 1.9]
    (kept,) = (tmp_path / "measured").iterdir()
    kept.write_text('{"ratio": "quick"}')
    assert [another_process(), another_process()] == [1.1, 1.1], "what is no ratio is measured again"
    monkeypatch.setattr(precision.files, "write_json", _no_room)
    kept.unlink()
    assert [another_process(), precision.speed()] == [1.3, 1.3], "unwritten, it holds for the process"
    precision._kept.cache_clear()


def _no_room(path, content):
    raise OSError(28, "No space left on device")


def test_a_measured_ratio_is_one():
    assert 0.01 < precision._measure() < 100


@pytest.mark.parametrize("low", ["mixed_float16", "mixed_bfloat16"])
def test_lower_precision_learns_nearly_the_same(low: str):
    """float16 with a scaled loss, without which its small gradients would be zeros."""
    found = {}
    for policy in ("float32", low):
        task = tiny.text_task(body_dropout=0.0, dropout=0.0)
        settings = Settings(epochs=2, batch_size=4, learning_rate=0.01, precision=policy)
        encoded = [task.encode(tiny.texts(count, seed=count)) for count in (22, 8)]
        history = training.run(task, *encoded, FullFineTuning(backbone_rate=1.0), settings, verbose=0)
        assert history.steps[0]["precision"] == policy
        found[policy] = history.history["loss"], tiny.values(task.model)
        assert {variable.dtype for variable in task.model.weights} == {"float32"}
    assert found[low][0] == pytest.approx(found["float32"][0], rel=0.02)
    assert 0 < tiny.largest_difference(found["float32"][1], found[low][1]) < 0.05
