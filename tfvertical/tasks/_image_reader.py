"""How tasks read pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import is_dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import PIL

from tfvertical.augment import Augment
from tfvertical.codecs.pixels import RULES
from tfvertical.columns import Dense
from tfvertical.contracts import Encoded, Examples, ImagePreprocessor
from tfvertical.errors import ConfigError, DataError
from tfvertical.files import sha256
from tfvertical.kept import Transform
from tfvertical.tasks._heads import IMAGE_HEAD, image_head
from tfvertical.tasks._task import BackboneTask, label_ids, row_weights

KEPT_BYTES = 1_000_000_000  # decoded pictures kept in memory; beyond this each is decoded again when it is needed
THREADS = 4


class ImageReader(BackboneTask):
    """One picture a row, decoded when a batch is taken; augmentation, if asked for, draws each epoch anew."""

    kind: ClassVar[Literal["text", "image"]] = "image"
    items: ClassVar[Literal["text", "image", "pair"]] = "image"
    preprocessor: ImagePreprocessor

    def encode(self, examples: Examples) -> Encoded:
        """Pixels when they are asked for, label ids, weights."""
        return Encoded(
            columns={
                self.model.inputs[0].name: _Pictures(
                    _plain(examples.inputs, self.preprocessor), examples.inputs, self.preprocessor
                )
            },
            lengths=None,
            rows=np.arange(len(examples), dtype=np.int64),
            labels=label_ids(self.codec, examples),
            weights=row_weights(examples),
        )

    def wrapped(self, item: Any, length: int) -> tuple[np.ndarray, np.ndarray | None]:
        """There are no tokens in pictures."""
        raise TypeError(f"{type(self).__name__} reads no text.")

    def _head(self, features: Any, inputs: Mapping[str, Any]) -> Any:
        options = {name: self.head_options[name] for name in IMAGE_HEAD}
        return image_head(features, self._width, answer=self._answer, **options)(features)

    def _augmented(self, examples: Examples, augment: Augment, seed: int) -> Transform:
        if isinstance(augment, type) or not is_dataclass(augment):
            raise ConfigError(
                "augment is none that can be used.",
                expected="tv.Augment(flip=…, crop=…, aspect=…, color=…), or None",
                received=f"{type(augment).__name__} {getattr(augment, '__name__', '')}".rstrip(),
                fix="augment=tv.Augment()",
            )
        name = self.model.inputs[0].name

        def transform(encoded: Encoded, epoch: int) -> Encoded:
            make = _view(examples.inputs, self.preprocessor, augment, seed, epoch)
            view = f"{augment!r} {seed} {epoch}"
            return replace(encoded, columns={name: _Pictures(make, examples.inputs, self.preprocessor, view)})

        return transform


class _Pictures:
    """The pictures of all examples, each made in threads when a batch is taken.

    Args:
        make: row -> uint8 `(height, width, 3)`.
        items: what they are made from.
        preprocessor: whose inputs they become.
        view: which view of the items these are; `""` for the items as they are.
    """

    def __init__(
        self,
        make: Callable[[int], np.ndarray],
        items: Sequence[Any],
        preprocessor: ImagePreprocessor,
        view: str = "",
    ):
        self.make, self.items, self.preprocessor, self.view = make, items, preprocessor, view

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: np.ndarray, length: int | None) -> np.ndarray:
        with ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(self.make, (int(row) for row in rows)))
        return next(iter(self.preprocessor.inputs(np.stack(found)).values()))

    def digest(self) -> str:
        """Of the files' bytes and of what makes pixels of them: to decode all would take as long as the model does."""
        made = {"by": type(self.preprocessor).__name__, "view": self.view, "pillow": PIL.__version__, "rules": RULES}
        found = hashlib.sha256(json.dumps([made, self.preprocessor.config()], sort_keys=True).encode())
        for item in self.items:
            found.update(_item_digest(item))
        return found.hexdigest()


def _item_digest(item: Any) -> bytes:
    """SHA-256 of a file's bytes, or of an array's shape and pixels."""
    if isinstance(item, np.ndarray):
        return bytes.fromhex(Dense(item).digest())
    if isinstance(item, bytes | bytearray | memoryview):
        return hashlib.sha256(item).digest()
    try:
        return bytes.fromhex(sha256(item))
    except OSError as error:
        raise DataError(f"{item}: the file cannot be read ({error.strerror}).") from error


def _plain(items: Sequence[Any], preprocessor: ImagePreprocessor) -> Callable[[int], np.ndarray]:
    """Each picture as it is predicted from, kept after its first decoding if they are few."""
    kept: dict[int, np.ndarray] = {}
    few = len(items) * 3 * preprocessor.size[0] * preprocessor.size[1] <= KEPT_BYTES

    def make(row: int) -> np.ndarray:
        found = kept.get(row)
        if found is None:
            found = preprocessor.pixels(items[row])
            if few:
                kept[row] = found
        return found

    return make


def _view(
    items: Sequence[Any], preprocessor: ImagePreprocessor, augment: Augment, seed: int, epoch: int
) -> Callable[[int], np.ndarray]:
    """Each picture as one epoch sees it: a pure function of seed, epoch and row."""

    def make(row: int) -> np.ndarray:
        random = augment.generator(seed, epoch, row)
        return augment(preprocessor.decode(items[row]), preprocessor.size, random)

    return make
