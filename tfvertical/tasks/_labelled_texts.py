"""The options that tasks of one label and of many have in common, where they read texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from tfvertical.contracts import Backbone
from tfvertical.kinds import Count, Length, Seed, Share, TextPooling
from tfvertical.tasks._heads import widths
from tfvertical.tasks._text_reader import TextReader


class LabelledTexts(TextReader):
    """How a task that tells labels of texts is built; its own class says what the options mean."""

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
            preset: `minilm_l6_v2`, a KerasHub preset, a local folder; see `tfvertical presets list --hub`.
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
