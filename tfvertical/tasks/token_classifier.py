"""Texts to the entities that stand in them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import keras
import numpy as np
import tensorflow as tf

from tfvertical import batches
from tfvertical.codecs import alignment
from tfvertical.codecs.alignment import Sentence
from tfvertical.codecs.entities import Entity, EntityCodec, marginals, mean_scores
from tfvertical.columns import Ragged
from tfvertical.contracts import Backbone, Encoded, Examples, Objective, Target, TextPreprocessor, Units
from tfvertical.data import class_weights
from tfvertical.data._labels import ClassWeight
from tfvertical.errors import ConfigError, DataError
from tfvertical.evaluating import entity_report
from tfvertical.kinds import Count, Layers, Length, Seed, Share
from tfvertical.objectives.conditional_random_field import ConditionalRandomField
from tfvertical.objectives.token_cross_entropy import TokenCrossEntropy
from tfvertical.tasks._depth import side_by_side
from tfvertical.tasks._heads import Steps, mask_of, token_head, widths
from tfvertical.tasks._metrics import EntityF1, TokenAccuracy
from tfvertical.tasks._task import BackboneTask, row_weights
from tfvertical.tasks._texts import Tokens, unknown_share, word_pieces


class TokenClassifier(BackboneTask):
    """Entities in a text of any length: diseases in a report, parties in a contract, places in a message.

    Each word gets a tag (IOB2: outside, or the beginning or inside of an entity of some type); of a text's tags the
    most probable ones that make sense together are taken. Longer texts than the preprocessor's length are read in
    windows that overlap; a word's tag comes from the window in which it stands further from the border.

    Args:
        backbone: from `tfvertical.backbones.load`, or your own, of texts.
        labels: the types of entities.
        pieces: which of the pieces that a tokenizer cuts a word into answer for it: the `first`, or `all` (their
            probabilities are averaged).
        crf: learn how much each tag likes to follow each other, and train a text's tags together (a conditional random
            field; Lafferty et al. 2001); each word's probabilities then take the others into account.
        last_blocks: how many of the backbone's last blocks the head reads, side by side. Where few or none of them
            learn, 4 find more than the last one (Devlin et al. 2019, section 5.3).
        convolutions: layers behind the hidden ones through which the head sees a word's neighbours, each over three
            positions twice as far apart as in the layer before (Strubell et al. 2017): of 3 layers, 7 on each side.
        hidden: widths of hidden layers before the output.
        dropout: share of features dropped before each dense layer while training.
        seed: of the head's first weights.

    Raises:
        ConfigError: labels or options that cannot be.

    Example:
        >>> import tfvertical as tv
        >>> task = tv.TokenClassifier.from_preset("minilm_l6_v2", labels=["Disease"])  # doctest: +SKIP
        >>> history = task.fit("train.conll", "validation.conll")  # doctest: +SKIP
        >>> task.predict(["No sign of Wilson's disease."])[0]  # doctest: +SKIP
        (Entity(text="Wilson's disease", label='Disease', start=11, end=27, score=0.98),)
    """

    kind: ClassVar[Literal["text", "image"]] = "text"
    items: ClassVar[Literal["text", "image", "pair"]] = "text"
    target: ClassVar[Target] = "entities"
    measure: ClassVar[str] = "f1"
    quantities: ClassVar[tuple[str, ...]] = ("accuracy", "f1")
    monitor: ClassVar[str] = "val_f1"
    preprocessor: TextPreprocessor
    _tag_weights: tuple[float, ...] = ()

    def __init__(
        self,
        backbone: Backbone,
        labels: Sequence[str],
        *,
        pieces: Literal["first", "all"] = "first",
        crf: bool = False,
        last_blocks: int = 1,
        convolutions: int = 0,
        hidden: Sequence[int] = (),
        dropout: float = 0.1,
        seed: int = 0,
    ):
        head: dict[str, Any] = {"pieces": pieces, "crf": crf, "last_blocks": last_blocks, "convolutions": convolutions}
        head |= {"hidden": widths(hidden), "dropout": dropout, "seed": seed}
        super().__init__(side_by_side(backbone, last_blocks), labels, head)

    @classmethod
    def from_preset(
        cls,
        preset: str,
        labels: Sequence[str],
        *,
        length: Length = 128,
        pieces: Literal["first", "all"] = "first",
        crf: bool = False,
        last_blocks: Count = 1,
        convolutions: Layers = 0,
        hidden: Sequence[Count] = (),
        dropout: Share = 0.1,
        seed: Seed = 0,
    ) -> Self:
        """Build it on a pretrained backbone.

        Args:
            preset: `minilm_l6_v2`, a KerasHub preset, a local folder; see `tfvertical presets list --hub`.
            labels: the types of entities.
            length: most tokens that are read at once, special ones included.
            pieces, crf, last_blocks, convolutions, hidden, dropout, seed: as for the class.
        """
        backbone = cls._checked(labels, preset, {"length": length}, {"pieces": pieces, "crf": crf})
        return cls(
            backbone,
            labels,
            pieces=pieces,
            crf=crf,
            last_blocks=last_blocks,
            convolutions=convolutions,
            hidden=hidden,
            dropout=dropout,
            seed=seed,
        )

    @classmethod
    def codec_of(cls, labels: Sequence[str], head: Mapping[str, Any] | None = None) -> EntityCodec:
        """Types and tags."""
        return EntityCodec.of(labels, head or {})

    def encode(self, examples: Examples) -> Encoded:
        """Token ids by window, tag ids by position; counts the texts with a word that alone is too long, which is cut.

        A text counts 1 in training, by the mean over its words (with `pieces="all"` over their pieces): a batch of like
        lengths then moves the weights as far as any other. One in several windows counts as many as there are, shared
        out by their words.

        A text is divided into words where its entities begin and end, too, if they are given.

        Raises:
            DataError: an item is neither a text nor a list of words, a type is not among `labels`, or entities overlap.
        """
        if examples.labels is None:
            return self._held_out(examples)
        rows = zip(examples.inputs, examples.labels, examples.ids, strict=True)
        return self._encoded(examples, [Sentence.of(item, _borders(item, label), row) for item, label, row in rows])

    # ------------------------------------------------------------------------------------------------- Task's contract
    def scores(self, examples: Examples | Encoded) -> np.ndarray:
        """Probabilities of the tags, float32 `(words, tags)`, the words of one example after those of the other.

        With `crf`, what each word says by itself; `decode` and `probabilities` take the others into account. Of
        `Examples`, labels are not looked at; the words are those that a text has by itself.
        """
        if isinstance(examples, Examples):
            examples = self.encode(replace(examples, labels=None))
        return self.scores_of(self.model, examples)

    def scores_of(self, model: keras.Model, encoded: Encoded) -> np.ndarray:
        """`scores` from the part of the model behind a frontier, and examples as it takes them."""
        if encoded.units is None:
            raise TypeError("These examples were not encoded for a TokenClassifier.")
        total, count = self._nothing(int(encoded.units.splits[-1]))
        for at, (logits,) in batches.infer(model, encoded):
            logits = logits[:, : -self._below or None]
            shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
            self._add(
                shifted / shifted.sum(axis=-1, keepdims=True),
                encoded.units.column.take(at, logits.shape[1]),
                total,
                count,
            )
        return mean_scores(total, count)

    def parts(self, item: Any, length: int) -> list[Mapping[str, tuple[np.ndarray, np.ndarray | None]]]:
        """Windows of whole words."""
        pieces, counts, windows = self._read(item, length)
        begins = np.concatenate([[0], np.cumsum(counts)])
        read = [pieces[begins[window.first] : begins[window.last]] for window in windows]
        return [{"": (self.preprocessor.wrap(ids), None)} for ids in read]

    def scored(self, item: Any, length: int, answers: Sequence[np.ndarray]) -> np.ndarray:
        """Of each word from the window that answers for it."""
        _, counts, windows = self._read(item, length)
        total, count = self._nothing(len(counts))
        for window, answer in zip(windows, answers, strict=True):
            words = self._placed(alignment.answering(window, counts, self.head_options["pieces"] == "all"))
            self._add(answer[: len(words)], words, total, count)
        return mean_scores(total, count)

    def decode(self, scores: np.ndarray, items: Sequence[Any]) -> list[tuple[Entity, ...]]:
        """The entities of each item, from its words' probabilities; offsets count characters of the text as given.

        A list of words counts as the text in which spaces join them.
        """
        return self.codec.decode(scores, [Sentence.of(item) for item in items], self.steps)

    def probabilities(self, scores: np.ndarray, items: Sequence[Any]) -> np.ndarray:
        """`scores` of items as they are given all words of an item, with `crf`; without it, as they are."""
        splits = np.concatenate([[0], np.cumsum([len(Sentence.of(item).places) for item in items])]).astype(np.int64)
        return scores if self.steps is None else marginals(scores, splits, self.steps)

    def truth(self, examples: Examples) -> np.ndarray:
        """Tag ids of the words that the texts have by themselves."""
        return self._tags(examples, [Sentence.of(item) for item in examples.inputs]).astype(np.int64)

    def quality(self, examples: Examples, scores: np.ndarray) -> float:
        """Strict F1 of entities."""
        return entity_report.f1(self, examples, scores)

    def wrapped(self, item: Any, length: int) -> tuple[np.ndarray, np.ndarray | None]:
        """A text's first tokens, word by word."""
        (pieces,), _, _ = word_pieces(self.preprocessor, [Sentence.of(item)], self._room)
        return self.preprocessor.wrap(pieces[: length - self.preprocessor.specials]), None

    def activation(self, outputs: tf.Tensor) -> tf.Tensor:
        """Softmax over the tags of each position by itself; `steps` stay with the task."""
        return tf.nn.softmax(tf.cast(outputs, tf.float32)[:, : -self._below or None])

    @property
    def steps(self) -> np.ndarray | None:
        """What the steps between tags are worth, float32 `(tags + 2, tags)`, as `codecs.entities.marginals` takes them.

        None without `crf`.
        """
        if not self._below:
            return None
        return np.asarray(self.components["head"].get_layer("steps").steps.numpy(), np.float32)

    def objective(self, label_smoothing: float = 0.0, focal: float = 0.0) -> Objective:
        """Cross-entropy of the tags, position by position; with `crf`, of a text's tags together."""
        if not self._below:
            return TokenCrossEntropy(label_smoothing, focal, self._tag_weights)
        if label_smoothing or focal:
            raise self._weighed_together("label_smoothing and focal")
        return ConditionalRandomField()

    def metrics(self) -> list[keras.metrics.Metric]:
        """Share of words whose first piece has the right tag, and strict F1 of the entities that these tags make."""
        return [TokenAccuracy(name="accuracy"), EntityF1(chained=bool(self._below), name="f1")]

    # --------------------------------------------------------------------------------------------------------- private
    def _held_out(self, examples: Examples) -> Encoded:
        """The words are those that the texts have by themselves, as where entities are to be found."""
        rows = zip(examples.inputs, examples.ids, strict=True)
        return self._encoded(examples, [Sentence.of(item, row=row) for item, row in rows])

    def _encoded(self, examples: Examples, sentences: Sequence[Sentence]) -> Encoded:
        pieces, counts, lost = word_pieces(self.preprocessor, sentences, self._room)
        splits = np.concatenate([[0], np.cumsum([len(each.places) for each in sentences])]).astype(np.int64)
        tokens, answers, rows = [], [], []
        for row, sentence_pieces in enumerate(pieces):
            begins = np.concatenate([[0], np.cumsum(counts[row])])
            for window in alignment.windows(counts[row], self._room):
                tokens.append(self.preprocessor.wrap(sentence_pieces[begins[window.first] : begins[window.last]]))
                word = alignment.answering(window, counts[row], self.head_options["pieces"] == "all")
                answers.append(self._placed(np.where(word >= 0, word + splits[row], -1)))
                rows.append(row)
        ragged, units = Ragged.of(tokens, self.preprocessor.pad_id), Ragged.of(answers, -1)
        tags = None if examples.labels is None else self._tags(examples, sentences)
        found = None if tags is None else _of_units(units, tags)
        where = np.array(rows, np.int64)
        answering = np.array([int((answer >= 0).sum()) for answer in answers], np.float32)
        unknown = self.preprocessor.unknown_id
        return Encoded(
            columns={tensor.name: Tokens(ragged, self.preprocessor, tensor.name) for tensor in self.model.inputs},
            lengths=ragged.lengths,
            rows=where,
            labels=found,
            weights=row_weights(examples)[where] * _of_windows(answering, where),
            truncated=int(lost.sum()),
            unknown=unknown_share(pieces, unknown),
            unknown_rows=tuple(row for row, ids in enumerate(pieces) if unknown_share([ids], unknown) > 0.5),
            units=Units(units, splits),
        )

    def _read(self, item: Any, length: int) -> tuple[np.ndarray, np.ndarray, list[alignment.Window]]:
        """Pieces of an item, how many of them each word has, and the windows of a file that takes `length` tokens."""
        room = length - self.preprocessor.specials
        (pieces,), (counts,), _ = word_pieces(self.preprocessor, [Sentence.of(item)], room)
        return pieces, counts, alignment.windows(counts, room)

    @property
    def _room(self) -> int:
        return self.preprocessor.length - self.preprocessor.specials

    @property
    def _below(self) -> int:
        """Rows of the model's outputs that are no positions: what the steps between tags are worth."""
        return len(self.outputs) + 2 if self.head_options.get("crf") else 0  # bundles of 0.1.0 do not say

    def _head(self, features: Any, inputs: Mapping[str, Any]) -> Any:
        options = {name: self.head_options[name] for name in ("hidden", "dropout", "seed")}
        if self._below:
            options["answer"] = Steps(name="steps", dtype="float32")
        convolutions = self.head_options["convolutions"]
        given = [features, mask_of(inputs, "a convolution", "leave convolutions out")] if convolutions else features
        return token_head(features, len(self.outputs), convolutions=convolutions, **options)(given)

    def _weighed_together(self, what: str) -> ConfigError:
        return ConfigError(
            "A conditional random field weighs all tags of a text together.", fix=f"leave {what} out, or crf"
        )

    def _placed(self, words: np.ndarray) -> np.ndarray:
        """Words by piece as words by position: -1 for the special tokens around."""
        before = int(np.flatnonzero(self.preprocessor.wrap(np.array([-1], np.int32)) == -1)[0])
        return np.pad(words, (before, self.preprocessor.specials - before), constant_values=-1).astype(np.int32)

    def _tags(self, examples: Examples, sentences: Sequence[Sentence]) -> np.ndarray:
        """Tag ids of all words, int32."""
        found = [np.zeros(0, np.int32)]
        for item, label, row, sentence in zip(
            examples.inputs, examples.labels or (), examples.ids, sentences, strict=True
        ):
            for before, span in itertools.pairwise(sorted(label)):
                if span.start < before.end:
                    shown = " and ".join(f"{each.start}…{each.end} ({each.label!r})" for each in (before, span))
                    raise DataError(f"{row}: the entities {shown} overlap, which tags of words cannot say.")
            spans = sentence.in_words(label, row) if isinstance(item, str) else label
            found.append(self.codec.encode(len(sentence.places), spans, row))
        return np.concatenate(found)

    def _nothing(self, words: int) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((words, len(self.outputs)), np.float32), np.zeros((words, 1), np.float32)

    def _add(self, scores: np.ndarray, words: np.ndarray, total: np.ndarray, count: np.ndarray) -> None:
        """Add the scores of positions, `(…, length, tags)`, to those of the words that they answer for."""
        counted = words >= 0
        np.add.at(total, words[counted], scores[counted])
        np.add.at(count, words[counted], 1)

    def _weighted(self, examples: Examples, class_weight: Any) -> Examples:
        """Words have weights of their own here: those of their tags, in the loss."""
        if self._below and class_weight is not None:
            raise self._weighed_together("class_weight")
        self._tag_weights = () if class_weight is None else self._weights_of_tags(examples, class_weight)
        return examples

    def _described(self, augment: Any) -> dict[str, Any] | None:
        return {"tag_weights": list(self._tag_weights)} if self._tag_weights else None

    def _weights_of_tags(self, examples: Examples, class_weight: ClassWeight) -> tuple[float, ...]:
        """A weight for each tag: `balanced` by how often it occurs, or label -> weight for both tags of a type."""
        if isinstance(class_weight, str):
            tags = self._tags(examples, [Sentence.of(item) for item in examples.inputs])
            weights = class_weights([self.outputs[tag] for tag in tags], class_weight)
            return tuple(weights.get(tag, 1.0) for tag in self.outputs)
        kinds = [tag[2:] or "O" for tag in self.outputs]
        weights = class_weights([*self.labels, "O"], class_weight)
        return tuple(weights[kind] for kind in kinds)


