"""An interrupted run and an uninterrupted one end with the same bits and the same history."""

from __future__ import annotations

import functools
import itertools
import os
import signal
from dataclasses import dataclass, replace

import keras
import numpy as np
import pytest

from tests.core import tiny
from tests.forking import Forked
from tfvertical import chunks, features, identity, kept, resume, steps
from tfvertical.adaptations.discriminative import Discriminative
from tfvertical.adaptations.frozen import Frozen
from tfvertical.adaptations.full_fine_tuning import FullFineTuning
from tfvertical.adaptations.gradual_unfreezing import GradualUnfreezing
from tfvertical.augment import Augment
from tfvertical.checkpoint import Checkpoint
from tfvertical.contracts import Adaptation, Objective
from tfvertical.errors import CheckpointError, ConfigError, Interrupted, StoreError
from tfvertical.objectives.cross_entropy import CrossEntropy
from tfvertical.stages import Stage

ADAPTATIONS = {
    "frozen": Frozen(),
    "gradual": GradualUnfreezing(blocks=1),
    "discriminative": Discriminative(),
    "full": FullFineTuning(),
}
SETTINGS = {"epochs": 2, "batch_size": 4, "learning_rate": 0.01, "cache_disk": 0, "precision": "float32"}


class Killed(BaseException):
    pass


@pytest.fixture(autouse=True)
def several_calls_an_epoch(monkeypatch):
    monkeypatch.setattr(chunks, "SECONDS", 8e-4)  # two steps
    monkeypatch.setattr(steps, "SECONDS", 0.0)  # one step
    monkeypatch.setattr(resume, "Lock", _Unlocked)  # its own tests; a killed run's would be waited for
    features.forget()


class _Unlocked:
    def __init__(self, folder):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def check(self):
        pass


def fit(kind: str, how: str, folder=None, every: float = 0.0, **more):
    """A run of a new task; its weights, history, and how its generators stand."""
    task = tiny.make_task(kind, dropout=0.2)
    train, held_out = tiny.make_examples(kind, 18), tiny.make_examples(kind, 8, seed=1)
    history = task.fit(
        train,
        held_out,
        adaptation=ADAPTATIONS[how],
        verbose=0,
        checkpoint=folder,
        checkpoint_every=every,
        **SETTINGS | more,
    )
    chosen = getattr(task, "thresholds", getattr(task, "threshold", None))  # on validation data, once the weights stand
    return tiny.values(task.model) | ({} if chosen is None else {"chosen": np.array(chosen)}), history


@functools.cache
def uninterrupted(kind: str, how: str, **more):
    """`fit` without a checkpoint, which depends on nothing else: computed once for all tests."""
    return fit(kind, how, **more)


def killed_after(saves: int, monkeypatch, one_by_one: bool = False, **run) -> bool:
    """Whether the run was killed behind its save of that number; False where it made fewer.

    `one_by_one` waits for each save: else a slow disk decides how many there are, as none is begun beside another.
    """
    count, real = itertools.count(1), resume.Saver._save

    def save(self, *arguments, **keywords):
        real(self, *arguments, **keywords)
        last = next(count) == saves
        if last or one_by_one:
            self._told()
        if last:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(resume.Saver, "_save", save)
        try:
            fit(**run)
        except Killed:
            return True
    return False


def assert_same(one, other):
    assert one[0].keys() == other[0].keys()
    for name, value in one[0].items():
        assert np.array_equal(value, other[0][name]), name
    for name in ("history", "stages", "epochs", "best_epoch"):
        assert getattr(one[1], name) == getattr(other[1], name), name
    assert [proof.moved for proof in one[1].proofs] == [proof.moved for proof in other[1].proofs]


@pytest.mark.parametrize(("kind", "how"), [*itertools.product(("text", "image"), ADAPTATIONS), ("token", "gradual")])
def test_killed_and_taken_up_again(kind: str, how: str, tmp_path, monkeypatch):
    whole = uninterrupted(kind, how)
    run = {"kind": kind, "how": how}
    for saves in (1, 3):  # within an epoch, and across epochs
        assert killed_after(saves, monkeypatch, folder=tmp_path / str(saves), **run)
        if saves == 3:
            features.forget()  # the cache is cold then, and warm the other time
        assert_same(whole, fit(folder=tmp_path / str(saves), **run))


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("chain", "full"),
        ("pair", "discriminative"),
        ("answers", "gradual"),
        ("text labels", "frozen"),
        ("image labels", "full"),
        ("text numbers", "gradual"),
        ("image numbers", "discriminative"),
        ("pair numbers", "frozen"),
    ],
)
def test_every_other_task_is_taken_up_again(kind: str, how: str, tmp_path, monkeypatch):
    run = {"kind": kind, "how": how}
    assert killed_after(3, monkeypatch, one_by_one=True, folder=tmp_path, **run)
    features.forget()
    assert_same(fit(**run), fit(folder=tmp_path, **run))


