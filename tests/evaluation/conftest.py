"""A task that is only what evaluation asks for: labels, and scores of rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from tfvertical.contracts import DataReport, DataWarning, Examples, Rejected

HOSTILE = "<script>alert(1)</script> \"quoted\" 'single' | pipe `code` *bold* [link](http://x.y) &amp; ‮reversed"


@dataclass(frozen=True)
class Fake:
    """Scores `(rows, labels)` by row id."""

    labels: tuple[str, ...]
    table: dict[str, np.ndarray]

    def scores(self, examples: Examples) -> np.ndarray:
        return np.stack([self.table[row] for row in examples.ids])


def random_scores(rows: int, classes: int, y_true: np.ndarray, skill: float, seed: int) -> np.ndarray:
    """Softmax of noise with `skill` added to the true label: float32 `(rows, classes)`."""
    logits = np.random.default_rng(seed).normal(size=(rows, classes))
    logits[np.arange(rows), y_true] += skill
    weights = np.exp(logits)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def make(
    classes: int, rows: int, *, skill: float = 1.5, labels: tuple[str, ...] | None = None, text: str = HOSTILE
) -> tuple[Fake, Examples, np.ndarray]:
    """A task of random skill, examples, and their label ids."""
    y_true = np.random.default_rng(0).integers(0, classes, rows)
    names = labels or tuple(f"label {i}" for i in range(classes))
    ids = [f"test.csv:{i + 2}" for i in range(rows)]
    report = DataReport(
        "test.csv",
        rows + 1,
        rows,
        (Rejected("test.csv:999", f"empty text after {text}", "text"),),
        (DataWarning("duplicate", f"2 rows are equal: {text}", ("test.csv:5", "test.csv:6"), 2),),
    )
    examples = Examples([f"{text} {i}" for i in range(rows)], [names[i] for i in y_true], ids, None, report)
    scores = random_scores(rows, classes, y_true, skill, seed=1)
    return Fake(names, dict(zip(ids, scores, strict=True))), examples, y_true


@pytest.fixture
def build() -> Callable[..., tuple[Fake, Examples, np.ndarray]]:
    return make
