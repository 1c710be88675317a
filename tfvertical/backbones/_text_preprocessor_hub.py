"""Texts to ids by any other KerasHub tokenizer (SentencePiece, byte pairs), behind the same normalizer."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfvertical.backbones._text_preprocessor import joined_pair, numpy_inputs
from tfvertical.codecs.pairs import fitted
from tfvertical.codecs.text import Normalizer
from tfvertical.contracts import TextPreprocessor
from tfvertical.errors import PresetError

if TYPE_CHECKING:
    import tensorflow as tf

_TWICE = ("RobertaTokenizer", "XLMRobertaTokenizer")
_BATCH = 1024  # texts a call of TensorFlow


class HubTextPreprocessor(TextPreprocessor):
    """The preprocessor of RoBERTa, ALBERT, DeBERTa, XLM-RoBERTa, FNet and their kin.

    The same TensorFlow operations tokenize for training and in an exported graph, so the two cannot differ. Special
    tokens that somebody types (`</s>`) are taken apart by a space: they are text, not markup.

    Args:
        tokenizer: a KerasHub tokenizer with its vocabulary.
        length: most tokens of a sequence, special ones included.
        input_names: the backbone's inputs: `token_ids`, and `padding_mask` and `segment_ids` where it has them.

    Raises:
        PresetError: `length` leaves no room for a token.
    """

    def __init__(self, tokenizer: Any, length: int, input_names: Sequence[str]):
        self.tokenizer = tokenizer
        self.normalizer = Normalizer(words=False)
        self.length = length
        self.input_names = tuple(input_names)
        self.pad_id = _special(tokenizer, "pad_token_id") or 0
        self.unknown_id = _unknown(tokenizer)
        start = _special(tokenizer, "cls_token_id", "start_token_id")
        end = _special(tokenizer, "sep_token_id", "end_token_id")
        self._start = [] if start is None else [start]
        self._end = [] if end is None else [end]
        if length <= self.specials:
            raise PresetError(f"A length of {length} tokens leaves no room for text.")
        self._graphs: dict[bool, Any] = {}

    @property
    def specials(self) -> int:
        return len(self._start) + len(self._end)

    def tokenize(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Per text its int32 ids `(pieces,)`, without special tokens; none for an empty text."""
        found: list[np.ndarray] = []
        twin = self._twin()
        for first in range(0, len(texts), _BATCH):
            normalized = [self.normalizer(text).encode() for text in texts[first : first + _BATCH]]
            ragged = twin.pieces(np.array(normalized, object))
            found += np.split(ragged.flat_values.numpy(), ragged.row_splits.numpy()[1:-1])
        return found

    def wrap(self, pieces: np.ndarray) -> np.ndarray:
        """The pieces between the start and the end token: int32 `(pieces + specials,)`."""
        return np.concatenate([self._start, pieces, self._end]).astype(np.int32)

    def wrap_pair(self, first: np.ndarray, second: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        """As the model saw pairs when it was pretrained: RoBERTa and XLM-RoBERTa put two end tokens between them."""
        room = self._room_of_pairs(length)
        return joined_pair(*fitted(first, second, room), self._start, self.between, self._end)

    def _room_of_pairs(self, length: int) -> int:
        """Pieces that fit in beside the special tokens; PresetError if those alone do not."""
        room = length - len(self._start) - len(self.between) - len(self._end)
        if room < 0:
            raise PresetError(f"A length of {length} tokens leaves no room for two texts.", expected=f"{length - room}")
        return room

    @property
    def between(self) -> list[int]:
        """The special tokens between two texts."""
        return self._end * (2 if type(self.tokenizer).__name__ in _TWICE else 1)

    def inputs(
        self, token_ids: np.ndarray, mask: np.ndarray, segments: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """The backbone's inputs by name, int32 `(batch, length)` each."""
        return numpy_inputs(self.input_names, token_ids, mask, segments)

    def graph(self, *, fixed: bool = False) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """Strings `(batch,)` to inputs, cut to `length`, padded to the batch's longest, or `fixed`ly to `length`.

        The callable is a `tf.Module` that holds tables: whoever saves a graph with it has to keep it as an attribute.
        """
        return self._twin(fixed)

    def pair_graph(self) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
        """Two strings a row, `(batch,)` each, to inputs: `wrap_pair`, padded to the batch's longest.

        The callable is a `tf.Module` that holds tables, as that of `graph`.
        """
        from tfvertical.backbones._text_preprocessor_hub_graph import HubPairGraph

        self._room_of_pairs(self.length)
        return HubPairGraph(self, self._twin())

    def _twin(self, fixed: bool = False) -> Any:
        """The graph, made once a process; made again where it broke.

        Seeding Keras or TensorFlow frees the resources of SentencePiece tokenizers that are in use.
        """
        import tensorflow as tf

        from tfvertical.backbones._text_preprocessor_hub_graph import HubGraph

        try:
            made = self._graphs.get(fixed) or HubGraph(self, self.tokenizer, fixed)
            made.pieces(tf.constant([""]))
        except tf.errors.NotFoundError:
            self.tokenizer = self.from_config(self.config(), self.assets()).tokenizer
            made = HubGraph(self, self.tokenizer, fixed)
        self._graphs[fixed] = made
        return made

    def config(self) -> dict[str, Any]:
        return {
            "tokenizer": type(self.tokenizer).__name__,
            "options": json.loads(json.dumps(self.tokenizer.get_config())),
            "length": self.length,
            "inputs": list(self.input_names),
        }

    def assets(self) -> dict[str, bytes]:
        with tempfile.TemporaryDirectory() as folder:
            self.tokenizer.save_assets(folder)
            return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], assets: Mapping[str, bytes]) -> HubTextPreprocessor:
        import keras_hub

        made = getattr(keras_hub.tokenizers, config["tokenizer"], None)
        if not (isinstance(made, type) and issubclass(made, keras_hub.tokenizers.Tokenizer)):
            raise PresetError(f"KerasHub has no tokenizer {config['tokenizer']!r}.")
        tokenizer: Any = made.from_config(dict(config["options"]))  # type: ignore[attr-defined]
        # KerasHub leaves the closing of what it opens to Python, which would say so.
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            for name, content in assets.items():
                if Path(name).name != name:
                    raise PresetError(f"{name!r} is not the name of a file.")
                (Path(folder) / name).write_bytes(content)
            tokenizer.load_assets(folder)
        return cls(tokenizer, config["length"], config["inputs"])


def _special(tokenizer: Any, *names: str) -> int | None:
    return next((int(found) for name in names if (found := getattr(tokenizer, name, None)) is not None), None)


def _unknown(tokenizer: Any) -> int | None:
    """The id of what the vocabulary lacks; None where texts are cut into bytes, which are all known."""
    import keras_hub

    if isinstance(tokenizer, keras_hub.tokenizers.BytePairTokenizer):
        return None
    named = _special(tokenizer, "unk_token_id")
    if named is not None:
        return named
    for token in ("<unk>", "[UNK]"):
        if token in tokenizer.get_vocabulary():
            return int(tokenizer.token_to_id(token))
    return None
