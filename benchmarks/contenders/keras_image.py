"""Plain Keras on pictures: `fit` with a frozen backbone, decoding in tf.data."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.contenders import keras_parts as parts
from benchmarks.contenders.clock import Clock, figures, part_of, planned, rest_seconds
from tfvertical import backbones

SIDE, CROP = 256, 224


def frozen(work: dict[str, Any]) -> dict[str, Any]:
    """Head on a frozen EfficientNet-Lite0; decoded pictures are kept in memory by tf.data after the first epoch."""
    keras.utils.set_random_seed(work["seed"])
    body = backbones.load("efficientnet_lite0").model
    body.trainable = False
    pooled = keras.layers.GlobalAveragePooling2D()(body.output)
    model = keras.Model(body.input, parts.head(pooled, len(work["names"]), work["dropout"]))
    epochs, batch = planned(work, work["epochs"], work["short"]), work["batch"]
    labels = work["train"]["labels"]
    clock = Clock()
    parts.compiled(model, work, parts.steps_of(len(labels), batch) * work["epochs"])
    train = pictures(work["train"]["items"], labels).cache().shuffle(len(labels), seed=work["seed"])
    train = train.batch(batch).map(_floats).prefetch(tf.data.AUTOTUNE)
    model.fit(train, epochs=epochs, verbose=0, callbacks=[parts.Marks(clock)], shuffle=False)
    test = pictures(work["test"]["items"], work["test"]["labels"]).batch(64).map(_floats).prefetch(tf.data.AUTOTUNE)
    quality = float(np.mean(model.predict(test, verbose=0).argmax(1) == work["test"]["labels"]))
    rest = rest_seconds(clock.epochs, work["epochs"])
    return figures(clock.seconds + rest, quality, part_of(epochs, work["epochs"]))


def pictures(paths: list[str], labels: list[int]) -> tf.data.Dataset:
    """uint8 pictures `(224, 224, 3)` with their labels, in the order given, decoded in parallel."""
    made = tf.data.Dataset.from_tensor_slices((paths, labels))
    return made.map(lambda path, label: (_picture(path), label), num_parallel_calls=tf.data.AUTOTUNE)


def _picture(path: Any) -> Any:
    """Shorter side to 256 with antialiasing, the centre of 224 by 224."""
    image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
    size = tf.shape(image)[:2]
    scaled = tf.cast(tf.round(tf.cast(size, tf.float32) * SIDE / tf.cast(tf.reduce_min(size), tf.float32)), tf.int32)
    image = tf.image.resize(image, scaled, method="bicubic", antialias=True)
    top, left = (scaled[0] - CROP) // 2, (scaled[1] - CROP) // 2
    image = tf.image.crop_to_bounding_box(image, top, left, CROP, CROP)
    return tf.ensure_shape(tf.saturate_cast(tf.round(image), tf.uint8), (CROP, CROP, 3))


def _floats(images: Any, labels: Any) -> Any:
    return tf.cast(images, tf.float32), labels
