"""What multi-label classifiers of texts and pictures have in common: each label applies or does not, by sigmoid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tfvertical import batches
from tfvertical.codecs.label_sets import LabelSet, LabelSetCodec
from tfvertical.contracts import Encoded, Examples, Objective, Target
from tfvertical.data._labels import ClassWeight, class_weights
from tfvertical.errors import DataError
from tfvertical.evaluating import label_sets
from tfvertical.objectives.binary_cross_entropy import BinaryCrossEntropy
from tfvertical.tasks._metrics import MicroF1
from tfvertical.tasks._task import BackboneTask

MOST_WEIGHT = 100.0  # that "balanced" gives a yes; beyond it a handful of rows would be all that is learned


class MultiLabelClassifier(BackboneTask):
    """Any number of labels for each item; the base of `TextMultiLabelClassifier` and `ImageMultiLabelClassifier`.

    Attributes:
        thresholds: for each label the least score at which it applies; chosen on validation data after each `fit` that
            has them, and yours to change.

    `class_weight="balanced"` lets a yes of a rare label weigh as much as all its noes together, at most a hundredfold;
    a mapping says what a yes of a label weighs.
    """

    target: ClassVar[Target] = "labels"
    measure: ClassVar[str] = "micro_f1"
    quantities: ClassVar[tuple[str, ...]] = ("f1",)
    monitor: ClassVar[str] = "val_loss"
    codec: LabelSetCodec
    _positive_weights: tuple[float, ...] = ()

    @classmethod
    def codec_of(cls, labels: Sequence[str], head: Mapping[str, Any] | None = None) -> LabelSetCodec:
        """Names and thresholds."""
        return LabelSetCodec.of(labels, head or {})

    @property
    def thresholds(self) -> tuple[float, ...]:
        """One score a label, 0…1. With others, what was measured before holds no more, and is not saved."""
        return tuple(float(each) for each in self.codec.thresholds)

    @thresholds.setter
    def thresholds(self, values: Sequence[float]) -> None:
        self.codec, self.report = LabelSetCodec(self.labels, values), None
        self.head_options["thresholds"] = self.codec.config()["thresholds"]

    # ------------------------------------------------------------------------------------------------- Task's contract
    def decode(self, scores: np.ndarray, items: Sequence[Any]) -> list[LabelSet]:
        """The labels that apply to each item."""
        return self.codec.decode(scores)

    def scores(self, examples: Examples | Encoded) -> np.ndarray:
        """Probabilities, float32 `(rows, labels)`, each 0…1; the windows of a long text are averaged."""
        encoded = self.encode(examples) if isinstance(examples, Examples) else examples
        return self.scores_of(self.model, encoded)

    def scores_of(self, model: keras.Model, encoded: Encoded) -> np.ndarray:
        """`scores` from the part of the model behind a frontier, and examples as it takes them."""
        rows = int(encoded.rows.max(initial=-1)) + 1
        total, count = np.zeros((rows, len(self.labels)), np.float32), np.zeros((rows, 1), np.float32)
        for at, (logits,) in batches.infer(model, encoded):
            np.add.at(total, encoded.rows[at], self.activation(logits).numpy())
            np.add.at(count, encoded.rows[at], 1)
        return total / count

    def truth(self, examples: Examples) -> np.ndarray:
        """1 where a label applies, float32 `(rows, labels)`."""
        return self.codec.encode(examples.labels or (), examples.ids)

    def quality(self, examples: Examples, scores: np.ndarray) -> float:
        """F1 of all labels taken together, at the thresholds."""
        counted = label_sets.counts(self.truth(examples), self.codec.applies(scores))
        return float(label_sets.scores(counted.sum(axis=1))["micro_f1"])

    def agree(self, expected: np.ndarray, received: np.ndarray) -> np.ndarray:
        """Whether the same labels apply."""
        return np.asarray((self.codec.applies(expected) == self.codec.applies(received)).all(axis=1))

    def activation(self, outputs: tf.Tensor) -> tf.Tensor:
        """Sigmoid."""
        return tf.sigmoid(tf.cast(outputs, tf.float32))

    def objective(self, label_smoothing: float = 0.0, focal: float = 0.0) -> Objective:
        """Cross-entropy of each label by itself, or the focal loss."""
        return BinaryCrossEntropy(label_smoothing, focal, self._positive_weights)

    def metrics(self) -> list[keras.metrics.Metric]:
        """F1 of all labels together, at a threshold of 0.5."""
        return [MicroF1(name="f1")]

    # --------------------------------------------------------------------------------------------------------- private
    def _prepare(self, examples: Examples) -> None:
        """Begin with how often each label applies, so that rare ones need not be unlearned first (Lin et al. 2017)."""
        if examples.labels is None:
            return
        applies = self.truth(examples)
        if not applies.any():
            raise DataError(
                f"{examples.report.name}: no label applies to any of {len(examples):,} rows: nothing to learn.",
                fix="see whether the right column was named",
            )
        if self.run:
            return
        share = np.clip(applies.mean(axis=0), 0.5 / len(applies), 1 - 0.5 / len(applies))
        self.components["head"].get_layer("logits").bias.assign(np.log(share) - np.log1p(-share))

    def _settle(self, held_out: Examples, scores: np.ndarray | None = None) -> None:
        """The thresholds at which each label's F1 is highest."""
        scores = self.scores(held_out) if scores is None else scores
        self.thresholds = label_sets.thresholds(self.truth(held_out), scores).tolist()

    def _weighted(self, examples: Examples, class_weight: Any) -> Examples:
        """What a yes weighs stands in the loss, label by label."""
        self._positive_weights = () if class_weight is None else self._weights(examples, class_weight)
        return examples

    def _described(self, augment: Any) -> dict[str, Any] | None:
        found = super()._described(augment)
        return {"augment": found, "positive_weights": list(self._positive_weights)} if self._positive_weights else found

    def _weights(self, examples: Examples, class_weight: ClassWeight) -> tuple[float, ...]:
        applies = self.truth(examples).sum(axis=0)
        if class_weight == "balanced":
            balanced = np.clip((len(examples) - applies) / np.maximum(applies, 1), 1 / MOST_WEIGHT, MOST_WEIGHT)
            return tuple(float(each) for each in balanced)
        weights = class_weights(self.labels, class_weight)
        return tuple(weights[label] for label in self.labels)
