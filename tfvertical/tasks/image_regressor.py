"""Pictures to numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from tfvertical.contracts import Backbone, Target
from tfvertical.kinds import Count, Covered, ImagePooling, NumberLoss, Seed, Share
from tfvertical.tasks._heads import widths
from tfvertical.tasks._image_reader import ImageReader
from tfvertical.tasks._regressor import Regressor


class ImageRegressor(ImageReader, Regressor):
    """One or several numbers for a picture: how wide a crack is, how ripe a fruit.

    Args:
        backbone: from `tfvertical.backbones.load`, or your own.
        labels: what the numbers are called: their columns in a table.
        units: of each number, for reports and predictions; they are not converted.
        loss: `mse` (the mean), `huber` (the mean, outliers weighing less), `quantile` (the median and bounds), or
            `ordinal` (a score of few levels, whose distances mean nothing).
        interval: for `quantile`, the share of true numbers that shall lie between the bounds; None for 0.9.
        levels: for `ordinal`, the values that the score can have, ascending.
        pooling: how the feature map becomes one vector: `mean` or `max`.
        normalize: bring each pooled vector to one length.
        hidden: widths of hidden layers before the output.
        dropout: share of features dropped before each dense layer while training.
        seed: of the head's first weights.

    Raises:
        ConfigError: labels or options that cannot be.

    Example:
        >>> import tfvertical as tv
        >>> task = tv.ImageRegressor.from_preset("efficientnet_lite0", labels=["width"], units=["mm"])  # doctest: +SKIP
        >>> columns = {"text": "file", "label": "width", "target": "numbers"}
        >>> history = task.fit(tv.data.load("cracks.csv", kind="image", **columns))  # doctest: +SKIP
    """

    kind: ClassVar[Literal["text", "image"]] = "image"
    items: ClassVar[Literal["text", "image", "pair"]] = "image"
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
        pooling: ImagePooling = "mean",
        normalize: bool = False,
        hidden: Sequence[Count] = (),
        dropout: Share = 0.0,
        seed: Seed = 0,
    ) -> Self:
        """Build it on a pretrained backbone.

        Args:
            preset: `efficientnet_lite0`, `keras_cv:NAME`, a KerasHub preset; see `tfvertical presets list --hub`.
            labels: what the numbers are called.
            units, loss, interval, levels, pooling, normalize, hidden, dropout, seed: as for the class.
        """
        head = {"units": units, "loss": loss, "interval": interval, "levels": levels}
        backbone = cls._checked(labels, preset, {}, head)
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
            seed=seed,
        )
