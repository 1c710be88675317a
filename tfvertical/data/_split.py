"""Splits that leak nothing: equal items and members of a group stay together, classes keep their shares.

Every split is a pure function of the rows, the fractions and the seed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tfvertical.contracts import Examples
from tfvertical.data import _check
from tfvertical.data._labels import classes_of
from tfvertical.data._links import links, of_contexts
from tfvertical.errors import ConfigError, DataError

_FRACTIONS = {"train": 0.8, "validation": 0.1, "test": 0.1}


def split(
    examples: Examples,
    fractions: Mapping[str, float] | None = None,
    *,
    seed: int = 0,
    group: Sequence[Any] | None = None,
    time: Sequence[Any] | None = None,
    stratify: bool = True,
) -> dict[str, Examples]:
    """Divide examples; rows keep their order within each part.

    Rows whose texts are equal but for case and white space, or whose pictures are the same file, are always together,
    and so are rows of one group, and questions about one context. Where times are given, parts follow each other in
    time instead of being drawn: train, validation, test, however they are written; other names as they are written. The
    oldest rows go to the first part; rows of one moment stay together, and what belongs together goes by its latest.

    Args:
        examples: what `load` returned.
        fractions: name -> share of the rows, in all 1; by default train .8, validation .1, test .1.
        seed: of the draw; of no effect where times are given.
        group: one value a row, None for rows on their own; by default `examples.groups`.
        time: one comparable value a row; by default `examples.times`.
        stratify: give each part each class in its share, as far as what belongs together allows.

    Raises:
        ConfigError: the fractions do not sum to 1, or a sequence has another length than the examples.
        DataError: a part would be empty.

    Example:
        >>> from tfvertical.data import load
        >>> parts = split(load(([f"text {i}" for i in range(20)], ["a", "b"] * 10)), {"train": 0.5, "test": 0.5})
        >>> {name: sorted(part.labels).count("a") for name, part in parts.items()}
        {'train': 5, 'test': 5}
    """
    shares = check_fractions(fractions if fractions is not None else _FRACTIONS)
    units = units_of(examples, group)
    times = _check_length("time", time if time is not None else examples.times, examples)
    if times is not None:
        shares = _in_time(shares)
        part_of = _by_time(units, times, list(shares.values()))
    else:
        part_of = drawn(examples, units, list(shares.values()), seed, stratify)
    rows = {name: np.flatnonzero(part_of == part) for part, name in enumerate(shares)}
    for name, at in rows.items():
        if not len(at):
            raise DataError(
                f"{examples.report.name}: the part {name!r} would be empty.",
                received=f"{len(examples)} rows in {len(units)} sets that stay together; share {shares[name]:g}",
                fix="give it a larger share, or more data",
            )
    return {name: examples.take(at) for name, at in rows.items()}


def units_of(examples: Examples, group: Sequence[Any] | None) -> list[list[int]]:
    """The sets of rows that must stay together; `group` in the place of the examples' own. Ordered by first row.

    Raises:
        ConfigError: `group` has another length than the examples.
    """
    groups = _check_length("group", group if group is not None else examples.groups, examples)
    return _units(examples, None if groups is None else [_check.group(each) for each in groups])


def drawn(
    examples: Examples, units: list[list[int]], shares: list[float], seed: int, stratify: bool = True
) -> np.ndarray:
    """Part of each row, int64 `(rows,)`: `units` whole, each class in its share where `stratify`."""
    labels = _strata(examples.labels) if stratify and examples.labels is not None else [""] * len(examples)
    return _drawn(units, labels, shares, seed)


def remaining(given: Collection[str]) -> dict[str, float]:
    """The default fractions of the parts that are not given elsewhere, scaled to 1: no row goes to a part given.

    Example:
        >>> remaining(["test", "validation"])
        {'train': 1.0}
    """
    left = {name: share for name, share in _FRACTIONS.items() if name not in given}
    return {name: share / sum(left.values()) for name, share in left.items()}


def _strata(labels: Sequence[Any]) -> list[str]:
    """One name a row, to be shared out evenly: its label, or the rarest of several; `""` where there is none."""
    counts = Counter(name for label in labels for name in classes_of(label))
    return [min(classes_of(label), key=lambda name: (counts[name], name), default="") for label in labels]


def check_fractions(fractions: Mapping[str, float]) -> dict[str, float]:
    """The fractions, if they are a division; raises ConfigError where they are not."""
    shares = list(fractions.values())
    right = bool(shares) and all(0 < share <= 1 for share in shares)
    if not right or abs(sum(shares) - 1) > 1e-6:
        raise ConfigError(
            f"The fractions {dict(fractions)} are no division.",
            expected="shares above 0 that sum to 1",
            received=f"{sum(shares):g}" if right else None,
        )
    return dict(fractions)


def _check_length(what: str, values: Sequence[Any] | None, examples: Examples) -> Sequence[Any] | None:
    if values is not None and len(values) != len(examples):
        raise ConfigError(f"{len(values)} values of {what} for {len(examples)} rows.", expected="one a row")
    return values


def _units(examples: Examples, groups: Sequence[Any] | None) -> list[list[int]]:
    """The sets of rows that must stay together: connected by an equal item or an equal group. Ordered by first row."""
    parent = list(range(len(examples)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    first: dict[Any, int] = {}
    for row, together in enumerate(links(examples, groups, of_contexts(examples))):
        for link in together:
            a, b = root(row), root(first.setdefault(link, row))
            parent[max(a, b)] = min(a, b)
    members: dict[int, list[int]] = defaultdict(list)
    for row in range(len(examples)):
        members[root(row)].append(row)
    return list(members.values())


def _in_time(shares: Mapping[str, float]) -> dict[str, float]:
    """The parts as they follow each other in time: nothing is learned from rows later than those that judge it."""
    known = shares.keys() <= _FRACTIONS.keys()
    return {name: shares[name] for name in (_FRACTIONS if known else shares) if name in shares}


def _by_time(units: list[list[int]], times: Sequence[Any], shares: list[float]) -> np.ndarray:
    """Part of each row, int64 `(rows,)`: units in the order of their latest row, cut where each share is reached."""
    rows = len(times)
    latest = sorted(((max(times[row] for row in unit), unit) for unit in units), key=lambda pair: pair[0])
    moments: dict[Any, list[int]] = defaultdict(list)
    for moment, unit in latest:
        moments[moment] += unit
    part_of, done = np.zeros(rows, np.int64), 0
    # A moment goes to the part in which its middle falls, so that the cut is the nearest one to the share.
    ends = np.cumsum(shares)[:-1] * rows
    for together in moments.values():
        part_of[together] = int(np.searchsorted(ends, done + len(together) / 2))
        done += len(together)
    return part_of


def _drawn(units: list[list[int]], labels: Sequence[str], shares: list[float], seed: int) -> np.ndarray:
    """Part of each row, int64 `(rows,)`: first the units of several rows, largest first, then each class's single rows.

    Each goes where most of its class is still owed; the single rows then even out what the larger units left uneven.
    """
    names = sorted(set(labels))
    column = {name: at for at, name in enumerate(names)}
    counts = Counter(labels)
    owed = np.outer(shares, [counts[name] for name in names])  # (parts, classes): rows still to be given
    part_of = np.zeros(len(labels), np.int64)
    random = np.random.default_rng(seed)
    shuffled = [units[at] for at in random.permutation(len(units))]
    for unit in sorted((unit for unit in shuffled if len(unit) > 1), key=len, reverse=True):
        holds = np.bincount([column[labels[row]] for row in unit], minlength=len(names))
        part = _neediest(owed @ (holds / np.array([counts[name] for name in names])), owed)
        part_of[unit] = part
        owed[part] -= holds
    singles: dict[str, list[int]] = defaultdict(list)
    for unit in shuffled:
        if len(unit) == 1:
            singles[labels[unit[0]]].append(unit[0])
    for name in names:
        given = _apportion(len(singles[name]), owed[:, column[name]], owed.sum(axis=1))
        part_of[singles[name]] = np.repeat(np.arange(len(shares)), given)
        owed[:, column[name]] -= given
    return part_of


def _neediest(need: np.ndarray, owed: np.ndarray) -> int:
    """The part with the greatest need; of equal ones, the one that is owed most rows in all; of those, the first."""
    tied = np.flatnonzero(need >= need.max() - 1e-9)
    return int(tied[np.argmax(owed[tied].sum(axis=1))])


def _apportion(rows: int, owed: np.ndarray, owed_in_all: np.ndarray) -> np.ndarray:
    """How many of `rows` single rows each part gets: as owed, remainders to the largest; int64 `(parts,)`."""
    want = np.maximum(owed, 0.0)
    want = want * (rows / want.sum()) if want.sum() > 0 else np.full(len(owed), rows / len(owed))
    given = np.floor(want + 1e-9).astype(np.int64)
    rest = np.round(want - given, 9)
    # lexsort: by remainder first, then by what the part is owed over all classes, then by position
    order = np.lexsort((np.arange(len(owed)), -owed_in_all, -rest))
    given[order[: rows - given.sum()]] += 1
    return given
