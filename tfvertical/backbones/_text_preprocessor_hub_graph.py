"""The graph of a KerasHub tokenizer behind our normalizer: one module that both training and exported graphs call."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfvertical.backbones import _text_preprocessor_graph as twin

if TYPE_CHECKING:
    from tfvertical.backbones._text_preprocessor_hub import HubTextPreprocessor


class HubGraph(tf.Module):
    """Strings to model inputs. A module, because byte-pair tokenizers keep tables that a SavedModel must find.

    Args:
        preprocessor: whose length and special tokens these are.
        tokenizer: its tokenizer, or a copy of it.
        fixed: pad to `length`, not to the longest of the batch.
    """

    def __init__(self, preprocessor: HubTextPreprocessor, tokenizer: Any, fixed: bool):
        super().__init__(name="preprocessor")
        self.tokenizer = tokenizer
        self._normalizer = preprocessor.normalizer
        self._pack = (preprocessor._start, preprocessor._end, preprocessor.length, preprocessor.pad_id, fixed)
        self._inputs = preprocessor.input_names
        written = {*tokenizer.special_tokens, *(getattr(tokenizer, "unsplittable_tokens", None) or ())}
        self._written = sorted(token for token in written if len(token) > 1)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)], autograph=False)
    def pieces(self, normalized: tf.Tensor) -> tf.RaggedTensor:
        """Ids int32 `(batch, pieces)` of normalized texts, without special tokens."""
        for token in self._written:
            apart = f"{token[0]} {token[1:]}".replace("\\", r"\\")
            normalized = tf.strings.regex_replace(normalized, re.escape(token), apart)
        return tf.cast(self.tokenizer(normalized), tf.int32)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)], autograph=False)
    def __call__(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """The model's inputs, int32 `(batch, tokens)`."""
        pieces = self.pieces(twin.normalize(texts, self._normalizer))
        ids, mask = twin.pack(pieces, *self._pack)
        return twin.model_inputs(self._inputs, ids, mask)


class HubPairGraph(tf.Module):
    """Two strings a row to model inputs; a module for the same reason.

    Args:
        preprocessor: whose length and special tokens these are.
        single: the graph of one text, whose tables these are.
    """

    def __init__(self, preprocessor: HubTextPreprocessor, single: HubGraph):
        super().__init__(name="pair_preprocessor")
        self.single = single
        start, end = preprocessor._start, preprocessor._end
        self._pack = (start, preprocessor.between, end, preprocessor.length, preprocessor.pad_id)
        self._normalizer, self._inputs = preprocessor.normalizer, preprocessor.input_names

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)] * 2, autograph=False)
    def __call__(self, first: tf.Tensor, second: tf.Tensor) -> dict[str, tf.Tensor]:
        """The model's inputs, int32 `(batch, tokens)`."""
        pieces = tuple(self.single.pieces(twin.normalize(texts, self._normalizer)) for texts in (first, second))
        return twin.model_inputs(self._inputs, *twin.pack_pairs(pieces, *self._pack))
