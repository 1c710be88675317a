"""GELU, layer normalization, dropout and Adam's step in one pass over memory each, compiled by XLA.

TensorFlow computes them on a processor as a dozen operations forth and two dozen back, each of which reads and writes
the whole array: of a training step of MiniLM in bfloat16 that is a third of the time. XLA makes a loop of each, but
compiles it for every shape: rows are filled up to a multiple of `TILE`, so that a run sees a few shapes only.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import tensorflow as tf

TILE = 256  # rows: with fewer there are more shapes to compile, with more there is more to fill up
_CUBIC = 0.044715  # of the tanh form (Hendrycks and Gimpel 2016), and twice the root of 2/pi
_SLOPE = 2 * math.sqrt(2 / math.pi)

_compiled = functools.partial(tf.function, jit_compile=True, autograph=False)


def gelu(inputs: Any, approximate: bool = False) -> Any:
    """The Gaussian error linear unit of a matrix; in float32 within, whatever its dtype.

    Args:
        inputs: floating `(rows, columns)`.
        approximate: in the tanh form.

    Example:
        >>> gelu(tf.constant([[-1.0, 0.0, 1.0]])).numpy().round(4).tolist()
        [[-0.15870000422000885, 0.0, 0.8413000106811523]]
    """
    forth, back = (_tanh_form, _tanh_form_back) if approximate else (_erf_form, _erf_form_back)

    @tf.custom_gradient
    def passed(given: Any) -> Any:
        filled = _filled(given)
        return _cut(forth(filled), given), lambda upstream: _cut(back(filled, _filled(upstream)), given)

    return passed(inputs)


def normalize(inputs: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
    """Each row of a matrix at mean 0 and variance 1, then scaled and moved; in float32 within.

    Args:
        inputs: floating `(rows, columns)`.
        gamma: float32 `(columns,)`.
        beta: float32 `(columns,)`.
        epsilon: beside the variance.
    """

    @tf.custom_gradient
    def passed(given: Any, scale: Any, offset: Any) -> Any:
        filled = _filled(given)
        found, mean, deviation = _normalized(filled, scale, offset, epsilon)

        def back(upstream: Any) -> tuple[Any, Any, Any]:
            of_rows, of_scale, of_offset = _normalized_back(filled, scale, mean, deviation, _filled(upstream))
            return _cut(of_rows, given), of_scale, of_offset

        return _cut(found, given), back

    numbers = [tf.identity(each) for each in (gamma, beta)]  # a variable has no gradient that is given here
    return passed(inputs, *numbers)


def biased(products: Any, bias: Any) -> Any:
    """A bias added to each row; its gradient is a product with ones, where TensorFlow's own sum takes twice as long.

    Args:
        products: floating `(rows, columns)`.
        bias: `(columns,)`, of the same dtype.
    """

    @tf.custom_gradient
    def passed(given: Any, offset: Any) -> Any:
        def back(upstream: Any) -> tuple[Any, Any]:
            ones = tf.ones((1, tf.shape(upstream)[0]), upstream.dtype)
            return upstream, tf.reshape(ones @ upstream, (-1,))

        return tf.nn.bias_add(given, offset), back

    return passed(products, bias)


def dropout(inputs: Any, rate: float, seed: Any) -> Any:
    """Numbers of which a share is 0, the others larger by as much (Srivastava et al. 2014).

    Which ones follows from `seed` and where they stand, by a hash (Wellons 2018) that is cheap enough to be taken again
    for the gradient: TensorFlow's generator takes as long as a product of matrices, and its draws are kept.

    Args:
        inputs: floating, of any shape.
        rate: the share, 0 to 1.
        seed: two integers, as a `keras.random.SeedGenerator` gives them.
    """
    key = tf.cast(seed, tf.uint32)
    limit = tf.constant(min(int(rate * 2**32), 2**32 - 1), tf.uint32)

    @tf.custom_gradient
    def passed(given: Any) -> Any:
        return _some(given, key, limit, rate), lambda upstream: _some(upstream, key, limit, rate)

    return passed(inputs)


def _some(given: Any, key: Any, limit: Any, rate: float) -> Any:
    count = tf.size(given)
    filled = tf.pad(tf.reshape(given, (-1,)), [[0, -count % TILE**2]])
    found = _dropped(tf.reshape(filled, (-1, TILE)), key, limit, tf.constant(1 / (1 - rate)))
    found = tf.reshape(tf.reshape(found, (-1,))[:count], tf.shape(given))
    found.set_shape(given.shape)
    return found


@_compiled
def adam(variable: Any, first: Any, second: Any, gradient: Any, numbers: Any) -> None:
    """Move a variable and its two moments by one step of AdamW.

    Args:
        variable: float32.
        first: the mean of gradients, a variable of that shape.
        second: the mean of their squares, likewise.
        gradient: of that shape.
        numbers: float32 `(6,)`: what the gradient is multiplied with (0 also where it is not finite), the rate with
            Adam's correction of its moments' beginning, weight decay, what each moment keeps, and epsilon.
    """
    scale, rate, decay, keep_first, keep_second, epsilon = tf.unstack(numbers)
    scaled = tf.math.multiply_no_nan(tf.cast(gradient, tf.float32), scale)
    mean = first + (scaled - first) * (1 - keep_first)
    square = second + (tf.square(scaled) - second) * (1 - keep_second)
    variable.assign(variable - variable * decay - rate * mean / (tf.sqrt(square) + epsilon))
    first.assign(mean)
    second.assign(square)


def _filled(rows: Any) -> Any:
    """Zeros below, which gives whole tiles. TensorFlow's own gradient of a cut fills up at a tenth of the speed."""
    return tf.pad(rows, [[0, -tf.shape(rows)[0] % TILE], [0, 0]])


