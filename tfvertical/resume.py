"""Where a run stands, saved while it trains, and how another process goes on from there.

A position lies between two calls of a training function, or behind an epoch: the weights that move, the optimizer, what
random layers draw next, the metrics of the epoch so far, the best weights so far, and what has been recorded.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from tfvertical import callback_state, per_replica, random_states
from tfvertical.averages import Averages
from tfvertical.checkpoint import Checkpoint, Position
from tfvertical.errors import CheckpointError, ClusterError, Interrupted, TfverticalError
from tfvertical.events import Events
from tfvertical.history import Recorder, numbers, words
from tfvertical.lock import Lock
from tfvertical.optimizer import StagedAdamW
from tfvertical.sharing import Sharing
from tfvertical.signals import NAMES, Ends, Listener
from tfvertical.watch import Watch

SHOWN = 10  # differences between two configurations that a message names


@dataclass
class Standing:
    """The live objects of a stage, from which a position is made and which one is put back into.

    Args:
        stage: its number in the run.
        model: that is trained.
        whole: the task's model, of which `model` may be the end only: a later stage may draw by what this one does not.
        optimizer: the model's.
        recorder: of the stage's epochs.
        first: planned number of the stage's first epoch.
        epochs: how many it has.
        before: address -> hash of each variable, from before the stage.
        policy: the dtype policy that it trains with, and why.
        way: how it comes by its batches, as flat JSON values: in another order, some rows of an epoch that goes on
            would come twice and others not at all.
        taken: what takes its steps, once that is there.
        skipped: steps of the stage that were left out.
        averages: that may stand in the weights' place.
        callbacks: the user's; of Keras' own, what they remember is saved.
        remembered: what that was when the epoch began; what follows within one, Keras does again.
    """

    stage: int
    model: keras.Model
    whole: keras.Model
    optimizer: StagedAdamW
    recorder: Recorder
    first: int
    epochs: int
    before: Mapping[str, bytes]
    policy: tuple[str, str] = ("", "")
    way: Mapping[str, Any] = field(default_factory=dict)
    taken: Any = None
    skipped: list[dict[str, Any]] = field(default_factory=list)
    averages: Averages | None = None
    callbacks: Sequence[keras.callbacks.Callback] = ()
    remembered: list[dict[str, Any]] = field(default_factory=list)

    def random(self) -> list[Any]:
        """States of everything in the task's model that draws."""
        return random_states.states(self.whole)

    def metrics(self) -> list[Any]:
        """Variables of the metrics."""
        return [variable for metric in self.model.metrics for variable in metric.variables]


