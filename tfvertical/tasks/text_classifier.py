"""Texts to labels."""

from __future__ import annotations

from typing import ClassVar, Literal

from tfvertical.contracts import Target
from tfvertical.tasks._classifier import Classifier
from tfvertical.tasks._labelled_texts import LabelledTexts


class TextClassifier(LabelledTexts, Classifier):
    """One of several labels for a text of any length.

    Args:
        backbone: from `tfvertical.backbones.load`, or your own.
        labels: the label names.
        pooling: how token states become one vector: masked `mean`, `first` token, `max`, or `attention`.
        normalize: bring each pooled vector to one length, as sentence embeddings are compared.
        hidden: widths of hidden layers before the output.
        dropout: share of features dropped before each dense layer while training.
        windows: read texts longer than the preprocessor's length in overlapping windows whose predictions are averaged,
            instead of cutting them.
        seed: of the head's first weights.

    Raises:
        ConfigError: labels or options that cannot be.

    Example:
        >>> import tfvertical as tv
        >>> task = tv.TextClassifier.from_preset("minilm_l6_v2", labels=["negative", "positive"])  # doctest: +SKIP
        >>> history = task.fit((["so good", "so bad"], ["positive", "negative"]))  # doctest: +SKIP
    """

    kind: ClassVar[Literal["text", "image"]] = "text"
    items: ClassVar[Literal["text", "image", "pair"]] = "text"
    target: ClassVar[Target] = "label"
