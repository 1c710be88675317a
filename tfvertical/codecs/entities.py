"""Entities to numbers and back: tag ids of words for training, and the best allowed tags of what a model gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfvertical.codecs.alignment import Sentence
from tfvertical.codecs.labels import numbered
from tfvertical.codecs.tagging import OUTSIDE, Span
from tfvertical.errors import ConfigError, DataError, nearest

_AT_ONCE = 4_000_000  # numbers that are decoded together: 16 MB


@dataclass(frozen=True)
class Entity:
    """Something that a text names.

    Args:
        text: as it stands there.
        label: its type.
        start: its first character, counted from 0 in the text as it was given.
        end: the character after its last.
        score: the mean probability of its words' tags, 0…1.
    """

    text: str
    label: str
    start: int
    end: int
    score: float


class EntityCodec:
    """Types of entities, and the tags of words that stand for them: `O`, and for each type `B-` and `I-` (IOB2).

    Args:
        names: the types, all different, none empty.

    Attributes:
        names: the types.
        tags: by tag id; type number `k` begins with `1 + 2 * k` and goes on with `2 + 2 * k`.

    Raises:
        ConfigError: they are not.

    Example:
        >>> codec = EntityCodec(["Disease"])
        >>> codec.encode(4, [Span(1, 3, "Disease")])
        array([0, 1, 2, 0], dtype=int32)
    """

    def __init__(self, names: Sequence[str]):
        self.names = numbered(names, "types of entities")
        wrong = [repr(name) for name in self.names if not isinstance(name, str) or not name.strip()]
        twice = [repr(name) for name, count in Counter(self.names).items() if count > 1]
        if not self.names or wrong or twice:
            detail = f"{len(self.names)} names"
            detail += f", not a name: {wrong}" * bool(wrong) + f", twice: {twice}" * bool(twice)
            raise ConfigError(
                "These types of entities cannot be used.", expected="one or more different names", received=detail
            )
        self.tags = (OUTSIDE, *(f"{letter}-{name}" for name in self.names for letter in "BI"))
        self._ids = {name: at for at, name in enumerate(self.names)}

    @classmethod
    def of(cls, names: Sequence[str], options: Mapping[str, Any]) -> EntityCodec:
        """For a task with these options of its head.

        Raises:
            ConfigError: `names`, or options that contradict each other.
        """
        if options.get("crf") and options.get("pieces", "first") != "first":
            raise ConfigError(
                "In a chain of words one piece of each answers.", received="pieces: all", fix="pieces: first, or no crf"
            )
        return cls(names)

    @property
    def outputs(self) -> tuple[str, ...]:
        """What each output of a model stands for: the tags."""
        return self.tags

    def encode(self, words: int, spans: Iterable[Span], row: str = "") -> np.ndarray:
        """Tag ids, int32 `(words,)`.

        Args:
            words: how many there are.
            spans: entities in words, which do not overlap.
            row: where they stand, for messages.

        Raises:
            DataError: a type is not among the names.
        """
        found = np.zeros(words, np.int32)
        for span in spans:
            if span.label not in self._ids:
                raise DataError(
                    f"{row + ': ' if row else ''}the task knows no entities of type {span.label!r}.",
                    expected="one of " + ", ".join(map(repr, self.names[:10])),
                    nearest=nearest(span.label, self.names),
                    fix="correct it, or load the data with labels=task.labels and policy='skip' or 'quarantine'",
                )
            first = 1 + 2 * self._ids[span.label]
            found[span.start : span.end] = first + 1
            found[span.start] = first
        return found

    def decode(
        self, scores: np.ndarray, sentences: Sequence[Sentence], steps: np.ndarray | None = None
    ) -> list[tuple[Entity, ...]]:
        """The entities of each sentence, by the most probable tags that make sense.

        Args:
            scores: float `(words, tags)`, what each word says by itself, the words of one sentence after those of the
                other.
            sentences: texts and where their words stand.
            steps: what the steps between tags are worth, as `marginals` takes them; None where all cost the same.
        """
        splits = np.concatenate([[0], np.cumsum([len(each.places) for each in sentences])]).astype(np.int64)
        tags = best_tags(scores, splits, steps)
        if steps is not None:
            scores = marginals(scores, splits, steps)
        of_tags = np.take_along_axis(scores, tags[:, None].astype(np.int64), axis=1)[:, 0]
        return [
            self.entities(each.text, each.places, tags[first:last], of_tags[first:last])
            for each, first, last in zip(sentences, splits[:-1], splits[1:], strict=True)
        ]

    def entities(
        self, text: str, places: np.ndarray, tag_ids: np.ndarray, probabilities: np.ndarray
    ) -> tuple[Entity, ...]:
        """What tags say of a text.

        Args:
            text: as it was given.
            places: int64 `(words, 2)`, where the words stand in it.
            tag_ids: int `(words,)`.
            probabilities: float `(words,)`, of these tags.
        """
        found = []
        for start, end, kind in zip(*runs(tag_ids, np.array([0, len(tag_ids)])), strict=True):
            first, last = int(places[start, 0]), int(places[end - 1, 1])
            score = float(probabilities[start:end].mean())
            found.append(Entity(text[first:last], self.names[kind], first, last, score))
        return tuple(found)


def runs(tag_ids: np.ndarray, splits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The entities of many sentences that lie end to end: start, end (in words) and type, int64 each.

    A word that goes on with what was not begun, or with another type, belongs to none; that is how seqeval counts in
    its strict mode.

    Args:
        tag_ids: int `(words,)`.
        splits: int64 `(sentences + 1,)`; sentence `i` is `tag_ids[splits[i]:splits[i + 1]]`.

    Example:
        >>> [array.tolist() for array in runs(np.array([1, 2, 2, 0, 1, 1]), np.array([0, 2, 6]))]
        [[0, 4, 5], [2, 5, 6], [0, 0, 0]]
    """
    ids = np.asarray(tag_ids, np.int64)
    begins = (ids % 2) == 1
    goes_on = (ids > 0) & ~begins
    goes_on[1:] &= (ids[:-1] == ids[1:]) | (ids[:-1] == ids[1:] - 1)
    firsts = np.asarray(splits[:-1], np.int64)
    goes_on[firsts[firsts < len(ids)]] = False
    start = np.flatnonzero(begins)
    stops = np.append(np.flatnonzero(~goes_on), len(ids))
    end = stops[np.searchsorted(stops, start, side="right")]
    return start, end, (ids[start] - 1) // 2


