"""Pairs of texts to labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from tfvertical.contracts import Backbone, Target
from tfvertical.kinds import Count, Encoder, Length, Seed, Share, TextPooling
from tfvertical.tasks._classifier import Classifier
from tfvertical.tasks._heads import widths
from tfvertical.tasks._pair_reader import PairReader


class PairClassifier(PairReader, Classifier):
    """One of several labels for two texts that are read together: does the answer fit the question, does the second
    follow from the first, do both ask the same?

    How two marked places of one text relate is asked of a `TextClassifier`: `tfvertical.data.load(…, spans=[…])` puts
    signs around both, and the text stays one sequence.

    Texts that are too long are cut, in one sequence the longer one first, and the report counts the pairs that were.

    Args:
        backbone: from `tfvertical.backbones.load`, or your own, of texts.
        labels: the label names.
        encoder: `cross`: both in one sequence, so that each word of one sees those of the other; `bi`: each by itself,
            which a frozen backbone is made for, and then compared.
        pooling: how token states become one vector: masked `mean`, `first` token, `max`, or `attention`.
        normalize: bring each pooled vector to one length.
        hidden: widths of hidden layers before the output.
        dropout: share of features dropped before each dense layer while training.
        seed: of the head's first weights.

    Raises:
        ConfigError: labels or options that cannot be.

    Example:
        >>> import tfvertical as tv
        >>> task = tv.PairClassifier.from_preset("minilm_l6_v2", labels=["other", "same"])  # doctest: +SKIP
        >>> pairs = [("Where is my card?", "My card has not come."), ("Where is my card?", "Close my account.")]
        >>> history = task.fit((pairs, ["same", "other"]), adaptation=tv.FullFineTuning())  # doctest: +SKIP
    """

    kind: ClassVar[Literal["text", "image"]] = "text"
    items: ClassVar[Literal["text", "image", "pair"]] = "pair"
    target: ClassVar[Target] = "label"

    def __init__(
        self,
        backbone: Backbone,
        labels: Sequence[str],
        *,
        encoder: str = "cross",
        pooling: str = "mean",
        normalize: bool = False,
        hidden: Sequence[int] = (),
        dropout: float = 0.1,
        seed: int = 0,
    ):
        head = {
            "encoder": encoder,
            "pooling": pooling,
            "normalize": normalize,
            "hidden": widths(hidden),
            "dropout": dropout,
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
        encoder: Encoder = "cross",
        pooling: TextPooling = "mean",
        normalize: bool = False,
        hidden: Sequence[Count] = (),
        dropout: Share = 0.1,
        seed: Seed = 0,
    ) -> Self:
        """Build it on a pretrained backbone.

        Args:
            preset: `minilm_l6_v2`, a KerasHub preset, a local folder; see `tfvertical presets list --hub`.
            labels: the label names.
            length: most tokens of both texts together, or of each where they are read apart, special ones included.
            encoder, pooling, normalize, hidden, dropout, seed: as for the class.
        """
        return cls(
            cls._checked(labels, preset, {"length": length}),
            labels,
            encoder=encoder,
            pooling=pooling,
            normalize=normalize,
            hidden=hidden,
            dropout=dropout,
            seed=seed,
        )