def test_a_run_that_goes_on_keeps_as_much_in_memory(tmp_path, monkeypatch):
    """Room for the base of the training examples and no more: all else is read from disk, before the kill and after."""
    plan = tiny.make_task("text").plan(tiny.make_examples("text", 18), adaptation=ADAPTATIONS["gradual"], epochs=2)
    run = {"kind": "text", "how": "gradual", "cache_bytes": plan.bases[0].bytes, "cache_disk": 10**8}
    whole = uninterrupted(**run)
    assert killed_after(6, monkeypatch, one_by_one=True, folder=tmp_path / "run", **run)
    features.forget()
    assert_same(whole, fit(folder=tmp_path / "run", **run))


def test_killed_behind_every_save(tmp_path, monkeypatch):
    whole = uninterrupted("text", "gradual")
    for saves in itertools.count(2, 5):
        run = {"kind": "text", "how": "gradual", "folder": tmp_path / str(saves)}
        if not killed_after(saves, monkeypatch, one_by_one=True, **run):
            break
        assert_same(whole, fit(**run))
    assert saves > 10, "positions within epochs, too"


@pytest.mark.parametrize("saves", [1, 2, 4])
def test_compiled_chunks_with_dropout_go_on_where_they_were(saves: int, tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "XLA_STEPS", 0)
    whole = fit("text", "frozen")
    assert whole[1].steps[0]["compiled"]
    assert killed_after(saves, monkeypatch, kind="text", how="frozen", folder=tmp_path)
    assert_same(whole, fit("text", "frozen", tmp_path))


@pytest.mark.parametrize(("how", "saves", "module"), [("frozen", 1, chunks), ("full", 3, steps)])
def test_a_run_whose_calls_have_other_bounds_leaves_no_step_out(how, saves, module, tmp_path, monkeypatch):
    """A position lies where a call of the run before ended, which may be in the midst of one of this run's."""
    whole = uninterrupted("text", how)
    assert killed_after(saves, monkeypatch, kind="text", how=how, folder=tmp_path, one_by_one=True)
    assert 0 < Checkpoint(tmp_path).load().about["steps"] < 5
    monkeypatch.setattr(module, "SECONDS", 1e6)  # an epoch's steps in one call
    assert_same(whole, fit("text", how, tmp_path))


@dataclass(frozen=True)
class Shrinking(Adaptation):
    """The head alone between two stages of everything."""

    def stages(self, task, epochs):
        names = {"all": ".*", "head": "head/", "again": ".*"}
        return [Stage(name, {pattern: 1.0}, epochs=1) for name, pattern in names.items()]


def test_layers_that_a_stage_freezes_go_on_drawing_where_they_were(tmp_path, monkeypatch):
    monkeypatch.setitem(ADAPTATIONS, "shrinking", Shrinking())
    whole, real = fit("image", "shrinking"), resume.Saver._save

    def save(self, *arguments, **keywords):
        real(self, *arguments, **keywords)
        if self.standing.stage == 1:
            self._told()
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(resume.Saver, "_save", save)
        fit("image", "shrinking", tmp_path)
    assert_same(whole, fit("image", "shrinking", tmp_path))


NORMS = FullFineTuning(batch_norm=True)
ANOTHER_PROCESS = """
import os, sys
import numpy as np
from tests.core import test_resume, tiny
from tfvertical.checkpoint import Checkpoint

folder, found = sys.argv[1:]
if not found:
    real = Checkpoint.save
    Checkpoint.save = lambda *arguments: (real(*arguments), os._exit(9))
test_resume.ADAPTATIONS["norms"] = test_resume.NORMS
np.savez(found, **test_resume.fit("image", "norms", folder)[0])
"""


