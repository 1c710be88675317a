"""One fit per stage: what moves, what does not, what is refused, and that a run can be repeated to the bit."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import subprocess
import sys
from dataclasses import dataclass

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.core import tiny
from tfvertical import batches, planning, stages, training
from tfvertical.adaptations.frozen import Frozen
from tfvertical.adaptations.full_fine_tuning import FullFineTuning
from tfvertical.adaptations.gradual_unfreezing import GradualUnfreezing
from tfvertical.contracts import Adaptation, Objective
from tfvertical.errors import AddressError, ClusterError, ConfigError, DataError, TrainingError
from tfvertical.events import Events
from tfvertical.objectives.cross_entropy import CrossEntropy
from tfvertical.optimizer import RunSchedule
from tfvertical.stages import Stage

QUICK = {"batch_size": 8, "verbose": 0, "learning_rate": 0.01}


@dataclass(frozen=True)
class Plan(Adaptation):
    """Stages as they are given."""

    given: tuple[Stage, ...]

    def stages(self, task, epochs):
        return self.given


@dataclass(frozen=True)
class Recording(Objective):
    """Cross-entropy that keeps every batch's labels."""

    seen: tuple = ()

    def loss(self, outputs, labels):
        tf.py_function(lambda ids: self.seen[0].append(ids.numpy().tolist()), [labels], [])
        return CrossEntropy().loss(outputs, labels)


def run(task, train, validation=None, adaptation=None, callbacks=(), events=None, checkpoint=None, **settings):
    encoded = [None if examples is None else task.encode(examples) for examples in (train, validation)]
    chosen = training.Settings(**{"batch_size": 8, "learning_rate": 0.01} | settings)
    given = {"callbacks": callbacks, "events": events, "checkpoint": checkpoint}
    return training.run(task, *encoded, adaptation or Frozen(), chosen, verbose=0, **given)


def test_workers_that_train_different_runs_are_told_before_a_step(monkeypatch, tmp_path):
    def compared(rows=8, **settings):
        """What one worker compares with the others, by what it is of."""
        asked = []

        class Differ:
            at = 0

            def alike(self, value):
                asked.append(value)
                return False

        monkeypatch.setattr(training.replicas, "sharing", lambda strategy: Differ())
        task = tiny.text_task(layers=1)
        before = tiny.values(task.model)
        with pytest.raises(ClusterError, match="augment, cache, callbacks, checkpoint, data, model, order") as error:
            run(task, tiny.texts(rows), epochs=1, **settings)
        assert tiny.largest_difference(before, tiny.values(task.model)) == 0
        return dict(zip(re.findall(r"\w+", str(error.value).partition("is of ")[2]), asked, strict=False))

    one = compared()
    assert compared() == one
    watching = [keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)]
    for changed, name in (
        ({"rows": 9}, "data"),
        ({"learning_rate": 0.02}, "settings"),
        ({"checkpoint": tmp_path / "run"}, "checkpoint"),  # the others would never be asked when to save
        ({"callbacks": watching}, "callbacks"),  # takes steps one by one
        ({"cache_bytes": 1}, "cache"),  # computes what is frozen in another way
    ):
        assert {key for key, value in compared(**changed).items() if value != one[key]} == {name}


@pytest.fixture
def task():
    return tiny.image_task()


class Changes(keras.callbacks.Callback):
    """Assigns to a variable at the end of an epoch."""

    def __init__(self, variable, amount: float = 1e-6):
        super().__init__()
        self.variable, self.amount = variable, amount

    def on_epoch_end(self, epoch, logs=None):
        self.variable.assign(self.variable + self.amount)


# ----------------------------------------------------------------------------------------- what moves, what does not
@pytest.mark.parametrize("kind", ["text", "image"])
def test_learners_moved_and_the_frozen_are_equal_to_the_bit(kind: str):
    task = tiny.make_task(kind)
    before = {address: v.numpy() for address, v in stages.addresses(task.components).items()}
    history = run(
        task, tiny.make_examples(kind, 16), adaptation=GradualUnfreezing(blocks=1, backbone_rate=0.5), epochs=1
    )
    after = {address: v.numpy() for address, v in stages.addresses(task.components).items()}
    moved = {address for address in before if not np.array_equal(before[address], after[address])}
    top = task.blocks[-1]
    assert {"head/logits/kernel", "head/logits/bias"} < moved
    assert all(address.startswith("head/") or stages.re.match(top, address) for address in moved)
    assert moved == set(history.proofs[0].moved) | set(history.proofs[1].moved)
    assert set(history.proofs[0].moved) == {"head/logits/kernel", "head/logits/bias"}
    assert history.proofs[1].frozen == len(before) - len(history.proofs[1].moved) - len(history.proofs[1].unmoved)


