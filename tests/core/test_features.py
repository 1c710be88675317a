"""What is frozen, run once and kept: the same training as running it each time, and as never splitting at all."""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.core import tiny
from tfvertical import batches, features, frontier, inline, kept, stages, training
from tfvertical.adaptations.discriminative import Discriminative
from tfvertical.adaptations.frozen import Frozen
from tfvertical.adaptations.full_fine_tuning import FullFineTuning
from tfvertical.adaptations.gradual_unfreezing import GradualUnfreezing
from tfvertical.backbones import _folder, _image_model
from tfvertical.columns import Dense, Ragged, StreamedDense
from tfvertical.contracts import Encoded
from tfvertical.errors import ClusterError, ConfigError, StoreError, TrainingError
from tfvertical.events import Events
from tfvertical.export import _parity
from tfvertical.features import Keeping
from tfvertical.settings import Settings
from tfvertical.sharing import Sharing
from tfvertical.stages import Stage
from tfvertical.store import Store

ADAPTATIONS = (Frozen(), GradualUnfreezing(blocks=2), FullFineTuning(head_epochs=2), Discriminative(head_epochs=2))


@pytest.fixture(autouse=True)
def forgetful():
    """No outputs of another test."""
    features.forget()
    yield
    features.forget()


def trained(kind: str, adaptation, dropout: float = 0.3, events: Events | None = None, augment=None, **settings):
    """20 steps or more in float32 on any processor, dropout in the body and the head."""
    task = tiny.make_task(kind, body_dropout=dropout / 3, dropout=dropout)
    train, held_out = (task.encode(tiny.make_examples(kind, count, seed=1)) for count in (20, 4))
    chosen = Settings(
        **{"epochs": 4, "batch_size": 4, "learning_rate": 0.01, "cache_disk": 0, "group_by_length": True}
        | {"precision": "float32"}
        | settings
    )
    history = training.run(task, train, held_out, adaptation, chosen, verbose=0, events=events, augment=augment)
    return history, tiny.values(task.model)


