"""The one check every export must pass: run the written file on raw items and compare with the task's scores."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical import installed
from tfvertical.contracts import Examples, Exporter, Predict, Task, TextPreprocessor
from tfvertical.errors import ConfigError, ExportError, TfverticalError
from tfvertical.export import _samples

LEAST = 50  # real examples by which a lower precision is judged; of fewer than 100, all labels must be shared
SEARCHED = 500  # examples that candidates are tried on first; one that holds there is tried on all
ROUNDING = 1e-9
AGREEMENT = 0.99  # of what a file of lower precision tells, the share that must be as the task tells it
_TOLD = {
    "label": "the same label",
    "labels": "the same labels",
    "entities": "the same tag",
    "numbers": "nearly the same numbers",
    "answers": "nearly the same of a word",
}
_PACKAGES = ("tfvertical", "tensorflow", "keras", "keras-hub", "tensorflow-text", "ai-edge-litert", "numpy")


@dataclass(frozen=True)
class Gate:
    """What a file must hold.

    Args:
        precision: of the file.
        max_drop: how much accuracy one of lower precision may lose, as a share of all examples.
    """

    precision: str
    max_drop: float = 0.01

    @property
    def exact(self) -> bool:
        """Whether its scores must be the task's."""
        return self.precision == "float32"


