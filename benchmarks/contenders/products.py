"""How fast this machine multiplies float32 matrices, by library; `seconds` is GFLOP/s here."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

SIZES = ((1024, 1024, 1024), (2048, 2048, 2048), (4096, 1536, 384), (4096, 384, 1536))
SECONDS = 0.6  # a size is tried for


def numpy_speed(work: dict[str, Any]) -> dict[str, Any]:
    """NumPy's."""
    import numpy as np

    return _best(lambda rows, columns: np.ones((rows, columns), "float32"), lambda a, b: a @ b)


def tensorflow_speed(work: dict[str, Any]) -> dict[str, Any]:
    """TensorFlow's."""
    import tensorflow as tf

    return _best(lambda rows, columns: tf.ones((rows, columns)), tf.linalg.matmul)


def _best(make: Callable[[int, int], Any], product: Callable[[Any, Any], Any]) -> dict[str, Any]:
    fastest = 0.0
    for rows, inner, columns in SIZES:
        a, b = make(rows, inner), make(inner, columns)
        product(a, b)
        until = time.perf_counter() + SECONDS
        while time.perf_counter() < until:
            began = time.perf_counter()
            product(a, b)
            fastest = max(fastest, 2 * rows * inner * columns / (time.perf_counter() - began) / 1e9)
    return {"seconds": fastest, "quality": None}
