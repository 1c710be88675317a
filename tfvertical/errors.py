"""One base class for everything this package refuses, and the few kinds a caller may want to tell apart."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from typing import Any


class TfverticalError(Exception):
    """What went wrong, where, and what to do about it.

    Args:
        what: one sentence, naming the thing and the place (file, row, column, variable path, key).
        expected: what would have been right.
        received: what was found instead.
        nearest: the valid choices closest to what was received.
        fix: the next step a hurried person can take.
    """

    def __init__(
        self,
        what: str,
        *,
        expected: str | None = None,
        received: str | None = None,
        nearest: Sequence[str] = (),
        fix: str | None = None,
    ):
        parts = [what]
        if expected is not None:
            parts.append(f"Expected: {expected}.")
        if received is not None:
            parts.append(f"Received: {received}.")
        if nearest:
            parts.append("Nearest: " + ", ".join(repr(name) for name in nearest) + ".")
        if fix is not None:
            parts.append(f"Fix: {fix}")
        super().__init__("\n  ".join(parts) if len(parts) > 2 else " ".join(parts))


class ConfigError(TfverticalError, ValueError):
    """A run file or an argument is wrong; raised before any data is read or weight loaded."""


class AddressError(TfverticalError, ValueError):
    """A stage's pattern does not fit the model's variables."""


class DataError(TfverticalError, ValueError):
    """Rows that cannot be used, named by file and row."""


class PresetError(TfverticalError, ValueError):
    """A pretrained backbone cannot be found, fetched or verified."""


class TrainingError(TfverticalError, RuntimeError):
    """A run broke one of its own promises: frozen weights moved, learning ones did not, or a loss was not finite.

    Args:
        what: as everywhere.
        rows: the examples concerned, by their number among those that were trained on.
        **parts: as everywhere.
    """

    def __init__(self, what: str, *, rows: Sequence[int] = (), **parts: Any):
        super().__init__(what, **parts)
        self.rows = tuple(rows)


class NotFiniteError(TrainingError):
    """A loss or its gradients are no numbers; the step that had them moved nothing."""


class Interrupted(TfverticalError):
    """A signal asked a run to end; where it stood is saved in `folder`, if it has one.

    Args:
        name: of the signal.
        folder: that has the position; empty for none.
        fix: what to do where there is none.
    """

    def __init__(self, name: str, folder: str, *, fix: str | None = None):
        self.name, self.folder = name, folder
        if folder:
            fix = f"run the same again to go on from {folder}"
        super().__init__(f"The run was asked to end ({name}).", fix=fix)


class BundleError(TfverticalError, OSError):
    """An artefact is missing, changed, incomplete, or would be overwritten."""


class CheckpointError(TfverticalError, OSError):
    """A run's position cannot be saved, or what is saved belongs to another run."""


class ClusterError(TfverticalError, RuntimeError):
    """Processes or devices that were to train together are not there, or do not agree."""


class StoreError(TfverticalError, OSError):
    """Outputs of a frozen model part cannot be kept on disk or read from there; a run goes on without."""


class ExportError(TfverticalError, RuntimeError):
    """An exported file is not faithful to its model."""


class MissingPackageError(TfverticalError, ImportError):
    """An optional package is needed; the message holds the line that installs it."""


def nearest_paths(path: str | os.PathLike[str]) -> list[str]:
    """What stands beside `path`, which does not exist, and looks most like it, best first; may be empty."""
    folder, name = os.path.split(os.fspath(path).rstrip("/"))
    try:
        beside = os.listdir(folder or ".")
    except OSError:
        return []
    return [os.path.join(folder, found) for found in nearest(name, beside)]


def nearest(name: str, choices: Iterable[str], count: int = 3) -> list[str]:
    """The `count` members of `choices` that look most like `name`, best first; may be empty."""
    by_folded = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(name.lower(), by_folded, n=count, cutoff=0.5)
    return [by_folded[match] for match in found]
