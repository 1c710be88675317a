"""Texts to numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from tfvertical.contracts import Backbone, Target
from tfvertical.kinds import Count, Covered, Length, NumberLoss, Seed, Share, TextPooling
from tfvertical.tasks._heads import widths
from tfvertical.tasks._regressor import Regressor
from tfvertical.tasks._text_reader import TextReader


class TextRegressor(TextReader, Regressor):
    """One or several numbers for a text of any length: a price, a risk, the stars of a review.

    Args:
        backbone: from `tfvertical.backbones.load`, or your own, of texts.
        labels: what the numbers are called: their columns in a table.
        units: of each number, for reports and predictions; they are not converted.
        loss: `mse` (the mean), `huber` (the mean, outliers weighing less), `quantile` (the median and bounds), or
            `ordinal` (a score of few levels, whose distances mean nothing).
        interval: for `quantile`, the share of true numbers that shall lie between the bounds; None for 0.9.
        levels: for `ordinal`, the values that the score can have, ascending.
        pooling: how token states become one vector: masked `mean`, `first` token, `max`, or `attention`.
        normalize: bring each pooled vector to one length, as sentence embeddings are compared.
        hidden: widths of hidden layers before the output.
        dropout: share of features dropped before each dense layer while training.
        windows: read texts longer than the preprocessor's length in overlapping windows whose numbers are averaged,
            instead of cutting them.
        seed: of the head's first weights.

    Raises:
        ConfigError: labels or options that cannot be.

    Example:
        >>> import tfvertical as tv
        >>> task = tv.TextRegressor.from_preset("minilm_l6_v2", labels=["price"], units=["EUR"])  # doctest: +SKIP
        >>> history = task.fit("houses.csv")  # columns `text` and `price`  # doctest: +SKIP
        >>> task.predict(["Two rooms by the river."])[0][0]  # doctest: +SKIP
        Number(label='price', value=183000.0, unit='EUR', low=None, high=None)
    """

    kind: ClassVar[Literal["text", "image"]] = "text"
    items: ClassVar[Literal["text", "image", "pair"]] = "text"
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
        pooling: str = "mean",
        normalize: bool = True,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        windows: bool = False,
        seed: int = 0,
    ):
        head = {
            "units": list(units),
            "loss": loss,
            "interval": interval,
            "levels": list(levels),
            "pooling": pooling,
            "normalize": normalize,
            "hidden": widths(hidden),
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
        units: Sequence[str] = (),
        loss: NumberLoss = "mse",
        interval: Covered | None = None,
        levels: Sequence[float] = (),
        length: Length = 128,
        pooling: TextPooling = "mean",
        normalize: bool = True,
        hidden: Sequence[Count] = (),
        dropout: Share = 0.0,
        windows: bool = False,
        seed: Seed = 0,
    ) -> Self:
        """Build it on a pretrained backbone.

        Args:
            preset: `minilm_l6_v2`, a KerasHub preset, a local folder; see `tfvertical presets list --hub`.
            labels: what the numbers are called.
            length: most tokens of a text, special ones included.
            units, loss, interval, levels, pooling, normalize, hidden, dropout, windows, seed: as for the class.
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
            pooling=pooling,
            normalize=normalize,
            hidden=hidden,
            dropout=dropout,
            windows=windows,
            seed=seed,
        )
