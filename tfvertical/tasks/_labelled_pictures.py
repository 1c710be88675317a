"""The options that tasks of one label and of many have in common, where they read pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from tfvertical.contracts import Backbone
from tfvertical.kinds import Count, ImagePooling, Seed, Share
from tfvertical.tasks._heads import widths
from tfvertical.tasks._image_reader import ImageReader


class LabelledPictures(ImageReader):
    """How a task that tells labels of pictures is built; its own class says what the options mean."""

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
            {"pooling": pooling, "normalize": normalize, "hidden": widths(hidden), "dropout": dropout, "seed": seed},
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
            preset: `efficientnet_lite0`, `keras_cv:NAME`, a KerasHub preset; see `tfvertical presets list --hub`.
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
