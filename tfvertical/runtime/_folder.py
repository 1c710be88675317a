"""An export's folder: checked, its model opened, and its preprocessing in NumPy."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical import manifest
from tfvertical.codecs import pixels
from tfvertical.codecs.text import Normalizer
from tfvertical.codecs.wordpiece import WordPiece
from tfvertical.errors import BundleError, DataError
from tfvertical.runtime.litert import LiteRT

Prepare = Callable[[Any], dict[str, np.ndarray]]  # one raw item -> model inputs, batch 1


def opened(folder: Path, needed: Sequence[str], threads: int, verify: bool) -> tuple[Prepare, LiteRT]:
    """How a raw item becomes the model's inputs, and what runs the model.

    Args:
        folder: the export's.
        needed: files that must be there beside the model and its preprocessing.
        threads: of the interpreter.
        verify: check every file's SHA-256 first.

    Raises:
        BundleError: the folder is no such export, a file of it was changed, or its preprocessing has no NumPy form.
    """
    missing = [name for name in ("model.tflite", "preprocessing.json", *needed) if not (folder / name).is_file()]
    if missing:
        embedding = missing == ["labels.txt"]
        raise BundleError(
            f"{folder} is no LiteRT export{' of scores' if embedding else ''}: {missing[0]} is missing.",
            fix="read an export of embeddings with tfvertical.runtime.Embedder" if embedding else None,
        )
    if verify:
        manifest.check(folder, kind="export")
    description = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
    length = description["length"]
    lengths = description.get("lengths") or ([] if length is None else [length])
    return _prepare(folder, description["config"], lengths), LiteRT(folder / "model.tflite", threads=threads)


def _prepare(folder: Path, config: Mapping[str, Any], lengths: Sequence[int]) -> Prepare:
    """What the preprocessor of the same name does in training."""
    if config["class"] == "WordPiecePreprocessor" and lengths:
        return _words(folder, config, lengths)
    if config["class"] == "KerasImagePreprocessor":
        return _picture(config)
    raise BundleError(
        f"{config['class']} has no form without TensorFlow.",
        fix="make the model's inputs yourself and run them with tfvertical.runtime.LiteRT",
    )


def _words(folder: Path, config: Mapping[str, Any], lengths: Sequence[int]) -> Prepare:
    vocabulary = (folder / "vocab.txt").read_bytes().decode().split("\n")[:-1]
    pieces = WordPiece(vocabulary)
    normalize = Normalizer(config["lowercase"], config["strip_accents"], words=True, cjk=config["cjk"])
    start, end, pad = (pieces.ids[token] for token in ("[CLS]", "[SEP]", "[PAD]"))

    def prepare(text: Any) -> dict[str, np.ndarray]:
        if not isinstance(text, str):
            raise DataError("This model reads texts.", received=type(text).__name__)
        wrapped = [start, *pieces(normalize(text))[: lengths[-1] - 2], end]
        length = next(each for each in lengths if each >= len(wrapped))
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
