"""Folds that leak nothing: every row judges once, by what was learned of rows that are not like it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfvertical.contracts import Examples
from tfvertical.data._split import drawn, units_of
from tfvertical.errors import ConfigError, DataError


def folds(
    examples: Examples,
    count: int = 5,
    *,
    seed: int = 0,
    group: Sequence[Any] | None = None,
    stratify: bool = True,
) -> Iterator[tuple[Examples, Examples]]:
    """Training and validation rows, `count` times: each row is in one validation part, and in all other training parts.

    What `split` keeps together stays together here: equal items, members of a group, questions about one context. Rows
    keep their order.

    Args:
        examples: what `load` returned.
        count: how many parts.
        seed: of the draw.
        group: one value a row, None for rows on their own; by default `examples.groups`.
        stratify: give each part each class in its share, as far as what belongs together allows.

    Raises:
        ConfigError: fewer than two parts; the rows have times, by which a draw would learn from what comes later; or
            `group` has another length than the examples.
        DataError: a part would be empty.

    Example:
        >>> from tfvertical.data import load
        >>> rows = load(([f"text {i}" for i in range(6)], ["a", "b"] * 3))
        >>> [(len(train), list(validation.labels)) for train, validation in folds(rows, 3)]
        [(4, ['a', 'b']), (4, ['a', 'b']), (4, ['a', 'b'])]
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 2:
        raise ConfigError(f"{count!r} folds.", expected="a whole number, 2 or more")
    if examples.times is not None:
        raise ConfigError(
            f"{examples.report.name}: the rows have times, and folds are drawn: later rows would be learned from.",
            fix="split(examples), whose parts follow each other; or read the rows without time",
        )
    units = units_of(examples, group)
    part_of = drawn(examples, units, [1 / count] * count, seed, stratify)
    if missing := count - len(np.unique(part_of)):
        raise DataError(
            f"{examples.report.name}: {missing} of {count} folds would be empty.",
            received=f"{len(examples)} rows in {len(units)} sets that stay together",
            fix="take fewer folds, or more data",
        )
    return (
        (examples.take(np.flatnonzero(part_of != part)), examples.take(np.flatnonzero(part_of == part)))
        for part in range(count)
    )
