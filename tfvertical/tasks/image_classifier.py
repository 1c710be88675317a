"""Pictures to labels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import PIL

from tfvertical.augment import Augment
from tfvertical.columns import Dense
from tfvertical.contracts import Backbone, Encoded, Examples, ImagePreprocessor
from tfvertical.errors import DataError
from tfvertical.files import sha256
from tfvertical.kept import Transform
from tfvertical.kinds import Count, ImagePooling, Seed, Share
from tfvertical.tasks._classifier import Classifier
from tfvertical.tasks._heads import image_head
from tfvertical.tasks._task import label_ids, row_weights

KEPT_BYTES = 1_000_000_000  # decoded pictures kept in memory; beyond this each is decoded again when it is needed
THREADS = 4


class ImageClassifier(Classifier):
    """One of several labels for a picture.

    Args:
        backbone: from `tfvertical.backbones.load`, or your own.
        labels: the label names.
        pooling: how the feature map becomes one vector: `mean` or `max`.
        normalize: bring each pooled vector to one length, as sentence embeddings are compared.
        hidden: widths of hidden layers before the output.
        dropout: share of features dropped before each dense layer while training.
        seed: of the head's first weights.

    Raises:
        ConfigError: labels or options that cannot be.

    Example:
        >>> import tfvertical as tv
        >>> task = tv.ImageClassifier.from_preset("efficientnet_lite0", labels=["crack", "good"])  # doctest: +SKIP
        >>> history = task.fit("photos/train", "photos/validation")  # doctest: +SKIP
    """

    kind: ClassVar[Literal["text", "image"]] = "image"
    items: ClassVar[Literal["text", "image", "pair"]] = "image"
    target: ClassVar[Literal["label", "entities"]] = "label"
    preprocessor: ImagePreprocessor

    def __init__(
        self,
        backbone: Backbone,
        labels: Sequence[str],
        *,
        pooling: str = "mean",
        normalize: bool = False,
        hidden: Sequence[int] = (),
        dropout: float = 0.2,
        seed: int = 0,
    ):
        super().__init__(
            backbone,
            labels,
            {"pooling": pooling, "normalize": normalize, "hidden": list(hidden), "dropout": dropout, "seed": seed},
        )

    @classmethod
    def from_preset(
        cls,
        preset: str,
        labels: Sequence[str],
        *,
        pooling: ImagePooling = "mean",
        normalize: bool = False,
        hidden: Sequence[Count] = (),
        dropout: Share = 0.2,
        seed: Seed = 0,
    ) -> Self:
        """Build it on a pretrained backbone.

        Args:
            preset: `efficientnet_lite0`, `keras_cv:NAME`, a KerasHub preset; see `tfvertical presets list`.
            labels: the label names.
            pooling, normalize, hidden, dropout, seed: as for the class.
        """
        return cls(
            cls._checked(labels, preset, {}),
            labels,
            pooling=pooling,
            normalize=normalize,
            hidden=hidden,
            dropout=dropout,
            seed=seed,
        )

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
        raise TypeError("An ImageClassifier reads no text.")

    def _head(self, features: Any, inputs: Mapping[str, Any]) -> Any:
        return image_head(features, len(self.labels), **self.head_options)(features)

    def _augmented(self, examples: Examples, augment: Augment, seed: int) -> Transform:
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
        made = {"by": type(self.preprocessor).__name__, "view": self.view, "pillow": PIL.__version__}
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
