"""Judge epochs by, and end stages with, averages of the weights over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tfvertical.optimizer import StagedAdamW


class Averages:
    """Puts an optimizer's averages in the place of the weights while they are looked at.

    Args:
        optimizer: of a stage, built.
        variables: what it was built with.
    """

    def __init__(self, optimizer: StagedAdamW, variables: Sequence[Any]):
        self.optimizer, self.variables, self.inside = optimizer, variables, False

    def around(self, *watching: keras.callbacks.Callback) -> list[keras.callbacks.Callback]:
        """Callbacks that see the averages at the end of an epoch, as validation does; all others see the weights."""
        if self.optimizer.average is None:
            return list(watching)
        return [_Swap(self, "test"), *watching, _Swap(self, "epoch")]

    def swap(self) -> None:
        """Averages and weights change places."""
        self.inside = not self.inside
        self.optimizer.swap_averages(self.variables)

    def outside(self) -> None:
        """Let the weights stand where they belong: a position is about to be saved in the midst of a validation."""
        if self.inside:
            self.swap()

    def settle(self) -> None:
        """The stage is over: the averages are its weights."""
        if self.optimizer.average is not None:
            self.swap()


class _Swap(keras.callbacks.Callback):
    """One before those that watch, one behind them."""

    def __init__(self, averages: Averages, place: str):
        super().__init__()
        self.averages, self.first = averages, place == "test"

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        if self.first:
            self.averages.swap()

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if self.first:
            self.averages.swap()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.averages.swap()
