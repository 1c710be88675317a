"""From raw items to labels, numbers or embeddings, with what stands in a LiteRT export's folder and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tfvertical.codecs.alignment import averaged
from tfvertical.codecs.label_sets import LabelSetCodec
from tfvertical.codecs.labels import LabelCodec
from tfvertical.codecs.listing import listed
from tfvertical.codecs.numbers import NumberCodec
from tfvertical.errors import BundleError
from tfvertical.runtime import _checked
from tfvertical.runtime._folder import Prepare, kind_of, opened
from tfvertical.runtime.litert import LiteRT


class _Reader:
    """What says one thing of each item."""

    _prepare: Prepare
    _run: LiteRT
    _kind: str

    def prepare(self, item: Any) -> dict[str, np.ndarray]:
        """The model's inputs of one raw item by name, batch 1; those of the first window where there are several."""
        return self._prepare(item)[0]

    def _said(self, items: Any, output: str, width: int) -> np.ndarray:
        given = listed(items, self._kind)
        rows = [averaged([self._run(each)[output][0] for each in self._prepare(item)]) for item in given]
        return np.stack(rows) if rows else np.zeros((0, width), np.float32)


class Predictor(_Reader):
    """A LiteRT export, ready to predict without TensorFlow; a long text is read in windows where the task does so.

    Args:
        folder: `exports/litert-…` of a saved model: `model.tflite`, `labels.txt`, `preprocessing.json` and its files.
        threads: of the interpreter.
        verify: check every file's SHA-256 against `manifest.json` first (0.1 s for 90 MB). One flipped bit in a
            `.tflite` file goes unnoticed more often than not.

    Raises:
        BundleError: the folder is no LiteRT export, a file of it was changed, its files do not belong
            together, or its preprocessing has no NumPy form.
        MissingPackageError: ai-edge-litert is not installed.

    Example:
        >>> predictor = Predictor("saved_models/cards/exports/litert-float32")  # doctest: +SKIP
        >>> predictor.predict(["The card never arrived."])[0].label  # doctest: +SKIP
        'card_arrival'
    """

    def __init__(self, folder: str | Path, *, threads: int = 1, verify: bool = True):
        folder = Path(folder)
        self._prepare, self._run, described = opened(folder, ("labels.txt",), threads, verify)
        self._kind = kind_of(described)
        self._codec: LabelCodec | LabelSetCodec | NumberCodec
        with _checked.understood(folder):
            if "codec" in described:
                of_target = {"labels": LabelSetCodec, "numbers": NumberCodec}
                self._codec = of_target[described["target"]](**described["codec"])
            else:
                self._codec = LabelCodec((folder / "labels.txt").read_text(encoding="utf-8").splitlines())
        _checked.outputs(folder, self._run, self._codec.outputs)

    @property
    def labels(self) -> tuple[str, ...]:
        """The label names, in the order of scores; or what the numbers are called."""
        return self._codec.names

    def scores(self, items: Any) -> np.ndarray:
        """float32 `(items, outputs)`: of texts, pairs of them, or pictures (paths, encoded bytes, uint8 arrays).

        A single text, pair or path counts as a list of one.

        Raises:
            DataError: an item is of another kind; or a table, a mapping or the path of a file is given for texts.
        """
        return self._said(items, "scores", len(self._codec.outputs))

    def predict(self, items: Any) -> list[Any]:
        """A `Prediction` for each item; or a `LabelSet`, of the labels that apply; or a tuple of `Number`s.

        Args:
            items: as `scores` takes them.
        """
        return self._codec.decode(self.scores(items))


class Embedder(_Reader):
    """A LiteRT export of embeddings (`output="embedding"`), for search, clustering and "more like this".

    Of a long text that the task reads in windows, their mean.

    Args:
        folder: `exports/litert-…-embedding` of a saved model.
        threads: of the interpreter.
        verify: check every file's SHA-256 first.

    Raises:
        BundleError: the folder is no such export, a file of it was changed, its files do not belong
            together, or its preprocessing has no NumPy form.
        MissingPackageError: ai-edge-litert is not installed.

    Example:
        >>> embedder = Embedder("saved_models/cards/exports/litert-float32-embedding")  # doctest: +SKIP
        >>> embedder.embed(["The card never arrived."]).shape  # doctest: +SKIP
        (1, 384)
    """

    def __init__(self, folder: str | Path, *, threads: int = 1, verify: bool = True):
        self._prepare, self._run, described = opened(Path(folder), (), threads, verify)
        self._kind = kind_of(described)
        if "embedding" not in self._run.outputs:
            raise BundleError(
                f"{folder} is no LiteRT export of embeddings: it gives {', '.join(self._run.outputs)}.",
                fix="read an export of scores with tfvertical.runtime.Predictor",
            )

    def embed(self, items: Any) -> np.ndarray:
        """float32 `(items, width)`: of texts, pairs of them, or pictures (paths, encoded bytes, uint8 arrays).

        A single text, pair or path counts as a list of one.

        Raises:
            DataError: an item is of another kind; or a table, a mapping or the path of a file is given for texts.
        """
        return self._said(items, "embedding", self._run.output_shapes["embedding"][-1])
