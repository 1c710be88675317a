"""Numbers to what a model learns, and its outputs back to numbers. NumPy only: it runs where TensorFlow is not."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from tfvertical.codecs.labels import numbered
from tfvertical.errors import ConfigError, DataError, nearest

LOSSES = ("mse", "huber", "quantile", "ordinal")
MOST_LEVELS = 100
INTERVAL = 0.9  # where none is asked for


@dataclass(frozen=True)
class Number:
    """What a regressor says of one quantity of an item.

    Args:
        label: the quantity's name.
        value: in its own unit.
        unit: as it was given; `""` for none.
        low, high: the bounds between which the true number is expected to lie; None where the task gives none.
    """

    label: str
    value: float
    unit: str = ""
    low: float | None = None
    high: float | None = None


class NumberCodec:
    """Quantities in a fixed order, and which outputs of a model tell each.

    Without more, one output is one number. With `interval`, three outputs are: lower bound, median, upper bound. With
    `levels`, an ordinal score: output k is the probability that the score is above level k.

    Args:
        names: of the quantities, at least one, all different, none empty.
        units: one for each, or none.
        interval: 0…1, the share of true numbers that lie between low and high.
        levels: the values that a score can have, ascending; for one quantity.

    Raises:
        ConfigError: they cannot be.

    Example:
        >>> codec = NumberCodec(["age"], ["years"], interval=0.9)
        >>> codec.outputs
        ('age 5 %', 'age 50 %', 'age 95 %')
        >>> codec.decode(np.float32([[30, 41, 55]]))
        [(Number(label='age', value=41.0, unit='years', low=30.0, high=55.0),)]
    """

    def __init__(
        self,
        names: Sequence[str],
        units: Sequence[str] = (),
        interval: float | None = None,
        levels: Sequence[float] = (),
    ):
        self.names, self.units = numbered(names), tuple(units)
        wrong = [repr(name) for name in self.names if not isinstance(name, str) or not name.strip()]
        twice = [repr(name) for name, count in Counter(self.names).items() if count > 1]
        if not self.names or wrong or twice:
            detail = f"{len(self.names)} names"
            detail += f", not a name: {wrong}" * bool(wrong) + f", twice: {twice}" * bool(twice)
            raise ConfigError("These numbers cannot be told.", expected="different names", received=detail)
        if isinstance(units, str) or len(self.units) not in (0, len(self.names)):
            raise ConfigError(
                "The units do not fit the numbers.", expected=f"{len(self.names)}, one a number", received=f"{units!r}"
            )
        if interval is not None and not 0 < interval < 1:
            raise ConfigError(f"interval is {interval}.", expected="a share between 0 and 1, such as 0.9")
        self.interval, self.levels = interval, tuple(float(level) for level in levels)
        if self.levels:
            self._check_levels()

    @classmethod
    def of(cls, names: Sequence[str], head: Mapping[str, Any]) -> Self:
        """The codec of a head's options `units`, `loss`, `interval` and `levels`, each of which may be missing."""
        loss, levels = head.get("loss", "mse"), head.get("levels", ())
        if loss not in LOSSES:
            raise ConfigError(
                f"There is no loss {loss!r} of numbers.",
                expected="one of " + ", ".join(LOSSES),
                nearest=nearest(str(loss), LOSSES),
            )
        if (loss == "ordinal") != bool(levels):
            raise ConfigError(
                "Levels and the ordinal loss belong together.",
                received=f"loss={loss!r}, levels={list(levels)}",
                fix="give levels=[1, 2, 3, …] with loss='ordinal', and without it leave them out",
            )
        interval = head.get("interval")
        if loss == "quantile":
            interval = INTERVAL if interval is None else interval
        elif interval is not None:
            raise ConfigError(
                "An interval belongs to the quantile loss.",
                received=f"loss={loss!r}, interval={interval}",
                fix="give loss='quantile', or leave interval out",
            )
        return cls(names, head.get("units", ()), interval, levels)

    def config(self) -> dict[str, Any]:
        """The arguments, as JSON values."""
        return {
            "names": list(self.names),
            "units": list(self.units),
            "interval": self.interval,
            "levels": list(self.levels),
        }

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Which quantiles the outputs of one number are; none where it is one output."""
        return () if self.interval is None else ((1 - self.interval) / 2, 0.5, (1 + self.interval) / 2)

    @property
    def outputs(self) -> tuple[str, ...]:
        """What each output is called."""
        if self.levels:
            return tuple(f"{self.names[0]} > {level:g}" for level in self.levels[:-1])
        if self.quantiles:
            return tuple(f"{name} {round(100 * at, 6):g} %" for name in self.names for at in self.quantiles)
        return self.names

    def encode(self, labels: Sequence[Sequence[float]], ids: Sequence[str] = ()) -> np.ndarray:
        """What the model learns: float32 `(n, numbers)`; of an ordinal score the position of its level.

        Args:
            labels: of each row one number a quantity.
            ids: the rows they stand in, for messages.

        Raises:
            DataError: another count of numbers, or a score that is no level; with the rows.
        """
        found = self.numbers(labels, ids)
        if not self.levels:
            return found.astype(np.float32)
        known = np.array(self.levels)
        at = np.abs(found - known).argmin(axis=1) if len(found) else np.zeros(0, np.int64)
        off = np.flatnonzero(known[at] != found[:, 0])
        if len(off):
            shown = [f"{found[row, 0]:g}" + (f" ({ids[row]})" if row < len(ids) else "") for row in off[:10]]
            raise DataError(
                f"{len(off)} rows have a score that is no level: {', '.join(shown)}.",
                expected="one of " + ", ".join(f"{level:g}" for level in self.levels),
            )
        return at.astype(np.float32)[:, None]

    def numbers(self, labels: Sequence[Sequence[float]], ids: Sequence[str] = ()) -> np.ndarray:
        """The true numbers in their own units: float64 `(n, numbers)`; raises as `encode`."""
        wrong = [at for at, label in enumerate(labels) if not _fits(label, len(self.names))]
        if wrong:
            shown = [f"{labels[at]!r:.40}" + (f" ({ids[at]})" if at < len(ids) else "") for at in wrong[:10]]
            raise DataError(
                f"{len(wrong)} rows do not have one number for each of {', '.join(self.names)}: {', '.join(shown)}.",
                fix="name the columns in the order of the labels: label=[…]",
            )
        found = np.array([list(label) for label in labels], np.float64).reshape(len(labels), len(self.names))
        wrong = np.flatnonzero(~np.isfinite(found).all(axis=1)).tolist()
        if wrong:
            shown = [f"{labels[at]!r:.40}" + (f" ({ids[at]})" if at < len(ids) else "") for at in wrong[:10]]
            raise DataError(
                f"{len(wrong)} rows have a number that is not finite: {', '.join(shown)}.",
                fix="leave these rows out, or fill in what is missing",
            )
        return found

    def values(self, scores: np.ndarray) -> np.ndarray:
        """The numbers that outputs stand for: float64 `(rows, numbers)`; of an ordinal score its median level."""
        scores = np.asarray(scores, np.float64)
        if self.levels:
            return self._level(scores, 0.5)[:, None]
        if self.quantiles:
            return scores.reshape(len(scores), len(self.names), 3)[:, :, 1]
        return scores

    def bounds(self, scores: np.ndarray) -> np.ndarray | None:
        """Lower and upper bounds, float64 `(rows, numbers, 2)`, or None where there are none.

        Of an ordinal score, the levels between which at least nine tenths of the probability lie.
        """
        scores = np.asarray(scores, np.float64)
        if self.levels:
            return np.stack([self._level(scores, 0.95), self._level(scores, 0.05)], axis=-1)[:, None]
        if self.quantiles:
            return scores.reshape(len(scores), len(self.names), 3)[:, :, ::2]
        return None

    def decode(self, scores: np.ndarray) -> list[tuple[Number, ...]]:
        """The numbers of each row of `scores`, float32 `(n, outputs)`."""
        values, bounds = self.values(scores), self.bounds(scores)
        units = self.units or ("",) * len(self.names)
        return [
            tuple(
                Number(name, float(value), unit, *(() if between is None else (float(each) for each in between[at])))
                for at, (name, value, unit) in enumerate(zip(self.names, row, units, strict=True))
            )
            for row, between in zip(values, [None] * len(values) if bounds is None else bounds, strict=True)
        ]

    def _level(self, above: np.ndarray, least: float) -> np.ndarray:
        """The highest level that is exceeded from below with a probability of more than `least`: float64 `(rows,)`."""
        return np.array(self.levels)[(above > least).sum(axis=1)]

    def _check_levels(self) -> None:
        levels = self.levels
        ascending = all(low < high for low, high in itertools.pairwise(levels))
        if not 3 <= len(levels) <= MOST_LEVELS or not ascending or not np.isfinite(levels).all():
            raise ConfigError(
                "These levels cannot be used.",
                expected=f"3 to {MOST_LEVELS} numbers, ascending",
                received=f"{list(levels)[:20]}",
            )
        if len(self.names) != 1 or self.interval is not None:
            raise ConfigError("Levels are of one number, and have no interval.", received=", ".join(self.names))


def _fits(label: Sequence[float], count: int) -> bool:
    return isinstance(label, tuple | list) and len(label) == count
