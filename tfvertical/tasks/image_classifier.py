"""Pictures to labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import numpy as np

from tfvertical import training
from tfvertical.augment import Augment
from tfvertical.codecs import pixels
from tfvertical.contracts import Backbone, Encoded, Examples, ImagePreprocessor
from tfvertical.kinds import Count, ImagePooling, Seed, Share
from tfvertical.tasks._classifier import Classifier, check_blocks, label_ids, row_weights
from tfvertical.tasks._heads import image_head

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
        check_blocks(self.components, self.blocks)

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
            columns={self.model.inputs[0].name: _Pixels(examples.inputs, self.preprocessor)},
            lengths=None,
            rows=np.arange(len(examples), dtype=np.int64),
            labels=label_ids(self.codec, examples),
            weights=row_weights(examples),
        )

    def _head(self, features: Any, inputs: Mapping[str, Any]) -> Any:
        return image_head(features, len(self.labels), **self.head_options)(features)

    def _augmented(self, examples: Examples, augment: Augment, seed: int) -> training.Transform:
        name = self.model.inputs[0].name

        def transform(encoded: Encoded, epoch: int) -> Encoded:
            return replace(
                encoded, columns={name: _Augmented(examples.inputs, self.preprocessor, augment, seed, epoch)}
            )

        return transform


class _Pixels:
    """The pictures of all examples, decoded in threads when a batch is taken, and kept if they are few."""

    def __init__(self, items: Sequence[Any], preprocessor: ImagePreprocessor):
        self.items, self.preprocessor = items, preprocessor
        few = len(items) * 3 * preprocessor.size[0] * preprocessor.size[1] <= KEPT_BYTES
        self.kept: dict[int, np.ndarray] | None = {} if few else None

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: np.ndarray, length: int | None) -> np.ndarray:
        with ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(self._one, (int(row) for row in rows)))
        return next(iter(self.preprocessor.inputs(np.stack(found)).values()))

    def _one(self, row: int) -> np.ndarray:
        if self.kept is None:
            return self.preprocessor.pixels(self.items[row])
        if row not in self.kept:
            self.kept[row] = self.preprocessor.pixels(self.items[row])
        return self.kept[row]


class _Augmented:
    """The pictures as one epoch sees them: a pure function of seed, epoch and row."""

    def __init__(self, items: Sequence[Any], preprocessor: ImagePreprocessor, augment: Augment, seed: int, epoch: int):
        self.items, self.preprocessor, self.augment = items, preprocessor, augment
        self.seed, self.epoch = seed, epoch

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: np.ndarray, length: int | None) -> np.ndarray:
        with ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(self._one, (int(row) for row in rows)))
        return next(iter(self.preprocessor.inputs(np.stack(found)).values()))

    def _one(self, row: int) -> np.ndarray:
        random = self.augment.generator(self.seed, self.epoch, row)
        return self.augment(pixels.decode(self.items[row]), self.preprocessor.size, random)
