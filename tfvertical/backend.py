"""Have Keras compute with TensorFlow, whatever its own configuration file says.

Keras reads its choice once, while it is imported: `tfvertical` has to be imported first, or the choice be right.
"""

from __future__ import annotations

import os
import sys

from tfvertical.errors import ConfigError

CHOICE = "KERAS_BACKEND"


def prefer_tensorflow() -> None:
    """Choose TensorFlow, unless somebody has chosen in the environment or Keras is there already."""
    if "keras" not in sys.modules:
        os.environ.setdefault(CHOICE, "tensorflow")


def check_backend() -> None:
    """Raise ConfigError where Keras computes, or would compute, with another backend.

    Example:
        >>> check_backend()
    """
    loaded = sys.modules.get("keras")
    found = os.environ.get(CHOICE) if loaded is None else loaded.config.backend()
    if found not in (None, "", "tensorflow"):
        raise ConfigError(
            f"Keras' backend is {found!r}; this package trains with TensorFlow.",
            fix="KERAS_BACKEND=tensorflow, set before Keras is imported",
        )