class Comparison:
    """A task's own scores on examples, against which files are held.

    Examples that the file sees less of than the task does (a long text that the task alone reads in windows, or one
    longer than the file's own length) have no common truth; they are counted and left out.

    Real examples are seldom odd, so the built-in ones go through every file as well: one in float32 must hold on them
    too, one of lower precision must give numbers, and `parity.json` tells how it fares.

    Args:
        task: computing in float32.
        exporter: what writes the file.
        examples: raw items, or `Examples`; None for built-in ones.
        gate: what the file must hold.

    Raises:
        ExportError: nothing to compare.
    """

    def __init__(self, task: Task, exporter: Exporter, examples: Examples | Sequence[Any] | None, gate: Gate):
        self.task, self.exporter, self.gate = task, exporter, gate
        self.source = "built-in" if examples is None else "given"
        given = default_items(task) if examples is None else examples
        every = given if isinstance(given, Examples) else _examples(given)
        fits = np.flatnonzero(_fits(task, exporter, every.inputs))
        if not len(fits):
            raise ExportError(
                "No example fits into the exported model, so it cannot be checked.", fix="give shorter examples"
            )
        if not gate.exact and len(fits) < LEAST:
            raise ConfigError(
                f"{len(fits)} examples do not tell what precision {gate.precision!r} loses.",
                expected=f"{LEAST} or more that fit into the file whole",
                fix="give more examples; a few hundred are better",
            )
        self.kept = every.take(fits)
        self.items, self.left_out = list(self.kept.inputs), len(every) - len(self.kept)
        encoded = task.encode(_examples(self.items))
        self.expected = np.asarray(task.scores(encoded), np.float32)
        odd = [] if examples is None else default_items(task)
        self.nasty = [item for item, fit in zip(odd, _fits(task, exporter, odd), strict=True) if fit]
        self.of_nasty = self.expected[:0]
        if self.nasty:
            self.of_nasty = np.asarray(task.scores(task.encode(_examples(self.nasty))), np.float32)
        # of each item the rows of its scores: one, or one a word
        self.splits = np.arange(len(self.items) + 1) if encoded.units is None else encoded.units.splits
        if self.kept.labels is not None:
            task.truth(self.kept)  # an unknown label is told now

    def margin(self, predict: Predict) -> float:
        """How far a file is above its limits; below 0, it would be refused.

        Of one that loses too much on some examples, the others are not computed: it will not be kept. One that holds
        there is held against all, as `check` does, so that a search does not end with a file that is refused.
        """
        order = np.random.default_rng(0).permutation(len(self.items))
        some, rest = order[:SEARCHED], order[SEARCHED:]

        def scores(which: np.ndarray) -> np.ndarray:
            return np.asarray(predict([self.items[at] for at in which]), np.float32)

        received = scores(some)
        reached = self._margin(received, some)
        if reached < 0 or not len(rest):
            return reached
        return self._margin(np.concatenate([received, scores(rest)]), order)

    def check(self, folder: Path) -> dict[str, Any]:
        """Run the written files.

        Returns:
            For `parity.json`: `n`, `left_out`, `examples`, `max_difference`, `agreement`, the limits, what the exporter
            measured, `versions`; with labels and a lower precision, `accuracy` and `drop` too; of built-in examples
            beside given ones, `nasty`: their `count`, `agreement` and `max_difference`, which those of a float32 file
            take in; and by name the same of what stands beside the format's own file.

        Raises:
            ExportError: not faithful, or no number at all.
        """
        with _readable_errors():
            files = {"": self.exporter.load(self.task, folder), **self.exporter.beside(self.task, folder)}
            received = {name: self._received(predict) for name, predict in files.items()}
        counts = {"n": len(self.items), "left_out": self.left_out, "examples": self.source}
        found = self._held(*received.pop(""), "") | {name: self._held(*each, name) for name, each in received.items()}
        return counts | found | self.exporter.measured(self.task, folder, self.items) | {"versions": versions()}

    def _received(self, predict: Predict) -> tuple[np.ndarray, np.ndarray]:
        """What a file says of the examples, and of the nasty ones."""
        of_nasty = np.asarray(predict(self.nasty), np.float32) if self.nasty else self.of_nasty
        return np.asarray(predict(self.items), np.float32), of_nasty

    def _held(self, received: np.ndarray, of_nasty: np.ndarray, name: str) -> dict[str, Any]:
        """What `parity.json` tells of the scores of one file, or of several that answer together, called `name`."""
        for expected, found in ((self.expected, received), (self.of_nasty, of_nasty)):
            if found.shape != expected.shape:
                raise ExportError(
                    f"The scores of the exported {name or 'model'} have another shape.",
                    expected=f"{expected.shape}",
                    received=f"{found.shape}",
                )
        nasty = {}
        if self.nasty:
            nasty = {"nasty": {"count": len(self.nasty), **self._alike(self.of_nasty, of_nasty)}}
        if self.gate.exact:
            expected, received = np.concatenate([self.expected, self.of_nasty]), np.concatenate([received, of_nasty])
            self._refuse_different(expected, received, name)
            return self._alike(expected, received) | nasty | {"tolerance": self.task.tolerance}
        no_numbers = ~np.isfinite(of_nasty.reshape(len(of_nasty), -1)).all(axis=1)
        if no_numbers.any():  # float32 files are refused above
            raise ExportError(
                f"{name or f'Precision {self.gate.precision!r}'} gives what are no numbers; nothing was written.",
                received=f"built-in example {int(np.argmax(no_numbers))}, of {int(no_numbers.sum())} such",
                fix="export in float32 or another precision",
            )
        return self._alike(self.expected, received) | nasty | self._losses(received, name)

    def _refuse_different(self, expected: np.ndarray, received: np.ndarray, name: str) -> None:
        """Every score within the tolerance, and a number."""
        differences = self.task.apart(expected, received)
        worst = int(np.argmax(np.where(np.isnan(differences), np.inf, differences)))
        if not differences[worst] <= self.task.tolerance:
            at = worst - len(self.expected)
            raise ExportError(
                f"The exported {name or 'model'} does not score as the task does; nothing was written.",
                expected=f"a difference of at most {self.task.tolerance}",
                received=f"{differences[worst]} on "
                + (f"built-in example {at}" if at >= 0 else f"example {worst}")
                + f", agreement {self._alike(expected, received)['agreement']:.4f} over {len(received)}",
            )

    def _alike(self, expected: np.ndarray, received: np.ndarray) -> dict[str, Any]:
        """How near scores are; no number where they are none."""
        difference = float(self.task.apart(expected, received).max())
        agreement = float(np.mean(self.task.agree(expected, received)))
        return {"max_difference": difference if np.isfinite(difference) else None, "agreement": agreement}

    def _margin(self, received: np.ndarray, some: np.ndarray) -> float:
        """How far the scores of some items are above the limits."""
        if not np.isfinite(received).all():
            return -1.0
        rows = np.concatenate([np.arange(self.splits[at], self.splits[at + 1]) for at in some])
        expected = self.expected[rows]
        if self.gate.exact:
            return self.task.tolerance - float(self.task.apart(expected, received).max())
        margin = float(np.mean(self.task.agree(expected, received))) - AGREEMENT + ROUNDING
        if self.kept.labels is None:
            return margin
        before, after = (self.task.quality(self.kept.take(some), scores) for scores in (expected, received))
        return min(margin, self.gate.max_drop + ROUNDING - (before - after))

    def _losses(self, received: np.ndarray, name: str) -> dict[str, Any]:
        """Limits, and accuracy before and after where the truth is known; refused where too much is lost."""
        found: dict[str, Any] = {"least_agreement": AGREEMENT}
        measure, what = self.task.measure, _TOLD[self.task.target]
        said = f"{what} on {self._alike(self.expected, received)['agreement']:.4f} of {len(received)}"
        if self.kept.labels is not None:
            before, after = (self.task.quality(self.kept, scores) for scores in (self.expected, received))
            said += f", {measure} {after:.4f} instead of {before:.4f}"
            found |= {
                measure: {"float32": before, self.gate.precision: after},
                "drop": before - after,
                "max_drop": self.gate.max_drop,
            }
        if self._margin(received, np.arange(len(self.items))) < 0:
            raise ExportError(
                f"{name or f'Precision {self.gate.precision!r}'} loses too much; nothing was written.",
                expected=f"{what} on {AGREEMENT} of them, {measure} at most {self.gate.max_drop} lower",
                received=said if np.isfinite(received).all() else "scores that are no numbers",
                fix=f"export in float32 or another precision, or allow more with max_drop=… if it tells {what}",
            )
        return found