def test_what_goes_wrong_while_batches_are_read_is_told_as_it_is(monkeypatch):
    real, calls = batches.gather, itertools.count()

    def gone(*arguments, **options):
        if next(calls) == 5:
            raise DataError("photo.jpg: the file cannot be read.")
        return real(*arguments, **options)

    monkeypatch.setattr(batches, "gather", gone)
    with pytest.raises(DataError, match="the file cannot be read"):
        tiny.text_task().fit(tiny.texts(30), adaptation=FullFineTuning(), epochs=3, **QUICK)


def test_a_callback_that_changes_a_frozen_weight_is_caught(task):
    frozen = task.components["image"].get_layer("stem_conv").kernel
    with pytest.raises(
        TrainingError, match=r"Stage 'head': 1 frozen variables moved, the first is 'image/stem_conv/kernel'"
    ):
        run(task, tiny.pictures(16), callbacks=[Changes(frozen)], epochs=1)


def test_statistics_that_move_though_they_are_frozen_are_caught(task):
    statistics = task.components["image"].get_layer("stem_norm").moving_mean
    adaptation = Plan((Stage("top", {"head/": 1.0, "image/block2": 0.1}, 1, batch_norm=True),))
    with pytest.raises(TrainingError, match="image/stem_norm/moving_mean"):
        run(task, tiny.pictures(16), adaptation=adaptation, callbacks=[Changes(statistics)])


def test_a_learner_that_does_not_move_is_caught(task):
    with pytest.raises(TrainingError, match=r"should learn and did not move"):
        run(task, tiny.pictures(8), learning_rate=1e-46, epochs=1)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_batch_normalization_moves_when_asked_only(task, batch_norm: bool):
    before = {address: v.numpy() for address, v in stages.addresses(task.components).items()}
    run(task, tiny.pictures(16), adaptation=FullFineTuning(batch_norm=batch_norm), epochs=1)
    after = {address: v.numpy() for address, v in stages.addresses(task.components).items()}
    of_norms = {address for address in before if "norm" in address}
    moved = {address for address in before if not np.array_equal(before[address], after[address])}
    assert moved == (set(before) if batch_norm else set(before) - of_norms)


# ------------------------------------------------------------------------------------------------------ what is refused
def test_mistakes_in_a_later_stage_are_said_before_the_first_epoch(task):
    before = tiny.values(task.model)
    adaptation = Plan((Stage("head", {"head/": 1.0}, 1), Stage("top", {"image/blok2": 1.0}, 1)))
    with pytest.raises(AddressError, match=r"Stage 'top'[\s\S]*blok2"):
        run(task, tiny.pictures(8), adaptation=adaptation)
    assert tiny.largest_difference(before, tiny.values(task.model)) == 0


def test_no_examples_no_labels(task):
    with pytest.raises(DataError, match="no training examples"):
        run(task, tiny.labelled([], []))
    with pytest.raises(DataError, match="validation examples have no labels"):
        run(task, tiny.pictures(4), tiny.labelled(tiny.pictures(4).inputs, None))


def test_early_stopping_without_validation(task):
    with pytest.raises(ConfigError, match="needs validation"):
        run(task, tiny.pictures(8), early_stopping=1)


def test_an_unknown_quantity_to_monitor_is_told_before_the_first_epoch(task, monkeypatch):
    monkeypatch.setattr(planning, "plan", None)
    with pytest.raises(ConfigError, match=r"'val_acuracy'[\s\S]*val_loss, val_accuracy[\s\S]*'val_accuracy'"):
        run(task, tiny.pictures(8), tiny.pictures(4), monitor="val_acuracy", epochs=1)


