"""Sets of labels to zeros and ones, and scores back to sets. NumPy only: it runs where TensorFlow is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfvertical.codecs.labels import LabelCodec
from tfvertical.errors import ConfigError, DataError, nearest


@dataclass(frozen=True)
class LabelSet:
    """What a multi-label classifier says of one item.

    Args:
        labels: the names of those that apply, the likeliest first; there may be none.
        scores: float32 `(labels,)`, the probability of each, 0…1, in the order of the task's labels.
    """

    labels: tuple[str, ...]
    scores: np.ndarray = field(repr=False, compare=False)


class LabelSetCodec:
    """Names in a fixed order, of which any number may apply to an item, and from which score on each does.

    Args:
        names: at least two, all different, none empty.
        thresholds: for each label the least score at which it applies, 0…1; 0.5 for all by default.

    Raises:
        ConfigError: they are not.

    Example:
        >>> codec = LabelSetCodec(["late", "rude", "thanks"], [0.5, 0.3, 0.5])
        >>> codec.encode([("rude", "late"), ()])
        array([[1., 1., 0.],
               [0., 0., 0.]], dtype=float32)
        >>> codec.decode(np.float32([[0.6, 0.4, 0.4]]))
        [LabelSet(labels=('late', 'rude'))]
    """

    def __init__(self, names: Sequence[str], thresholds: Sequence[float] = ()):
        self.names = LabelCodec(names).names
        self._ids = {name: at for at, name in enumerate(self.names)}
        given = [float(each) for each in thresholds] or [0.5] * len(self.names)
        if len(given) != len(self.names) or not all(0 <= each <= 1 for each in given):
            raise ConfigError(
                "These thresholds do not fit the labels.",
                expected=f"{len(self.names)} scores, 0 to 1",
                received=f"{given[:20]}",
            )
        self.thresholds = np.array(given, np.float32)

    @property
    def outputs(self) -> tuple[str, ...]:
        """What each output of a model stands for: the names."""
        return self.names

    def config(self) -> dict[str, Any]:
        """The arguments, as JSON values; thresholds in as many digits as bring them back to the last bit."""
        return {"names": list(self.names), "thresholds": [float(str(each)) for each in self.thresholds]}

    def encode(self, labels: Sequence[Sequence[str]], ids: Sequence[str] = ()) -> np.ndarray:
        """1 where a label applies, float32 `(n, labels)`.

        Args:
            labels: names that apply to each row.
            ids: the rows, for messages.

        Raises:
            DataError: names that are not among the labels; they are listed with their rows.
        """
        unknown = [(at, name) for at, row in enumerate(labels) for name in row if name not in self._ids]
        if unknown:
            shown = [f"{name!r}" + (f" ({ids[at]})" if at < len(ids) else "") for at, name in unknown[:10]]
            raise DataError(
                f"{len(unknown)} labels are not among the task's {len(self.names)}: {', '.join(shown)}.",
                nearest=nearest(str(unknown[0][1]), self.names),
                fix="correct them, or load the data with labels=task.labels and policy='skip' or 'quarantine'",
            )
        found = np.zeros((len(labels), len(self.names)), np.float32)
        for at, row in enumerate(labels):
            found[at, [self._ids[name] for name in row]] = 1
        return found

    def applies(self, scores: np.ndarray) -> np.ndarray:
        """Which labels apply: bool, as `scores`, float `(n, labels)`."""
        return np.asarray(np.asarray(scores, np.float32) >= self.thresholds)

    def decode(self, scores: np.ndarray) -> list[LabelSet]:
        """The labels that apply to each row of `scores`, float32 `(n, labels)`."""
        order = np.argsort(-scores, axis=1, kind="stable")
        return [
            LabelSet(tuple(self.names[label] for label in first if applies[label]), row)
            for first, applies, row in zip(order, self.applies(scores), scores, strict=True)
        ]

    @classmethod
    def of(cls, names: Sequence[str], head: Mapping[str, Any]) -> LabelSetCodec:
        """The codec of a head's option `thresholds`, which may be missing."""
        return cls(names, head.get("thresholds", ()))
