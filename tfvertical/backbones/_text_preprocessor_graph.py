"""The graph's twin of `codecs/text.py`, and the packing of token ids into batches, in TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfvertical.codecs.text import Normalizer, table


def normalize(texts: tf.Tensor, normalizer: Normalizer) -> tf.Tensor:
    """UTF-8 strings `(batch,)` normalized, exactly as `normalizer` does it, but for repeated spaces.

    Bytes that are no UTF-8 are dropped, as they are by Python's decoder with `errors="ignore"`.
    """
    known = table(normalizer)
    codes = tf.strings.unicode_decode(texts, "UTF-8", errors="replace", replacement_char=0xFFFD)
    code = codes.flat_values
    page = tf.gather(known.pages, tf.bitwise.right_shift(code, 8))
    entry = tf.gather(known.codes, page * 256 + tf.bitwise.bitwise_and(code, 255))
    kind, value = tf.bitwise.bitwise_and(entry, 3), tf.bitwise.right_shift(entry, 2)

    width = known.extras.shape[1]
    nothing = tf.fill(tf.shape(code), -1)
    space = tf.where(kind == 2, 32, nothing)
    moved = tf.where(kind == 0, code + value, space)
    plain = tf.stack([moved, tf.where(kind == 2, code + value, nothing), space] + [nothing] * (width - 3), axis=1)
    special = tf.gather(known.extras, tf.where(kind == 3, value, 0))
    replaced = tf.where((kind == 3)[:, None], special, plain)

    present = replaced >= 0
    ends = tf.cumsum(tf.reduce_sum(tf.cast(present, tf.int64), axis=1))
    splits = tf.gather(tf.concat([[0], ends], axis=0), codes.row_splits)
    kept = tf.RaggedTensor.from_row_splits(tf.boolean_mask(replaced, present), splits, validate=False)
    return tf.strings.unicode_encode(kept, "UTF-8")


def pack(
    pieces: tf.RaggedTensor, start: Sequence[int], end: Sequence[int], length: int, pad_id: int, fixed: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """Token ids cut to `length` with their special tokens, padded to the batch's longest or `fixed`ly to `length`.

    Returns:
        int32 ids `(batch, tokens)` and their bool mask.
    """
    pieces = tf.cast(pieces[:, : length - len(start) - len(end)], tf.int32)
    rows = pieces.nrows()

    def around(ids: Sequence[int]) -> tf.RaggedTensor:
        return tf.RaggedTensor.from_tensor(tf.tile(np.array([ids], np.int32), [rows, 1]))

    whole = tf.concat([around(ids) for ids in (start,) if ids] + [pieces] + [around(ids) for ids in (end,) if ids], 1)
    ids = whole.to_tensor(pad_id, shape=(None, length if fixed else None))
    mask = tf.sequence_mask(whole.row_lengths(), tf.shape(ids)[1])
    return ids, mask


def model_inputs(names: Sequence[str], ids: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
    """What a backbone with inputs of these names takes, all int32."""
    made = {"token_ids": ids, "padding_mask": tf.cast(mask, tf.int32), "segment_ids": tf.zeros_like(ids)}
    return {name: made[name] for name in names}
