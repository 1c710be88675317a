"""Pictures to labels."""

from __future__ import annotations

from typing import ClassVar, Literal

from tfvertical.contracts import Target
from tfvertical.tasks._classifier import Classifier
from tfvertical.tasks._labelled_pictures import LabelledPictures


class ImageClassifier(LabelledPictures, Classifier):
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
