"""Texts to labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np

from tfvertical.columns import Ragged
from tfvertical.contracts import Backbone, Encoded, Examples, TextPreprocessor
from tfvertical.errors import ConfigError
from tfvertical.kinds import Count, Length, Seed, Share, TextPooling
from tfvertical.tasks._classifier import Classifier
from tfvertical.tasks._heads import text_head
from tfvertical.tasks._task import label_ids, row_weights
from tfvertical.tasks._texts import Tokens, texts, unknown_share


class TextClassifier(Classifier):
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
    target: ClassVar[Literal["label", "entities"]] = "label"
    preprocessor: TextPreprocessor

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

    def encode(self, examples: Examples) -> Encoded:
        """Token ids by row, label ids, weights; counts what is cut and what the vocabulary lacks.

        Raises:
            DataError: an item is no text, or a label is not among `labels`.
        """
        pieces = self.preprocessor.tokenize(texts(examples))
        room = self.preprocessor.length - self.preprocessor.specials
        cut = [_windows(ids, room) if self.head_options["windows"] else [ids[:room]] for ids in pieces]
        rows = np.repeat(np.arange(len(cut), dtype=np.int64), [len(windows) for windows in cut])
        ragged = Ragged.of(
            [self.preprocessor.wrap(ids) for windows in cut for ids in windows], self.preprocessor.pad_id
        )
        labels = label_ids(self.codec, examples)
        share = 1 / np.array([len(windows) for windows in cut], np.float32)
        return Encoded(
            columns={tensor.name: Tokens(ragged, self.preprocessor, tensor.name) for tensor in self.model.inputs},
            lengths=ragged.lengths,
            rows=rows,
            labels=None if labels is None else labels[rows],
            weights=(row_weights(examples) * share)[rows],
            truncated=0 if self.head_options["windows"] else sum(len(ids) > room for ids in pieces),
            unknown=unknown_share(pieces, self.preprocessor.unknown_id),
            unknown_rows=tuple(
                row for row, ids in enumerate(pieces) if unknown_share([ids], self.preprocessor.unknown_id) > 0.5
            ),
        )

    def wrapped(self, item: Any, length: int) -> tuple[np.ndarray, np.ndarray | None]:
        """A text's first tokens."""
        pieces = self.preprocessor.tokenize([item])[0][: length - self.preprocessor.specials]
        return self.preprocessor.wrap(pieces), None

    def _head(self, features: Any, inputs: Mapping[str, Any]) -> Any:
        options = {name: value for name, value in self.head_options.items() if name != "windows"}
        if "padding_mask" not in inputs:
            raise ConfigError(
                "The backbone has no input `padding_mask`, which pooling needs.",
                received=", ".join(inputs),
                fix="see tfvertical.backbones.around",
            )
        head = text_head(features, len(self.labels), **options)
        return head([features, inputs["padding_mask"]])


def _windows(ids: np.ndarray, room: int) -> list[np.ndarray]:
    """Windows of `room` tokens that overlap by a quarter; the last one ends with the text."""
    if len(ids) <= room:
        return [ids]
    step = max(1, room * 3 // 4)
    starts = [*range(0, len(ids) - room, step), len(ids) - room]
    return [ids[start : start + room] for start in starts]