def test_statistics_go_on_in_a_process_that_hashes_strings_otherwise(tmp_path, monkeypatch):
    monkeypatch.setitem(ADAPTATIONS, "norms", NORMS)
    whole, found = fit("image", "norms")[0], tmp_path / "found.npz"
    for name, status in (("", 9), (str(found), 0)):  # two servers that fork take turns: each has a hash seed
        process = Forked(["-c", ANOTHER_PROCESS, str(tmp_path / "run"), name])
        said = process.communicate(timeout=120)[1]
        assert process.returncode == status, said
    with np.load(found) as again:
        assert sorted(again) == sorted(whole)
        assert [name for name in whole if not np.array_equal(whole[name], again[name])] == []


def test_what_was_put_back_is_not_held_until_the_run_ends(tmp_path, monkeypatch):
    whole, run = uninterrupted("text", "gradual"), {"kind": "text", "how": "gradual", "folder": tmp_path}
    assert killed_after(2, monkeypatch, **run)
    held, real = [], resume.Saver.enter

    def enter(self, standing):
        found = real(self, standing)
        held.append(len(self.position.arrays))
        return found

    monkeypatch.setattr(resume.Saver, "enter", enter)
    assert_same(whole, fit(**run))
    assert held and not any(held)


def test_killed_again_and_again(tmp_path, monkeypatch):
    whole = uninterrupted("text", "gradual")
    times = 0
    while killed_after(6, monkeypatch, one_by_one=True, kind="text", how="gradual", folder=tmp_path):
        times += 1
    assert times >= 2
    assert_same(whole, fit("text", "gradual", tmp_path))


@pytest.mark.parametrize("more", [{"early_stopping": 1, "epochs": 4, "learning_rate": 0.2}, {"restart": True}])
def test_early_stopping_and_schedules_go_on(more, tmp_path, monkeypatch):
    whole = uninterrupted("text", "gradual", **more)
    for saves in (4, 13):
        killed_after(saves, monkeypatch, kind="text", how="gradual", folder=tmp_path / str(saves), **more)
        assert_same(whole, fit("text", "gradual", tmp_path / str(saves), **more))


def test_a_run_that_had_ended_gives_its_result_at_once(tmp_path):
    whole = fit("text", "gradual", tmp_path)
    again = fit("text", "gradual", tmp_path)
    assert_same(whole, again)


def test_a_damaged_position_costs_one_interval_and_no_bit(tmp_path, monkeypatch):
    whole = uninterrupted("text", "gradual")
    assert killed_after(5, monkeypatch, kind="text", how="gradual", folder=tmp_path)
    newest = max(tmp_path.glob("position-*"))
    content = bytearray((newest / "arrays.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (newest / "arrays.npz").write_bytes(bytes(content))
    with pytest.warns(UserWarning, match="damaged"):
        assert_same(whole, fit("text", "gradual", tmp_path))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"learning_rate": 0.02}, r"settings.learning_rate: 0.01 then, 0.02 now"),
        ({"seed": 5}, r"settings.seed: 0 then, 5 now"),
        ({"how": "full"}, r"order: .* then, .* now"),
    ],
)
def test_another_configuration_is_refused_with_the_difference(change, said: str, tmp_path, monkeypatch):
    run = {"kind": "text", "how": "gradual", "folder": tmp_path}
    assert killed_after(2, monkeypatch, **run)
    with pytest.raises(CheckpointError, match=said):
        fit(**run | change)
    assert Checkpoint(tmp_path).load() is not None


def test_outputs_that_are_no_longer_kept_are_another_configuration(tmp_path, monkeypatch):
    """Kept, they are of one shape and in any order; inside, texts of a length share a batch."""
    run = {"kind": "text", "how": "frozen", "folder": tmp_path, "group_by_length": None}
    assert killed_after(1, monkeypatch, **run)
    assert Checkpoint(tmp_path).load().about["steps"]
    said = r"'of any lengths' then, 'grouped by length' now(.|\n)*: 'runs once' then, 'runs in every step' now"
    with pytest.raises(CheckpointError, match=said):
        fit(**run, cache_bytes=0)
    with monkeypatch.context() as patch:
        patch.setattr(features, "compute", _full)
        with pytest.warns(UserWarning, match="in every step: No space"), pytest.raises(CheckpointError, match=said):
            fit(**run)
    assert_same(uninterrupted("text", "frozen"), fit(**run))


def _full(*_):
    raise StoreError("No space left.")


