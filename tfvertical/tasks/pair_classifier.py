"""Pairs of texts to labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np

from tfvertical.codecs.pairs import Pair
from tfvertical.columns import Ragged
from tfvertical.contracts import Backbone, Encoded, Examples, TextPreprocessor
from tfvertical.errors import DataError
from tfvertical.kinds import Count, Length, Seed, Share, TextPooling
from tfvertical.tasks._classifier import Classifier
from tfvertical.tasks._heads import text_head
from tfvertical.tasks._task import label_ids, row_weights
from tfvertical.tasks._texts import Tokens, unknown_share


class PairClassifier(Classifier):
    """One of several labels for two texts that are read together: does the answer fit the question, does the second
    follow from the first, do both ask the same?

    Both stand in one sequence (a cross-encoder), so that each word of one sees those of the other. Where they are too
    long together, the longer one is cut first, and the report counts the pairs that were.

    Args:
        backbone: from `tfvertical.backbones.load`, or your own, of texts.
        labels: the label names.
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
    target: ClassVar[Literal["label", "entities"]] = "label"
    preprocessor: TextPreprocessor

    def __init__(
        self,
        backbone: Backbone,
        labels: Sequence[str],
        *,
        pooling: str = "mean",
        normalize: bool = False,
        hidden: Sequence[int] = (),
        dropout: float = 0.1,
        seed: int = 0,
    ):
        head = {"pooling": pooling, "normalize": normalize, "hidden": list(hidden), "dropout": dropout, "seed": seed}
        super().__init__(backbone, labels, head)

    @classmethod
    def from_preset(
        cls,
        preset: str,
        labels: Sequence[str],
        *,
        length: Length = 128,
        pooling: TextPooling = "mean",
        normalize: bool = False,
        hidden: Sequence[Count] = (),
        dropout: Share = 0.1,
        seed: Seed = 0,
    ) -> Self:
        """Build it on a pretrained backbone.

        Args:
            preset: `minilm_l6_v2`, a KerasHub preset, a local folder; see `tfvertical presets list`.
            labels: the label names.
            length: most tokens of both texts together, special ones included.
            pooling, normalize, hidden, dropout, seed: as for the class.
        """
        return cls(
            cls._checked(labels, preset, {"length": length}),
            labels,
            pooling=pooling,
            normalize=normalize,
            hidden=hidden,
            dropout=dropout,
            seed=seed,
        )

    def encode(self, examples: Examples) -> Encoded:
        """Token ids and segments by row, label ids, weights; counts what is cut and what the vocabulary lacks.

        Raises:
            DataError: an item is no pair of texts, or a label is not among `labels`.
        """
        pairs = [_pair(item, row) for item, row in zip(examples.inputs, examples.ids, strict=True)]
        firsts = self.preprocessor.tokenize([pair.first for pair in pairs])
        seconds = self.preprocessor.tokenize([pair.second for pair in pairs])
        length, pad = self.preprocessor.length, self.preprocessor.pad_id
        made = [self.preprocessor.wrap_pair(*each, length) for each in zip(firsts, seconds, strict=True)]
        ids, segments = Ragged.of([each for each, _ in made], pad), Ragged.of([each for _, each in made], 0)
        nothing = np.zeros(0, np.int32)
        specials = len(self.preprocessor.wrap_pair(nothing, nothing, length)[0])
        pieces = [np.concatenate(each) for each in zip(firsts, seconds, strict=True)]
        unknown = self.preprocessor.unknown_id
        return Encoded(
            columns={
                tensor.name: Tokens(ids, self.preprocessor, tensor.name, segments) for tensor in self.model.inputs
            },
            lengths=ids.lengths,
            rows=np.arange(len(pairs), dtype=np.int64),
            labels=label_ids(self.codec, examples),
            weights=row_weights(examples),
            truncated=sum(len(each) > length - specials for each in pieces),
            unknown=unknown_share(pieces, unknown),
            unknown_rows=tuple(row for row, each in enumerate(pieces) if unknown_share([each], unknown) > 0.5),
        )

    def wrapped(self, item: Any, length: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Both texts in one sequence, and which of them each token belongs to."""
        pair = _pair(item, "")
        first, second = self.preprocessor.tokenize([pair.first, pair.second])
        return self.preprocessor.wrap_pair(first, second, length)

    def _head(self, features: Any, inputs: Mapping[str, Any]) -> Any:
        return text_head(features, len(self.labels), **self.head_options)([features, inputs["padding_mask"]])


def _pair(item: Any, row: str) -> Pair:
    if not isinstance(item, list | tuple) or len(item) != 2 or not all(isinstance(text, str) for text in item):
        raise DataError(
            f"{row + ': ' if row else ''}two texts are wanted.", received=f"{type(item).__name__}: {item!r:.80}"
        )
    return Pair(*item)