@contextlib.contextmanager
def _readable_errors() -> Iterator[None]:
    """What a runtime says of a file that it cannot run."""
    try:
        yield
    except TfverticalError:
        raise
    except Exception as error:  # a runtime's own errors have no common class
        message = f"{type(error).__name__}: {str(error).strip()[:500]}"
        raise ExportError("The exported model cannot be run; nothing was written.", received=message) from error


def default_items(task: Task) -> list[Any]:
    """Texts of many scripts and sizes; or pictures with edges, gradients and noise, as PNG, in several shapes."""
    if task.items == "pair":
        return list(_samples.pairs(_samples.TEXTS))
    if task.items == "text":
        return list(_samples.TEXTS)
    found = _samples.large_pictures()
    if type(task.preprocessor).__module__.startswith("tfvertical."):
        found += _samples.transparent_pictures()  # one of somebody's own may not read them, nor say that it does
    return found


def _fits(task: Task, exporter: Exporter, items: Sequence[Any]) -> list[bool]:
    """Whether the file sees as much of each item as the task does."""
    if not items:
        return []
    encoded = task.encode(_examples(items))
    counts = np.bincount(encoded.rows, minlength=len(items))
    fits = counts == 1
    given = getattr(exporter, "length", None)
    if encoded.lengths is not None and isinstance(task.preprocessor, TextPreprocessor):
        length = task.preprocessor.length if given is None else int(np.max(given))
        longest = np.zeros(len(items), np.int64)
        np.maximum.at(longest, encoded.rows, encoded.lengths)
        fits &= longest <= length
        if exporter.in_windows and length == task.preprocessor.length:  # shorter ones begin and end elsewhere
            for at in np.flatnonzero(counts > 1).tolist():
                fits[at] = len(task.parts(items[at], length)) == counts[at]
        if length < task.preprocessor.length and task.target in ("entities", "answers"):
            for at in np.flatnonzero(fits).tolist():  # of a long word, a shorter file reads fewer pieces
                parts = task.parts(items[at], length)
                fits[at] = len(parts) == 1 and max(len(ids) for ids, _ in parts[0].values()) == longest[at]
    return [bool(fit) for fit in fits]


def _examples(items: Sequence[Any]) -> Examples:
    return Examples(list(items), None, [f"example:{number}" for number in range(len(items))])


def versions() -> dict[str, str]:
    """Package -> version of what had a hand in an export; those not installed are left out."""
    return {"python": platform.python_version()} | installed.versions(*_PACKAGES)
