"""Texts to WordPiece ids: in plain Python for training and predicting, in TensorFlow for an exported graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfvertical.codecs.pairs import fitted
from tfvertical.codecs.text import Normalizer
from tfvertical.codecs.wordpiece import WordPiece
from tfvertical.contracts import TextPreprocessor
from tfvertical.errors import PresetError

if TYPE_CHECKING:
    import tensorflow as tf

VOCABULARY = "vocab.txt"


def numpy_inputs(
    names: Sequence[str], token_ids: np.ndarray, mask: np.ndarray, segments: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """What a backbone with inputs of these names takes, all int32."""
    ids = np.asarray(token_ids, np.int32)
    made = {"token_ids": ids, "padding_mask": np.asarray(mask).astype(np.int32), "segment_ids": np.zeros_like(ids)}
    if segments is not None:
        made["segment_ids"] = np.asarray(segments, np.int32)
    return {name: made[name] for name in names}


def joined_pair(
    first: np.ndarray, second: np.ndarray, start: Sequence[int], between: Sequence[int], end: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Two texts' pieces with their special tokens, and segments: 0 up to what stands between, 1 behind."""
    ids = np.concatenate([start, first, between, second, end]).astype(np.int32)
    segments = np.arange(len(ids)) >= len(start) + len(first) + len(between)
    return ids, segments.astype(np.int32)


class WordPiecePreprocessor(TextPreprocessor):
    """The preprocessor of BERT, DistilBERT and ELECTRA: our normalizer, then WordPiece, between `[CLS]` and `[SEP]`.

    Args:
        vocabulary: the pieces, in the order of their ids.
        normalizer: what is done to the text first.
        length: most tokens of a sequence, `[CLS]` and `[SEP]` included.
        input_names: the backbone's inputs: `token_ids`, `padding_mask`, and `segment_ids` where it has them.

    Raises:
        PresetError: the vocabulary lacks one of `[CLS]`, `[SEP]`, `[PAD]`, `[UNK]`, or `length` leaves no room.

    Example:
        >>> vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "card", "##s"]
        >>> preprocessor = WordPiecePreprocessor(vocabulary, Normalizer(True, True), 8, ("token_ids", "padding_mask"))
        >>> preprocessor.wrap(preprocessor.tokenize(["The CARDS!"])[0])
        array([2, 4, 5, 6, 1, 3], dtype=int32)
    """

    def __init__(self, vocabulary: Sequence[str], normalizer: Normalizer, length: int, input_names: Sequence[str]):
        missing = [token for token in ("[CLS]", "[SEP]", "[PAD]", "[UNK]") if token not in vocabulary]
        if missing:
            raise PresetError(f"The WordPiece vocabulary lacks {', '.join(missing)}.")
        if length < 3:
            raise PresetError(f"A length of {length} tokens leaves no room for a word.", expected="at least 3")
        self.vocabulary = tuple(vocabulary)
        self.normalizer = normalizer
        self.length = length
        self.input_names = tuple(input_names)
        self._pieces = WordPiece(self.vocabulary)
        self.pad_id = self._pieces.ids["[PAD]"]
        self.unknown_id: int | None = self._pieces.unknown_id
        self._start, self._end = self._pieces.ids["[CLS]"], self._pieces.ids["[SEP]"]

    def tokenize(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Per text its int32 ids `(pieces,)`, without special tokens; none for an empty text."""
        return [self._pieces(self.normalizer(text)) for text in texts]

    def wrap(self, pieces: np.ndarray) -> np.ndarray:
        """`[CLS]`, the pieces, `[SEP]`: int32 `(pieces + 2,)`."""
        return np.concatenate([[self._start], pieces, [self._end]]).astype(np.int32)

    @property
    def specials(self) -> int:
        return 2

    def wrap_pair(self, first: np.ndarray, second: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        """`[CLS]`, the first, `[SEP]`, the second, `[SEP]`; segments change behind the first `[SEP]`."""
        return joined_pair(*fitted(first, second, length - 3), [self._start], [self._end], [self._end])

    def inputs(
        self, token_ids: np.ndarray, mask: np.ndarray, segments: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """The backbone's inputs by name, int32 `(batch, length)` each."""
        return numpy_inputs(self.input_names, token_ids, mask, segments)

    def graph(self, *, fixed: bool = False) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """Strings `(batch,)` to inputs, cut to `length`, padded to the batch's longest, or `fixed`ly to `length`."""
        import tensorflow as tf

        from tfvertical.backbones import _text_preprocessor_graph as twin

        pieces = self._graph_pieces()

        def preprocess(texts: tf.Tensor) -> dict[str, tf.Tensor]:
            ids, mask = twin.pack(pieces(texts), [self._start], [self._end], self.length, self.pad_id, fixed)
            return twin.model_inputs(self.input_names, ids, mask)

        # Outside a graph KerasHub would take another road, in Python.
        return tf.function(preprocess, input_signature=[tf.TensorSpec((None,), tf.string)], autograph=False)

    def pair_graph(self) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
        """Two strings a row, `(batch,)` each, to inputs: `wrap_pair`, padded to the batch's longest."""
        import tensorflow as tf

        from tfvertical.backbones import _text_preprocessor_graph as twin

        pieces, (start, end) = self._graph_pieces(), ([self._start], [self._end])

        def preprocess(first: tf.Tensor, second: tf.Tensor) -> dict[str, tf.Tensor]:
            made = twin.pack_pairs((pieces(first), pieces(second)), start, end, end, self.length, self.pad_id)
            return twin.model_inputs(self.input_names, *made)

        return tf.function(preprocess, input_signature=[tf.TensorSpec((None,), tf.string)] * 2, autograph=False)

    def _graph_pieces(self) -> Callable[[tf.Tensor], tf.RaggedTensor]:
        """Strings `(batch,)` to ids `(batch, pieces)`, without special tokens; for use in a graph."""
        import keras_hub
        import tensorflow as tf

        from tfvertical.backbones import _text_preprocessor_graph as twin

        # split=False: the words are ours, so KerasHub's own regular expressions have no say.
        tokenizer = keras_hub.tokenizers.WordPieceTokenizer(self._unique(), lowercase=False, split=False)
        return lambda texts: tokenizer(tf.strings.split(twin.normalize(texts, self.normalizer)))

    def _unique(self) -> list[str]:
        """The vocabulary without repeated or empty pieces, which TensorFlow Text refuses: the last of each counts.

        What takes their places begins with a control character, which no normalized text contains.
        """
        ids, refused = self._pieces.ids, ("", "##")
        return [
            piece if ids[piece] == i and piece not in refused and "\0" not in piece else f"\x01{i}"
            for i, piece in enumerate(self.vocabulary)
        ]

    def config(self) -> dict[str, Any]:
        return {
            "lowercase": self.normalizer.lowercase,
            "strip_accents": self.normalizer.strip_accents,
            "cjk": self.normalizer.cjk,
            "length": self.length,
            "inputs": list(self.input_names),
        }

    def assets(self) -> dict[str, bytes]:
        return {VOCABULARY: "".join(f"{piece}\n" for piece in self.vocabulary).encode()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], assets: Mapping[str, bytes]) -> WordPiecePreprocessor:
        vocabulary = assets[VOCABULARY].decode().split("\n")[:-1]
        normalizer = Normalizer(config["lowercase"], config["strip_accents"], words=True, cjk=config["cjk"])
        return cls(vocabulary, normalizer, config["length"], config["inputs"])
