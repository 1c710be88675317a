"""A small text task and a small image task, whole enough to save, export and compare, and nothing more."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvertical.codecs.labels import LabelCodec
from tfvertical.columns import Ragged
from tfvertical.contracts import (
    Encoded,
    Examples,
    ImagePreprocessor,
    SourceInfo,
    Task,
    TextPreprocessor,
)


class Hashing(TextPreprocessor):
    """Bytes to ids, so that NumPy and the graph agree without a vocabulary."""

    def __init__(self, length: int = 12):
        self.length, self.pad_id, self.unknown_id = length, 0, None

    def config(self) -> dict[str, Any]:
        return {"length": self.length}

    def assets(self) -> dict[str, bytes]:
        return {"vocab.txt": "a\nb\nç\n".encode()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], assets: Mapping[str, bytes]) -> Hashing:
        if assets.get("vocab.txt") != "a\nb\nç\n".encode():
            raise ValueError("vocabulary lost")
        return cls(**config)

    def tokenize(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [np.array([3 + (b % 90) for b in text.encode()], np.int32) for text in texts]

    def wrap(self, pieces: np.ndarray) -> np.ndarray:
        return np.concatenate([[1], pieces, [2]]).astype(np.int32)

    @property
    def specials(self) -> int:
        return 2

    def wrap_pair(self, first: np.ndarray, second: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError

    def pair_graph(self) -> Any:
        raise NotImplementedError

    def inputs(
        self, token_ids: np.ndarray, mask: np.ndarray, segments: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        return {
            "token_ids": token_ids.astype(np.int32),
            "padding_mask": mask.astype(np.int32),
            "segment_ids": np.zeros_like(token_ids, np.int32),
        }

    def graph(self) -> Any:
        length = self.length

        def preprocess(texts: tf.Tensor) -> dict[str, tf.Tensor]:
            ragged = tf.ragged.map_flat_values(
                lambda c: 3 + tf.cast(tf.reshape(tf.io.decode_raw(c, tf.uint8), [-1]), tf.int32) % 90,
                tf.strings.bytes_split(texts),
            )[:, : length - 2]
            ones = tf.ones_like(texts, tf.int32)[:, None]
            ids = tf.concat([ones, ragged, 2 * ones], 1).to_tensor(shape=(None, length))
            mask = tf.cast(ids > 0, tf.int32)
            return {"token_ids": ids, "padding_mask": mask, "segment_ids": tf.zeros_like(ids)}

        return preprocess


class Pixels(ImagePreprocessor):
    """Nearest-neighbour pictures."""

    def __init__(self, size: Sequence[int] = (16, 16)):
        self.size = tuple(size)

    def config(self) -> dict[str, Any]:
        return {"size": list(self.size)}

    def assets(self) -> dict[str, bytes]:
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], assets: Mapping[str, bytes]) -> Pixels:
        return cls(**config)

    def decode(self, item: Any) -> np.ndarray:
        from PIL import Image

        if isinstance(item, np.ndarray):
            picture = Image.fromarray(item)
        else:
            picture = Image.open(io.BytesIO(item) if isinstance(item, bytes) else item)
        return np.asarray(picture.convert("RGB"))

    def pixels(self, item: Any) -> np.ndarray:
        array = self.decode(item)
        rows = np.arange(self.size[0]) * array.shape[0] // self.size[0]
        columns = np.arange(self.size[1]) * array.shape[1] // self.size[1]
        return array[rows][:, columns]

    def inputs(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        return {"images": pixels.astype(np.float32)}

    def graph(self) -> Any:
        height, width = self.size

        def one(content: tf.Tensor) -> tf.Tensor:
            array = tf.io.decode_image(content, 3, expand_animations=False)
            rows = tf.range(height) * tf.shape(array)[0] // height
            columns = tf.range(width) * tf.shape(array)[1] // width
            picture = tf.gather(tf.gather(array, rows), columns, axis=1)
            return tf.ensure_shape(tf.cast(picture, tf.float32), (height, width, 3))

        return lambda contents: {"images": tf.map_fn(one, contents, tf.float32)}


class Column:
    def __init__(self, rows: list[np.ndarray]):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: np.ndarray, length: int | None) -> np.ndarray:
        picked = [self.rows[int(i)] for i in rows]
        if length is not None:
            picked = [np.pad(row, (0, length - len(row))) for row in picked]
        return np.stack(picked)

    def digest(self) -> str:
        return Ragged.of(self.rows).digest()


class FakeTask(Task):
    """A classifier over one nested backbone."""

    target, measure = "label", "accuracy"

    def __init__(self, model: keras.Model, preprocessor: Any, labels: Sequence[str], windows: bool = False):
        self.model, self.preprocessor, self.labels, self.windows = model, preprocessor, tuple(labels), windows
        self.kind = self.items = preprocessor.kind
        self.outputs = self.labels
        self.components = {layer.name: layer for layer in model.layers if isinstance(layer, keras.Model)}
        self.blocks = ()
        self.source = SourceInfo("tiny", "fake", {}, "0" * 64)

    def encode(self, examples: Examples) -> Encoded:
        if isinstance(self.preprocessor, Pixels):
            made = [self.preprocessor.inputs(self.preprocessor.pixels(i)[None]) for i in examples.inputs]
            columns = {"images": Column([m["images"][0] for m in made])}
            rows, lengths = np.arange(len(made)), None
        else:
            pre, made, rows = self.preprocessor, [], []
            step = pre.length - pre.specials
            for row, text in enumerate(examples.inputs):
                pieces = pre.tokenize([text])[0]
                starts = range(0, max(len(pieces), 1), step) if self.windows else [0]
                for start in starts:
                    ids = pre.wrap(pieces[start : start + step])
                    made.append({k: v[0] for k, v in pre.inputs(ids[None], np.ones((1, len(ids)), bool)).items()})
                    rows.append(row)
            columns = {name: Column([m[name] for m in made]) for name in made[0]}
            lengths = np.array([len(m["token_ids"]) for m in made])
        return Encoded(columns, lengths, np.asarray(rows), None, np.ones(len(rows), np.float32))

    def scores(self, examples: Examples | Encoded) -> np.ndarray:
        encoded = examples if isinstance(examples, Encoded) else self.encode(examples)
        length = None if encoded.lengths is None else int(encoded.lengths.max())
        at = np.arange(len(encoded))
        batch = {name: column.take(at, length) for name, column in encoded.columns.items()}
        scores = keras.ops.softmax(self.model(batch, training=False)).numpy()
        count = encoded.rows.max() + 1
        return np.stack([scores[encoded.rows == row].mean(0) for row in range(count)])

    def wrapped(self, item: Any, length: int) -> tuple[np.ndarray, None]:
        return self.preprocessor.wrap(
            self.preprocessor.tokenize([item])[0][: length - self.preprocessor.specials]
        ), None

    def decode(self, scores: np.ndarray, items: Sequence[Any]) -> list[Any]:
        return LabelCodec(self.labels).decode(scores)

    def truth(self, examples: Examples) -> np.ndarray:
        return LabelCodec(self.labels).encode(examples.labels, examples.ids)

    def quality(self, examples: Examples, scores: np.ndarray) -> float:
        return float((scores.argmax(1) == self.truth(examples)).mean())

    def activation(self, outputs: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(outputs)

    def objective(self, label_smoothing: float = 0.0, focal: float = 0.0) -> Any:
        raise NotImplementedError

    def metrics(self) -> list[Any]:
        return []

    def config(self) -> dict[str, Any]:
        return {
            "labels": list(self.labels),
            "windows": self.windows,
            "kind": self.preprocessor.kind,
            "preprocessor": self.preprocessor.config(),
        }

    @classmethod
    def restore(cls, model: keras.Model, config: Mapping[str, Any], assets: Mapping[str, bytes]) -> FakeTask:
        kind = Hashing if config["kind"] == "text" else Pixels
        return cls(model, kind.from_config(config["preprocessor"], assets), config["labels"], config["windows"])


def text_task(seed: int = 0, labels: Sequence[str] = ("no", "maybe", "yes"), windows: bool = False) -> FakeTask:
    """A random KerasHub BERT of two layers under a linear head with an automatically named layer."""
    import keras_hub

    keras.utils.set_random_seed(seed)
    bert = keras_hub.models.BertBackbone(
        vocabulary_size=100, num_layers=2, num_heads=2, hidden_dim=16, intermediate_dim=32, max_sequence_length=16
    )
    text = keras.Model(bert.input, bert.output["sequence_output"], name="text")
    inputs = {k: keras.Input((None,), dtype="int32", name=k) for k in ("token_ids", "padding_mask", "segment_ids")}
    states = keras.Input((None, 16))
    head = keras.Model(states, keras.layers.Dense(len(labels))(states[:, 0]), name="head")
    return FakeTask(keras.Model(inputs, head(text(inputs))), Hashing(), labels, windows)


def image_task(seed: int = 0, labels: Sequence[str] = ("cat", "dog")) -> FakeTask:
    """A random convolutional net with BatchNormalization whose averages have moved."""
    keras.utils.set_random_seed(seed)
    images = keras.Input((16, 16, 3), name="images")
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(images)
    x = keras.layers.Conv2D(4, 3, 2, "same")(x)
    x = keras.layers.BatchNormalization()(x)
    body = keras.Model({"images": images}, keras.layers.ReLU(6)(x), name="image")
    for variable in body.non_trainable_variables:
        if "moving" in variable.path:
            variable.assign(np.random.default_rng(seed).uniform(0.5, 1.5, variable.shape))
    features = keras.Input(body.output_shape[1:])
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    head = keras.Model(features, keras.layers.Dense(len(labels))(keras.layers.Dropout(0.1)(pooled)), name="head")
    outer = keras.Input((16, 16, 3), name="images")
    return FakeTask(keras.Model({"images": outer}, head(body({"images": outer}))), Pixels(), labels)


TEXTS = ["", "a b", "The card never arrived.", "héllo wörld", "a much longer sentence than twelve tokens can hold"]


def pictures(count: int = 3) -> list[np.ndarray]:
    """Random uint8 pictures of different sizes."""
    draw = np.random.default_rng(zlib.crc32(b"pictures"))
    return [draw.integers(0, 256, (20 + 7 * i, 31 - 3 * i, 3), np.uint8) for i in range(count)]


def examples(inputs: Sequence[Any]) -> Examples:
    return Examples(list(inputs), None, [f"test:{i}" for i in range(len(inputs))])