def assert_equal(one, other) -> None:
    """Losses within 1e-5 of each other, relatively, and weights within 1e-5."""
    (first, weights), (second, others) = one, other
    assert first.history.keys() == second.history.keys() and len(first.history["loss"]) == len(second.history["loss"])
    for name, values in first.history.items():
        np.testing.assert_allclose(values, second.history[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert tiny.largest_difference(weights, others) <= 1e-5


@pytest.mark.parametrize("adaptation", ADAPTATIONS, ids=lambda adaptation: type(adaptation).__name__)
@pytest.mark.parametrize("kind", ["text", "image"])
def test_kept_is_the_same_training_as_running_it_in_every_step(kind: str, adaptation):
    events = Events()
    kept = trained(kind, adaptation, events=events)
    assert any(event["kind"] == "features" for event in events.seen) or isinstance(adaptation, FullFineTuning)
    assert_equal(kept, trained(kind, adaptation, cache=False))


@pytest.mark.parametrize(("kind", "adaptation"), [("text", GradualUnfreezing(blocks=1)), ("image", ADAPTATIONS[3])])
def test_kept_is_the_same_training_as_never_splitting(kind: str, adaptation, monkeypatch):
    kept = trained(kind, adaptation, dropout=0.0)
    monkeypatch.setattr(frontier, "split", lambda model, moves=None: frontier.Split(None, model))
    assert_equal(kept, trained(kind, adaptation, dropout=0.0))


def prefix_of(task, pattern: str = "head/") -> keras.Model:
    stages.apply(task.components, Stage("s", {pattern: 1.0}, 1))
    return frontier.split(task.model).prefix


def test_states_are_kept_without_their_padding_and_cost_is_told_beforehand():
    task = tiny.text_task(pooling="attention")
    encoded = task.encode(tiny.texts(9))
    prefix = prefix_of(task)
    kept = features.compute(prefix, encoded).encoded
    states = kept.columns["cut_0"]
    assert isinstance(states, Ragged) and states.values.shape == (int(encoded.lengths.sum()), 16)
    told = features.cost(prefix, [encoded])
    assert told == sum(column.values.nbytes for column in kept.columns.values())
    row = np.array([3])
    length = int(encoded.lengths[3])
    whole = prefix(batches.gather(encoded, row))
    np.testing.assert_allclose(states.take(row, None)[0], np.asarray(whole["cut_0"])[0, :length], atol=1e-5)
    assert (states.take(row, 24)[0, length:] == 0).all()


def test_features_of_one_shape_are_dense():
    task = tiny.text_task()
    encoded = task.encode(tiny.texts(5))
    kept = features.compute(prefix_of(task), encoded).encoded
    (column,) = kept.columns.values()
    assert isinstance(column, Dense) and column.array.shape == (5, 16)
    assert features.cost(prefix_of(task), [encoded]) == column.array.nbytes
    for name in ("lengths", "rows", "labels", "weights"):
        assert getattr(kept, name) is getattr(encoded, name)


def test_more_than_ten_tensors_keep_their_names():
    """`cut_10` sorts before `cut_2`, and Keras sorts."""
    inputs = keras.Input((3,), name="x")
    towers = [keras.layers.Dense(at + 1, name=f"tower_{at}")(inputs) for at in range(13)]
    outputs = [keras.layers.Dense(1, name=f"learner_{at}")(x) for at, x in enumerate(towers)]
    model = keras.Model(inputs, keras.layers.Concatenate()(outputs))
    stages.apply_stage(model, Stage("s", {"model/learner": 1.0}, 1))
    parts = frontier.split(model)
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    ones = np.ones(4, "float32")
    encoded = Encoded({"x": Dense(x)}, None, np.arange(4), np.zeros(4, "int32"), ones)
    kept = features.compute(parts.prefix, encoded).encoded
    found = parts.suffix({name: column.take(np.arange(4), None) for name, column in kept.columns.items()})
    np.testing.assert_allclose(np.asarray(found), np.asarray(model(x)), atol=1e-6)


def test_tensors_of_two_variable_axes_are_not_kept():
    """A frozen part that gives a `(batch, length, length)` table, as relative positions do."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = keras.layers.Embedding(9, 4, name="table")(ids)
    scores = keras.ops.matmul(x, keras.ops.transpose(x, (0, 2, 1)))
    y = keras.layers.Dense(4, name="learner")(x)
    model = keras.Model(ids, keras.ops.mean(keras.ops.matmul(scores, y), axis=1))
    stages.apply_stage(model, Stage("s", {"model/learner": 1.0}, 1))
    assert not features.cacheable(frontier.split(model).prefix)
    assert features.cacheable(prefix_of(tiny.text_task(pooling="attention")))


@pytest.mark.parametrize("training_flag", [True, False])
def test_the_inline_prefix_is_in_inference_mode_whatever_is_said(training_flag: bool):
    """A `training=False` written into a functional graph is ignored by `fit`; the layer of ours is not."""
    task = tiny.image_task(body_dropout=0.9, dropout=0.0)
    stages.apply(task.components, Stage("s", {"head/": 1.0}, 1))
    parts = frontier.split(task.model)
    model = inline.inline(parts.prefix, parts.suffix)
    x = {"images": np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype("float32")}
    np.testing.assert_allclose(
        np.asarray(model(x, training=training_flag)), np.asarray(task.model(x, training=False)), atol=1e-6
    )
    assert {id(v) for v in model.trainable_variables} == {id(v) for v in task.components["head"].weights}


# ------------------------------------------------------------------------------------------------- between runs
@pytest.fixture
def disk(tmp_path, monkeypatch) -> Keeping:
    """Everything is worth keeping on disk."""
    monkeypatch.setattr(features, "WORTH_SECONDS", -1.0)
    return Keeping(2**30, Store(tmp_path / "features"))


def taken(found: features.Found) -> np.ndarray:
    return found.encoded.columns["cut_0"].take(np.arange(len(found.encoded)), None)


def test_another_run_finds_them_on_disk_and_another_head_too(disk):
    task = tiny.text_task(dropout=0.0)
    encoded = task.encode(tiny.texts(9))
    first = features.compute(prefix_of(task), encoded, disk)
    assert first.source == "computed"
    assert features.compute(prefix_of(task), encoded, disk).source == "memory"
    features.forget()
    again = tiny.text_task(hidden=[5], seed=3, dropout=0.0)  # the same body
    found = features.compute(prefix_of(again), again.encode(tiny.texts(9)), disk)
    assert found.source == "disk"
    np.testing.assert_array_equal(taken(found), taken(first))


@pytest.mark.parametrize("change", ["weights", "data", "dtype"])
def test_what_depends_on_something_else_is_never_used(change: str, disk):
    task = tiny.text_task()
    encoded, keeping = task.encode(tiny.texts(9)), disk
    features.compute(prefix_of(task), encoded, keeping)
    if change == "weights":
        variable = task.components["text"].weights[-1]
        variable.assign(variable + 1e-6)
    elif change == "data":
        encoded = task.encode(tiny.texts(9, seed=5))
    else:
        keeping = Keeping(disk.memory, disk.store, "float16")
    assert features.compute(prefix_of(task), encoded, keeping).source == "computed"


def test_tensorflow_may_come_from_another_distribution(disk, monkeypatch):
    """`tensorflow-cpu` and `tensorflow-tpu` install no metadata under the name of `tensorflow`."""
    plain = importlib.metadata.version

    def version(name: str) -> str:
        if name == "tensorflow":
            raise importlib.metadata.PackageNotFoundError(name)
        return plain(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    task = tiny.text_task()
    features.compute(prefix_of(task), task.encode(tiny.texts(9)), disk)
    (entry,) = disk.store.entries()
    told = json.loads((disk.store.folder / entry.key / "entry.json").read_text())["parts"]["versions"]
    assert f"tensorflow {tf.__version__}" in told and "tfvertical " in told
    for found in (_folder.versions(), _image_model.versions(), _parity.versions()):
        assert (found["tensorflow"], found["keras"]) == (tf.__version__, keras.__version__)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_takes_half_the_room_and_tells_its_loss(dtype: str):
    task = tiny.text_task()
    encoded = task.encode(tiny.texts(9))
    exact = features.compute(prefix_of(task), encoded)
    half = features.compute(prefix_of(task), encoded, Keeping(2**30, dtype=dtype))
    assert features.cost(prefix_of(task), [encoded], dtype) * 2 == features.cost(prefix_of(task), [encoded])
    difference = np.abs(taken(half).astype("float32") - taken(exact)).max() / np.abs(taken(exact)).max()
    assert exact.error == 0 < half.error < 0.01 and difference <= half.error * 1.01


@pytest.mark.parametrize("cache", [{"cache_disk": 0}, {"cache_bytes": 0, "cache_disk": 10**8}])
def test_numbers_too_big_for_the_kept_dtype_run_in_every_step(cache, monkeypatch):
    def brighter(backbone):
        backbone.model.get_layer("stem_norm").gamma.assign(keras.ops.full((8,), 1e6))
        return backbone

    plain = tiny.image_backbone
    monkeypatch.setattr(tiny, "image_backbone", lambda *given: brighter(plain(*given)))
    with pytest.warns(UserWarning, match=r"Stage 'head' runs its frozen part in every step: .*too big for float16"):
        found = trained("image", Frozen(), cache_dtype="float16", **cache)
    assert np.isfinite(found[0].history["loss"]).all()


def test_what_memory_does_not_hold_is_read_from_disk(tmp_path):
    task = tiny.text_task()
    encoded = task.encode(tiny.texts(9))
    small = Keeping(100, Store(tmp_path))
    found = features.compute(prefix_of(task), encoded, small)
    assert isinstance(found.encoded.columns["cut_0"], StreamedDense)
    np.testing.assert_array_equal(taken(found), taken(features.compute(prefix_of(task), encoded)))
    history, weights = trained("text", GradualUnfreezing(blocks=1))
    features.forget()
    assert_equal((history, weights), trained("text", GradualUnfreezing(blocks=1), cache_bytes=0, cache_disk=10**8))


def test_what_was_read_from_disk_is_not_held_for_the_next_run(tmp_path):
    task = tiny.text_task()
    encoded = task.encode(tiny.texts(9))
    for memory, kind in ((100, StreamedDense), (100, StreamedDense), (2**30, Dense), (100, StreamedDense)):
        found = features.compute(prefix_of(task), encoded, Keeping(memory, Store(tmp_path)))
        assert isinstance(found.encoded.columns["cut_0"], kind)


def test_what_is_read_from_disk_runs_on_all_replicas_too(tmp_path):
    task, calls = tiny.text_task(), []
    encoded, prefix = task.encode(tiny.texts(9)), prefix_of(task)

    def forward(inputs):
        calls.append(inputs)
        return batches.traced(prefix)(inputs)

    features.compute(prefix, encoded, Keeping(100, Store(tmp_path)), forward=forward)
    assert calls


class OneOf(Sharing):
    """One of several processes, whose others add nothing."""

    def _sum(self, values):
        return values


@pytest.mark.parametrize("on_disk", [False, True])
def test_each_of_several_processes_computes_its_share_and_no_more(on_disk, tmp_path, monkeypatch):
    task = tiny.text_task(pooling="attention")
    encoded, prefix = task.encode(tiny.texts(21)), prefix_of(task)
    taken = [OneOf(None, 2, at, at).of(encoded) for at in range(2)]
    assert sorted(np.concatenate(taken)) == list(range(21))
    monkeypatch.setattr(features, "PIECE", 2000)
    assert len(features._pieces(encoded, features.specs_of(prefix, "float32"))) > 2

    def computed(at=None):
        counted = []

        def forward(inputs):
            counted.append(len(next(iter(inputs.values()))))
            return batches.traced(prefix)(inputs)

        features.forget()
        sharing = None if at is None else OneOf(None, 2, at, at)
        keeping = Keeping(100 if on_disk else 2**30, Store(tmp_path / str(at)))
        found = features.compute(prefix, encoded, keeping, sharing, forward).encoded
        assert any("Streamed" in type(column).__name__ for column in found.columns.values()) == on_disk
        return {name: column.take(np.arange(21), None) for name, column in found.columns.items()}, sum(counted)

    (one, few), (other, rest), (whole, every) = computed(0), computed(1), computed()
    assert few + rest == every == 21 and abs(few - rest) <= (5 if on_disk else 1)
    for name, values in whole.items():
        np.testing.assert_allclose(one[name] + other[name], values, rtol=0, atol=1e-6)


def test_what_ends_another_process_ends_this_one_too():
    """And what another one goes on without, this one goes on without."""
    for said, error in (([True, True], ClusterError), ([True, False], StoreError)):
        sharing = OneOf(None, 2, 0, 0)
        sharing.anywhere = lambda statements, said=said: said
        with pytest.raises(error, match="Another worker"):
            features._together(sharing, lambda: 1)


def darker(encoded: Encoded, view: int) -> Encoded:
    rows = np.arange(len(encoded))
    columns = {name: Dense(column.take(rows, None) // (view + 1)) for name, column in encoded.columns.items()}
    return replace(encoded, columns=columns)


def held_by_set(monkeypatch, cache_bytes: int):
    """A run on small memory; the bytes that each set of examples takes, and those that all take at most at once."""
    alive, each, most = [], [], []
    plain = features.compute

    def compute(*given):
        found = plain(*given)
        alive.append(found.encoded)
        each.append(features.held(found.encoded))
        most.append(sum(map(features.held, alive)))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(features, "compute", compute)
        features.forget()
        more = {"cache_bytes": cache_bytes, "cache_disk": 10**8, "views": 2, "group_by_length": False}
        run = trained("image", GradualUnfreezing(blocks=1, head_epochs=1), augment=darker, **more)
    return run, each, max(most)


def test_all_that_is_kept_at_once_shares_the_memory(monkeypatch):
    whole, sizes, most = held_by_set(monkeypatch, 10**8)
    *_, view, _, validation = sizes
    assert most >= 2 * view + validation
    bounded, sizes, most = held_by_set(monkeypatch, 2 * view - 1)
    assert sizes[-3:] == [view, 0, validation] and most < 2 * view
    assert_equal(whole, bounded)


def test_a_base_is_let_go_of_before_a_stage_that_does_not_start_from_it(monkeypatch):
    seen = []
    plain = kept.Kept.trained

    def trained_at(self, at):
        found = plain(self, at)
        seen.append((self.planned.ways[at].base, self.base is not None))
        return found

    monkeypatch.setattr(kept.Kept, "trained", trained_at)
    trained("image", GradualUnfreezing(blocks=None))
    assert seen[0] == (0, True) and seen[-1] == (None, False), seen


def test_a_frozen_part_that_cannot_be_written_down_is_told_from_a_disk_that_is_small(tmp_path, monkeypatch):
    monkeypatch.setattr(features.identity, "of_model", lambda _: None)
    task = tiny.text_task()
    with pytest.raises(StoreError, match="that cannot be written down") as caught:
        features.compute(prefix_of(task), task.encode(tiny.texts(9)), Keeping(100, Store(tmp_path)))
    assert "get_config" in str(caught.value) and "cache_disk" not in str(caught.value)


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(features, "WORTH_SECONDS", -1.0)
    (tmp_path / "file").write_text("no folder")
    task = tiny.text_task()
    encoded = task.encode(tiny.texts(9))
    found = features.compute(prefix_of(task), encoded, Keeping(2**30, Store(tmp_path / "file" / "features")))
    assert found.source == "computed" and "stay in memory only" in caplog.text


def test_neither_memory_nor_disk_runs_the_frozen_part_in_every_step(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("TFVERTICAL_HOME", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match=r"Stage 'head' runs its frozen part in every step"):
        found = trained("image", Frozen(), cache_bytes=0, cache_disk=10**8)
    assert_equal(found, trained("image", Frozen(), cache=False))


@keras.saving.register_keras_serializable("tests")
class Centred(keras.layers.Layer):
    """Takes the batch's mean away, in inference too: an example depends on its neighbours."""

    def call(self, x):
        return x - keras.ops.mean(x, axis=0, keepdims=True)


def test_a_layer_that_looks_at_its_batch_is_found():
    inputs = keras.Input((3,), name="x")
    body = keras.layers.Dense(4, name="body")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, name="top")(Centred()(body)))
    stages.apply_stage(model, Stage("s", {"model/top": 1.0}, 1))
    x = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
    encoded = Encoded({"x": Dense(x)}, None, np.arange(6), np.zeros(6, "int32"), np.ones(6, "float32"))
    with pytest.raises(TrainingError, match="other outputs in another batch"):
        features.compute(frontier.split(model).prefix, encoded)


