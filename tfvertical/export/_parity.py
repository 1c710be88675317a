"""The one check every export must pass: run the written file on raw items and compare with the task's scores."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical.contracts import Examples, Exporter, Task
from tfvertical.errors import ExportError, TfverticalError
from tfvertical.export import _samples

AGREEMENT = 0.99  # labels that a file of lower precision must share with the task
TOLERANCE = 1e-5  # largest difference of two scores; float32 arithmetic in another order stays a hundred times below
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


def compare(
    task: Task, exporter: Exporter, folder: Path, examples: Examples | Sequence[Any] | None, gate: Gate
) -> dict[str, Any]:
    """Run `folder` on the examples and compare.

    Examples that the file sees less of than the task does (a long text that the task reads in windows, or one longer
    than the file's own length) have no common truth; they are counted and left out.

    Returns:
        For `parity.json`: `n`, `left_out`, `examples`, `max_difference`, `agreement`, the limits, what the exporter
        measured, `versions`; with labels and a lower precision, `accuracy` and `drop` too.

    Raises:
        ExportError: not faithful, no number at all, or nothing to compare.
    """
    every = (
        examples if isinstance(examples, Examples) else _examples(default_items(task) if examples is None else examples)
    )
    fits = _fits(task, exporter, every.inputs)
    comparable = [item for item, fit in zip(every.inputs, fits, strict=True) if fit]
    if not comparable:
        raise ExportError(
            "No example fits into the exported model, so it cannot be checked.", fix="give shorter examples"
        )
    expected = np.asarray(task.scores(_examples(comparable)), np.float32)
    received = _run(task, exporter, folder, comparable)
    if received.shape != expected.shape:
        raise ExportError(
            "The exported model's scores have another shape.",
            expected=f"{expected.shape}",
            received=f"{received.shape}",
        )
    found = _differences(expected, received)
    if gate.exact:
        _refuse_different(expected, received)
        found["tolerance"] = TOLERANCE
    else:
        truth = None if every.labels is None else [label for label, fit in zip(every.labels, fits, strict=True) if fit]
        found |= _losses(task, expected, received, truth, gate)
    counts = {"n": len(comparable), "left_out": len(every.inputs) - len(comparable)}
    source = {"examples": "built-in" if examples is None else "given"}
    return counts | source | found | exporter.measured(task, folder, comparable) | {"versions": versions()}


def _differences(expected: np.ndarray, received: np.ndarray) -> dict[str, Any]:
    agreement = float(np.mean(received.argmax(1) == expected.argmax(1)))
    return {"max_difference": float(np.abs(received - expected).max()), "agreement": agreement}


def _refuse_different(expected: np.ndarray, received: np.ndarray) -> None:
    """Every score within the tolerance, and a number."""
    differences = np.abs(received - expected).max(axis=1)
    worst = int(np.argmax(np.where(np.isnan(differences), np.inf, differences)))
    if not differences[worst] <= TOLERANCE:
        agreement = _differences(expected, received)["agreement"]
        raise ExportError(
            "The exported model does not score as the task does; nothing was written.",
            expected=f"a difference of at most {TOLERANCE}",
            received=f"{differences[worst]} on example {worst}, agreement {agreement:.4f} over {len(expected)}",
        )


def _losses(
    task: Task, expected: np.ndarray, received: np.ndarray, truth: Sequence[str] | None, gate: Gate
) -> dict[str, Any]:
    """Agreement of labels, and accuracy before and after where the truth is known; refused where too much is lost."""
    agreement = _differences(expected, received)["agreement"]
    found: dict[str, Any] = {"least_agreement": AGREEMENT}
    wrong = [] if agreement >= AGREEMENT else [f"the same label on {agreement:.4f} of {len(expected)} examples"]
    if truth is not None:
        numbers = {label: number for number, label in enumerate(task.labels)}
        targets = np.array([numbers[label] for label in truth])
        before, after = (float(np.mean(scores.argmax(1) == targets)) for scores in (expected, received))
        found |= {
            "accuracy": {"float32": before, gate.precision: after},
            "drop": before - after,
            "max_drop": gate.max_drop,
        }
        if before - after > gate.max_drop:
            wrong.append(f"accuracy {after:.4f} instead of {before:.4f}")
    if wrong or not np.isfinite(received).all():
        raise ExportError(
            f"Precision {gate.precision!r} loses too much; nothing was written.",
            expected=f"the same label on {AGREEMENT} of the examples, and accuracy at most {gate.max_drop} lower",
            received=" and ".join(wrong) or "scores that are no numbers",
            fix="export in float16, which has half the size, or allow more with max_drop=… if labels still agree",
        )
    return found


def _run(task: Task, exporter: Exporter, folder: Path, items: Sequence[Any]) -> np.ndarray:
    try:
        return np.asarray(exporter.load(task, folder)(items), np.float32)
    except TfverticalError:
        raise
    except Exception as error:  # a runtime's own errors have no common class
        message = f"{type(error).__name__}: {str(error).strip()[:500]}"
        raise ExportError("The exported model cannot be run; nothing was written.", received=message) from error


def default_items(task: Task) -> list[Any]:
    """Texts of many scripts and sizes; or pictures with edges, gradients and noise, as PNG, in several shapes."""
    return list(_samples.TEXTS) if task.preprocessor.kind == "text" else _samples.large_pictures()


def _fits(task: Task, exporter: Exporter, items: Sequence[Any]) -> list[bool]:
    encoded = task.encode(_examples(items))
    counts = np.bincount(encoded.rows, minlength=len(items))
    fits = counts == 1
    length = getattr(exporter, "length", None)
    if encoded.lengths is not None and length is not None:
        longest = np.zeros(len(items), np.int64)
        np.maximum.at(longest, encoded.rows, encoded.lengths)
        fits &= longest <= length
    return [bool(fit) for fit in fits]


def _examples(items: Sequence[Any]) -> Examples:
    return Examples(list(items), None, [f"example:{number}" for number in range(len(items))])


def versions() -> dict[str, str]:
    """Package -> version of what had a hand in an export; those not installed are left out."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
