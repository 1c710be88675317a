"""Heads: pooling, optional hidden layers, and one linear layer to the outputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

import keras
from keras import ops

from tfvertical.errors import ConfigError, nearest


def _first(states: Any, mask: Any) -> Any:
    return states[:, 0]


def _mean(states: Any, mask: Any) -> Any:
    weight = ops.expand_dims(ops.cast(mask, states.dtype), -1)
    return ops.sum(states * weight, axis=1) / ops.maximum(ops.sum(weight, axis=1), 1.0)


def _max(states: Any, mask: Any) -> Any:
    return ops.max(ops.where(ops.expand_dims(ops.cast(mask, "bool"), -1), states, -1e9), axis=1)


POOLS = {"first": _first, "mean": _mean, "max": _max}


@keras.saving.register_keras_serializable("tfvertical")
class MaskedPooling(keras.layers.Layer):
    """Token states `(batch, length, width)` and a mask `(batch, length)` to one vector `(batch, width)` each.

    Args:
        how: `first` token, masked `mean`, or masked `max`.
    """

    def __init__(self, how: str = "mean", **kwargs: Any):
        super().__init__(**kwargs)
        self.how = how

    def call(self, states: Any, padding_mask: Any) -> Any:
        """Pool over the length."""
        return POOLS[self.how](states, padding_mask)

    def compute_output_shape(self, states_shape: Any, padding_mask_shape: Any) -> Any:
        """`(batch, width)`."""
        return (states_shape[0], states_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Plain values."""
        return super().get_config() | {"how": self.how}


@keras.saving.register_keras_serializable("tfvertical")
class AttentionPooling(keras.layers.Layer):
    """A learned weight per token, softmax over those that are not padding (Bahdanau et al. 2015)."""

    def build(self, states_shape: Any, padding_mask_shape: Any) -> None:
        """One weight per feature; zero, so that it begins as the mean."""
        self.query = self.add_weight(shape=(states_shape[-1],), initializer="zeros", name="query")

    def call(self, states: Any, padding_mask: Any) -> Any:
        """Pool over the length."""
        scores = ops.sum(states * self.query, axis=-1)
        scores = ops.where(ops.cast(padding_mask, "bool"), scores, -1e9)
        return ops.sum(states * ops.expand_dims(ops.softmax(scores, axis=-1), -1), axis=1)

    def compute_output_shape(self, states_shape: Any, padding_mask_shape: Any) -> Any:
        """`(batch, width)`."""
        return (states_shape[0], states_shape[-1])


@keras.saving.register_keras_serializable("tfvertical")
class Compared(keras.layers.Layer):
    """Two vectors `(batch, width)` to both, their distance by feature and their product: `(batch, 4 * width)`."""

    def call(self, first: Any, second: Any) -> Any:
        """Side by side."""
        return ops.concatenate([first, second, ops.abs(first - second), first * second], axis=-1)

    def compute_output_shape(self, first_shape: Any, second_shape: Any) -> Any:
        """`(batch, 4 * width)`."""
        return (first_shape[0], 4 * first_shape[-1])


@keras.saving.register_keras_serializable("tfvertical")
class Steps(keras.layers.Layer):
    """Scores of tags `(batch, length, tags)`, with learned ones of the steps between tags below them.

    What comes out, `(batch, length + tags + 2, tags)`, is what `objectives._chain` reads.
    """

    def build(self, scores_shape: Any) -> None:
        """A row for each tag before, one for the first tag, one for the last; zero: every step is as good."""
        tags = scores_shape[-1]
        self.steps = self.add_weight(shape=(tags + 2, tags), initializer="zeros", name="steps")

    def call(self, scores: Any) -> Any:
        """The same steps for every example."""
        rows = ops.broadcast_to(self.steps[None], (ops.shape(scores)[0], *self.steps.shape))
        return ops.concatenate([scores, ops.cast(rows, scores.dtype)], axis=1)

    def compute_output_shape(self, scores_shape: Any) -> Any:
        """Longer by the steps."""
        batch, length, tags = scores_shape
        return (batch, None if length is None else length + tags + 2, tags)