def strided(x):
    return keras.layers.Conv1D(4, 3, strides=2, padding="same", name="strided")(x)


def prepended(x):
    return keras.ops.concatenate([x[:, :1], x], axis=1)


@pytest.mark.parametrize("positions", [strided, prepended])
@pytest.mark.parametrize("memory", [2**30, 100])
def test_positions_that_are_not_the_examples_own_are_not_kept(positions, memory: int, tmp_path):
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = positions(keras.layers.Embedding(9, 4, name="table")(ids))
    y = keras.layers.GlobalMaxPooling1D()(keras.layers.Dense(4, name="top")(x))
    model = keras.Model(ids, y)
    stages.apply_stage(model, Stage("s", {"model/top": 1.0}, 1))
    lengths = np.array([6, 6, 6])
    column = Ragged(np.arange(18, dtype="int32") % 9, np.concatenate([[0], np.cumsum(lengths)]))
    encoded = Encoded({"ids": column}, lengths, np.arange(3), np.zeros(3, "int32"), np.ones(3, "float32"))
    with pytest.raises(TrainingError, match=r"(?s)not that of the examples.*6 positions.*(3|7) positions"):
        features.compute(frontier.split(model).prefix, encoded, Keeping(memory, Store(tmp_path)))
    assert not Store(tmp_path).entries()


def test_a_model_that_is_not_functional_is_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ConfigError, match="no functional model"):
        frontier.split(Own())


def test_lists_of_what_is_kept_name_the_data(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "WORTH_SECONDS", -1.0)
    monkeypatch.setenv("TFVERTICAL_HOME", str(tmp_path))
    train, held_out = tiny.texts(9), tiny.texts(5, seed=1)
    named = [replace(each, report=replace(each.report, name=f"{at}.csv")) for at, each in enumerate((train, held_out))]
    tiny.text_task().fit(*named, epochs=1, verbose=0)
    told = {entry.rows: (entry.parts["preset"], entry.parts["data_name"]) for entry in Store().entries()}
    assert told == {9: ("tiny", "0.csv"), 5: ("tiny", "1.csv")}