def _borders(item: Any, label: Any) -> list[int]:
    """The characters at which an item's entities begin and end; none where they are given in words."""
    return [place for span in label for place in span[:2]] if isinstance(item, str) else []


def _of_windows(words: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Weights of windows, float32: those of a text sum to their number, in proportion to their words; 0 without any.

    Example:
        >>> _of_windows(np.array([7.0, 30.0, 10.0, 0.0]), np.array([0, 1, 1, 2])).tolist()
        [1.0, 1.5, 0.5, 0.0]
    """
    total, count = np.bincount(rows, words), np.bincount(rows)
    mean = np.maximum(total / np.maximum(count, 1), 1e-6)
    return np.asarray(words / mean[rows], np.float32)


def _of_units(units: Ragged, tags: np.ndarray) -> Ragged:
    """Tags by word as tags by position, those of later pieces as `TokenCrossEntropy` reads them.

    Otherwise a metric would take each piece of a word that begins an entity for an entity.
    """
    values = units.values
    found = np.where(values >= 0, tags[np.maximum(values, 0)] if len(tags) else -1, -1).astype(np.int32)
    later = 1 + np.flatnonzero((values[1:] == values[:-1]) & (values[1:] >= 0))
    found[later] = -2 - found[later]
    return Ragged.placed(found, units.starts, units.lengths, -1)
