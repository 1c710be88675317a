"""What a bundle may name: it holds no code, so that loading finds this package's own classes only."""

from __future__ import annotations

from typing import Any

from tfvertical import backbones
from tfvertical.errors import BundleError, ConfigError
from tfvertical.registry import Registry


def check_known(task: Any) -> None:
    """Raise BundleError where loading would find no class, or another one, for the task or its preprocessor."""
    registry, own = Registry("tasks"), type(task).__name__
    try:
        known = registry.get(own) is type(task)
    except ConfigError:
        known = False
    if not known:
        raise BundleError(
            f"{own} is a class of your own, which tfvertical.load could not find: a bundle holds no code.",
            expected="one of " + ", ".join(registry.get(module).__name__ for module in registry.modules()),
            fix="train and save a task of such a class, or keep task.model.save(…) beside code of yours",
        )
    if not backbones.restores(task.preprocessor):
        raise BundleError(
            f"{type(task.preprocessor).__name__} is a preprocessor of your own, which tfvertical.load could not find: "
            "a bundle holds no code.",
            expected="one of " + ", ".join(backbones.PREPROCESSORS),
            fix="prepare the inputs with one of these, or keep task.model.save(…) beside code of yours",
        )