class Saver:
    """Saves the position of a run now and then, when it is asked to end, and after every epoch.

    Args:
        checkpoint: where; None saves nothing.
        every: seconds between two saves within an epoch.
        config: what the run is, as flat JSON values: only a run of the same goes on from a position.
        events: where to say what happens.
        workers: the processes that this run shares its steps with, this one among them; None where there are no others.
            The first of them saves, and all go on from what it saved. When to save, and to end, is agreed by all.

    Attributes:
        position: where an earlier process stopped; None at the beginning of a run.
        frozen: the dtype policy that frozen parts compute by, and why; None where none has run.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | None,
        every: float,
        config: Mapping[str, Any],
        events: Events,
        workers: Sharing | None = None,
    ):
        self.workers, self.writes = workers, workers is None or workers.at == 0
        self.checkpoint, self.every, self.config, self.events = checkpoint, every, dict(config), events
        self.position: Position | None = None
        self.standing: Standing | None = None
        self.watch: Watch | None = None
        self.recorded: dict[str, Any] = {}
        self.recorded_at = time.perf_counter()
        self.frozen: tuple[str, str] | None = None
        self._lock: Lock | None = None
        self._signals = Listener()
        self._called = self._stepped = False  # the stage's training function; and it took steps
        self._saved_at = time.monotonic()
        self._beside = ThreadPoolExecutor(1)
        self._saving: Future[None] | None = None
        self._failed: CheckpointError | None = None  # of the newest save
        self._pending: list[np.ndarray] | None = None
        self._metrics: list[np.ndarray] | None = None

    @contextlib.contextmanager
    def open(self, watch: Watch) -> Iterator[Position | None]:
        """Lock the folder, look for a position, and listen to signals while the block runs.

        Args:
            watch: of the run; its variables are the weights that are saved.

        Raises:
            CheckpointError: another process writes there, another run's position stands there, or a signal came and
                the position could not be saved.
            Interrupted: a signal came; where several workers share the run, to all of them.
        """
        if self.checkpoint is None:
            yield None
            return
        self.watch = watch
        if self.writes:
            self.checkpoint.place.make()
        try:
            held = self.checkpoint.lock
            with Lock(self.checkpoint.place) if self.writes and not held else contextlib.nullcontext(held) as lock:
                self._lock = lock
                with self._signals.listening():
                    self._look(self.checkpoint, watch)
                    with self._ending():
                        yield self.position
        except Ends as error:  # before the run went on, or asked twice
            raise Interrupted(error.name, _where(self.checkpoint)) from error

    def _look(self, checkpoint: Checkpoint, watch: Watch) -> None:
        """Load the position, if there is one, and put its weights back."""
        self.position = checkpoint.load()
        if self.position is None:
            return
        _refuse_other(self.position.about["config"], self.config, checkpoint)
        _assign(watch.variables, _several(self.position.arrays, "weight"))
        if frozen := self.position.about.get("frozen"):
            self.frozen = tuple(frozen)
        self.events.take_up(self.position.about["events"])
        self.events.emit("resumed", stage=self.position.about["stage"], epoch=self.position.about["epoch"])

    @contextlib.contextmanager
    def _ending(self) -> Iterator[None]:
        """Wait for the last save, and tell a run that a signal ends from one that fails.

        What a signal threw may come back as another exception of whoever it was thrown through; and where all workers
        were asked and another one left first, this one's step can no longer be finished.
        """
        try:
            yield
            self._told()
        except BaseException as error:
            asked = self._signals.asked
            if asked is None or not (self._signals.thrown or isinstance(error, Interrupted | ClusterError)):
                self._told()
                raise
            raise self._ended(asked) from error

    # ------------------------------------------------------------------------------------------- putting things back
    def back(self, stage: int) -> Position | None:
        """The position, if it lies in that stage."""
        return self.position if self.position is not None and self.position.about["stage"] == stage else None

    def enter(self, standing: Standing) -> tuple[int, int]:
        """A stage begins, or goes on: planned number of its next epoch, and how many of that epoch's steps are done.

        Where it goes on, weights, optimizer, random states and the watch are as they were.

        Raises:
            CheckpointError: it comes by its batches in another way than before.
            Interrupted: a signal came.
        """
        self._go_on()
        self.standing, self._called, self._stepped = standing, False, False
        position = self.back(standing.stage)
        if position is None or self.watch is None:
            return standing.first, 0
        arrays, about = position.arrays, position.about
        if self.checkpoint is not None and not about["stopped"]:
            _refuse_other(about["way"], standing.way, self.checkpoint)
        _assign(standing.optimizer.variables, _several(arrays, "optimizer"))
        _assign(standing.random(), _several(arrays, "random"))
        self.watch.start = _several(arrays, "start")
        self.watch.kept = _several(arrays, "best") or self.watch.kept
        self.watch.best, self.watch.best_epoch = float.fromhex(about["best"]), about["best_epoch"]
        self.watch.waited = about["waited"]
        standing.recorder.epochs = list(about["epochs"])
        standing.recorder.history = {name: numbers(values) for name, values in about["history"].items()}
        standing.skipped[:] = about["skipped"]
        standing.remembered = callback_state.fitting(standing.callbacks, about.get("callbacks", []))
        callback_state.restore(
            standing.callbacks, standing.remembered
        )  # Keras may have nothing left to do in the stage
        self._pending = _several(arrays, "metric") if about["steps"] else None
        arrays.clear()  # else all that was put back would be held a second time until the run ends
        if about["stopped"]:
            return standing.first + standing.epochs, 0
        return about["epoch"], about["steps"]

    def leave(self) -> None:
        """The stage's steps are over, and the last position is kept: until the next step a signal ends the run at once.

        Raises:
            Interrupted: a signal came after the last step.
        """
        self._signals.waits = False
        self.standing = None
        self._go_on()

    def begun(self) -> None:
        """The stage's model is built: from now on a signal waits until the step at hand is saved."""
        self._signals.waits = True

    def _go_on(self) -> None:
        if (asked := self._agreed()[0]) is not None:
            raise Interrupted(asked, _where(self.checkpoint))

    def _agreed(self, due: bool = False) -> tuple[str | None, bool]:
        """What all workers do now: the signal that ends the run, whichever of them it came to; whether to save.

        All of them have to ask at the same point of the run, or those that do would wait for the others.
        """
        if self.workers is None or self.checkpoint is None:
            return self._signals.asked, due
        asked = [self._signals.asked == name for name in NAMES]
        *asked, due = self.workers.anywhere([*asked, due and self.writes])
        name = next((name for name, came in zip(NAMES, asked, strict=True) if came), None)
        self._signals.asked = self._signals.asked or name
        return name, due

    def train_function(self, taken: Any) -> Any:
        """What Keras calls for `taken`, with a look at clock and signals after each call."""
        if self.checkpoint is None:
            return lambda iterator: taken(iterator)

        def call(iterator: Any) -> Any:
            if self._pending is not None and self.standing is not None:  # Keras has just reset them
                per_replica.assign(self.standing.metrics(), self._pending, self.workers)
                self._pending = None
            before = taken.epoch, taken.in_epoch
            self._signals.waits = self._stepped  # making the first steps' graph takes long, and nothing is lost by it
            if not self._called and (asked := self._agreed()[0]) is not None:  # later, it may be all of an epoch
                self._save_and_leave(asked, taken.in_epoch, taken.epoch)
            self._called = True
            logs = taken(iterator)
            self._signals.waits = True
            new = (taken.epoch, taken.in_epoch) != before  # Keras also counts steps that an earlier process took
            self._stepped = self._stepped or new
            due = time.monotonic() - self._saved_at >= self.every and (self._saving is None or self._saving.done())
            asked, due = self._agreed(due and new)
            if asked is not None:
                self._save_and_leave(asked, taken.in_epoch, taken.epoch)
            if due:
                self._save(taken.in_epoch, taken.epoch)
            return logs

        return call

    def callbacks(self) -> list[keras.callbacks.Callback]:
        """What has to stand behind all other callbacks of a stage."""
        return [] if self.checkpoint is None else [_Epochs(self)]

    # ----------------------------------------------------------------------------------------------------- saving
    def fit_began(self) -> None:
        """Keras' callbacks have just begun anew: where the stage goes on, they get back what they remembered."""
        if self.standing is not None:
            callback_state.restore(self.standing.callbacks, self.standing.remembered)
            self.standing.remembered = callback_state.remembered(self.standing.callbacks)

    def epoch_ended(self, epoch: int, stopped: bool) -> None:
        """Keep the position behind an epoch."""
        if self.standing is not None:
            self.standing.remembered = callback_state.remembered(self.standing.callbacks)
        if (asked := self._agreed()[0]) is not None:
            self._save_and_leave(asked, 0, epoch + 1, stopped)
        self._save(0, epoch + 1, stopped)

    def validation_begins(self) -> None:
        """The epoch's own metrics are about to be reset."""
        if self.standing is not None:
            self._metrics = per_replica.values(self.standing.metrics())

    def validating(self) -> None:
        """Between two batches of validation: all steps of the epoch are taken, and it is not judged yet."""
        if (asked := self._agreed()[0]) is not None and self.standing is not None:
            taken = self.standing.taken
            if self.standing.averages is not None:
                self.standing.averages.outside()
            self._save_and_leave(asked, taken.in_epoch, taken.epoch, metrics=self._metrics)

    def _save_and_leave(
        self, asked: str, steps: int, epoch: int, stopped: bool = False, metrics: list[np.ndarray] | None = None
    ) -> None:
        self._save(steps, epoch, stopped, metrics)
        raise Interrupted(asked, _where(self.checkpoint))

    def _save(self, steps: int, epoch: int, stopped: bool = False, metrics: list[np.ndarray] | None = None) -> None:
        """Take a copy now, and write it while the run goes on."""
        here, watch = self.standing, self.watch
        if self.checkpoint is None or here is None or watch is None:
            return
        counted = per_replica.whole(metrics or per_replica.values(here.metrics()), self.workers) if steps else []
        if not self.writes:
            return
        if self._lock is not None:
            self._lock.check()
        if self._saving is not None:
            self._told()
        groups = {
            "weight": _values(watch.variables),
            "optimizer": _values(here.optimizer.variables),
            "random": _values(here.random()),
            "metric": counted,
            "start": watch.start,
            "best": watch.kept if watch.best_epoch >= 0 else [],
        }
        arrays = {f"{group}/{at:06d}": value for group, values in groups.items() for at, value in enumerate(values)}
        about = {
            "config": self.config,
            "stage": here.stage,
            "epoch": epoch,
            "steps": steps,
            "stopped": stopped or epoch >= here.first + here.epochs,
            "epochs": list(here.recorder.epochs),
            "history": {name: words(values) for name, values in here.recorder.history.items()},
            "best": float(watch.best).hex(),
            "best_epoch": watch.best_epoch,
            "waited": watch.waited,
            "optimizer": here.optimizer.get_config(),
            "before": {address: value.hex() for address, value in here.before.items()},
            "policy": list(here.policy),
            "way": dict(here.way),
            "frozen": self.frozen and list(self.frozen),
            "recorded": self.recorded | {"seconds": self.recorded["seconds"] + time.perf_counter() - self.recorded_at},
            "skipped": list(here.skipped),
            "callbacks": here.remembered,
            "events": list(self.events.seen),
        }
        self._saving = self._beside.submit(self.checkpoint.save, arrays, about)
        self._saved_at = time.monotonic()

    def _told(self, goes_on: bool = True) -> None:
        """Wait for the save under way; one that failed is told where the run goes on."""
        try:
            if self._saving is not None:
                self._saving.result()  # asked twice, the run ends here
                self._failed = None
            self._saving = None
        except CheckpointError as error:
            self._saving, self._failed = None, error
            self.events.emit("checkpoint_failed", error=str(error))
            if goes_on:
                warnings.warn(f"The run goes on, but could not be taken up again from here. {error}", stacklevel=2)

    def _ended(self, name: str) -> TfverticalError:
        """What a run raises that the signal `name` ends: only one whose position is saved may be taken up again."""
        self._told(goes_on=False)
        if self._failed is None:
            return Interrupted(name, _where(self.checkpoint))
        return CheckpointError(
            f"The run was asked to end ({name}), and where it stood is not saved. {self._failed}",
            fix="mend that first: the same call goes on from an earlier position, or begins anew where there is none",
        )


