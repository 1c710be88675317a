"""From raw texts or pictures to labels or embeddings, with what stands in a LiteRT export's folder and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical.codecs.labels import LabelCodec, Prediction
from tfvertical.runtime._folder import opened


class Predictor:
    """A LiteRT export, ready to predict without TensorFlow.

    Args:
        folder: `exports/litert-…` of a saved model: `model.tflite`, `labels.txt`, `preprocessing.json` and its files.
        threads: of the interpreter.
        verify: check every file's SHA-256 against `manifest.json` first (0.1 s for 90 MB). One flipped bit in a
            `.tflite` file goes unnoticed more often than not.

    Attributes:
        prepare: one raw item -> the model's inputs by name, batch 1.

    Raises:
        BundleError: the folder is no LiteRT export, a file of it was changed, or its preprocessing has no NumPy form.
        MissingPackageError: ai-edge-litert is not installed.

    Example:
        >>> predictor = Predictor("saved_models/cards/exports/litert-float32")  # doctest: +SKIP
        >>> predictor.predict(["The card never arrived."])[0].label  # doctest: +SKIP
        'card_arrival'
    """

    def __init__(self, folder: str | Path, *, threads: int = 1, verify: bool = True):
        folder = Path(folder)
        self.prepare, self._run = opened(folder, ("labels.txt",), threads, verify)
        self._codec = LabelCodec((folder / "labels.txt").read_text(encoding="utf-8").splitlines())

    @property
    def labels(self) -> tuple[str, ...]:
        """The label names, in the order of scores."""
        return self._codec.names

    def scores(self, items: Iterable[Any]) -> np.ndarray:
        """float32 `(items, labels)`: of texts; or of pictures (paths, encoded bytes, uint8 arrays)."""
        rows = [self._run(self.prepare(item))["scores"][0] for item in items]
        return np.stack(rows) if rows else np.zeros((0, len(self.labels)), np.float32)

    def predict(self, items: Iterable[Any]) -> list[Prediction]:
        """The label and its score for each item."""
        return self._codec.decode(self.scores(items))


class Embedder:
    """A LiteRT export of embeddings (`output="embedding"`), for search, clustering and "more like this".

    Args:
        folder: `exports/litert-…-embedding` of a saved model.
        threads: of the interpreter.
        verify: check every file's SHA-256 first.

    Attributes:
        prepare: one raw item -> the model's inputs by name, batch 1.

    Raises:
        BundleError: the folder is no such export, a file of it was changed, or its preprocessing has no NumPy form.
        MissingPackageError: ai-edge-litert is not installed.

    Example:
        >>> embedder = Embedder("saved_models/cards/exports/litert-float32-embedding")  # doctest: +SKIP
        >>> embedder.embed(["The card never arrived."]).shape  # doctest: +SKIP
        (1, 384)
    """

    def __init__(self, folder: str | Path, *, threads: int = 1, verify: bool = True):
        self.prepare, self._run = opened(Path(folder), (), threads, verify)

    def embed(self, items: Iterable[Any]) -> np.ndarray:
        """float32 `(items, width)`: of texts; or of pictures (paths, encoded bytes, uint8 arrays)."""
        rows = [self._run(self.prepare(item))["embedding"][0] for item in items]
        return np.stack(rows) if rows else np.zeros((0, 0), np.float32)
