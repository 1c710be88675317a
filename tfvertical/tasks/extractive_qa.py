"""Questions to the answers that stand in a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import keras
import numpy as np
import tensorflow as tf

from tfvertical import batches
from tfvertical.codecs import alignment
from tfvertical.codecs.alignment import Sentence
from tfvertical.codecs.answers import FAR, LEAST_ROOM, NAME, Answer, AnswerCodec
from tfvertical.codecs.tagging import Span
from tfvertical.columns import Ragged
from tfvertical.contracts import Backbone, Encoded, Examples, Objective, Target, TextPreprocessor, Units
from tfvertical.errors import ConfigError
from tfvertical.evaluating import answer_report
from tfvertical.kinds import Count, Length, Seed, Share
from tfvertical.objectives.span_cross_entropy import BEGINS, ENDS, SpanCrossEntropy
from tfvertical.tasks._heads import token_head, widths
from tfvertical.tasks._metrics import SpanAccuracy
from tfvertical.tasks._pair_reader import as_pair
from tfvertical.tasks._task import BackboneTask, row_weights
from tfvertical.tasks._texts import Tokens, unknown_share, word_pieces


class ExtractiveQA(BackboneTask):
    """The passage of a text that answers a question, or that none does: in a contract, a manual, a judgment.

    An item is a question and its context. Longer contexts than the preprocessor's length are read in windows that
    overlap, each with the question before it; a word's scores come from the window in which it stands further from the
    border, and are measured against what the same window says of "there is none".

    Args:
        backbone: from `tfvertical.backbones.load`, or your own, of texts.
        labels: `("answer",)`.
        max_question: most pieces of a question; a longer one is cut, and the report counts them.
        most_words: of an answer.
        hidden: widths of hidden layers before the output.
        dropout: share of features dropped before each dense layer while training.
        seed: of the head's first weights.

    Raises:
        ConfigError: options that cannot be.

    Example:
        >>> import tfvertical as tv
        >>> task = tv.ExtractiveQA.from_preset("minilm_l6_v2")  # doctest: +SKIP
        >>> history = task.fit("train-v2.0.json", "dev-v2.0.json", adaptation=tv.FullFineTuning())  # doctest: +SKIP
        >>> task.predict([("When is it due?", "Payment is due by 6 May.")])[0]  # doctest: +SKIP
        Answer(text='6 May', start=18, end=23, score=0.97)
    """

    kind: ClassVar[Literal["text", "image"]] = "text"
    items: ClassVar[Literal["text", "image", "pair"]] = "pair"
    target: ClassVar[Target] = "answers"
    measure: ClassVar[str] = "f1"
    quantities: ClassVar[tuple[str, ...]] = ("accuracy",)
    monitor: ClassVar[str] = "val_loss"
    preprocessor: TextPreprocessor
    codec: AnswerCodec

    def __init__(
        self,
        backbone: Backbone,
        labels: Sequence[str] = (NAME,),
        *,
        max_question: int = 64,
        most_words: int = 30,
        hidden: Sequence[int] = (),
        dropout: float = 0.1,
        seed: int = 0,
    ):
        head = {
            "max_question": max_question,
            "most_words": most_words,
            "threshold": 0.0,
            "hidden": widths(hidden),
            "dropout": dropout,
            "seed": seed,
        }
        super().__init__(backbone, labels, head)
        if self._room(max_question) < LEAST_ROOM:
            raise ConfigError(
                f"max_question is {max_question}; of a length of {self.preprocessor.length} too little is left.",
                fix=f"raise length, or lower max_question to {max(1, self._room(LEAST_ROOM))}",
            )

    @classmethod
    def from_preset(
        cls,
        preset: str,
        labels: Sequence[str] = ("answer",),
        *,
        length: Length = 256,
        max_question: Count = 64,
        most_words: Count = 30,
        hidden: Sequence[Count] = (),
        dropout: Share = 0.1,
        seed: Seed = 0,
    ) -> Self:
        """Build it on a pretrained backbone.

        Args:
            preset: `minilm_l6_v2`, a KerasHub preset, a local folder; see `tfvertical presets list --hub`.
            labels: `("answer",)`.
            length: most tokens that are read at once, question and special ones included.
            max_question, most_words, hidden, dropout, seed: as for the class.
        """
        backbone = cls._checked(labels, preset, {"length": length}, {"most_words": most_words})
        return cls(
            backbone,
            labels,
            max_question=max_question,
            most_words=most_words,
            hidden=hidden,
            dropout=dropout,
            seed=seed,
        )

    @classmethod
    def codec_of(cls, labels: Sequence[str], head: Mapping[str, Any] | None = None) -> AnswerCodec:
        """How many words an answer may have, and what it must score."""
        return AnswerCodec.of(labels, head or {})

    @property
    def threshold(self) -> float | None:
        """What an answer must score, above 0 for surer than "there is none"; None always answers.

        Chosen on validation data after each `fit` that has them, None where each of their questions has an answer, 0
        where fewer than five have one or have none; and yours to change: then what was measured before holds no more,
        and is not saved.
        """
        return self.codec.threshold

    @threshold.setter
    def threshold(self, value: float | None) -> None:
        self.codec, self.report = AnswerCodec(self.labels, self.codec.most_words, value), None
        self.head_options["threshold"] = self.codec.threshold

    def encode(self, examples: Examples) -> Encoded:
        """Token ids of question and context by window, where the answer begins and ends, weights.

        Counts what is cut: a question of more than `max_question` pieces, a single word that no window has room for, an
        answer that no window holds whole. The windows that hold a part of such an answer count 0 in training: they
        would teach that there is none.

        Raises:
            DataError: an item is no pair of texts.
        """
        pairs = [as_pair(item, row) for item, row in zip(examples.inputs, examples.ids, strict=True)]
        most = self.head_options["max_question"]
        questions = self.preprocessor.tokenize([pair.first for pair in pairs])
        different = {text: at for at, text in enumerate(dict.fromkeys(pair.second for pair in pairs))}
        sentences = [Sentence.of(text) for text in different]
        pieces, counts, lost = word_pieces(self.preprocessor, sentences, self._room(most))
        contexts = [different[pair.second] for pair in pairs]
        words = np.array([1 + len(sentences[at].places) for at in contexts], np.int64)
        splits = np.concatenate([[0], np.cumsum(words)])
        tokens, segments, answers, labels, rows = [], [], [], [], []
        parted, holds_part = np.zeros(len(pairs), bool), []
        for row, (question, at) in enumerate(zip(questions, contexts, strict=True)):
            question = question[:most]
            begins = np.concatenate([[0], np.cumsum(counts[at])])
            place = self._place(question)
            label = None if examples.labels is None else examples.labels[row]
            answer = None if label is None else self._words(label, sentences[at], examples.ids[row])
            windows = alignment.windows(counts[at], self._room(len(question)))
            if answer is not None and answer[0] >= 0:
                first, last = answer
                parted[row] = not any(window.first <= first and last < window.last for window in windows)
                holds_part += [bool(window.first <= last and first < window.last) for window in windows]
            else:
                holds_part += [False] * len(windows)
            for window in windows:
                here = pieces[at][begins[window.first] : begins[window.last]]
                ids, second = self.preprocessor.wrap_pair(question, here, self.preprocessor.length)
                tokens.append(ids)
                segments.append(second)
                own = alignment.answering(window, counts[at], False)
                answers.append(_placed(np.where(own >= 0, own + splits[row] + 1, -1), place, len(ids), splits[row]))
                if answer is not None:
                    every = alignment.Window(window.first, window.last, window.first, window.last)
                    labels.append(_marked(alignment.answering(every, counts[at], False), place, len(ids), answer))
                rows.append(row)
        ragged = Ragged.of(tokens, self.preprocessor.pad_id)
        of_second, where = Ragged.of(segments, 0), np.array(rows, np.int64)
        share = 1 / np.bincount(where, minlength=len(pairs)).astype(np.float32)
        read = [np.concatenate([question, pieces[at]]) for question, at in zip(questions, contexts, strict=True)]
        unknown = self.preprocessor.unknown_id
        return Encoded(
            columns={
                tensor.name: Tokens(ragged, self.preprocessor, tensor.name, of_second) for tensor in self.model.inputs
            },
            lengths=ragged.lengths,
            rows=where,
            labels=None if examples.labels is None else Ragged.of(labels, -1),
            weights=(row_weights(examples) * share)[where] * ~(parted[where] & np.array(holds_part, bool)),
            truncated=sum(
                len(ids) > most or bool(lost[at]) or bool(parted[row])
                for row, (ids, at) in enumerate(zip(questions, contexts, strict=True))
            ),
            unknown=unknown_share(read, unknown),
            unknown_rows=tuple(row for row, ids in enumerate(read) if unknown_share([ids], unknown) > 0.5),
            units=Units(Ragged.of(answers, -1), splits),
        )

    # ------------------------------------------------------------------------------------------------- Task's contract
    def scores(self, examples: Examples | Encoded) -> np.ndarray:
        """How much likelier each word begins or ends the answer than that there is none: float32 `(words, 2)`.

        Logarithms; the first row of each context stands for "there is none", and is 0.
        """
        encoded = self.encode(examples) if isinstance(examples, Examples) else examples
        return self.scores_of(self.model, encoded)

    def scores_of(self, model: keras.Model, encoded: Encoded) -> np.ndarray:
        """`scores` from the part of the model behind a frontier, and examples as it takes them."""
        if encoded.units is None:
            raise TypeError("These examples were not encoded for an ExtractiveQA.")
        found = np.full((int(encoded.units.splits[-1]), 2), FAR, np.float32)
        for at, (logits,) in batches.infer(model, encoded):
            self._put(logits - logits[:, :1], encoded.units.column.take(at, logits.shape[1]), found)
        return found

    def parts(self, item: Any, length: int) -> list[Mapping[str, tuple[np.ndarray, np.ndarray | None]]]:
        """The question with each window of whole words of the context."""
        question, pieces, counts, windows = self._read(item, length)
        begins = np.concatenate([[0], np.cumsum(counts)])
        read = [pieces[begins[window.first] : begins[window.last]] for window in windows]
        return [{"": self.preprocessor.wrap_pair(question, ids, length)} for ids in read]

    def scored(self, item: Any, length: int, answers: Sequence[np.ndarray]) -> np.ndarray:
        """Of each word from the window that answers for it."""
        question, _, counts, windows = self._read(item, length)
        place = self._place(question)
        found = np.full((1 + len(counts), 2), FAR, np.float32)
        for window, answer in zip(windows, answers, strict=True):
            own = alignment.answering(window, counts, False)
            self._put(answer, _placed(np.where(own >= 0, own + 1, -1), place, len(answer), 0), found)
        return found

    def decode(self, scores: np.ndarray, items: Sequence[Any]) -> list[Answer]:
        """The answer to each question."""
        return self.codec.decode(scores, [Sentence.of(as_pair(item).second) for item in items])

    def truth(self, examples: Examples) -> np.ndarray:
        """The first right answer's first and last word, int64 `(rows, 2)`; -1 where there is none."""
        rows = zip(examples.inputs, examples.labels or (), examples.ids, strict=True)
        words = [self._words(label, Sentence.of(as_pair(item).second), row) for item, label, row in rows]
        return np.array(words, np.int64).reshape(-1, 2)

    def quality(self, examples: Examples, scores: np.ndarray) -> float:
        """F1 of the answers' words, by the rules of SQuAD v2, 0…1."""
        return answer_report.f1(self, examples, scores)

    def apart(self, expected: np.ndarray, received: np.ndarray) -> np.ndarray:
        """The largest difference of each row, as probabilities against "there is none"."""
        sure, other = (1 / (1 + np.exp(-np.clip(each, -60, 60))) for each in (expected, received))
        return np.asarray(np.abs(sure - other).max(axis=1))

    def agree(self, expected: np.ndarray, received: np.ndarray) -> np.ndarray:
        """Whether each word is as likely as before, to a tenth."""
        return self.apart(expected, received) <= 0.1

    def wrapped(self, item: Any, length: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The question and the context's first words."""
        pair = as_pair(item)
        most = self.head_options["max_question"]
        question = self.preprocessor.tokenize([pair.first])[0][:most]
        (pieces,), _, _ = word_pieces(self.preprocessor, [Sentence.of(pair.second)], self._room(most))
        room = length - self._specials - len(question)
        return self.preprocessor.wrap_pair(question, pieces[: max(room, 0)], length)

    def activation(self, outputs: tf.Tensor) -> tf.Tensor:
        """Each position against the first."""
        found = tf.cast(outputs, tf.float32)
        return found - found[:, :1]

    def objective(self, label_smoothing: float = 0.0, focal: float = 0.0) -> Objective:
        """Cross-entropy of the answer's first and last position."""
        if label_smoothing or focal:
            raise ConfigError("label_smoothing and focal are for labels, and these are answers.", fix="leave them out")
        return SpanCrossEntropy()

    def metrics(self) -> list[keras.metrics.Metric]:
        """Share of windows whose first and last position are right."""
        return [SpanAccuracy(name="accuracy")]

    # --------------------------------------------------------------------------------------------------------- private
    def _read(self, item: Any, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[alignment.Window]]:
        """Pieces of question and context, how many each word has, and the windows of a file that takes `length`."""
        pair, most = as_pair(item), self.head_options["max_question"]
        question, room = self.preprocessor.tokenize([pair.first])[0][:most], length - self._specials
        (pieces,), (counts,), _ = word_pieces(self.preprocessor, [Sentence.of(pair.second)], room - most)
        return question, pieces, counts, alignment.windows(counts, room - len(question))

    @property
    def _specials(self) -> int:
        nothing = np.zeros(0, np.int32)
        return len(self.preprocessor.wrap_pair(nothing, nothing, self.preprocessor.length)[0])

    def _room(self, question: int) -> int:
        """Pieces of a context that are read beside a question of so many."""
        return self.preprocessor.length - self._specials - question

    def _head(self, features: Any, inputs: Mapping[str, Any]) -> Any:
        options = {name: self.head_options[name] for name in ("hidden", "dropout", "seed")}
        return token_head(features, len(self.outputs), **options, bias=False)(features)

    def _place(self, question: np.ndarray) -> int:
        """The position of a context's first piece."""
        marked, _ = self.preprocessor.wrap_pair(question, np.array([-1], np.int32), self.preprocessor.length)
        return int(np.flatnonzero(marked == -1)[0])

    def _words(self, label: Sequence[Span], context: Sentence, row: str) -> tuple[int, int]:
        """First and last word of the first answer, or -1 where there is none."""
        spans = context.in_words(label[:1], row)
        return (spans[0].start, spans[0].end - 1) if spans else (-1, -1)

    def _put(self, scores: np.ndarray, words: np.ndarray, found: np.ndarray) -> None:
        """Scores of positions to the words that they answer for."""
        counted = words >= 0
        found[words[counted]] = scores[counted]

    def _settle(self, held_out: Examples, scores: np.ndarray | None = None) -> None:
        """The threshold at which F1 is highest."""
        scores = self.scores(held_out) if scores is None else scores
        self.threshold = answer_report.best_threshold(self, held_out, scores)

    def _weighted(self, examples: Examples, class_weight: Any) -> Examples:
        if class_weight is not None:
            raise ConfigError("class_weight is for labels, and these are answers.", fix="weigh rows: weight='column'")
        return examples


def _placed(words: np.ndarray, place: int, length: int, none: int) -> np.ndarray:
    """Words by piece of a context as words by position; the first position answers for `none`."""
    found = np.full(length, -1, np.int32)
    found[0] = none
    found[place : place + len(words)] = words
    return found


def _marked(words: np.ndarray, place: int, length: int, answer: tuple[int, int]) -> np.ndarray:
    """By position: -1 for no word, 0, or where the answer begins and ends; the first position if not all of it is here.

    Args:
        words: of each piece the word of which it is the first, or -1.
        place: of the first of them.
        length: positions.
        answer: its first and last word; -1 for none.
    """
    found = np.full(length, -1, np.int32)
    found[0] = 0
    found[place : place + len(words)] = np.where(words >= 0, 0, -1)
    begin, end = (np.flatnonzero(words == each) for each in answer)
    if answer[0] < 0 or not len(begin) or not len(end):
        found[0] = BEGINS + ENDS
    else:
        found[place + begin[0]] += BEGINS
        found[place + end[0]] += ENDS
    return found