@pytest.mark.parametrize(
    ("head", "said"), [({"seed": 3, "dropout": 0.2}, r"task\.head\.seed"), ({"dropout": 0.5}, r"task\.head\.dropout")]
)
def test_another_head_is_another_configuration(head, said: str, tmp_path, monkeypatch):
    """The position has the head's weights, so that their first values would not be missed."""
    assert killed_after(2, monkeypatch, kind="text", how="frozen", folder=tmp_path)
    with pytest.raises(CheckpointError, match=said):
        tiny.text_task(**head).fit(tiny.texts(18), tiny.texts(8, seed=1), verbose=0, checkpoint=tmp_path, **SETTINGS)


def test_another_graph_of_the_same_weights_is_another_configuration(tmp_path, monkeypatch):
    """What a backbone drops is no weight, and its preset may be of the same name."""
    assert killed_after(2, monkeypatch, kind="text", how="full", folder=tmp_path)
    options = {"verbose": 0, "checkpoint": tmp_path, "adaptation": ADAPTATIONS["full"], **SETTINGS}
    with pytest.raises(CheckpointError, match=r"model\.graph: '\w{64}' then, '\w{64}' now"):
        tiny.text_task(dropout=0.2, body_dropout=0.5).fit(tiny.texts(18), tiny.texts(8, seed=1), **options)


def test_a_model_that_cannot_be_written_down_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "of_model", lambda *_, **__: None)
    assert killed_after(2, monkeypatch, kind="text", how="full", folder=tmp_path)
    assert_same(uninterrupted("text", "full"), fit("text", "full", tmp_path))


def test_another_augmentation_is_another_configuration(tmp_path):
    options = {"verbose": 0, "checkpoint": tmp_path, **SETTINGS, "epochs": 1}
    tiny.image_task().fit(tiny.pictures(8), augment=Augment(), **options)
    with pytest.raises(CheckpointError, match=r"augment\."):
        tiny.image_task().fit(tiny.pictures(8), augment=Augment(flip=False), **options)


class Times(Objective):
    """The cross-entropy, times a number."""

    def __init__(self, factor):
        self.factor, self.name = np.float32(factor), object()

    def loss(self, outputs, labels):
        return self.factor * CrossEntropy().loss(outputs, labels)


@dataclass(frozen=True)
class Twice(Adaptation):
    """Two stages of one name."""

    objective: Objective | None = None
    rate: float = 1.0

    def stages(self, task, epochs):
        return [Stage("a", {"head/": self.rate}, 1), Stage("a", {"head/": 1.0}, 1, objective=self.objective)]


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        (Twice(CrossEntropy()), Twice(CrossEntropy(focal=2.0)), r"stages\.1 a\.objective\.focal: 0\.0 then, 2\.0 now"),
        (Twice(Times(1)), Twice(Times(2)), r"stages\.1 a\.objective\.factor: 1\.0 then, 2\.0 now"),
        (Twice(rate=1.0), Twice(rate=0.5), r"stages\.0 a\.rates\.head/: 1\.0 then, 0\.5 now"),
    ],
    ids=["a field of the objective", "an attribute of the objective", "the first stage of a name"],
)
def test_other_stages_are_another_configuration(then, now, said: str, tmp_path):
    options = {"verbose": 0, "checkpoint": tmp_path, **SETTINGS}
    tiny.text_task().fit(tiny.texts(8), adaptation=then, **options)
    with pytest.raises(CheckpointError, match=said):
        tiny.text_task().fit(tiny.texts(8), adaptation=now, **options)
    again = replace(then, objective=Times(1)) if isinstance(then.objective, Times) else then
    assert len(tiny.text_task().fit(tiny.texts(8), adaptation=again, **options).epochs) == 2, "the same is the same"


def test_other_data_is_another_configuration(tmp_path, monkeypatch):
    assert killed_after(2, monkeypatch, kind="text", how="frozen", folder=tmp_path)
    task = tiny.text_task(dropout=0.2)
    with pytest.raises(CheckpointError, match=r"data\.train"):
        task.fit(tiny.texts(18, seed=3), tiny.texts(8, seed=1), verbose=0, checkpoint=tmp_path, **SETTINGS)


class Asks(keras.callbacks.Callback):
    """Sends the process a signal."""

    def __init__(self, number: int, when: str):
        super().__init__()
        self.number, self.when = number, when

    def on_epoch_end(self, epoch, logs=None):
        if self.when == "epoch" and epoch == 1:
            os.kill(os.getpid(), self.number)

    def on_test_begin(self, logs=None):
        if self.when == "validation":
            os.kill(os.getpid(), self.number)

    def on_train_end(self, logs=None):
        if self.when == "end":
            os.kill(os.getpid(), self.number)

    def on_epoch_begin(self, epoch, logs=None):
        if self.when == "step" and epoch == 1:
            os.kill(os.getpid(), self.number)


