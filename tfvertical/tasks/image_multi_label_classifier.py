"""Pictures to any number of labels."""

from __future__ import annotations

from typing import ClassVar, Literal

from tfvertical.contracts import Target
from tfvertical.tasks._labelled_pictures import LabelledPictures
from tfvertical.tasks._multi_label import MultiLabelClassifier


class ImageMultiLabelClassifier(LabelledPictures, MultiLabelClassifier):
    """Any number of labels for a picture: which faults a part has, what lies on a plate.

    Each label applies or does not, whatever the others do; from which score on it does is chosen on validation data.

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
        >>> faults = ["scratch", "dent"]
        >>> task = tv.ImageMultiLabelClassifier.from_preset("efficientnet_lite0", labels=faults)  # doctest: +SKIP
        >>> parts = tv.data.load("parts.csv", kind="image", text="file", target="labels")  # doctest: +SKIP
        >>> history = task.fit(parts)  # doctest: +SKIP
    """

    kind: ClassVar[Literal["text", "image"]] = "image"
    items: ClassVar[Literal["text", "image", "pair"]] = "image"
    target: ClassVar[Target] = "labels"