@keras.saving.register_keras_serializable("tfvertical")
class Neighbours(keras.layers.Layer):
    """A convolution over three positions of `(batch, length, width)`, added to what stands there, and normalized.

    Padding is seen as zeros, so that what comes out of a text does not depend on how far it is padded.

    Args:
        distance: of the positions before and behind from the one between (a dilated convolution; Yu and Koltun 2016).
        seed: of the first weights.
    """

    def __init__(self, distance: int = 1, seed: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.distance, self.seed = distance, seed

    def build(self, states_shape: Any, padding_mask_shape: Any) -> None:
        """One kernel for all three positions: products of matrices are faster than convolutions of one dimension."""
        width = states_shape[-1]
        first, dtype = keras.initializers.GlorotUniform(seed=self.seed), self.dtype_policy
        self.products = keras.layers.Dense(
            width, keras.activations.gelu, kernel_initializer=first, dtype=dtype, name=f"{self.name}_products"
        )
        self.products.build((*states_shape[:-1], 3 * width))
        self.unit = keras.layers.LayerNormalization(epsilon=1e-6, dtype=dtype, name=f"{self.name}_unit")
        self.unit.build(states_shape)

    def call(self, states: Any, padding_mask: Any) -> Any:
        """The same shape as `states`."""
        seen = states * ops.expand_dims(ops.cast(padding_mask, states.dtype), -1)
        far, length = self.distance, ops.shape(seen)[1]
        wide = ops.pad(seen, [[0, 0], [far, far], [0, 0]])
        three = ops.concatenate([wide[:, :length], seen, wide[:, 2 * far :]], axis=-1)
        return self.unit(states + self.products(three))

    def compute_output_shape(self, states_shape: Any, padding_mask_shape: Any) -> Any:
        """That of the states."""
        return states_shape

    def get_config(self) -> dict[str, Any]:
        """Plain values."""
        return super().get_config() | {"distance": self.distance, "seed": self.seed}


def mask_of(inputs: Mapping[str, Any], user: str = "pooling", fix: str = "see tfvertical.backbones.around") -> Any:
    """Which positions of a text are no padding. Raises ConfigError where the backbone has no such input (FNet)."""
    if "padding_mask" not in inputs:
        raise ConfigError(
            f"The backbone has no input `padding_mask`, which {user} needs.", received=", ".join(inputs), fix=fix
        )
    return inputs["padding_mask"]


TEXT_HEAD = ("pooling", "normalize", "hidden", "dropout", "seed")  # options of `text_head`
IMAGE_HEAD = TEXT_HEAD
Answer = Callable[[Any], Any]  # symbolic numbers `(batch, outputs)` to what the head gives of them
TEXT_POOLINGS = (*POOLS, "attention")
IMAGE_POOLINGS = ("mean", "max")


def text_head(
    states: Any,
    outputs: int,
    *,
    pooling: str,
    normalize: bool,
    hidden: Sequence[int],
    dropout: float,
    seed: int,
    answer: Answer = lambda numbers: numbers,
) -> keras.Model:
    """A functional head on token states; inputs are the states and the mask.

    Args:
        states: symbolic `(batch, length, width)`, for its width and dtype: with another one, the frontier could not lie
            inside the head.
        outputs: how many numbers come out.
        pooling: one of `TEXT_POOLINGS`.
        normalize: bring each pooled vector to one length (the square root of its width, so that a feature is about 1).
        hidden: widths of hidden layers (GELU) between pooling and output.
        dropout: share of features dropped before each dense layer while training.
        seed: of the first weights.
        answer: layers behind the linear one.
    """
    _check("pooling", pooling, TEXT_POOLINGS)
    inputs = [
        keras.Input((None, states.shape[-1]), dtype=states.dtype, name="states"),
        keras.Input((None,), dtype="int32", name="mask"),
    ]
    layer = AttentionPooling(name="pool") if pooling == "attention" else MaskedPooling(pooling, name="pool")
    pooled = _normalized(layer(*inputs)) if normalize else layer(*inputs)
    return keras.Model(inputs, answer(_dense(pooled, outputs, hidden, dropout, seed)), name="head")


def compared_head(
    states: Any,
    outputs: int,
    *,
    pooling: str,
    normalize: bool,
    hidden: Sequence[int],
    dropout: float,
    seed: int,
    answer: Answer = lambda numbers: numbers,
) -> keras.Model:
    """A functional head on the token states of two texts that were read apart.

    Each becomes a vector as by `text_head`, whose arguments these are; the linear layer sees both, their distance by
    feature, and their product (Reimers and Gurevych 2019, and the product). Inputs are states and mask of the first,
    then those of the second.
    """
    _check("pooling", pooling, TEXT_POOLINGS)
    inputs = []
    for side in ("first", "second"):
        inputs.append(keras.Input((None, states.shape[-1]), dtype=states.dtype, name=f"{side}_states"))
        inputs.append(keras.Input((None,), dtype="int32", name=f"{side}_mask"))
    layer = AttentionPooling(name="pool") if pooling == "attention" else MaskedPooling(pooling, name="pool")
    first, second = layer(*inputs[:2]), layer(*inputs[2:])
    if normalize:
        unit = keras.layers.UnitNormalization(name="unit")
        scale = keras.layers.Rescaling(math.sqrt(states.shape[-1]), name="scale")
        first, second = scale(unit(first)), scale(unit(second))
    seen = Compared(name="compared")(first, second)
    return keras.Model(inputs, answer(_dense(seen, outputs, hidden, dropout, seed)), name="head")


def token_head(
    states: Any,
    outputs: int,
    *,
    hidden: Sequence[int],
    dropout: float,
    seed: int,
    answer: Answer = lambda numbers: numbers,
    bias: bool = True,
    convolutions: int = 0,
) -> keras.Model:
    """A functional head on each token state; arguments as for `text_head`.

    Without `bias` where positions compete with each other: what is added to all of them changes nothing, and only
    rounding would move it. `convolutions` are layers of `Neighbours` between the hidden layers and the output, each
    twice as far apart as the one before, dropout before each; with any, the mask is a second input.
    """
    if not 0 <= convolutions <= 10:
        raise ConfigError(f"convolutions is {convolutions}.", expected="0 to 10; the tenth reaches 512 positions away")
    seen = keras.Input((None, states.shape[-1]), dtype=states.dtype, name="states")
    mask = keras.Input((None,), dtype="int32", name="mask")
    between = [
        Neighbours(2**at, seed + 100 + at, dtype="float32", name=f"neighbours_{at}") for at in range(convolutions)
    ]
    inputs = [seen, mask] if between else seen
    return keras.Model(inputs, answer(_dense(seen, outputs, hidden, dropout, seed, bias, between, mask)), name="head")


def image_head(
    features: Any,
    outputs: int,
    *,
    pooling: str,
    normalize: bool,
    hidden: Sequence[int],
    dropout: float,
    seed: int,
    answer: Answer = lambda numbers: numbers,
) -> keras.Model:
    """A functional head on a feature map `(batch, rows, columns, channels)` or on vectors `(batch, channels)`.

    Arguments as for `text_head`; `pooling` is one of `IMAGE_POOLINGS`.
    """
    _check("pooling", pooling, IMAGE_POOLINGS)
    inputs = keras.Input(features.shape[1:], dtype=features.dtype, name="features")
    pooled = inputs
    if len(features.shape) == 4:
        kinds = {"mean": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}
        pooled = kinds[pooling](name="pool")(inputs)
    if normalize:
        pooled = _normalized(pooled)
    return keras.Model(inputs, answer(_dense(pooled, outputs, hidden, dropout, seed)), name="head")


def _normalized(vectors: Any) -> Any:
    unit = keras.layers.UnitNormalization(name="unit")(vectors)
    return keras.layers.Rescaling(math.sqrt(vectors.shape[-1]), name="scale")(unit)


def widths(hidden: Sequence[int]) -> list[int]:
    """`hidden` as a list. Raises ConfigError where it is none of whole numbers.

    Example:
        >>> widths((256, 64))
        [256, 64]
    """
    listed = isinstance(hidden, Iterable) and not isinstance(hidden, str)
    if not listed or not all(isinstance(width, Integral) for width in hidden):
        one = isinstance(hidden, Integral) and not isinstance(hidden, bool)
        raise ConfigError(
            f"hidden is {hidden!r}.",
            expected="the widths of hidden layers, a list of whole numbers",
            fix=f"hidden=[{hidden}]" if one else None,
        )
    return list(hidden)


def _dense(
    x: Any,
    outputs: int,
    hidden: Sequence[int],
    dropout: float,
    seed: int,
    bias: bool = True,
    between: Sequence[Neighbours] = (),
    mask: Any = None,
) -> Any:
    if not 0 <= dropout < 1:
        raise ConfigError(f"dropout is {dropout}.", expected="0 or more, below 1")
    if any(width < 1 for width in hidden):
        raise ConfigError(f"hidden is {list(hidden)}.", expected="widths of 1 or more")
    for at, width in enumerate([*hidden, outputs]):
        for layer in between if at == len(hidden) else ():
            if dropout:
                x = keras.layers.Dropout(dropout, seed=layer.seed, name=f"dropout_before_{layer.name}")(x)
            x = layer(x, mask)
        if dropout:
            x = keras.layers.Dropout(dropout, seed=seed + at, name=f"dropout_before_{at}")(x)
        first = keras.initializers.GlorotUniform(seed=seed + at)
        last = at == len(hidden)
        name = "logits" if last else f"hidden_{at}"
        dense = keras.layers.Dense(
            width,
            None if last else "gelu",
            use_bias=bias or not last,
            kernel_initializer=first,
            dtype="float32",
            name=name,
        )
        x = dense(x)
    return x


def _check(option: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ConfigError(
            f"There is no {option} {value!r}.", expected="one of " + ", ".join(known), nearest=nearest(value, known)
        )