def mean_scores(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Sums of scores `(words, tags)` by how many there were `(words, 1)`; a word without any could be anything."""
    return np.where(count > 0, total / np.maximum(count, 1), np.float32(1 / total.shape[1])).astype(np.float32)


def best_tags(scores: np.ndarray, splits: np.ndarray, steps: np.ndarray | None = None) -> np.ndarray:
    """The most probable tags that make sense, of many sentences that lie end to end: int32 `(words,)`.

    No tag goes on with an entity that was not begun, or changes its type: Viterbi's search over the tags' logarithms,
    in which those steps are not allowed and all others cost the same, or what `steps` say.

    Args:
        scores: float `(words, tags)`, probabilities; `tags` are those of an `EntityCodec`.
        splits: int64 `(sentences + 1,)`.
        steps: as for `marginals`.

    Example:
        >>> best_tags(np.array([[0.9, 0.1, 0.0], [0.1, 0.3, 0.6], [0.1, 0.2, 0.7]]), np.array([0, 3]))
        array([0, 1, 2], dtype=int32)
    """
    found = np.zeros(len(scores), np.int32)
    learned = None if steps is None else _sensible(steps)
    for firsts, lengths in _together(splits, scores.shape[1]):
        if learned is None:
            _decode(scores, firsts, lengths, found)
        else:
            _search(scores, firsts, lengths, learned, found)
    return found


def marginals(scores: np.ndarray, splits: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Each tag's probability given all words of its sentence: float32 `(words, tags)`.

    The forward-backward algorithm of a linear chain (Rabiner 1989), on probabilities that are brought to a sum of 1 at
    every word.

    Args:
        scores: float `(words, tags)`, what a word alone says, above 0; each row may have a factor of its own.
        splits: int64 `(sentences + 1,)`.
        steps: float `(tags + 2, tags)`, logarithms: of a step from the row's tag to the column's, of the first, of the
            last.

    Example:
        >>> steps = np.log(np.array([[0.9, 0.1], [0.1, 0.9], [0.5, 0.5], [1.0, 1.0]]))
        >>> marginals(np.array([[0.9, 0.1], [0.5, 0.5]]), np.array([0, 2]), steps).astype(float).round(2).tolist()
        [[0.9, 0.1], [0.82, 0.18]]
    """
    found = np.zeros(scores.shape, np.float32)
    steps = np.asarray(steps, np.float64)
    between, first, last = (np.exp(part - part.max()) for part in (steps[:-2], steps[-2], steps[-1]))
    for firsts, lengths in _together(splits, scores.shape[1]):
        _chained(scores, firsts, lengths, (between, first, last), found)
    return found


def _together(splits: np.ndarray, tags: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Sentences that are decoded together, their first words and lengths in descending order of length; none empty."""
    splits = np.asarray(splits, np.int64)
    lengths = np.diff(splits)
    order = np.argsort(-lengths, kind="stable")
    at = 0
    while at < len(order) and lengths[order[at]]:
        some = order[at : at + max(1, _AT_ONCE // (tags * int(lengths[order[at]])))]
        some = some[lengths[some] > 0]
        yield splits[some], lengths[some]
        at += len(some)


def _alive(lengths: np.ndarray) -> np.ndarray:
    """How many of some sentences, in descending order of length, have a word number `step`, for each step."""
    return np.searchsorted(-lengths, -np.arange(int(lengths[0])), side="left")


def _chained(
    scores: np.ndarray,
    firsts: np.ndarray,
    lengths: np.ndarray,
    steps: tuple[np.ndarray, np.ndarray, np.ndarray],
    found: np.ndarray,
) -> None:
    """`marginals` of sentences in descending order of length, written into `found`."""
    between, first, last = steps
    alive = _alive(lengths)
    forward = np.zeros((len(alive), len(lengths), scores.shape[1]))
    for step, count in enumerate(alive):
        here = np.maximum(scores[firsts[:count] + step], np.finfo(np.float32).tiny, dtype=np.float64)
        here *= forward[step - 1, :count] @ between if step else first
        forward[step, :count] = here / here.sum(axis=1, keepdims=True)
    backward = np.tile(last, (len(lengths), 1))  # of what follows each sentence's word; at its last, the last's
    for step in range(len(alive) - 1, -1, -1):
        count = alive[step]
        both = forward[step, :count] * backward[:count]
        found[firsts[:count] + step] = both / both.sum(axis=1, keepdims=True)
        here = np.maximum(scores[firsts[:count] + step], np.finfo(np.float32).tiny, dtype=np.float64)
        before = (here * backward[:count]) @ between.T
        backward[:count] = before / before.sum(axis=1, keepdims=True)


def _decode(scores: np.ndarray, firsts: np.ndarray, lengths: np.ndarray, found: np.ndarray) -> None:
    """`best_tags` of sentences in descending order of length, written into `found`."""
    steps, sentences, tags = int(lengths[0]), len(lengths), scores.shape[1]
    alive = _alive(lengths)
    came = np.zeros((steps, sentences, (tags - 1) // 2), bool)  # whether `I-` came from its own `B-`
    best_before = np.zeros((steps, sentences), np.int32)  # where `O` and every `B-` came from
    smallest = np.finfo(np.float32).tiny
    total = np.zeros((sentences, tags), np.float32)
    for step in range(steps):
        count = alive[step]
        here = np.log(np.maximum(scores[firsts[:count] + step], smallest, dtype=np.float32))
        if step:
            before = total[:count]
            begun, inside = before[:, 1::2], before[:, 2::2]
            came[step, :count] = begun >= inside
            best_before[step, :count] = before.argmax(axis=1)
            here[:, 2::2] += np.maximum(begun, inside)
            most = before.max(axis=1, keepdims=True)
            here[:, 1::2] += most
            here[:, :1] += most
        else:
            here[:, 2::2] = -np.inf
        total[:count] = here
    chosen = total.argmax(axis=1)
    for step in range(steps - 1, -1, -1):
        count = alive[step]
        now = chosen[:count]
        found[firsts[:count] + step] = now
        if step:
            inside = (now > 0) & (now % 2 == 0)
            own = came[step, np.arange(count), np.maximum(now - 1, 0) // 2]
            chosen[:count] = np.where(inside, np.where(own, now - 1, now), best_before[step, :count])


def _sensible(steps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Between tags, to the first, behind the last; no step to `I-` but from `B-` and `I-` of its type."""
    steps = np.asarray(steps, np.float32)
    tag = np.arange(steps.shape[1])
    inside = (tag > 0) & (tag % 2 == 0)
    allowed = ~inside | (tag[:, None] == tag) | (tag[:, None] == tag - 1)
    return np.where(allowed, steps[:-2], -np.inf), np.where(inside, -np.inf, steps[-2]), steps[-1]


def _search(
    scores: np.ndarray,
    firsts: np.ndarray,
    lengths: np.ndarray,
    steps: tuple[np.ndarray, np.ndarray, np.ndarray],
    found: np.ndarray,
) -> None:
    """`_decode` where steps have a worth of their own."""
    between, first, last = steps
    alive, sentences, tags = _alive(lengths), len(lengths), scores.shape[1]
    came = np.zeros((len(alive), sentences, tags), np.int32)
    total = np.zeros((sentences, tags), np.float32)
    for step, count in enumerate(alive):
        here = np.log(np.maximum(scores[firsts[:count] + step], np.finfo(np.float32).tiny, dtype=np.float32))
        if step:
            reached = total[:count, :, None] + between
            came[step, :count] = reached.argmax(axis=1)
            total[:count] = reached.max(axis=1) + here
        else:
            total[:count] = first + here
    chosen = (total + last).argmax(axis=1)
    for step in range(len(alive) - 1, -1, -1):
        count = alive[step]
        found[firsts[:count] + step] = chosen[:count]
        if step:
            chosen[:count] = came[step, np.arange(count), chosen[:count]]
