"""An export's folder: checked, its model opened, and its preprocessing in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical import manifest
from tfvertical.codecs import pixels
from tfvertical.codecs.alignment import stretches
from tfvertical.codecs.pairs import Pair, fitted
from tfvertical.codecs.text import Normalizer
from tfvertical.codecs.wordpiece import SPECIAL, WordPiece
from tfvertical.errors import BundleError, DataError
from tfvertical.runtime import _checked
from tfvertical.runtime.litert import LiteRT

_READERS = {"entities": "Tagger", "answers": "Answerer"}  # of what is found in texts
_INPUTS = ("token_ids", "padding_mask", "segment_ids")
Prepare = Callable[[Any], list[dict[str, np.ndarray]]]  # one raw item -> model inputs, batch 1, by window


def opened(folder: Path, needed: Sequence[str], threads: int, verify: bool) -> tuple[Prepare, LiteRT, dict[str, Any]]:
    """How a raw item becomes the model's inputs, what runs the model, and what `preprocessing.json` says.

    A long text that the task reads in windows becomes several inputs, whose answers are `averaged`.

    Args:
        folder: the export's.
        needed: files that must be there beside the model and its preprocessing.
        threads: of the interpreter.
        verify: check every file's SHA-256 first.

    Raises:
        BundleError: the folder is no such export, a file of it was changed, its files do not belong together, or its
            preprocessing has no NumPy form.
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
    description = _checked.described(folder)
    if (found := str(description.get("target"))) in _READERS:
        raise BundleError(
            f"{folder} is an export that finds {found}.", fix=f"read it with tfvertical.runtime.{_READERS[found]}"
        )
    with _checked.understood(folder):
        prepare = _prepare(folder, description)
    return prepare, _model(folder, description, threads), description


def opened_places(
    folder: Path, target: str, needed: Sequence[str], threads: int, verify: bool
) -> tuple[Words, LiteRT, dict[str, Any]]:
    """Of an export that finds `target` in texts: how these become ids, what runs the model, what its folder says."""
    missing = [name for name in ("model.tflite", "preprocessing.json", *needed) if not (folder / name).is_file()]
    if missing:
        raise BundleError(f"{folder} is no LiteRT export that finds {target}: {missing[0]} is missing.")
    if verify:
        manifest.check(folder, kind="export")
    description = _checked.described(folder)
    if (found := str(description.get("target"))) != target:
        reader = _READERS.get(found, "Predictor")
        raise BundleError(
            f"{folder} is no export that finds {target}.", fix=f"read it with tfvertical.runtime.{reader}"
        )
    with _checked.understood(folder):
        if description["config"]["class"] != "WordPiecePreprocessor":
            raise _no_form(description["config"])
        words = Words(folder, description["config"], _checked.lengths(description))
    return words, _model(folder, description, threads), description


def _model(folder: Path, description: Mapping[str, Any], threads: int) -> LiteRT:
    """What runs the model; BundleError if the other files are not of this model."""
    run = LiteRT(folder / "model.tflite", threads=threads)
    with _checked.understood(folder):
        _checked.inputs(folder, description, run)
        if description["length"] is not None:
            _checked.vocabulary(folder, _vocabulary(folder), run)
    return run


def kind_of(description: Mapping[str, Any]) -> str:
    """What an item is: `text`, `image` or `pair`."""
    if description["config"]["class"] == "KerasImagePreprocessor":
        return "image"
    return "pair" if description.get("items") == "pair" else "text"


def pair_of(item: Any) -> Pair:
    """An item as two texts.

    Raises:
        DataError: it is none.
    """
    if not isinstance(item, list | tuple) or len(item) != 2 or not all(isinstance(text, str) for text in item):
        raise DataError(
            "This model reads pairs of texts.", expected="two texts", received=f"{type(item).__name__}: {item!r:.80}"
        )
    return Pair(*item)


def _prepare(folder: Path, description: Mapping[str, Any]) -> Prepare:
    """What the preprocessor of the same name does in training."""
    config, lengths = description["config"], _checked.lengths(description)
    if config["class"] == "WordPiecePreprocessor" and lengths:
        words = Words(folder, config, lengths)
        if description.get("items") == "pair":
            return _pairs(words, apart=description.get("encoder") == "bi")
        return _texts(words, in_windows=description.get("windows", False))
    if config["class"] == "KerasImagePreprocessor":
        return _picture(config)
    raise _no_form(config)


def _no_form(config: Mapping[str, Any]) -> BundleError:
    return BundleError(
        f"{config['class']} has no form without TensorFlow.",
        fix="make the model's inputs yourself and run them with tfvertical.runtime.LiteRT",
    )


