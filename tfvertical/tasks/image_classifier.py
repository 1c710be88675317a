"""Pictures to labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from tfvertical.contracts import Backbone, Target
from tfvertical.kinds import Count, ImagePooling, Seed, Share
from tfvertical.tasks._classifier import Classifier
from tfvertical.tasks._image_reader import ImageReader


class ImageClassifier(ImageReader, Classifier):
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
    target: ClassVar[Target] = "label"

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
