"""What a run recorded, in memory and as JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import keras

from tfvertical import proof


@dataclass
class Recorder(keras.callbacks.Callback):
    """A stage's epochs, as Keras' `History` keeps them, those of an interrupted process included."""

    epochs: list[int] = field(default_factory=list)
    history: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Append an epoch."""
        self.epochs.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))


@dataclass
class History:
    """What a run recorded.

    Args:
        history: metric -> one value per epoch, as in Keras' `History`.
        stages: the stage of each epoch.
        epochs: the planned number of each epoch (from 0); early stopping leaves gaps.
        proofs: per stage, which weights moved.
        best_epoch: planned number of the epoch whose weights the run ended with, or -1 for the last.
        seconds: wall time of the run.
        waited: of it, what training steps waited for their data.
        steps: per stage, how its steps were taken: `stage`, `chunks` (from memory, in one graph), `at_once` (steps a
            call), `compiled` (by XLA), or `one_pass` (GELU and normalizations by XLA), `why` not in chunks, seconds
            `waited` for data, `precision` and why.
    """

    history: dict[str, list[float]] = field(default_factory=dict)
    stages: list[str] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    proofs: list[proof.Proof] = field(default_factory=list)
    best_epoch: int = -1
    seconds: float = 0.0
    waited: float = 0.0
    steps: list[dict[str, Any]] = field(default_factory=list)

    def extend(self, stage: str, fitted: Recorder) -> None:
        """Append a stage's epochs."""
        self.stages += [stage] * len(fitted.epochs)
        self.epochs += fitted.epochs
        for name, values in fitted.history.items():
            self.history.setdefault(name, []).extend(values)

    def written(self, seconds: float) -> dict[str, Any]:
        """As JSON values; `seconds` are added to those of earlier processes."""
        content = asdict(self) | {"seconds": self.seconds + seconds}
        return content | {"history": {name: words(values) for name, values in self.history.items()}}

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> History:
        """What `written` gave."""
        proofs = [
            proof.Proof(each["stage"], tuple(each["moved"]), each["frozen"], tuple(each["unmoved"]))
            for each in content["proofs"]
        ]
        history = {name: numbers(values) for name, values in content["history"].items()}
        return cls(**{**content, "history": history, "proofs": proofs})


def words(values: Sequence[float]) -> list[str]:
    """Numbers to the last bit, NaN included, where JSON has no word for them.

    Example:
        >>> numbers(words([0.1, float("inf")]))
        [0.1, inf]
    """
    return [float(value).hex() for value in values]


def numbers(words: Sequence[str]) -> list[float]:
    """What `words` gave."""
    return [float.fromhex(word) for word in words]
