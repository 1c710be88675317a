"""What the plain Keras contenders are made of: the pretrained model, KerasHub's tokenizer, our head's layers, batches.

The weights come from tfvertical's loader, which returns a plain functional Keras model; nothing else of it is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import keras_hub
import numpy as np
import tensorflow as tf

from benchmarks.contenders.clock import Clock
from tfvertical import backbones

POOL = 50  # batches sorted together


class Marks(keras.callbacks.Callback):
    """Passes epochs and steps to a clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.clock.epoch()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.clock.step()


def bert(work: dict[str, Any], dropout: bool = True) -> keras.Model:
    """MiniLM as a functional KerasHub model.

    Args:
        work: for the length.
        dropout: keep the dropout inside; an expert whose backbone is frozen turns it off.
    """
    model = backbones.load("minilm_l6_v2", length=work["length"]).model
    if not dropout:
        without_dropout(model)
    return model


def without_dropout(model: keras.Model) -> None:
    """Turn off every dropout inside."""
    for layer in model._flatten_layers(include_self=False, recursive=True):
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0


def tokenizer(work: dict[str, Any], length: int | None = None) -> Any:
    """KerasHub's preprocessor with this model's vocabulary."""
    return keras_hub.models.BertTextClassifierPreprocessor.from_preset(
        work["minilm"], sequence_length=length or work["length"]
    )


def tokens(preprocessor: Any, items: Sequence[str]) -> dict[str, np.ndarray]:
    """All texts tokenized in TensorFlow's graph, padded to the preprocessor's length."""
    batches = tf.data.Dataset.from_tensor_slices(list(items)).batch(1024).map(preprocessor)
    found = list(batches.as_numpy_iterator())
    return {name: np.concatenate([batch[name] for batch in found]).astype("int32") for name in found[0]}


def head(pooled: Any, labels: int, dropout: float) -> Any:
    """The layers that tfvertical's default heads have, behind the pooling."""
    if dropout:
        pooled = keras.layers.Dropout(dropout)(pooled)
    return keras.layers.Dense(labels)(pooled)


def pooling(body: keras.Model) -> keras.Model:
    """The body with the mean of its token states, padding left out, brought to one length as in tfvertical's heads."""
    by_name = {tensor.name: tensor for tensor in body.inputs}
    mean = keras.layers.GlobalAveragePooling1D()(body.output, mask=by_name["padding_mask"])
    unit = keras.layers.UnitNormalization()(mean)
    return keras.Model(by_name, keras.layers.Rescaling(math.sqrt(mean.shape[-1]))(unit))


def classifier(work: dict[str, Any], body: keras.Model, frozen: bool) -> keras.Model:
    """Body, pooling and head as one model."""
    body.trainable = not frozen
    pooled = pooling(body)
    return keras.Model(pooled.input, head(pooled.output, len(work["names"]), work["dropout"]))


def compiled(model: keras.Model, work: dict[str, Any], steps: int, rate: float | None = None, **more: Any) -> None:
    """AdamW with the schedule that all contenders have: 10 % warm-up, then cosine to 0.

    Args:
        model: compiled in place.
        work: rate, decay, clipping.
        steps: of the whole run.
        rate: instead of the work's.
        more: for `compile`.
    """
    warm = max(1, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm), warmup_target=rate or work["rate"], warmup_steps=warm
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=work["decay"], global_clipnorm=work["clip"])
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], **more)


def steps_of(count: int, batch: int) -> int:
    """Batches in an epoch."""
    return -(-count // batch)


def grouped(
    inputs: dict[str, np.ndarray], labels: Sequence[int], batch: int, seed: int | None, multiple: int = 8
) -> tf.data.Dataset:
    """Batches of texts of about one length, cut to the batch's longest in multiples of 8.

    Args:
        inputs: padded tokens with their `padding_mask`.
        labels: one a text.
        batch: texts a batch.
        seed: shuffles anew in each epoch, and sorts within pools of 50 batches; None sorts all, once.
        multiple: lengths are rounded up to multiples of this.
    """
    lengths, targets = inputs["padding_mask"].sum(1), np.asarray(labels, "int32")
    generator = np.random.default_rng(seed)

    def batches() -> Iterator[Any]:
        order = np.arange(len(targets)) if seed is None else generator.permutation(len(targets))
        pool = len(order) if seed is None else POOL * batch
        parts = [order[at : at + pool] for at in range(0, len(order), pool)]
        parts = [part[np.argsort(lengths[part], kind="stable")] for part in parts]
        found = [part[at : at + batch] for part in parts for at in range(0, len(part), batch)]
        if seed is not None:
            generator.shuffle(found)
        for rows in found:
            width = min(-(-int(lengths[rows].max()) // multiple) * multiple, inputs["padding_mask"].shape[1])
            yield {name: values[rows, :width] for name, values in inputs.items()}, targets[rows]

    signature = {name: tf.TensorSpec((None, None), "int32") for name in inputs}
    dataset = tf.data.Dataset.from_generator(batches, output_signature=(signature, tf.TensorSpec((None,), "int32")))
    return dataset.apply(tf.data.experimental.assert_cardinality(steps_of(len(targets), batch))).prefetch(4)
