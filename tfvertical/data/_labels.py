"""The label vocabulary, and weights that make up for classes of unequal size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from tfvertical.contracts import Examples
from tfvertical.errors import ConfigError, DataError, nearest

ClassWeight = Literal["balanced"] | Mapping[str, float]


def classes_of(label: Any) -> tuple[str, ...]:
    """The names that stand in a row's label: of one label itself, of a set its members, of entities their types, each
    once; of numbers none.

    Example:
        >>> from tfvertical.codecs.tagging import Span
        >>> classes_of("praise"), classes_of((Span(0, 2, "PER"), Span(3, 4, "LOC"), Span(5, 6, "PER")))
        (('praise',), ('LOC', 'PER'))
    """
    if isinstance(label, str):
        return (label,)
    if not len(label) or isinstance(label[0], int | float | np.number):
        return ()
    return tuple(sorted({each if isinstance(each, str) else each.label for each in label}))


def label_names(*examples: Examples) -> tuple[str, ...]:
    """The distinct labels, or types of entities, of one or several parts, sorted; by value where all are numbers.

    Raises:
        DataError: examples that have no labels.

    Example:
        >>> from tfvertical.data import load
        >>> label_names(load((["a", "b", "c"], [10, 9, 10])))
        ('9', '10')
    """
    names = {name for part in examples for label in _labels(part) for name in classes_of(label)}
    try:
        return tuple(sorted(names, key=lambda name: (float(name), name)))
    except ValueError:
        return tuple(sorted(names))


def class_weights(labels: Sequence[str], mode: ClassWeight = "balanced", names: Sequence[str] = ()) -> dict[str, float]:
    """Label -> weight, for every label that occurs.

    Args:
        labels: names, one a row.
        mode: `"balanced"`: `rows / (classes * rows of the class)`, so that every class weighs the same in all;
            or a mapping of one's own, 1 for what it leaves out.
        names: labels that the mapping may name though they do not occur.

    Raises:
        ConfigError: the mapping names what is no label, or a weight is negative or not finite.

    Example:
        >>> class_weights(["a", "a", "a", "b"])
        {'a': 0.6666666666666666, 'b': 2.0}
    """
    counts = Counter(labels)
    if mode == "balanced":
        return {label: len(labels) / (len(counts) * count) for label, count in sorted(counts.items())}
    if not isinstance(mode, Mapping):
        raise ConfigError(f"There are no class weights called {mode!r}.", expected="'balanced', or label -> weight")
    known = {*counts, *names}
    for label, weight in mode.items():
        if label not in known:
            raise ConfigError(
                f"The class weights name {label!r}, which is no label.", nearest=nearest(str(label), sorted(known))
            )
        if not 0 <= weight < float("inf"):
            raise ConfigError(f"The class weight of {label!r} is {weight}.", expected="0 or more, finite")
    return {label: float(mode.get(label, 1.0)) for label in sorted(counts)}


def sample_weights(
    examples: Examples, class_weight: ClassWeight | None = "balanced", names: Sequence[str] = ()
) -> np.ndarray:
    """Each row's own weight times that of its class: float32 `(rows,)`.

    Keras' own `class_weight` is right for one label a row only; weights per row are right everywhere.

    Args:
        examples: labelled rows.
        class_weight: see `class_weights`; None for the rows' own weights alone.
        names: see `class_weights`.

    Raises:
        ConfigError: see `class_weights`.
        DataError: the examples have no labels.
    """
    own = np.ones(len(examples), np.float32) if examples.weights is None else examples.weights
    if class_weight is None:
        return own.astype(np.float32)
    labels = _labels(examples)
    of_class = class_weights(labels, class_weight, names)
    return (own * np.array([of_class[label] for label in labels])).astype(np.float32)


def _labels(examples: Examples) -> Sequence[str]:
    if examples.labels is None:
        raise DataError(f"{examples.report.name} has no labels.", fix="load it with label=…")
    return examples.labels
