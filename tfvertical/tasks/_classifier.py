"""What classifiers of texts and pictures have in common: one of several labels, by softmax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tfvertical import batches
from tfvertical.codecs.labels import LabelCodec, Prediction
from tfvertical.contracts import Encoded, Examples, Objective, Target
from tfvertical.objectives.cross_entropy import CrossEntropy
from tfvertical.tasks._task import BackboneTask


class Classifier(BackboneTask):
    """One of several labels for each item; the base of `TextClassifier` and `ImageClassifier`."""

    target: ClassVar[Target] = "label"
    measure: ClassVar[str] = "accuracy"
    quantities: ClassVar[tuple[str, ...]] = ("accuracy",)
    monitor: ClassVar[str] = "val_loss"

    @classmethod
    def codec_of(cls, labels: Sequence[str], head: Mapping[str, Any] | None = None) -> LabelCodec:
        """Names and ids."""
        return LabelCodec(labels)

    def decode(self, scores: np.ndarray, items: Sequence[Any]) -> list[Prediction]:
        """The likeliest label of each item, and its probability."""
        return self.codec.decode(scores)

    def scores(self, examples: Examples | Encoded) -> np.ndarray:
        """Probabilities, float32 `(rows, labels)`; the windows of a long text are averaged."""
        encoded = self.encode(examples) if isinstance(examples, Examples) else examples
        return self.scores_of(self.model, encoded)

    def scores_of(self, model: keras.Model, encoded: Encoded) -> np.ndarray:
        """`scores` from the part of the model behind a frontier, and examples as it takes them."""
        rows = int(encoded.rows.max(initial=-1)) + 1
        total, count = np.zeros((rows, len(self.labels)), np.float32), np.zeros((rows, 1), np.float32)
        for at, (logits,) in batches.infer(model, encoded):
            shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
            np.add.at(total, encoded.rows[at], shifted / shifted.sum(axis=1, keepdims=True))
            np.add.at(count, encoded.rows[at], 1)
        return total / count

    def truth(self, examples: Examples) -> np.ndarray:
        """Label ids."""
        return self.codec.encode(examples.labels or (), examples.ids).astype(np.int64)

    def quality(self, examples: Examples, scores: np.ndarray) -> float:
        """Share of rows whose highest score is that of their label."""
        return float((scores.argmax(axis=1) == self.truth(examples)).mean())

    def activation(self, outputs: tf.Tensor) -> tf.Tensor:
        """Softmax."""
        return tf.nn.softmax(tf.cast(outputs, tf.float32))

    def objective(self, label_smoothing: float = 0.0, focal: float = 0.0) -> Objective:
        """Cross-entropy, or the focal loss."""
        return CrossEntropy(label_smoothing, focal)

    def metrics(self) -> list[keras.metrics.Metric]:
        """Accuracy."""
        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
