"""The extension interfaces, on one page. A room implements one of these; nothing else of it is known elsewhere.

Importing this file costs nothing: TensorFlow and Keras are named for the type checker only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np

from tfvertical.codecs.alignment import averaged
from tfvertical.stages import Stage

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


# ---------------------------------------------------------------------------------------------------------- data
Target = Literal["label", "labels", "entities", "numbers", "answers"]  # what a row is labelled with


@dataclass(frozen=True)
class Rejected:
    """A row that was not used.

    Args:
        id: the row's stable id, `file:row` (rows counted as an editor shows them, the header being row 1).
        reason: one short sentence.
        column: the column at fault, if one is.
    """

    id: str
    reason: str
    column: str | None = None


@dataclass(frozen=True)
class DataWarning:
    """Something a person should look at that does not make a row unusable (a duplicate, a rare class).

    Args:
        kind: a stable word: `duplicate`, `conflicting_label`, `rare_class`, `overlap`, `unknown_tokens`, …
        message: one sentence with the count.
        ids: the rows concerned, at most 100 of them.
        count: how many rows are concerned in all.
    """

    kind: str
    message: str
    ids: tuple[str, ...] = ()
    count: int = 0


@dataclass(frozen=True)
class DataReport:
    """The account of one reading: `kept + len(rejected) == read`, always."""

    name: str
    read: int
    kept: int
    rejected: tuple[Rejected, ...] = ()
    warnings: tuple[DataWarning, ...] = ()


@dataclass(frozen=True)
class Examples:
    """Checked, typed rows in the order of their source: what `data/` hands to a task.

    Args:
        inputs: one per row: `str` for texts, `Pair` for two, or a tuple of words where entities are marked in words;
            `Path`, encoded bytes or uint8 array `(height, width, 3)` for images.
        labels: label *names*, one per row, or None where the source has none; for entities, tuples of `Span`s in
            characters of a text or in words; for sets of labels, tuples of names; for numbers, of floats;
            for answers, of `Span`s of the second text, each of them right.
        ids: stable row ids (`train.csv:17`), one per row, unique.
        weights: float32 `(rows,)` sample weights, or None for 1.
        report: what was read, kept and rejected.
        groups: what belongs together in a split (a patient, a customer), one per row, or None.
        times: when each row came about, comparable values, one per row, or None.
    """

    inputs: Sequence[Any]
    labels: Sequence[Any] | None
    ids: Sequence[str]
    weights: np.ndarray | None = None
    report: DataReport = field(default_factory=lambda: DataReport("data", 0, 0))
    groups: Sequence[Any] | None = None
    times: Sequence[Any] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: Sequence[int] | np.ndarray) -> Examples:
        """The rows at `indices`, in that order; the report stays that of the reading."""
        at = [int(i) for i in indices]
        return Examples(
            [self.inputs[i] for i in at],
            None if self.labels is None else [self.labels[i] for i in at],
            [self.ids[i] for i in at],
            None if self.weights is None else self.weights[np.asarray(at, np.int64)],
            self.report,
            None if self.groups is None else [self.groups[i] for i in at],
            None if self.times is None else [self.times[i] for i in at],
        )


class Source(ABC):
    """Where rows come from. One file a kind of source in `data/`, found by name through the registry.

    A source only reads; checking, the policy for bad rows and the account of them are done once, for all sources, by
    `tfvertical.data.load`.
    """

    name: str  # what messages call it: a file name, `tfds:imdb_reviews/test`, `array`

    @classmethod
    @abstractmethod
    def accepts(cls, value: Any) -> bool:
        """Whether this kind of source reads `value` (a path, a `tfds:` name, arrays, a tf.data.Dataset)."""

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """Every row of the source, in its own order, unusable ones included with their `fault`."""


@dataclass(frozen=True)
class Row:
    """One row as it was read: `fault` says why it cannot be used, in which case the other fields may be None.

    Of a pair, `input` is the first text and `second` the other, or `input` holds both. `spans` are places in a text.
    """

    id: str
    input: Any = None
    label: Any = None
    group: Any = None
    time: Any = None
    fault: str | None = None
    column: str | None = None
    weight: Any = None
    second: Any = None
    spans: Any = None


# ------------------------------------------------------------------------------------------------------ backbones
class Preprocessor(ABC):
    """Raw items to model inputs: in NumPy for training and predicting, in the graph for a SavedModel."""

    kind: ClassVar[str]  # "text" or "image"

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Everything but the files, as JSON values; `from_config(config, assets)` undoes it."""

    @abstractmethod
    def assets(self) -> dict[str, bytes]:
        """The files it needs (a vocabulary), by file name."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: Mapping[str, Any], assets: Mapping[str, bytes]) -> Preprocessor: ...

    @abstractmethod
    def graph(self) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """A function for `tf.function`: string tensor `(batch,)` of texts or encoded images -> the model's inputs.

        Equal to the NumPy way: exactly for token ids, exactly for pixels.
        """


class TextPreprocessor(Preprocessor):
    """Texts to token ids. One normalizer (`codecs/text.py`) stands in front of every tokenizer.

    Attributes:
        length: most tokens a sequence may have, special ones included.
        pad_id: what fills up a batch.
        unknown_id: the id that stands for what the vocabulary lacks, or None where that cannot happen.
    """

    kind: ClassVar[str] = "text"
    length: int
    pad_id: int
    unknown_id: int | None

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Per text its int32 ids `(pieces,)`: normalized, whole, without special tokens."""

    @abstractmethod
    def wrap(self, pieces: np.ndarray) -> np.ndarray:
        """`pieces` between the special tokens: int32 `(pieces + specials,)`. Never cuts."""

    @property
    @abstractmethod
    def specials(self) -> int:
        """How many tokens `wrap` adds."""

    @abstractmethod
    def wrap_pair(self, first: np.ndarray, second: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Two texts' pieces as one sequence of at most `length` tokens, the longer one cut first.

        Returns:
            int32 ids with the special tokens, and int32 segments: 0 for the first text, 1 for the second.
        """

    @abstractmethod
    def pair_graph(self) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
        """A function for `tf.function`: two string tensors `(batch,)` to inputs as `wrap_pair` has them."""

    @abstractmethod
    def inputs(
        self, token_ids: np.ndarray, mask: np.ndarray, segments: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """The model's inputs by name, from padded int32 ids `(batch, length)`, a bool mask and, of pairs, segments."""


class ImagePreprocessor(Preprocessor):
    """Encoded pictures to pixels: decoded, cropped and resized. Scaling is the model's own first layer.

    Attributes:
        size: `(height, width)` in pixels that the model takes.
    """

    kind: ClassVar[str] = "image"
    size: tuple[int, int]

    @abstractmethod
    def decode(self, item: Any) -> np.ndarray:
        """One picture upright and in its own size, uint8; what augmentation starts from. Raises DataError."""

    @abstractmethod
    def pixels(self, item: Any) -> np.ndarray:
        """One picture (path, bytes, or uint8 array) as uint8 `(height, width, 3)`. Raises DataError if it cannot."""

    @abstractmethod
    def inputs(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """The model's inputs by name, from uint8 `(batch, height, width, 3)`."""


@dataclass(frozen=True)
class SourceInfo:
    """Where weights came from: preset name, kind of source, versions of what loaded them, sha256 of the weights."""

    preset: str
    kind: str
    versions: Mapping[str, str]
    weights_sha256: str
    licence: str | None = None


@dataclass(frozen=True)
class Backbone:
    """What `backbones/` return.

    Args:
        model: functional. Text: inputs by name, int32 `(batch, length)`, to token states `(batch, length, width)`.
            Image: `images`, float32 `(batch, height, width, 3)` in 0…255 (scaling is inside), to a feature map
            `(batch, rows, columns, channels)`. It holds no weight that its output does not depend on.
        preprocessor: raw items to the model's inputs.
        blocks: one regex per block, input to output, over variable paths inside the model (`transformer_layer_0/`).
            Every variable belongs to exactly one block; the first is the embeddings or the stem.
        source: where the weights came from.
    """

    model: keras.Model
    preprocessor: Preprocessor
    blocks: Sequence[str]
    source: SourceInfo


class BackboneSource(ABC):
    """One way to get backbones. One file a source in `backbones/`, found by name through the registry."""

    @classmethod
    @abstractmethod
    def accepts(cls, name: str) -> bool:
        """Whether `name` is of this source's form."""

    @abstractmethod
    def load(self, name: str, *, weights: bool = True, **options: Any) -> Backbone:
        """Build it; `weights=False` leaves the random initial weights. Raises PresetError."""


# ---------------------------------------------------------------------------------------------------- adaptations
class Patch(ABC):
    """Weights that a parameter-efficient method inserts. Serializable, replayed at load; a second fit stacks none."""

    @abstractmethod
    def apply(self, model: keras.Model) -> keras.Model: ...

    @abstractmethod
    def remove(self, model: keras.Model) -> keras.Model: ...

    @abstractmethod
    def merge(self, model: keras.Model) -> keras.Model: ...


class Adaptation(ABC):
    """How a model is adapted: a list of stages. Frozen dataclasses, one file each in `adaptations/`."""

    def patch(self, task: Task) -> Patch | None:
        """Weights to insert first; none by default."""
        return None

    @abstractmethod
    def stages(self, task: Task, epochs: int) -> Sequence[Stage]:
        """The stages, in order. `epochs` is what the user asked for per stage."""


class Objective(ABC):
    """The loss side of a stage."""

    @abstractmethod
    def loss(self, outputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Per example, float32 `(batch,)`; `labels` are those of `Encoded`, in whatever dtype Keras makes of them."""


# ---------------------------------------------------------------------------------------------------------- tasks
class Column(Protocol):
    """One model input for all examples: anything that can be gathered by row into an array."""

    def __len__(self) -> int: ...

    def take(self, rows: np.ndarray, length: int | None) -> np.ndarray:
        """The examples at `rows`, int64 `(batch,)`; variable ones padded to `length`."""
        ...

    def digest(self) -> str:
        """SHA-256, in hexadecimal, of all that `take` depends on: what is kept between runs is found by it."""
        ...


@dataclass(frozen=True)
class Units:
    """What a row is predicted of piece by piece: its words, which positions of the model's output answer for.

    Args:
        column: per example int32 `(length,)`: the number of the word, counted over all rows, that each position answers
            for; -1 for none (a special token, a word's later pieces, the border of a window).
        splits: int64 `(rows + 1,)`: the words of row `i` are `splits[i]…splits[i + 1]`.
    """

    column: Column
    splits: np.ndarray


@dataclass(frozen=True)
class Encoded:
    """Examples as a model takes them: what `Task.encode` returns and training, evaluation and export read.

    Args:
        columns: model input name -> `Column` of `n` examples.
        lengths: int64 `(n,)` tokens per example, or None where all examples have one shape.
        rows: int64 `(n,)` the row of the `Examples` each came from; repeated where a long text gave several windows.
        labels: int32 `(n,)` label ids, one per example; or a column of them, one a position, -1 where there is none (of
            a word's later pieces, see `TokenCrossEntropy`); or float32 `(n, numbers)`, or zeros and ones `(n, labels)`;
            or None.
        weights: float32 `(n,)` sample weights.
        truncated: how many rows were cut to the model's length.
        unknown: share of tokens the vocabulary lacks, 0…1.
        unknown_rows: the rows of the `Examples` that consist mostly of such tokens.
        units: where the model answers by position, which position answers for what.
    """

    columns: Mapping[str, Column]
    lengths: np.ndarray | None
    rows: np.ndarray
    labels: np.ndarray | Column | None
    weights: np.ndarray
    truncated: int = 0
    unknown: float = 0.0
    unknown_rows: tuple[int, ...] = ()
    units: Units | None = None

    def __len__(self) -> int:
        return len(self.rows)


class Task(ABC):
    """What is predicted from what: named components, labels, loss, metrics, encoding and decoding.

    Attributes:
        kind: `text` or `image`: what the backbone reads.
        items: `text`, `image` or `pair`: what an item is, as `tfvertical.data.load` takes it.
        target: what a label is, as `tfvertical.data.load` takes it.
        measure: what `quality` is called.
        quantities: the names of what `metrics` gives.
        monitor: the quantity that epochs are judged by unless the settings name another.
        model: an ordinary functional Keras model, raw outputs (logits) at its end.
        components: name -> the functional model nested in `model` under that name; the last is `"head"`.
        blocks: address patterns of the backbones' blocks, input to output (`text/transformer_layer_0/`).
        labels: the label names; a label's id is its position. Of entities, their types; of numbers, the quantities.
        outputs: what each number of the model's output stands for: the labels; of entities, the tags; of numbers, the
            quantities or their bounds.
        codec: of `codecs/`: labels to what the model learns, and scores to what is told. It has `names`, `outputs`,
            `encode` and `decode`; of sets of labels, numbers and answers also `config()`, its arguments as JSON values.
        preprocessor: raw items to model inputs.
        source: where the backbone's weights came from.
        run: how the task was trained, as JSON values; saved with it and there again after loading.
        report: what the last `evaluate` found of the model as it is, or None; saved and there again as well.
    """

    kind: ClassVar[Literal["text", "image"]]
    items: ClassVar[Literal["text", "image", "pair"]]
    target: ClassVar[Target]
    measure: ClassVar[str]
    quantities: ClassVar[tuple[str, ...]]
    monitor: ClassVar[str]
    model: keras.Model
    components: Mapping[str, keras.Model]
    blocks: Sequence[str]
    labels: tuple[str, ...]
    outputs: tuple[str, ...]
    codec: Any
    preprocessor: Preprocessor
    source: SourceInfo
    run: dict[str, Any]
    report: Any

    @abstractmethod
    def encode(self, examples: Examples) -> Encoded:
        """Model inputs, label ids and weights. Raises DataError for a label that is not among `labels`."""

    @abstractmethod
    def scores(self, examples: Examples | Encoded) -> np.ndarray:
        """What a report is made of: float32 `(rows, outputs)`; of entities and answers `(words, outputs)`, row by row.

        Those of one label, or of tags, sum to 1.
        """

    @abstractmethod
    def wrapped(self, item: Any, length: int) -> tuple[np.ndarray, np.ndarray | None]:
        """One raw item of a task that reads text: token ids with the special ones, cut to `length`, and segments.

        Returns:
            int32 `(tokens,)`; the same for pairs, None for others.
        """

    def sides(self, item: Any, length: int) -> Mapping[str, tuple[np.ndarray, np.ndarray | None]]:
        """What stands before the model's input names -> `wrapped`; several where texts of an item are read apart."""
        return {"": self.wrapped(item, length)}

    def graph(self) -> Callable[..., dict[str, tf.Tensor]]:
        """A function for `tf.function`: strings `(batch,)`, of pairs two of them, to the model's inputs."""
        return self.preprocessor.graph()

    def parts(self, item: Any, length: int) -> list[Mapping[str, tuple[np.ndarray, np.ndarray | None]]]:
        """What a file that takes `length` tokens reads of one raw item, one after the other: each as `sides` gives it.

        Several where the task reads a long text in windows; a picture's one part says nothing.
        """
        return [self.sides(item, length)] if self.kind == "text" else [{}]

    def scored(self, item: Any, length: int, answers: Sequence[np.ndarray]) -> np.ndarray:
        """The rows of one raw item as `scores` gives them, from what a written file said of each of its `parts`.

        Args:
            item: a raw one.
            length: as `parts` was given it.
            answers: per part float32 `(outputs,)`, or `(positions, outputs)`.
        """
        return averaged(answers)[None]

    @abstractmethod
    def decode(self, scores: np.ndarray, items: Sequence[Any]) -> list[Any]:
        """What is told of each item, from scores as `scores` gives them."""

    @abstractmethod
    def truth(self, examples: Examples) -> np.ndarray:
        """What each row of `scores` should be highest at, int64, by `outputs`; or zeros and ones; or true numbers;
        or the words of answers.

        Raises:
            DataError: labels that the task does not know.
        """

    @abstractmethod
    def quality(self, examples: Examples, scores: np.ndarray) -> float:
        """How right `scores` are of labelled examples, at most 1, by the number that counts: `measure` is its name."""

    @property
    def tolerance(self) -> float:
        """How far `apart` a row of a float32 file may be from the task's."""
        return 1e-5

    def apart(self, expected: np.ndarray, received: np.ndarray) -> np.ndarray:
        """How far each row of scores is from what it should be: the largest difference of two probabilities."""
        return np.asarray(np.abs(received - expected).max(axis=1))

    def agree(self, expected: np.ndarray, received: np.ndarray) -> np.ndarray:
        """Whether two rows of scores tell a person the same, bool: the same output is the highest."""
        return np.asarray(expected.argmax(axis=1) == received.argmax(axis=1))

    @abstractmethod
    def activation(self, outputs: tf.Tensor) -> tf.Tensor:
        """The model's raw outputs as scores, in the graph (softmax for classifiers)."""

    @abstractmethod
    def objective(self, label_smoothing: float = 0.0, focal: float = 0.0) -> Objective:
        """The task's own loss; the settings of these names change it."""

    @abstractmethod
    def metrics(self) -> list[keras.metrics.Metric]:
        """Fresh metrics to watch while training."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Everything but the weights and files, as JSON values."""

    @classmethod
    @abstractmethod
    def restore(cls, model: keras.Model, config: Mapping[str, Any], assets: Mapping[str, bytes]) -> Task:
        """The task whose `config()`, `preprocessor.assets()` and `model` these are."""


# --------------------------------------------------------------------------------------------------------- export
Predict = Callable[[Sequence[Any]], np.ndarray]  # raw items (texts; image paths or bytes) -> scores (items, labels)
Margin = Callable[[Predict], float]  # how far a candidate file is above its limits


class Exporter(ABC):
    """One format. One file each in `export/`, found by name through the registry."""

    precision: str
    output: str = "scores"  # what the files give of an example
    in_windows: ClassVar[bool] = False  # whether long texts are read in the task's windows, of which `parts` tells
    packages: ClassVar[tuple[str, ...]] = ()  # modules that it imports, and that not every installation has

    @abstractmethod
    def chosen(self, items: str, target: str = "label") -> str:
        """The precision for a task of these `items` and this `target`; another than `precision` where that is `auto`.

        Raises:
            ConfigError: there is no such file of such a task.
        """

    def suits(self, task: Task) -> None:
        """Refuse options that this very task cannot have, before anything is computed.

        Raises:
            ConfigError: one of them; the message says which would be right.
        """
        return None  # most options suit any task

    def check(self, task: Task, items: Sequence[Any]) -> None:
        """Refuse what examples cannot vouch for, before anything is converted.

        Args:
            task: what is exported.
            items: raw examples, on which the files will be compared with the task.

        Raises:
            ExportError: some part of the files would not run on any of them.
        """
        return None  # most formats have one part

    @abstractmethod
    def write(
        self, task: Task, folder: Path, calibration: Sequence[Any] = (), margin: Margin | None = None
    ) -> dict[str, Any]:
        """Write every file of the format into the empty `folder`; what `parity.json` tells of how that was done.

        Args:
            task: what is exported.
            folder: where.
            calibration: raw training examples, by which activations are quantized.
            margin: how far a candidate is above what a lower precision must hold; below 0, it would be refused.
        """

    @abstractmethod
    def load(self, task: Task, folder: Path) -> Predict:
        """Run what stands in `folder`, so that one generic check can compare it with `task.scores`."""

    def beside(self, task: Task, folder: Path) -> Mapping[str, Predict]:
        """What else in `folder` answers as the task does: name in `parity.json` -> what is held to the same limits."""
        return {}

    @abstractmethod
    def measured(self, task: Task, folder: Path, items: Sequence[Any]) -> dict[str, Any]:
        """What else `parity.json` tells of the files, such as their size and how long they take."""