def test_a_loss_that_is_not_finite_undoes_the_stage(task):
    """One bad feature makes every learning weight NaN; the weights of before the stage come back."""

    class Spoil(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.stage, self.before = 0, None

        def on_train_begin(self, logs=None):
            self.stage += 1
            if self.stage == 2:
                self.before = tiny.values(task.model)
                kernel = task.components["head"].get_layer("logits").kernel
                kernel.assign(kernel * np.nan)

    spoil = Spoil()
    start = tiny.values(task.model)
    with pytest.raises(TrainingError, match=r"Stage 'top 1', epoch 2: the loss is nan"):
        run(task, tiny.pictures(8), adaptation=GradualUnfreezing(blocks=1), epochs=1, callbacks=[spoil])
    assert tiny.largest_difference(spoil.before, tiny.values(task.model)) == 0
    assert tiny.largest_difference(start, tiny.values(task.model)) > 0, "stage one stays"


def test_statistics_come_back_too(task):
    """BatchNormalization's statistics do not learn, yet a stage moves them."""

    class Infinite(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            task.components["head"].get_layer("logits").bias.assign([np.inf, 0.0])

    before = tiny.values(task.model)
    with pytest.raises(TrainingError, match=r"not finite|the loss is"):
        run(task, tiny.pictures(16), adaptation=FullFineTuning(batch_norm=True), epochs=1, callbacks=[Infinite()])
    assert tiny.largest_difference(before, tiny.values(task.model)) == 0


# ----------------------------------------------------------------------------------------- early stopping, best weights
def scripted(task, monkeypatch, losses, **settings):
    """A run whose epochs have these validation losses, with the weights after each."""
    kept = []
    judge = training.Watch.on_epoch_end

    def told(self, epoch, logs=None):
        logs = dict(logs or {}) | {"val_loss": losses[len(kept)]}
        kept.append(tiny.values(task.model))
        return judge(self, epoch, logs)

    monkeypatch.setattr(training.Watch, "on_epoch_end", told)
    adaptation = GradualUnfreezing(blocks=1, backbone_rate=0.5)
    history = run(task, tiny.pictures(8), tiny.pictures(4), adaptation, **settings)
    return history, kept


def test_best_weights_of_all_stages_come_back(task, monkeypatch):
    history, kept = scripted(task, monkeypatch, [3.0, 1.0, 2.0, 1.5], epochs=2)
    assert history.best_epoch == 1 and len(kept) == 4
    assert tiny.largest_difference(kept[1], tiny.values(task.model)) == 0
    assert tiny.largest_difference(kept[3], tiny.values(task.model)) > 0


def test_an_epoch_that_cannot_be_judged_is_told_and_never_the_best(task, monkeypatch):
    with pytest.warns(UserWarning, match=r"Stage 'head', epoch 1: val_loss is inf(.|\n)*far from all others") as told:
        history, kept = scripted(task, monkeypatch, [float("inf"), 1.0, float("nan"), 1.5], epochs=2)
    assert history.best_epoch == 1 and len(told) == 1
    assert tiny.largest_difference(kept[1], tiny.values(task.model)) == 0


def test_a_later_stage_begins_from_the_best_so_far(task, monkeypatch):
    begun = []
    enter = training.Watch.enter
    monkeypatch.setattr(
        training.Watch, "enter", lambda self, s: (begun.append(tiny.values(task.model)), enter(self, s))[1]
    )
    _, kept = scripted(task, monkeypatch, [1.0, 2.0, 0.5, 0.1], epochs=2)
    assert tiny.largest_difference(begun[1], kept[0]) == 0
    assert tiny.largest_difference(kept[3], tiny.values(task.model)) == 0


def test_without_restoring_the_last_weights_stay(task, monkeypatch):
    history, kept = scripted(task, monkeypatch, [1.0, 2.0, 3.0, 4.0], epochs=2, restore_best=False)
    assert history.best_epoch == -1
    assert tiny.largest_difference(kept[3], tiny.values(task.model)) == 0


def test_early_stopping_ends_the_stage_and_not_the_run(task, monkeypatch):
    history, kept = scripted(task, monkeypatch, [1.0, 2.0, 0.5, 0.6, 9.0], epochs=4, early_stopping=1)
    assert history.stages == ["head", "head", "top 1", "top 1"]
    assert history.epochs == [0, 1, 4, 5] and history.best_epoch == 4
    assert tiny.largest_difference(kept[2], tiny.values(task.model)) == 0


def test_without_validation_the_last_epoch_is_kept(task):
    history = run(task, tiny.pictures(8), epochs=2)
    assert history.best_epoch == -1 and "val_loss" not in history.history


# ---------------------------------------------------------------------------------------------- order, seeds, schedule
def test_fit_sees_each_example_once_an_epoch_in_an_order_of_its_own():
    task = tiny.text_task()
    train = tiny.texts(13)
    encoded = task.encode(train)
    encoded.labels[:] = np.arange(13)  # labels that tell which example it is
    task.model = keras.Model(task.model.input, keras.ops.tile(task.model.output, (1, 7)))
    seen: list = []
    adaptation = Plan((Stage("head", {"head/": 1.0}, 3, objective=Recording((seen,))),))
    settings = training.Settings(batch_size=4, learning_rate=0.01)
    training.run(task, encoded, None, adaptation, settings, verbose=0)
    assert seen.pop(0) == [0, 1], "a first look at two examples makes the metrics, and trains nothing"
    epochs = [[label for batch in seen[at : at + 4] for label in batch] for at in range(0, len(seen), 4)]
    assert len(epochs) == 3 and all(sorted(epoch) == list(range(13)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_the_schedule_spans_the_run_and_starts_anew_where_asked(task):
    rates: dict[bool, list[float]] = {}
    for restart in (False, True):

        class Watching(keras.callbacks.Callback):
            def on_train_batch_begin(self, batch, logs=None):
                rates.setdefault(restart, []).append(float(self.model.optimizer.learning_rate.numpy()))  # noqa: B023

        run(
            tiny.image_task(),
            tiny.pictures(16),
            adaptation=GradualUnfreezing(blocks=1),
            epochs=5,
            restart=restart,
            warmup=0.2,
            callbacks=[Watching()],
        )
    whole = RunSchedule(0.01, 20, 0.2)
    half = RunSchedule(0.01, 10, 0.2)
    assert rates[False] == pytest.approx([float(whole(step)) for step in range(20)], rel=1e-5)
    assert rates[True] == pytest.approx([float(half(step)) for step in range(10)] * 2, rel=1e-5)


def test_moments_go_on_for_those_that_go_on(monkeypatch):
    """With one rate for all and the same data, two stages of the head are one stage of twice the epochs."""
    found = []
    for plan in ([2, 2], [4]):
        task = tiny.image_task(dropout=0.0)
        adaptation = Plan(tuple(Stage(f"s{at}", {"head/": 1.0}, epochs) for at, epochs in enumerate(plan)))
        history = run(task, tiny.pictures(16), adaptation=adaptation)
        found.append((tiny.values(task.model), history.history["loss"]))
    assert tiny.largest_difference(found[0][0], found[1][0]) <= 1e-6
    np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-6)


def weights_after_fit(kind: str, seed: int = 3) -> dict[str, np.ndarray]:
    """Every weight learns, dropout is on in body and head."""
    task = tiny.make_task(kind, seed=1, **({"layers": 1} if kind == "text" else {}))
    task.fit(tiny.make_examples(kind, 12), adaptation=FullFineTuning(), epochs=1, seed=seed, **QUICK)
    return tiny.values(task.model)


def digest(weights: dict[str, np.ndarray]) -> str:
    return hashlib.sha256(b"".join(value.tobytes() for value in weights.values())).hexdigest()


PROGRAM = """
from tests.core.test_training import digest, weights_after_fit
print("RESULT", *(digest(weights_after_fit(kind)) for kind in ("text", "image")))
"""


def test_the_same_seed_gives_the_same_bits_here_and_in_another_process(root):
    here = [digest(weights_after_fit(kind)) for kind in ("text", "image")]
    keras.utils.set_random_seed(99)  # what went before in the process has no say
    assert digest(weights_after_fit("image")) == here[1]
    assert digest(weights_after_fit("image", seed=4)) != here[1]
    said = subprocess.run([sys.executable, "-c", PROGRAM], cwd=root, capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[-1].split()[1:] == here


# ------------------------------------------------------------------------------------------------------------- dropout
def first_loss(body: float, head: float, cache: bool) -> float:
    task = tiny.image_task(body_dropout=body, dropout=head)
    task.model.set_weights(tiny.image_task().model.get_weights())  # a Dropout of 0 draws no seed: all weights differ
    return run(task, tiny.pictures(16), epochs=1, cache=cache).history["loss"][0]


@pytest.mark.parametrize("cache", [True, False])
def test_dropout_works_in_the_head_and_rests_in_what_is_frozen(cache: bool):
    still = first_loss(0.0, 0.0, cache)
    assert first_loss(0.9, 0.0, cache) == pytest.approx(still, abs=1e-5)
    assert len({still, first_loss(0.0, 0.3, cache), first_loss(0.0, 0.8, cache)}) == 3


def test_dropout_of_what_is_unfrozen_works():
    losses = set()
    for rate in (0.0, 0.5):
        task = tiny.image_task(body_dropout=rate, dropout=0.0)
        task.model.set_weights(tiny.image_task().model.get_weights())
        losses.add(run(task, tiny.pictures(16), adaptation=FullFineTuning(), epochs=1).history["loss"][0])
    assert len(losses) == 2


# ------------------------------------------------------------------------------------------------- callbacks, events
def test_callbacks_run_in_every_stage_with_the_model_that_is_trained(task, tmp_path):
    class Counting(keras.callbacks.Callback):
        models: list = []  # noqa: RUF012
        epochs: list = []  # noqa: RUF012

        def on_train_begin(self, logs=None):
            self.models.append(len(self.model.trainable_variables))

        def on_epoch_end(self, epoch, logs=None):
            self.epochs.append(epoch)

    log = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"), append=True)
    run(task, tiny.pictures(8), adaptation=GradualUnfreezing(blocks=2), epochs=1, callbacks=[Counting(), log])
    assert Counting.models == [2, 3, 4] and Counting.epochs == [0, 1, 2]
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 4


def test_a_log_holds_all_stages_of_a_run_and_of_the_last_run_only(task, tmp_path):
    log = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    for _ in range(2):
        run(task, tiny.pictures(8), adaptation=GradualUnfreezing(blocks=1), epochs=1, callbacks=[log])
        lines = (tmp_path / "log.csv").read_text().splitlines()
        assert [line.split(",")[0] for line in lines] == ["epoch", "0", "1"]
    assert not log.append


@pytest.mark.parametrize(
    ("callback", "said"),
    [
        (keras.callbacks.ReduceLROnPlateau(), "schedule=` and `learning_rate="),
        (keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate), "schedule=` and `learning_rate="),
        (keras.callbacks.ModelCheckpoint("x.keras"), "save_weights_only=True"),
        (keras.callbacks.EarlyStopping, r"call the class: EarlyStopping\(\)"),
    ],
    ids=["plateau", "scheduler", "whole model", "a class"],
)
def test_callbacks_that_cannot_work_are_refused_before_anything_is_computed(task, callback, said: str):
    events = Events()
    with pytest.raises(ConfigError, match=said):
        run(task, tiny.pictures(8), callbacks=[callback], events=events, epochs=1)
    assert not events.seen


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras, where it saves weights
@pytest.mark.parametrize("alone", [True, False])
def test_a_callback_needs_no_list(task, alone: bool, tmp_path):
    """And one that saves weights only works where the frozen part runs in every step, too."""
    saves = keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.weights.h5"), save_weights_only=True)
    given = saves if alone else keras.callbacks.CallbackList([saves])
    run(task, tiny.pictures(8), callbacks=given, epochs=1, cache=False)
    assert [each.name for each in tmp_path.iterdir()] == ["1.weights.h5"]


def test_a_second_fit_goes_on_and_leaves_the_task_whole(task):
    before = tiny.values(task.model)
    first = run(task, tiny.pictures(8), adaptation=GradualUnfreezing(blocks=1), epochs=1)
    between = tiny.values(task.model)
    second = run(task, tiny.pictures(8), adaptation=Frozen(), epochs=1)
    after = tiny.values(task.model)
    assert tiny.largest_difference(before, between) > 0
    assert {name for name in after if not np.array_equal(between[name], after[name])} == {
        name for name in after if "logits" in name
    }
    assert first.stages == ["head", "top 1"] and second.stages == ["head"]


def test_the_model_of_the_task_is_never_compiled(task):
    run(task, tiny.pictures(8), adaptation=FullFineTuning(), epochs=1)
    assert not task.model.compiled


def test_events(task, tmp_path):
    events = Events(tmp_path / "run" / "events.jsonl")
    run(task, tiny.pictures(8), adaptation=GradualUnfreezing(blocks=1), epochs=1, events=events)
    written = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    assert written == events.seen
    # the base of both stages runs first; from it the first stage goes on, and the second starts there
    first = ["stage_started", "features", "features", "steps", "epoch_ended", "stage_ended"]
    second = ["stage_started", "steps", "epoch_ended", "stage_ended"]
    assert [event["kind"] for event in written] == [*first, *second, "run_ended"]
    epochs = [event for event in written if event["kind"] == "epoch_ended"]
    assert [event["epoch"] for event in epochs] == [0, 1] and epochs[1]["stage"] == "top 1"
    assert epochs[0]["loss"] > 0
    assert written[0]["stage"] == "head" and written[0]["learning"] == 2
