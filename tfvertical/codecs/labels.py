"""Label names to ids and back. NumPy only: the same code runs where TensorFlow is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tfvertical.errors import ConfigError, DataError, nearest


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of one item.

    Args:
        label: the name of the likeliest class.
        score: its probability, 0…1.
        scores: float32 `(labels,)`, all of them, in the order of the task's labels.
    """

    label: str
    score: float
    scores: np.ndarray = field(repr=False, compare=False)


def numbered(names: Iterable[str], what: str = "names") -> tuple[str, ...]:
    """Labels in the order in which they are numbered.

    Raises:
        ConfigError: they have none, or are one text.
    """
    if isinstance(names, str):
        raise ConfigError("labels is one text.", expected=f"a list of {what}", received=repr(names))
    if isinstance(names, set | frozenset):
        raise ConfigError(
            "labels is a set, whose order is another in each process.",
            expected=f"a list of {what}",
            received=f"a set of {len(names)}",
            fix="labels=sorted(…)",
        )
    return tuple(names)


class LabelCodec:
    """Names in a fixed order; a name's id is its position.

    Args:
        names: at least two, all different, none empty.

    Raises:
        ConfigError: they are not.

    Example:
        >>> LabelCodec(["no", "yes"]).encode(["yes", "no"])
        array([1, 0], dtype=int32)
    """

    def __init__(self, names: Sequence[str]):
        self.names = numbered(names)
        wrong = [repr(name) for name in self.names if not isinstance(name, str) or not name.strip()]
        twice = [repr(name) for name, count in Counter(self.names).items() if count > 1]
        if len(self.names) < 2 or wrong or twice:
            detail = f"{len(self.names)} names"
            detail += f", not a name: {wrong}" * bool(wrong) + f", twice: {twice}" * bool(twice)
            raise ConfigError("These labels cannot be used.", expected="two or more different names", received=detail)
        self._ids = {name: at for at, name in enumerate(self.names)}

    @property
    def outputs(self) -> tuple[str, ...]:
        """What each output of a model stands for: the names."""
        return self.names

    def encode(self, labels: Sequence[str], ids: Sequence[str] = ()) -> np.ndarray:
        """Ids, int32 `(n,)`.

        Args:
            labels: names.
            ids: the rows they stand in, for messages.

        Raises:
            DataError: names that are not among the labels; they are listed with their rows.
        """
        unknown = [at for at, label in enumerate(labels) if label not in self._ids]
        if unknown:
            shown = [f"{labels[at]!r}" + (f" ({ids[at]})" if at < len(ids) else "") for at in unknown[:10]]
            raise DataError(
                f"{len(unknown)} rows have a label that is not among the task's {len(self.names)}: {', '.join(shown)}.",
                nearest=nearest(str(labels[unknown[0]]), self.names),
                fix="correct them, or load the data with labels=task.labels and policy='skip' or 'quarantine'",
            )
        return np.fromiter((self._ids[label] for label in labels), np.int32, len(labels))

    def decode(self, scores: np.ndarray) -> list[Prediction]:
        """The likeliest label of each row of `scores`, float32 `(n, labels)`."""
        best = scores.argmax(axis=1) if len(scores) else []
        return [Prediction(self.names[at], float(row[at]), row) for at, row in zip(best, scores, strict=True)]