def _cut(filled: Any, like: Any) -> Any:
    """As many rows as there were before."""
    found = filled[: tf.shape(like)[0]]
    found.set_shape(like.shape)
    return found


@_compiled
def _tanh_form(given: Any) -> Any:
    x = tf.cast(given, tf.float32)
    return tf.cast(x * tf.sigmoid(_SLOPE * (x + _CUBIC * x * x * x)), given.dtype)


@_compiled
def _tanh_form_back(given: Any, upstream: Any) -> Any:
    x, dy = tf.cast(given, tf.float32), tf.cast(upstream, tf.float32)
    gate = tf.sigmoid(_SLOPE * (x + _CUBIC * x * x * x))
    slope = gate + x * gate * (1 - gate) * _SLOPE * (1 + 3 * _CUBIC * x * x)
    return tf.cast(dy * slope, given.dtype)


@_compiled
def _erf_form(given: Any) -> Any:
    x = tf.cast(given, tf.float32)
    return tf.cast(0.5 * x * (1 + tf.math.erf(x / math.sqrt(2))), given.dtype)


@_compiled
def _erf_form_back(given: Any, upstream: Any) -> Any:
    x, dy = tf.cast(given, tf.float32), tf.cast(upstream, tf.float32)
    slope = 0.5 * (1 + tf.math.erf(x / math.sqrt(2))) + x * tf.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return tf.cast(dy * slope, given.dtype)


@_compiled
def _normalized(given: Any, gamma: Any, beta: Any, epsilon: float) -> tuple[Any, Any, Any]:
    x = tf.cast(given, tf.float32)
    mean = tf.reduce_mean(x, -1, keepdims=True)
    deviation = tf.math.rsqrt(tf.reduce_mean(tf.square(x - mean), -1, keepdims=True) + epsilon)
    return tf.cast((x - mean) * deviation * gamma + beta, given.dtype), mean, deviation


@_compiled
def _normalized_back(given: Any, gamma: Any, mean: Any, deviation: Any, upstream: Any) -> tuple[Any, Any, Any]:
    x, dy = tf.cast(given, tf.float32), tf.cast(upstream, tf.float32)
    normal, scaled = (x - mean) * deviation, dy * gamma
    centred = scaled - tf.reduce_mean(scaled, -1, keepdims=True)
    found = deviation * (centred - normal * tf.reduce_mean(scaled * normal, -1, keepdims=True))
    return tf.cast(found, given.dtype), tf.reduce_sum(dy * normal, 0), tf.reduce_sum(dy, 0)


@_compiled
def _dropped(given: Any, key: Any, limit: Any, scale: Any) -> Any:
    first = _hashed(key[0] + _hashed(key[1]))
    places = tf.cast(tf.reshape(tf.range(tf.size(given)), tf.shape(given)), tf.uint32)
    kept = _hashed(tf.bitwise.bitwise_xor(_hashed(places + first), key[1])) >= limit
    return tf.cast(tf.where(kept, tf.cast(given, tf.float32) * scale, 0.0), given.dtype)


def _hashed(x: Any) -> Any:
    """`lowbias32` of numbers uint32: each bit of what comes out depends on all that go in."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, tf.constant(shift, tf.uint32)))
        x *= tf.constant(factor, tf.uint32)
    return tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, tf.constant(16, tf.uint32)))
