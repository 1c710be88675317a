"""Versions of the packages that compute."""

from __future__ import annotations

import importlib.metadata
import sys


def versions(*packages: str) -> dict[str, str]:
    """Package -> version; those that are not there are left out.

    TensorFlow is what was imported, whichever of its distributions (`tensorflow-cpu`, `tensorflow-tpu`) that came from.

    Example:
        >>> sorted(versions("keras", "no-such-package"))
        ['keras']
    """
    found = {package: _version(package) for package in packages}
    return {package: version for package, version in found.items() if version is not None}


def _version(package: str) -> str | None:
    if (loaded := _loaded(package)) is not None:
        return loaded
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return _loaded(package.replace("-", "_"))


def _loaded(module: str) -> str | None:
    version = getattr(sys.modules.get(module), "__version__", None)
    return version if isinstance(version, str) else None
