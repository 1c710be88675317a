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
    whole = tf.concat([_same(start, rows), pieces, _same(end, rows)], axis=1)
    ids = whole.to_tensor(pad_id, shape=(None, length if fixed else None))
    mask = tf.sequence_mask(whole.row_lengths(), tf.shape(ids)[1])
    return ids, mask


def pack_pairs(
    pieces: tuple[tf.RaggedTensor, tf.RaggedTensor],
    start: Sequence[int],
    between: Sequence[int],
    end: Sequence[int],
    length: int,
    pad_id: int,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Two texts a row in one sequence of at most `length`, cut as `codecs.pairs.fitted` does, padded to the longest.

    Returns:
        int32 ids `(batch, tokens)`, their bool mask, and int32 segments: 1 from the second text on, 0 for padding.
    """
    room = length - len(start) - len(between) - len(end)
    half = room // 2
    firsts, seconds = (each.row_lengths() for each in pieces)
    first = _cut(pieces[0], tf.minimum(firsts, tf.maximum(room - seconds, room - half)))
    second = _cut(pieces[1], tf.minimum(seconds, tf.maximum(room - firsts, half)))
    rows = first.nrows()
    parts = [_same(start, rows), first, _same(between, rows), second, _same(end, rows)]
    whole = tf.concat(parts, axis=1)
    ids = whole.to_tensor(pad_id)
    width = tf.shape(ids, tf.int64)[1]
    mask = tf.sequence_mask(whole.row_lengths(), width)
    begins = first.row_lengths() + len(start) + len(between)
    return ids, mask, tf.cast(mask & (tf.range(width)[None] >= begins[:, None]), tf.int32)


def _cut(pieces: tf.RaggedTensor, lengths: tf.Tensor) -> tf.RaggedTensor:
    """The first `lengths` int64 `(batch,)` pieces of each row, none of which has fewer."""
    before = pieces.row_lengths()
    kept = tf.ragged.range(before).values < tf.repeat(lengths, before)
    return tf.RaggedTensor.from_row_lengths(tf.boolean_mask(tf.cast(pieces.values, tf.int32), kept), lengths)


def _same(ids: Sequence[int], rows: tf.Tensor) -> tf.RaggedTensor:
    """The same ids in each of so many rows, int32."""
    made = np.array([ids], np.int32).reshape(1, len(ids))
    return tf.RaggedTensor.from_tensor(tf.tile(made, [rows, 1]))


def model_inputs(
    names: Sequence[str], ids: tf.Tensor, mask: tf.Tensor, segments: tf.Tensor | None = None
) -> dict[str, tf.Tensor]:
    """What a backbone with inputs of these names takes, all int32."""
    made = {
        "token_ids": ids,
        "padding_mask": tf.cast(mask, tf.int32),
        "segment_ids": tf.zeros_like(ids) if segments is None else segments,
    }
    return {name: made[name] for name in names}
