"""What stands beside Keras' own callbacks during a run: the best weights of all stages, and a loss that is finite."""

from __future__ import annotations

import math
import warnings
from typing import Any

import keras
import numpy as np

from tfvertical.errors import TrainingError, nearest


class Watch(keras.callbacks.Callback):
    """Remembers the best epoch of a run across its stages, ends a stage that no longer improves, stops on NaN.

    Args:
        variables: everything that moves in some stage of the run, statistics of BatchNormalization included.
        monitor: the quantity to judge by; `val_loss`, `val_accuracy`, ….
        patience: epochs without a better one after which a stage ends; None for never.
        restore: put the best weights back at the end of each stage.
    """

    def __init__(self, variables: list[Any], monitor: str, patience: int | None, restore: bool):
        super().__init__()
        self.variables, self.monitor, self.patience, self.restore = variables, monitor, patience, restore
        self.lower = monitor.endswith(("loss", "error", "mae"))
        self.best, self.best_epoch = math.inf if self.lower else -math.inf, -1
        self.told = False
        self.stage, self.waited = "", 0
        self.kept = self._snapshot()

    def enter(self, stage: str) -> None:
        """A stage begins: waiting starts anew, and there is a state to go back to."""
        self.stage, self.waited = stage, 0
        self.start = self._snapshot()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Judge the epoch.

        Raises:
            TrainingError: the loss is not finite; the weights of before the stage are put back first.
        """
        logs = logs or {}
        if not math.isfinite(logs.get("loss", 0.0)):
            self.undo()
            raise TrainingError(
                f"Stage {self.stage!r}, epoch {epoch + 1}: the loss is {logs['loss']}; the stage's weights are undone.",
                fix="lower the learning rate, or look for inputs that are not finite",
            )
        if not any(name.startswith("val_") for name in logs) and self.monitor.startswith("val_"):
            return
        if self.monitor not in logs:
            close = nearest(self.monitor, logs) or [*logs]
            raise TrainingError(f"There is no {self.monitor!r} to monitor.", nearest=close)
        value = logs[self.monitor]
        finite = math.isfinite(value)
        if not finite and not self.told:  # once: it may be so in every epoch
            self.told = True
            warnings.warn(
                f"Stage {self.stage!r}, epoch {epoch + 1}: {self.monitor} is {value}; such an epoch is never the best. "
                "See whether a row's label is far from all others.",
                stacklevel=2,
            )
        if finite and (value < self.best if self.lower else value > self.best):
            self.best, self.best_epoch, self.waited, self.kept = value, epoch, 0, self._snapshot()
            return
        self.waited += 1
        if self.patience is not None and self.waited >= self.patience:
            self.model.stop_training = True

    def undo(self) -> None:
        """Put back the weights of before the stage."""
        self._assign(self.start)

    def settle(self) -> bool:
        """A step was refused and moved nothing: its weights stay, unless statistics of its batch are no numbers.

        Then the weights of before the stage are put back, and the answer is True.
        """
        harmed = not self._finite()
        if harmed:
            self.undo()
        return harmed

    def _finite(self) -> bool:
        return all(np.isfinite(value).all() for value in self._snapshot())

    def leave(self) -> None:
        """A stage has ended and its proof is done: go back to the best epoch so far.

        Raises:
            TrainingError: the last step left weights that are not finite; those of before the stage are put back first.
        """
        if not self._finite():
            self.undo()
            raise TrainingError(
                f"Stage {self.stage!r} ended with weights that are not finite; its weights are undone.",
                fix="lower the learning rate, or look for inputs that are not finite",
            )
        if self.restore and self.best_epoch >= 0:
            self._assign(self.kept)

    def _snapshot(self) -> list[np.ndarray]:
        return [variable.numpy() for variable in self.variables]

    def _assign(self, values: list[np.ndarray]) -> None:
        for variable, value in zip(self.variables, values, strict=True):
            variable.assign(value)
