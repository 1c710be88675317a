"""Chains of tags: how much a model likes each tag, and each step from one tag to the next (Lafferty et al. 2001).

Outputs are `(batch, length + tags + 2, tags)`: the tags' scores at each position, and below them those of the steps,
alike for every example: a row for each tag before, then one for the first tag, then one for the last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

Gradient = Callable[[tf.Tensor], tuple[tf.Tensor, ...]]
_LEAST = 1e-37  # a share of which there is a logarithm


class Chain(NamedTuple):
    """The labelled positions of a batch, one after the other.

    Args:
        scores: float32 `(batch, length, tags)`.
        tags: int32 `(batch, length)`, the true ones; 0 where `counted` is false.
        counted: bool `(batch, length)`; true for a row's first positions.
        between: float32 `(tags, tags)`, of a step from the row's tag to the column's.
        first: float32 `(tags,)`.
        last: float32 `(tags,)`.
    """

    scores: tf.Tensor
    tags: tf.Tensor
    counted: tf.Tensor
    between: tf.Tensor
    first: tf.Tensor
    last: tf.Tensor


def chain(outputs: tf.Tensor, labels: tf.Tensor) -> Chain:
    """A model's outputs and tag ids `(batch, length)`, -1 for none, as a chain of those that are labelled.

    Pieces that answer for no word lie between those that do; here they stand behind all others.
    """
    labels, tags = tf.cast(labels, tf.int32), outputs.shape[-1]
    order = tf.argsort(tf.cast(labels < 0, tf.int32), axis=1, stable=True)
    outputs = tf.cast(outputs, tf.float32)
    steps = outputs[0, -(tags + 2) :]
    scores = tf.gather(outputs[:, : -(tags + 2)], order, axis=1, batch_dims=1)
    true = tf.gather(labels, order, axis=1, batch_dims=1)
    return Chain(scores, tf.maximum(true, 0), true >= 0, steps[:-2], steps[-2], steps[-1])


def log_likelihood(of: Chain) -> tf.Tensor:
    """The logarithm of the probability of the true tags, all together: float32 `(batch,)`, 0 where there are none."""
    counted = tf.cast(of.counted, tf.float32)
    count = tf.reduce_sum(tf.cast(of.counted, tf.int32), axis=1)
    here = tf.reduce_sum(tf.gather(of.scores, of.tags, batch_dims=2) * counted, axis=1)
    pairs = tf.stack([of.tags[:, :-1], of.tags[:, 1:]], axis=-1)
    steps = tf.reduce_sum(tf.gather_nd(of.between, pairs) * counted[:, 1:], axis=1)
    final = tf.gather(of.tags, tf.maximum(count - 1, 0), batch_dims=1)
    ends = tf.gather(of.first, of.tags[:, 0]) + tf.gather(of.last, final)

    found = here + steps + ends - _log_total(of, count)
    return tf.where(count > 0, found, 0.0)


def _log_total(of: Chain, count: tf.Tensor) -> tf.Tensor:
    """The logarithm of the sum over all tags that a row could have: float32 `(batch,)`; anything where it has none.

    Its gradients are the tags' probabilities, which a walk from both ends at once gives (Rabiner 1989): that takes a
    third of the time of walking once and having TensorFlow walk back. Each step begins with 0 for the best tag, so that
    long rows are as exact as short ones.
    """
    ends = tf.maximum(count, 1)

    @tf.custom_gradient
    def total(scores: tf.Tensor, between: tf.Tensor, first: tf.Tensor, last: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        both = tf.stack([scores, tf.reverse_sequence(scores, ends, seq_axis=1, batch_axis=0)])
        steps = tf.stack([between, tf.transpose(between)])[:, None]
        best_step = tf.reduce_max(steps, axis=-2, keepdims=True)
        share = tf.exp(steps - best_step)

        def follow(before: tf.Tensor, now: tf.Tensor) -> tf.Tensor:
            so_far = tf.exp(before - tf.reduce_max(before, axis=-1, keepdims=True))
            return tf.math.log(tf.maximum(tf.reduce_sum(so_far[..., None] * share, axis=-2), _LEAST)) + now

        begun = tf.stack([first, last])[:, None] + both[:, :, 0]
        later = tf.pad(both[:, :, 1:] + best_step, [[0, 0], [0, 0], [0, 1], [0, 0]])  # an empty scan cannot be stacked
        reached = tf.scan(follow, tf.transpose(later, [2, 0, 1, 3]), begun)
        forth, back = tf.unstack(tf.transpose(tf.concat([begun[None], reached[:-1]], 0), [1, 2, 0, 3]))
        back = tf.reverse_sequence(back, ends, seq_axis=1, batch_axis=0)
        taken = tf.where(of.counted[:, 1:], tf.reduce_max(forth[:, :-1], axis=-1), 0.0)
        ended = tf.reduce_logsumexp(tf.gather(forth, ends - 1, batch_dims=1) + last, axis=1)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
            here = tf.cast(of.counted, tf.float32) * upstream[:, None]
            logs = tf.where(tf.math.is_inf(forth), forth, forth + back - scores)  # a tag may be ruled out by -inf
            tags = tf.nn.softmax(logs) * here[..., None]
            pairs = forth[:, :-1, :, None] + between + back[:, 1:, None, :]
            pairs = tf.exp(pairs - tf.reduce_logsumexp(pairs, [2, 3], keepdims=True)) * here[:, 1:, None, None]
            final = tf.gather(tags, ends - 1, batch_dims=1)
            return tags, tf.reduce_sum(pairs, [0, 1]), tf.reduce_sum(tags[:, 0], 0), tf.reduce_sum(final, 0)

        return tf.reduce_sum(taken, axis=1) + ended, gradient

    return total(of.scores, of.between, of.first, of.last)


def best(of: Chain) -> tf.Tensor:
    """The most probable tags, int32 `(batch, length)` in the chain's order; 0 where it does not count (Viterbi)."""
    rows, tags = tf.shape(of.tags)[0], of.scores.shape[-1]

    def follow(before: tuple[tf.Tensor, tf.Tensor], now: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        (total, _), (scores, counts) = before, now
        reached = total[:, :, None] + of.between
        here = counts[:, None]
        came = tf.where(here, tf.argmax(reached, axis=1, output_type=tf.int32), tf.range(tags))
        return tf.where(here, tf.reduce_max(reached, axis=1) + scores, total), came

    later = tf.transpose(of.scores[:, 1:], [1, 0, 2]), tf.transpose(of.counted[:, 1:])
    start = of.first + of.scores[:, 0], tf.zeros((rows, tags), tf.int32)
    totals, came = tf.scan(follow, later, start)
    final = tf.concat([start[0][None], totals], axis=0)[-1] + of.last

    def back(after: tf.Tensor, came_from: tf.Tensor) -> tf.Tensor:
        return tf.gather(came_from, after, batch_dims=1)

    last = tf.argmax(final, axis=1, output_type=tf.int32)
    found = tf.concat([tf.scan(back, came, last, reverse=True), last[None]], axis=0)
    return tf.where(of.counted, tf.transpose(found), 0)