class Words:
    """Texts to WordPiece ids, and ids to a model's inputs, as the preprocessor of that name does.

    Args:
        folder: that holds `vocab.txt`.
        config: of the preprocessor.
        lengths: tokens that the file takes, in ascending order.

    Raises:
        BundleError: there is no `vocab.txt`, or it lacks a special piece.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], lengths: Sequence[int]):
        if not (folder / "vocab.txt").is_file():
            raise BundleError(f"{folder} is no LiteRT export of a WordPiece model: vocab.txt is missing.")
        vocabulary = _vocabulary(folder)
        if missing := [token for token in SPECIAL.values() if token not in vocabulary]:
            raise BundleError(f"{folder / 'vocab.txt'} lacks the special piece {missing[0]!r}.")
        self._pieces = WordPiece(vocabulary)
        self._normalize = Normalizer(config["lowercase"], config["strip_accents"], words=True, cjk=config["cjk"])
        self._start, self._end, self._pad = (self._pieces.ids[SPECIAL[name]] for name in ("start", "end", "pad"))
        self._inputs, self._lengths = tuple(config["inputs"]), lengths
        if not set(self._inputs) <= set(_INPUTS):
            raise BundleError(
                f"{folder / _checked.NAME} names inputs that texts do not become.",
                expected=", ".join(_INPUTS),
                received=f"{', '.join(map(str, self._inputs)):.200}",
            )
        self.room = lengths[-1] - 2

    def __call__(self, text: str) -> np.ndarray:
        """Its ids, int32 `(pieces,)`, without special ones."""
        return self._pieces(self._normalize(text))

    def inputs_apart(self, *texts: np.ndarray) -> dict[str, np.ndarray]:
        """The inputs of two texts that are read apart, cut to fit, both as long as the longer one needs."""
        wrapped = [[self._start, *ids[: self.room], self._end] for ids in texts]
        length = next(each for each in self._lengths if each >= max(map(len, wrapped)))
        sides = zip(("first_", "second_"), wrapped, strict=True)
        return {side + name: array for side, ids in sides for name, array in self._padded(ids, length=length).items()}

    def inputs(self, ids: Iterable[int]) -> dict[str, np.ndarray]:
        """The model's inputs of at most `room` ids, batch 1, at the shortest length that holds them."""
        return self._padded([self._start, *ids, self._end])

    def inputs_of_pair(self, first: np.ndarray, second: np.ndarray) -> dict[str, np.ndarray]:
        """The same of two texts' ids, cut to fit."""
        first, second = fitted(first, second, self.room - 1)
        wrapped = [self._start, *first, self._end, *second, self._end]
        return self._padded(wrapped, len(first) + 2)

    def _padded(
        self, wrapped: Sequence[int], border: int | None = None, length: int | None = None
    ) -> dict[str, np.ndarray]:
        """`border` is the first token of the second text; `length` the least that the file takes if it is None."""
        length = length or next(each for each in self._lengths if each >= len(wrapped))
        padded = np.full((1, length), self._pad, np.int32)
        padded[0, : len(wrapped)] = wrapped
        mask = (np.arange(length)[None] < len(wrapped)).astype(np.int32)
        segments = np.zeros_like(padded)
        if border is not None:
            segments[0, border : len(wrapped)] = 1
        made = dict(zip(_INPUTS, (padded, mask, segments), strict=True))
        return {name: made[name] for name in self._inputs}


def _vocabulary(folder: Path) -> list[str]:
    return (folder / "vocab.txt").read_bytes().decode().split("\n")[:-1]


def _pairs(words: Words, apart: bool) -> Prepare:
    made = words.inputs_apart if apart else words.inputs_of_pair

    def prepare(item: Any) -> list[dict[str, np.ndarray]]:
        first, second = pair_of(item)
        return [made(words(first), words(second))]

    return prepare


def _texts(words: Words, in_windows: bool) -> Prepare:
    def prepare(text: Any) -> list[dict[str, np.ndarray]]:
        if not isinstance(text, str):
            raise DataError("This model reads texts.", received=type(text).__name__)
        ids = words(text)
        return [words.inputs(each) for each in (stretches(ids, words.room) if in_windows else [ids[: words.room]])]

    return prepare


def _picture(config: Mapping[str, Any]) -> Prepare:
    size, most = _checked.size(config), int(config["max_pixels"])
    rule = (config["crop"], config["margin"], config["resample"])
    pixels.check_rule(*rule)

    def prepare(item: Any) -> list[dict[str, np.ndarray]]:
        name = str(item) if isinstance(item, str | Path) else "The picture"
        fitted = pixels.crop_resize(pixels.decode(item, most), size, *rule, max_pixels=most, name=name)
        return [{config["input_name"]: fitted[None].astype(np.float32)}]

    return prepare
