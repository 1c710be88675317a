"""A Keras expert's road to a head on frozen features: `predict` once, sorted by length, then only the head trains."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.contenders import keras_head, keras_text
from benchmarks.contenders import keras_parts as parts
from benchmarks.contenders.clock import Clock, figures


def one_head(work: dict[str, Any], policy: str = "float32") -> dict[str, Any]:
    """An expert's: all texts sorted by length through `predict` once, then a tuned `fit` of the head alone."""
    body, preprocessor = frozen(work, policy), parts.tokenizer(work)
    clock = Clock()
    train, test = features(work, body, preprocessor)
    model = keras_head.tuned_fit(train, work["train"]["labels"], work)
    quality = keras_text.accuracy(keras_head.logits(model, test), work)
    return figures(clock.seconds, quality)


def one_head_bfloat16(work: dict[str, Any]) -> dict[str, Any]:
    """The same with bfloat16 products in `predict`."""
    return one_head(work, "mixed_bfloat16")


def heads(work: dict[str, Any], policy: str = "float32") -> dict[str, Any]:
    """The same with eight heads on the one prediction; quality is their mean accuracy."""
    body, preprocessor = frozen(work, policy), parts.tokenizer(work)
    clock, found = Clock(), []
    train, test = features(work, body, preprocessor)
    for rate, seed in work["heads"]:
        model = keras_head.tuned_fit(train, work["train"]["labels"], work | {"rate": rate, "seed": seed})
        found.append(keras_text.accuracy(keras_head.logits(model, test), work))
    return figures(clock.seconds, float(np.mean(found)), best=max(found))


def heads_bfloat16(work: dict[str, Any]) -> dict[str, Any]:
    """The same with bfloat16 products in `predict`."""
    return heads(work, "mixed_bfloat16")


def frozen(work: dict[str, Any], policy: str) -> keras.Model:
    """The pooled body; what an expert sets before a model is made to have another precision."""
    keras.config.set_dtype_policy(policy)
    try:
        return parts.pooling(parts.bert(work, dropout=False))
    finally:
        keras.config.set_dtype_policy("float32")


def save_features(work: dict[str, Any]) -> dict[str, Any]:
    """Pooled features of both parts to the file `work["features"]`, for contenders that begin with them."""
    body, preprocessor = parts.pooling(parts.bert(work, dropout=False)), parts.tokenizer(work)
    clock = Clock()
    train, test = features(work, body, preprocessor)
    np.savez(work["features"], train=train, test=test)
    return {"seconds": clock.seconds, "quality": None}


def features(work: dict[str, Any], body: keras.Model, preprocessor: Any) -> tuple[np.ndarray, np.ndarray]:
    """Pooled features of both parts from one `predict` over all texts, sorted by length."""
    count = len(work["train"]["items"])
    x = parts.tokens(preprocessor, work["train"]["items"] + work["test"]["items"])
    order = np.argsort(x["padding_mask"].sum(1), kind="stable")
    batches = parts.grouped(x, order, 64, None).map(lambda inputs, _: inputs, num_parallel_calls=tf.data.AUTOTUNE)
    found = np.empty((len(order), body.output.shape[-1]), "float32")
    found[order] = body.predict(batches, verbose=0)
    return found[:count], found[count:]
