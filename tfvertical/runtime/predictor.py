"""From raw texts or pictures to labels, with what stands in a LiteRT export's folder and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical import manifest
from tfvertical.codecs import pixels
from tfvertical.codecs.labels import LabelCodec, Prediction
from tfvertical.codecs.text import Normalizer
from tfvertical.codecs.wordpiece import WordPiece
from tfvertical.errors import BundleError, DataError
from tfvertical.runtime.litert import LiteRT

Prepare = Callable[[Any], dict[str, np.ndarray]]  # one raw item -> model inputs, batch 1


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
        missing = [n for n in ("model.tflite", "labels.txt", "preprocessing.json") if not (folder / n).is_file()]
        if missing:
            raise BundleError(f"{folder} is no LiteRT export: {missing[0]} is missing.")
        if verify:
            manifest.check(folder, kind="export")
        description = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
        self.prepare = _prepare(folder, description["config"], description["length"])
        self._codec = LabelCodec((folder / "labels.txt").read_text(encoding="utf-8").splitlines())
        self._run = LiteRT(folder / "model.tflite", threads=threads)

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


def _prepare(folder: Path, config: Mapping[str, Any], length: int | None) -> Prepare:
    """What the preprocessor of the same name does in training."""
    if config["class"] == "WordPiecePreprocessor" and length is not None:
        return _words(folder, config, length)
    if config["class"] == "KerasImagePreprocessor":
        return _picture(config)
    raise BundleError(
        f"{config['class']} has no form without TensorFlow.",
        fix="make the model's inputs yourself and run them with tfvertical.runtime.LiteRT",
    )


def _words(folder: Path, config: Mapping[str, Any], length: int) -> Prepare:
    vocabulary = (folder / "vocab.txt").read_bytes().decode().split("\n")[:-1]
    pieces = WordPiece(vocabulary)
    normalize = Normalizer(config["lowercase"], config["strip_accents"], words=True, cjk=config["cjk"])
    start, end, pad = (pieces.ids[token] for token in ("[CLS]", "[SEP]", "[PAD]"))

    def prepare(text: Any) -> dict[str, np.ndarray]:
        if not isinstance(text, str):
            raise DataError("This model reads texts.", received=type(text).__name__)
        wrapped = [start, *pieces(normalize(text))[: length - 2], end]
        ids = np.full((1, length), pad, np.int32)
        ids[0, : len(wrapped)] = wrapped
        mask = (np.arange(length)[None] < len(wrapped)).astype(np.int32)
        made = {"token_ids": ids, "padding_mask": mask, "segment_ids": np.zeros_like(ids)}
        return {name: made[name] for name in config["inputs"]}

    return prepare


def _picture(config: Mapping[str, Any]) -> Prepare:
    height, width = config["size"]

    def prepare(item: Any) -> dict[str, np.ndarray]:
        decoded = pixels.decode(item, config["max_pixels"])
        fitted = pixels.crop_resize(decoded, (height, width), config["crop"], config["margin"], config["resample"])
        return {config["input_name"]: fitted[None].astype(np.float32)}

    return prepare
