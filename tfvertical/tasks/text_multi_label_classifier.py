"""Texts to any number of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from tfvertical.contracts import Backbone, Target
from tfvertical.kinds import Count, Length, Seed, Share, TextPooling
from tfvertical.tasks._multi_label import MultiLabelClassifier
from tfvertical.tasks._text_reader import TextReader


class TextMultiLabelClassifier(TextReader, MultiLabelClassifier):
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

    def __init__(
        self,
        backbone: Backbone,
        labels: Sequence[str],
        *,
        pooling: str = "mean",
        normalize: bool = True,
        hidden: Sequence[int] = (),
        dropout: float = 0.1,
        windows: bool = False,
        seed: int = 0,
    ):
        head = {
            "pooling": pooling,
            "normalize": normalize,
            "hidden": list(hidden),
            "dropout": dropout,
            "windows": windows,
            "seed": seed,
        }
        super().__init__(backbone, labels, head)

    @classmethod
    def from_preset(
        cls,
        preset: str,
        labels: Sequence[str],
        *,
        length: Length = 128,
        pooling: TextPooling = "mean",
        normalize: bool = True,
        hidden: Sequence[Count] = (),
        dropout: Share = 0.1,
        windows: bool = False,
        seed: Seed = 0,
    ) -> Self:
        """Build it on a pretrained backbone.

        Args:
            preset: `minilm_l6_v2`, a KerasHub preset, a local folder; see `tfvertical presets list`.
            labels: the label names.
            length: most tokens of a text, special ones included.
            pooling, normalize, hidden, dropout, windows, seed: as for the class.
        """
        backbone = cls._checked(labels, preset, {"length": length})
        return cls(
            backbone,
            labels,
            pooling=pooling,
            normalize=normalize,
            hidden=hidden,
            dropout=dropout,
            windows=windows,
            seed=seed,
        )