class _Epochs(keras.callbacks.Callback):
    """Calls the saver; behind all others, so that what they decide is saved too."""

    def __init__(self, saver: Saver):
        super().__init__()
        self.saver = saver

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.saver.fit_began()
        self.saver.begun()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.saver.epoch_ended(epoch, bool(self.model.stop_training))

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.saver.validation_begins()

    def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.saver.validating()


def optimizer_of(position: Position) -> StagedAdamW:
    """The optimizer of a position's stage, before its variables are made."""
    made: StagedAdamW = StagedAdamW.from_config(dict(position.about["optimizer"]))
    return made


def before_of(position: Position) -> dict[str, bytes]:
    """Hashes of the weights from before a position's stage."""
    return {address: bytes.fromhex(value) for address, value in position.about["before"].items()}


def _refuse_other(saved: Mapping[str, Any], now: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    """Raise CheckpointError where the position belongs to another run."""
    differ = [name for name in sorted({*saved, *now}) if saved.get(name) != now.get(name)]
    if not differ:
        return
    lines = [f"  {name}: {saved.get(name)!r} then, {now.get(name)!r} now" for name in differ[:SHOWN]]
    more = [f"  … and {len(differ) - SHOWN} more"] if len(differ) > SHOWN else []
    raise CheckpointError(
        f"{checkpoint.place} holds an unfinished run of another configuration:\n" + "\n".join(lines + more),
        fix="go on with the old configuration, also of the cache; or choose another folder, or remove this one to begin"
        " anew",
    )


def _where(checkpoint: Checkpoint | None) -> str:
    return "" if checkpoint is None else str(checkpoint.place)


def _values(variables: Sequence[Any]) -> list[np.ndarray]:
    """Copies, in a type that every file holds: what is narrower than float32 is exact in it."""
    arrays = [np.asarray(variable.numpy()) for variable in variables]
    return [array.astype(np.float32) if array.dtype.kind not in "biufc" else array for array in arrays]


def _several(arrays: Mapping[str, np.ndarray], group: str) -> list[np.ndarray]:
    return [arrays[name] for name in sorted(arrays) if name.startswith(f"{group}/")]


def _assign(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    if len(variables) != len(values):
        raise TfverticalError(f"A position has {len(values)} arrays where the run has {len(variables)} variables.")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
