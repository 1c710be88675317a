"""How tasks read two texts together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import keras
import numpy as np

from tfvertical import batches
from tfvertical.codecs.pairs import Pair
from tfvertical.columns import Ragged
from tfvertical.contracts import Encoded, Examples, TextPreprocessor
from tfvertical.errors import ConfigError, DataError
from tfvertical.kinds import Encoder
from tfvertical.tasks._heads import TEXT_HEAD, compared_head, mask_of, text_head
from tfvertical.tasks._task import BackboneTask, label_ids, row_weights
from tfvertical.tasks._texts import Tokens, unknown_share

if TYPE_CHECKING:
    import tensorflow as tf

SIDES = ("first_", "second_")  # what stands before an input's name where texts are read apart


class PairReader(BackboneTask):
    """Token ids of two texts a row: in one sequence, the longer one cut first (a cross-encoder); or of each by itself.

    Read apart by the same backbone (a bi-encoder), what is frozen need not know which texts stand together.
    """

    kind: ClassVar[Literal["text", "image"]] = "text"
    items: ClassVar[Literal["text", "image", "pair"]] = "pair"
    preprocessor: TextPreprocessor

    def encode(self, examples: Examples) -> Encoded:
        """Token ids and segments by row, label ids, weights; counts what is cut and what the vocabulary lacks.

        Raises:
            DataError: an item is no pair of texts, or a label is not among `labels`.
        """
        pairs = [as_pair(item, row) for item, row in zip(examples.inputs, examples.ids, strict=True)]
        firsts = self.preprocessor.tokenize([pair.first for pair in pairs])
        seconds = self.preprocessor.tokenize([pair.second for pair in pairs])
        pieces = [np.concatenate(each) for each in zip(firsts, seconds, strict=True)]
        columns, lengths, cut = (self._apart if self._bi else self._together)(firsts, seconds)
        unknown = self.preprocessor.unknown_id
        return Encoded(
            columns=columns,
            lengths=lengths,
            rows=np.arange(len(pairs), dtype=np.int64),
            labels=label_ids(self.codec, examples),
            weights=row_weights(examples),
            truncated=cut,
            unknown=unknown_share(pieces, unknown),
            unknown_rows=tuple(row for row, each in enumerate(pieces) if unknown_share([each], unknown) > 0.5),
        )

    @property
    def _bi(self) -> bool:
        return bool(self.head_options.get("encoder") == "bi")

    def _together(
        self, firsts: Sequence[np.ndarray], seconds: Sequence[np.ndarray]
    ) -> tuple[dict[str, Tokens], np.ndarray, int]:
        """Both in one sequence: the model's inputs, their lengths, and how many pairs were cut."""
        length = self.preprocessor.length
        made = [self.preprocessor.wrap_pair(*each, length) for each in zip(firsts, seconds, strict=True)]
        ids = Ragged.of([each for each, _ in made], self.preprocessor.pad_id)
        segments, nothing = Ragged.of([each for _, each in made], 0), np.zeros(0, np.int32)
        room = length - len(self.preprocessor.wrap_pair(nothing, nothing, length)[0])
        cut = sum(len(first) + len(second) > room for first, second in zip(firsts, seconds, strict=True))
        names = [tensor.name for tensor in self.model.inputs]
        return {name: Tokens(ids, self.preprocessor, name, segments) for name in names}, ids.lengths, cut

    def _apart(
        self, firsts: Sequence[np.ndarray], seconds: Sequence[np.ndarray]
    ) -> tuple[dict[str, Tokens], np.ndarray, int]:
        """Each in a sequence of its own, both padded to the longer one."""
        room, columns, lengths = self.preprocessor.length - self.preprocessor.specials, {}, []
        for side, texts in zip(SIDES, (firsts, seconds), strict=True):
            ids = Ragged.of([self.preprocessor.wrap(each[:room]) for each in texts], self.preprocessor.pad_id)
            for tensor in self.model.inputs:
                if tensor.name.startswith(side):
                    columns[tensor.name] = Tokens(ids, self.preprocessor, tensor.name.removeprefix(side))
            lengths.append(ids.lengths)
        cut = sum(max(len(first), len(second)) > room for first, second in zip(firsts, seconds, strict=True))
        return columns, np.maximum(*lengths), cut

    def wrapped(self, item: Any, length: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Both texts in one sequence, and which of them each token belongs to."""
        pair = as_pair(item)
        first, second = self.preprocessor.tokenize([pair.first, pair.second])
        return self.preprocessor.wrap_pair(first, second, length)

    def sides(self, item: Any, length: int) -> Mapping[str, tuple[np.ndarray, np.ndarray | None]]:
        """Both texts by themselves, where they are read apart."""
        if not self._bi:
            return super().sides(item, length)
        room = length - self.preprocessor.specials
        texts = self.preprocessor.tokenize(list(as_pair(item)))
        return {side: (self.preprocessor.wrap(ids[:room]), None) for side, ids in zip(SIDES, texts, strict=True)}

    def graph(self) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
        """Two texts a row to the model's inputs, in one sequence or each in its own."""
        if not self._bi:
            return self.preprocessor.pair_graph()
        from tfvertical.tasks._apart_graph import ApartGraph

        return ApartGraph(self.preprocessor.graph())

    def _build(self, body: keras.Model) -> keras.Model:
        """Where texts are read apart, the body reads each of them, and the head compares."""
        if self.head_options["encoder"] not in get_args(Encoder):
            wrong = self.head_options["encoder"]
            raise ConfigError(f"There is no encoder {wrong!r}.", expected=" or ".join(map(repr, get_args(Encoder))))
        if not self._bi:
            return super()._build(body)
        body = self._named(body)
        inputs = {
            side + t.name: keras.Input(t.shape[1:], dtype=t.dtype, name=side + t.name)
            for side in SIDES
            for t in body.inputs
        }
        seen = []
        for side in SIDES:
            own = {t.name: inputs[side + t.name] for t in body.inputs}
            seen += [body(batches.arrange(body, own)), mask_of(own)]
        options = {name: self.head_options[name] for name in TEXT_HEAD}
        head = compared_head(seen[0], self._width, answer=self._answer, **options)
        return keras.Model(inputs, head(seen), name=type(self).__name__.lower())

    def _head(self, features: Any, inputs: Mapping[str, Any]) -> Any:
        options = {name: self.head_options[name] for name in TEXT_HEAD}
        mask = mask_of(inputs)
        return text_head(features, self._width, answer=self._answer, **options)([features, mask])


def as_pair(item: Any, row: str = "") -> Pair:
    """An item as two texts; `row` is named where it is none."""
    if not isinstance(item, list | tuple) or len(item) != 2 or not all(isinstance(text, str) for text in item):
        raise DataError(
            f"{row + ': ' if row else ''}two texts are wanted.", received=f"{type(item).__name__}: {item!r:.80}"
        )
    return Pair(*item)
