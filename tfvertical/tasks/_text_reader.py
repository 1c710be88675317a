"""How tasks read a text of any length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from tfvertical.codecs.alignment import stretches
from tfvertical.columns import Ragged
from tfvertical.contracts import Encoded, Examples, TextPreprocessor
from tfvertical.tasks._heads import TEXT_HEAD, mask_of, text_head
from tfvertical.tasks._task import BackboneTask, label_ids, row_weights
from tfvertical.tasks._texts import Tokens, texts, unknown_share


class TextReader(BackboneTask):
    """Token ids of one text a row: cut to the model's length, or read in windows that overlap."""

    kind: ClassVar[Literal["text", "image"]] = "text"
    items: ClassVar[Literal["text", "image", "pair"]] = "text"
    preprocessor: TextPreprocessor

    def encode(self, examples: Examples) -> Encoded:
        """Token ids by row, label ids, weights; counts what is cut and what the vocabulary lacks.

        Raises:
            DataError: an item is no text, or a label is not among `labels`.
        """
        pieces = self.preprocessor.tokenize(texts(examples))
        room = self.preprocessor.length - self.preprocessor.specials
        cut = [self._read(ids, room) for ids in pieces]
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

    def parts(self, item: Any, length: int) -> list[Mapping[str, tuple[np.ndarray, np.ndarray | None]]]:
        """Its first tokens, or its windows."""
        (pieces,) = self.preprocessor.tokenize([item])
        read = self._read(pieces, length - self.preprocessor.specials)
        return [{"": (self.preprocessor.wrap(ids), None)} for ids in read]

    def _read(self, pieces: np.ndarray, room: int) -> list[np.ndarray]:
        return stretches(pieces, room) if self.head_options["windows"] else [pieces[:room]]

    def _head(self, features: Any, inputs: Mapping[str, Any]) -> Any:
        options = {name: self.head_options[name] for name in TEXT_HEAD}
        mask = mask_of(inputs)
        return text_head(features, self._width, answer=self._answer, **options)([features, mask])
