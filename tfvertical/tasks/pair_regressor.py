"""Pairs of texts to numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from tfvertical.contracts import Backbone, Target
from tfvertical.kinds import Count, Covered, Encoder, Length, NumberLoss, Seed, Share, TextPooling
from tfvertical.tasks._heads import widths
from tfvertical.tasks._pair_reader import PairReader
from tfvertical.tasks._regressor import Regressor


class PairRegressor(PairReader, Regressor):
    """One or several numbers for two texts that are read together: how similar they are, how well an answer fits.

    Texts that are too long are cut, in one sequence the longer one first, and the report counts the pairs that were.

    Args:
        backbone: from `tfvertical.backbones.load`, or your own, of texts.
        labels: what the numbers are called: their columns in a table.
        units: of each number, for reports and predictions; they are not converted.
        loss: `mse` (the mean), `huber` (the mean, outliers weighing less), `quantile` (the median and bounds), or
            `ordinal` (a score of few levels, whose distances mean nothing).
        interval: for `quantile`, the share of true numbers that shall lie between the bounds; None for 0.9.
        levels: for `ordinal`, the values that the score can have, ascending.
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
        >>> task = tv.PairRegressor.from_preset("minilm_l6_v2", labels=["similarity"])  # doctest: +SKIP
        >>> pairs = [("Where is my card?", "My card has not come."), ("Where is my card?", "Close my account.")]
        >>> history = task.fit((pairs, [4.6, 0.4]), adaptation=tv.FullFineTuning())  # doctest: +SKIP
    """

    kind: ClassVar[Literal["text", "image"]] = "text"
    items: ClassVar[Literal["text", "image", "pair"]] = "pair"
    target: ClassVar[Target] = "numbers"

    def __init__(
        self,
        backbone: Backbone,
        labels: Sequence[str],
        *,
        units: Sequence[str] = (),
        loss: str = "mse",
        interval: float | None = None,
        levels: Sequence[float] = (),
        encoder: str = "cross",
        pooling: str = "mean",
        normalize: bool = False,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        seed: int = 0,
    ):
        head = {
            "units": list(units),
            "loss": loss,
            "interval": interval,
            "levels": list(levels),
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
        units: Sequence[str] = (),
        loss: NumberLoss = "mse",
        interval: Covered | None = None,
        levels: Sequence[float] = (),
        length: Length = 128,
        encoder: Encoder = "cross",
        pooling: TextPooling = "mean",
        normalize: bool = False,
        hidden: Sequence[Count] = (),
        dropout: Share = 0.0,
        seed: Seed = 0,
    ) -> Self:
        """Build it on a pretrained backbone.

        Args:
            preset: `minilm_l6_v2`, a KerasHub preset, a local folder; see `tfvertical presets list --hub`.
            labels: what the numbers are called.
            length: most tokens of both texts together, or of each where they are read apart, special ones included.
            units, loss, interval, levels, encoder, pooling, normalize, hidden, dropout, seed: as for the class.
        """
        head = {"units": units, "loss": loss, "interval": interval, "levels": levels}
        backbone = cls._checked(labels, preset, {"length": length}, head)
        return cls(
            backbone,
            labels,
            units=units,
            loss=loss,
            interval=interval,
            levels=levels,
            encoder=encoder,
            pooling=pooling,
            normalize=normalize,
            hidden=hidden,
            dropout=dropout,
            seed=seed,
        )
