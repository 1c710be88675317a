"""What a task declares of itself, told from its source: TensorFlow is not needed to know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfvertical.registry import Registry
from tfvertical.runfiles import schema


def kind_of(task: str) -> Any:
    """What the task called so takes, `"text"`, `"image"` or `"pair"`; TensorFlow is not needed to know."""
    return _declared(task, "items")


def target_of(task: str) -> Any:
    """What a label is to the task called so, as `data.load` takes it; TensorFlow is not needed to know."""
    return _declared(task, "target")


def measure_of(task: str) -> str:
    """The number that counts for the task called so; TensorFlow is not needed to know."""
    return str(_declared(task, "measure"))


def _declared(task: str, name: str) -> Any:
    module = Registry("tasks").module(task)
    return schema.constant(Path(__file__).parent.parent / "tasks" / f"{module}.py", module, name)
