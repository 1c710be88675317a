"""One message for all that keeps the store's folder from being written."""

from __future__ import annotations

from pathlib import Path

from tfvertical.errors import BundleError, StoreError


def unusable(folder: Path, error: OSError) -> StoreError:
    """The error to raise in place of the system's own."""
    if isinstance(error, StoreError):
        return error
    told = str(error) if isinstance(error, BundleError) else f"{error.strerror} ({error.filename or folder})"
    return StoreError(
        f"Outputs cannot be kept in {folder}.",
        received=" ".join(told.split()).rstrip("."),
        fix="free some space (`tfvertical cache clear`), or set TFVERTICAL_HOME to a folder of yours with room",
    )
