"""Texts to any number of labels."""

from __future__ import annotations

from typing import ClassVar, Literal

from tfvertical.contracts import Target
from tfvertical.tasks._labelled_texts import LabelledTexts
from tfvertical.tasks._multi_label import MultiLabelClassifier


class TextMultiLabelClassifier(LabelledTexts, MultiLabelClassifier):
    """Any number of labels for a text of any length: what a ticket is about, which clauses a contract has.

    Each label applies or does not, whatever the others do; from which score on it does is chosen on validation data.

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
        >>> task = tv.TextMultiLabelClassifier.from_preset("minilm_l6_v2", labels=["late", "rude"])  # doctest: +SKIP
        >>> history = task.fit("tickets.csv", "validation.csv")  # a cell is `late|rude`, or empty  # doctest: +SKIP
        >>> task.predict(["Two weeks late, and not a word of excuse."])[0].labels  # doctest: +SKIP
        ('late', 'rude')
    """

    kind: ClassVar[Literal["text", "image"]] = "text"
    items: ClassVar[Literal["text", "image", "pair"]] = "text"
    target: ClassVar[Target] = "labels"
