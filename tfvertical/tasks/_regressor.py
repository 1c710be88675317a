"""What regressors of texts, pictures and pairs have in common: one or several numbers, in their own units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Self

import keras
import numpy as np
import tensorflow as tf

from tfvertical import batches
from tfvertical.codecs.numbers import Number, NumberCodec
from tfvertical.contracts import Encoded, Examples, Objective, Target
from tfvertical.errors import ConfigError, DataError
from tfvertical.evaluating import numbers as measures
from tfvertical.objectives.distance_loss import DistanceLoss
from tfvertical.objectives.ordinal_loss import OrdinalLoss
from tfvertical.objectives.quantile_loss import QuantileLoss
from tfvertical.tasks import _number_layers
from tfvertical.tasks._metrics import AbsoluteError
from tfvertical.tasks._task import BackboneTask


class Regressor(BackboneTask):
    """Numbers for each item; the base of `TextRegressor`, `ImageRegressor` and `PairRegressor`.

    The model itself knows mean and deviation of the numbers that it was first trained on, so that what comes out of it,
    and of every file that is exported, is in their own units.
    """

    target: ClassVar[Target] = "numbers"
    measure: ClassVar[str] = "r2"
    quantities: ClassVar[tuple[str, ...]] = ("mae",)
    monitor: ClassVar[str] = "val_loss"
    codec: NumberCodec
    _begin: Mapping[str, Any] = MappingProxyType({})  # what the layer that knows units was given

    @classmethod
    def codec_of(cls, labels: Sequence[str], head: Mapping[str, Any] | None = None) -> NumberCodec:
        """Names, units, and which outputs tell what."""
        return NumberCodec.of(labels, head or {})

    @classmethod
    def restore(cls, model: keras.Model, config: Mapping[str, Any], assets: Mapping[str, bytes]) -> Self:
        """As for every task; earlier bundles name an interval beside losses that have none."""
        head = dict(config["head"])
        if head.get("loss") != "quantile":
            head["interval"] = None
        return super().restore(model, {**config, "head": head}, assets)

    # ------------------------------------------------------------------------------------------------- Task's contract
    def decode(self, scores: np.ndarray, items: Sequence[Any]) -> list[tuple[Number, ...]]:
        """The numbers of each item, with bounds where the loss gives them."""
        return self.codec.decode(scores)

    def scores(self, examples: Examples | Encoded) -> np.ndarray:
        """What the model gives, float32 `(rows, outputs)`; the windows of a long text are averaged."""
        encoded = self.encode(examples) if isinstance(examples, Examples) else examples
        return self.scores_of(self.model, encoded)

    def scores_of(self, model: keras.Model, encoded: Encoded) -> np.ndarray:
        """`scores` from the part of the model behind a frontier, and examples as it takes them."""
        rows = int(encoded.rows.max(initial=-1)) + 1
        total, count = np.zeros((rows, len(self.outputs)), np.float64), np.zeros((rows, 1), np.float64)
        for at, (found,) in batches.infer(model, encoded):
            np.add.at(total, encoded.rows[at], self.activation(found).numpy())
            np.add.at(count, encoded.rows[at], 1)
        return (total / count).astype(np.float32)

    def truth(self, examples: Examples) -> np.ndarray:
        """The true numbers, float64 `(rows, numbers)`."""
        self.codec.encode(examples.labels or (), examples.ids)  # a score that is no level is told
        return self.codec.numbers(examples.labels or (), examples.ids)

    def quality(self, examples: Examples, scores: np.ndarray) -> float:
        """The share of the numbers' variance that is explained, the mean over several; below 0 worse than the mean."""
        return measures.summary(self.truth(examples), self.codec.values(scores))["r2"]

    @property
    def tolerance(self) -> float:
        """Probabilities are held to 1e-5, numbers to 1e-4 of a deviation: nothing squeezes them as a softmax does."""
        return 1e-5 if self.codec.levels else 1e-4

    def apart(self, expected: np.ndarray, received: np.ndarray) -> np.ndarray:
        """How far two rows of scores are from each other, in deviations of the training numbers."""
        return np.abs(received - expected).max(axis=1) if self.codec.levels else self._in_deviations(expected, received)

    def agree(self, expected: np.ndarray, received: np.ndarray) -> np.ndarray:
        """Whether two rows of scores tell the same: the same level; numbers a tenth of a deviation from each other."""
        if self.codec.levels:
            same = self.codec.values(expected) == self.codec.values(received)
            return np.asarray(same.all(axis=1))
        return np.asarray(self._in_deviations(expected, received) <= 0.1)

    def activation(self, outputs: tf.Tensor) -> tf.Tensor:
        """Numbers as they are; of an ordinal score, the probabilities of being above each level."""
        found = tf.cast(outputs, tf.float32)
        return tf.sigmoid(found) if self.codec.levels else found

    def objective(self, label_smoothing: float = 0.0, focal: float = 0.0) -> Objective:
        """The loss that the task was built for."""
        if label_smoothing or focal:
            raise ConfigError("label_smoothing and focal are for labels, and these are numbers.", fix="leave them out")
        if self.codec.levels:
            return OrdinalLoss()
        deviations = tuple(float(each) for each in self._behind.deviation.numpy())
        if self.codec.quantiles:
            return QuantileLoss(self.codec.quantiles, deviations)
        return DistanceLoss(self.head_options["loss"], deviations)

    def metrics(self) -> list[keras.metrics.Metric]:
        """The mean absolute error in the numbers' own units; of an ordinal score, in levels."""
        parts = 3 if self.codec.quantiles else 1
        return [AbsoluteError(parts, ordinal=bool(self.codec.levels), name="mae")]

    # --------------------------------------------------------------------------------------------------------- private
    @property
    def _behind(self) -> Any:
        """The layer that knows the numbers' units, or where levels begin."""
        return self.components["head"].layers[-1]

    def _answer(self, numbers: Any) -> Any:
        return _number_layers.behind(self.head_options, len(self.labels))(numbers)

    @property
    def _width(self) -> int:
        return 1 if self.codec.levels else len(self.outputs)

    def _prepare(self, examples: Examples) -> None:
        """Learn the units from the first training data; a model that is trained already keeps its own."""
        if self.run or examples.labels is None:
            return
        numbers = self.codec.encode(examples.labels or (), examples.ids).astype(np.float64)
        same = [name for name, column in zip(self.labels, numbers.T, strict=True) if not np.ptp(column) > 0]
        if same:
            raise DataError(
                f"{examples.report.name}: {', '.join(same)} is the same in all {len(examples):,} rows; "
                "there is nothing to learn.",
                fix="see whether the right column was named",
            )
        self._behind.fit(numbers)
        self._begin = {each.name: each.numpy().tolist() for each in self._behind.weights}

    def _weighted(self, examples: Examples, class_weight: Any) -> Examples:
        if class_weight is not None:
            raise ConfigError("class_weight is for labels, and these are numbers.", fix="weigh rows: weight='column'")
        return examples

    def _described(self, augment: Any) -> dict[str, Any] | None:
        """Two runs that begin with other units are not the same."""
        return {"augment": super()._described(augment), "begin": dict(self._begin)}

    def _in_deviations(self, expected: np.ndarray, received: np.ndarray) -> np.ndarray:
        """The largest difference of each row, but for the last bits that numbers far from 0 have no room for."""
        deviations = np.repeat(self._behind.deviation.numpy(), 3 if self.codec.quantiles else 1)
        bits = 4 * np.spacing(np.abs(np.asarray(expected, np.float32)))
        return np.asarray((np.maximum(np.abs(received - expected) - bits, 0) / deviations).max(axis=1))