def test_a_signal_while_the_frozen_part_runs_ends_the_run_at_once(tmp_path, monkeypatch):
    whole, calls = uninterrupted("text", "gradual"), itertools.count()
    real = kept.Kept.trained

    def trained(self, way):
        if next(calls) == 1:  # of the second stage
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError("the run went on")
        return real(self, way)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(kept.Kept, "trained", trained)
        fit("text", "gradual", tmp_path, every=60.0)
    assert_same(whole, fit("text", "gradual", tmp_path, every=60.0))


class Kills(keras.layers.Layer):
    """Is called when a signal comes: of an exception, Keras makes another."""

    def call(self, inputs):
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the run went on")


class Dies:
    """Goes when a signal comes: what is thrown there, Python shows and forgets."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        len(self.__dict__)  # where it is thrown


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("where", [lambda: Kills()(np.zeros((1, 2))), Dies], ids=["Keras", "__del__"])
def test_a_signal_is_not_lost_in_what_it_finds(where, tmp_path, monkeypatch):
    whole, calls, real = uninterrupted("text", "gradual"), itertools.count(), kept.Kept.trained
    at = []

    def trained(self, way):
        at.append(way)
        if next(calls) == 1:  # of the second stage
            where()
        return real(self, way)

    with monkeypatch.context() as patch, pytest.raises(Interrupted, match="SIGTERM"):
        patch.setattr(kept.Kept, "trained", trained)
        fit("text", "gradual", tmp_path, every=60.0)
    assert at == [0, 1] and Checkpoint(tmp_path).load().about["stage"] == 0
    assert_same(whole, fit("text", "gradual", tmp_path, every=60.0))


@pytest.mark.parametrize(
    ("how", "module", "name"), [("frozen", chunks, "make_metrics"), ("full", steps.Steps, "_several")]
)
def test_a_signal_while_a_stage_is_built_ends_the_run_at_once(how: str, module, name: str, tmp_path, monkeypatch):
    def built(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the run went on")

    with monkeypatch.context() as patch, pytest.raises(Interrupted, match="SIGTERM"):
        patch.setattr(module, name, built)
        fit("text", how, tmp_path)
    assert_same(uninterrupted("text", how), fit("text", how, tmp_path))


@pytest.mark.parametrize(
    ("when", "number"),
    [("epoch", signal.SIGTERM), ("validation", signal.SIGTERM), ("step", signal.SIGINT), ("end", signal.SIGINT)],
)
def test_a_signal_ends_the_run_behind_the_step_and_it_goes_on(number: int, when: str, tmp_path):
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    whole = uninterrupted("text", "gradual")
    task = tiny.text_task(dropout=0.2)
    with pytest.raises(Interrupted, match=signal.Signals(number).name):
        task.fit(
            tiny.texts(18),
            tiny.texts(8, seed=1),
            adaptation=ADAPTATIONS["gradual"],
            verbose=0,
            callbacks=[Asks(number, when)],
            checkpoint=tmp_path,
            **SETTINGS,
        )
    assert before == [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    assert_same(whole, fit("text", "gradual", tmp_path))


def test_the_task_that_was_interrupted_goes_on_itself(tmp_path):
    task = tiny.text_task(dropout=0.2)
    run = {"adaptation": ADAPTATIONS["gradual"], "verbose": 0, "checkpoint": tmp_path, **SETTINGS}
    with pytest.raises(Interrupted):
        task.fit(tiny.texts(18), tiny.texts(8, seed=1), callbacks=[Asks(signal.SIGTERM, "epoch")], **run)
    again = task.fit(tiny.texts(18), tiny.texts(8, seed=1), **run)
    assert_same(uninterrupted("text", "gradual"), (tiny.values(task.model), again))


def test_a_disk_that_is_full_is_told_and_the_run_goes_on(tmp_path, monkeypatch):
    whole = uninterrupted("text", "frozen")

    def full(self, arrays, about):
        raise CheckpointError("No space left.")

    monkeypatch.setattr(Checkpoint, "save", full)
    with pytest.warns(UserWarning, match="could not be taken up again"):
        assert_same(whole, fit("text", "frozen", tmp_path))


@pytest.mark.parametrize("first", [0, 1])
def test_a_run_that_is_asked_to_end_and_cannot_save_says_so(first: int, tmp_path, monkeypatch):
    """Whether nothing of it is saved, or an earlier position: whoever starts it again at once would do so for ever."""
    real = Checkpoint.save
    left = [first]

    def full(self, arrays, about):
        left[0] -= 1
        if left[0] < 0:
            raise CheckpointError("No space left.")
        real(self, arrays, about)

    def ask(epoch, logs):
        if epoch == first:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Checkpoint, "save", full)
    with pytest.raises(CheckpointError, match=r"asked to end \(SIGTERM\), and where it stood is not saved. No space"):
        tiny.text_task(dropout=0.2).fit(
            tiny.texts(18),
            tiny.texts(8, seed=1),
            verbose=0,
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=ask)],
            checkpoint=tmp_path,
            **SETTINGS,
        )
    assert Checkpoint(tmp_path).there() == bool(first)


def test_the_task_of_the_interrupted_process_goes_on_too(tmp_path, monkeypatch):
    """A notebook's cell run again: the task's weights are no longer those it began with."""
    whole = uninterrupted("text", "full")
    task = tiny.text_task(dropout=0.2)
    arguments = (tiny.texts(18), tiny.texts(8, seed=1))
    options = {"adaptation": ADAPTATIONS["full"], "verbose": 0, "checkpoint": tmp_path, **SETTINGS}
    with pytest.raises(Interrupted):
        task.fit(*arguments, callbacks=[Asks(signal.SIGTERM, "step")], **options)
    history = task.fit(*arguments, **options)
    assert_same(whole, (tiny.values(task.model), history))


def patient():
    """Ends a stage in its third epoch: none is better than the first by so much."""
    return keras.callbacks.EarlyStopping("val_loss", min_delta=100.0, patience=2)


@functools.cache
def ended_by_a_callback():
    return fit("text", "gradual", epochs=5, callbacks=[patient()])


@pytest.mark.parametrize(("saves", "every"), [(2, 60.0), (10, 0.0)])  # behind the second epoch, within the third
def test_callbacks_of_keras_go_on_counting(saves: int, every: float, tmp_path, monkeypatch):
    whole = ended_by_a_callback()
    assert whole[1].stages == ["head"] * 3 + ["top 1"] * 3, "each stage is ended by the callback"
    run = {"kind": "text", "how": "gradual", "epochs": 5, "folder": tmp_path, "every": every}
    log = tmp_path / "log.csv"
    killed = keras.callbacks.CSVLogger(str(log))
    assert killed_after(saves, monkeypatch, one_by_one=True, **run, callbacks=[killed, patient()])
    killed.csv_file.close()  # as a process' end does
    given = [keras.callbacks.CSVLogger(str(log)), Asks(signal.SIGTERM, "never"), patient()]
    assert_same(whole, fit(**run, callbacks=given))
    assert [line.split(",")[0] for line in log.read_text().splitlines()] == ["epoch", "0", "1", "2", "5", "6", "7"]


def test_the_best_of_earlier_stages_is_still_known(tmp_path, monkeypatch):
    """Killed behind the last epoch of a stage, for which Keras' `fit` is not called again."""
    options = {"kind": "text", "how": "gradual", "epochs": 1, "folder": tmp_path, "every": 60.0}
    path = str(tmp_path / "w.weights.h5")
    made = [keras.callbacks.ModelCheckpoint(path, "loss", 0, True, True, initial_value_threshold=-1.0) for _ in "ab"]
    made[0].best = -2.0
    assert killed_after(1, monkeypatch, **options, callbacks=made[0])
    fit(**options, callbacks=made[1])
    assert made[1].best == -2.0 and not os.path.exists(path)


def test_other_callbacks_than_before_are_told(tmp_path, monkeypatch):
    run = {"kind": "text", "how": "frozen", "folder": tmp_path, "every": 60.0}
    assert killed_after(1, monkeypatch, **run, callbacks=patient())
    with pytest.warns(UserWarning, match=r"EarlyStopping\('val_loss'\) then, EarlyStopping\('loss'\) now"):
        fit(**run, callbacks=keras.callbacks.EarlyStopping("loss"))


def test_weights_that_a_callback_holds_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"restore_best_weights=True[\s\S]*restore_best"):
        fit("text", "frozen", tmp_path, callbacks=keras.callbacks.EarlyStopping(restore_best_weights=True))
