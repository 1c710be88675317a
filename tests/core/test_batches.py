"""Which examples go into which batch: each once an epoch, in an order that seed and epoch alone decide."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core import tiny
from tfvertical import batches
from tfvertical.columns import Dense, Ragged
from tfvertical.contracts import Encoded
from tfvertical.errors import DataError

LENGTHS = st.lists(st.integers(1, 700), min_size=0, max_size=60)


def encoded(lengths: list[int]) -> Encoded:
    """Example `i` is `lengths[i]` times the number `i + 1`, and so is its label."""
    rows = [np.full(length, at + 1, np.int32) for at, length in enumerate(lengths)]
    count = np.arange(len(lengths))
    weights = np.ones(len(lengths), np.float32)
    return Encoded({"ids": Ragged.of(rows)}, np.array(lengths, np.int64), count, (count + 1).astype(np.int32), weights)


def takes_ids() -> keras.Model:
    inputs = keras.Input((None,), dtype="int32", name="ids")
    return keras.Model(inputs, keras.ops.sum(inputs, axis=1))


def epochs(data, steps: int, count: int) -> list[list[tuple]]:
    found = iter(data)
    return [[next(found) for _ in range(steps)] for _ in range(count)]


@given(st.integers(1, 5000))
def test_buckets_hold_their_lengths_and_no_bucket_more(length):
    size = batches.bucket(length)
    step = 8 if length <= 64 else 16 if length <= 128 else 32 if length <= 256 else 64
    assert length <= size < length + step and size % 8 == 0
    assert batches.bucket(size) == size


def test_buckets_are_few():
    assert len({batches.bucket(length) for length in range(1, 513)}) == 8 + 4 + 4 + 4


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 9), st.one_of(st.none(), st.integers(0, 3)), st.booleans())
def test_each_example_is_in_one_batch(lengths, batch_size, seed, have_lengths):
    order = np.random.default_rng(0).permutation(len(lengths))
    given_lengths = np.array(lengths, np.int64) if have_lengths else None
    plan = batches.plan(given_lengths, order, batch_size, seed)
    assert sorted(np.concatenate([[], *plan]).tolist()) == list(range(len(lengths)))
    assert len(plan) == -(-len(lengths) // batch_size)
    assert sum(len(rows) < batch_size for rows in plan) <= 1


@given(st.integers(0, 200), st.integers(1, 3))
def test_pools_cut_no_batch_short(count, batch_size):
    """More examples than a pool holds: still as many batches as if there were none."""
    lengths = np.random.default_rng(count).integers(1, 50, count)
    assert len(batches.plan(lengths, np.arange(count), batch_size, 1)) == -(-count // batch_size)


def test_grouping_pads_less_than_chance():
    lengths = np.random.default_rng(0).integers(1, 128, 1000)
    padded = lambda plan: sum(len(rows) * batches.bucket(int(lengths[rows].max())) for rows in plan)  # noqa: E731
    order = np.random.default_rng(1).permutation(1000)
    chance = [order[at : at + 16] for at in range(0, 1000, 16)]
    grouped = batches.plan(lengths, order, 16, 0)
    assert padded(grouped) < 0.7 * padded(chance)
    assert padded(grouped) < 1.15 * lengths.sum() + 1000 * 8


def test_batches_do_not_come_sorted():
    lengths = np.arange(1, 641)
    plan = batches.plan(lengths, np.random.default_rng(0).permutation(640), 8, 0)
    longest = [int(lengths[rows].max()) for rows in plan]
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.3


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=30), st.integers(1, 7), st.integers(0, 2), st.integers(0, 2))
def test_training_sees_each_example_once_an_epoch_whole_and_barely_padded(lengths, batch_size, seed, first):
    data, steps = batches.training_set(encoded(lengths), takes_ids(), batch_size, seed, first)
    for epoch in epochs(data, steps, 2):
        seen = []
        for inputs, labels, weights in epoch:
            ids = np.asarray(keras.tree.flatten(inputs)[0])
            assert ids.shape[1] == max(lengths[label - 1] for label in labels.numpy())
            for row, label in zip(ids, labels.numpy(), strict=True):
                own = row[row == label]
                assert len(own) == lengths[label - 1] and not row[len(own) :].any()
            seen += labels.numpy().tolist()
            assert weights.numpy().tolist() == [1.0] * len(labels)
        assert sorted(seen) == list(range(1, len(lengths) + 1))


def order_of(seed: int, epoch: int, count: int = 40) -> list[int]:
    lengths = np.random.default_rng(7).integers(1, 30, count).tolist()
    data, steps = batches.training_set(encoded(lengths), takes_ids(), 4, seed, epoch)
    (first,) = epochs(data, steps, 1)
    return [label for _, labels, _ in first for label in labels.numpy().tolist()]


def test_order_is_a_function_of_seed_and_epoch():
    assert order_of(0, 3) == order_of(0, 3)
    assert len({tuple(order_of(seed, epoch)) for seed in (0, 1, 2) for epoch in (0, 1, 2)}) == 9


def test_an_epoch_is_the_same_whichever_epoch_the_run_began_with():
    lengths = np.random.default_rng(7).integers(1, 30, 40).tolist()
    data, steps = batches.training_set(encoded(lengths), takes_ids(), 4, 5, 0)
    third = epochs(data, steps, 3)[2]
    assert [label for _, labels, _ in third for label in labels.numpy().tolist()] == order_of(5, 2)


def test_epochs_differ_in_grouping_and_in_the_order_of_batches():
    """Were batches shuffled by the same generator each epoch, the first would hold texts of one length always."""
    lengths = np.random.default_rng(7).integers(1, 30, 400)
    positions = []
    for epoch in range(6):
        order = np.random.default_rng([0, epoch]).permutation(400)
        plan = batches.plan(lengths, order, 8, epoch)
        positions.append(int(np.argmax([lengths[rows].max() for rows in plan])))
    assert len(set(positions)) > 2


def test_augmentation_is_told_the_epoch():
    told = []

    def transform(examples: Encoded, epoch: int) -> Encoded:
        told.append(epoch)
        return examples

    data, steps = batches.training_set(encoded([3, 4, 5]), takes_ids(), 2, 0, 7, transform)
    epochs(data.prefetch(0), steps, 2)
    assert told[:2] == [7, 8]


def test_validation_ends_and_holds_everything_once():
    lengths = [5, 1, 30, 2, 9]
    data = batches.validation_set(encoded(lengths), takes_ids(), 2)
    assert int(data.cardinality()) == 3
    assert sorted(label for _, labels, _ in data for label in labels.numpy().tolist()) == [1, 2, 3, 4, 5]


def test_unlabelled_examples_cannot_train():
    examples = Encoded({"ids": Ragged.of([np.ones(2, np.int32)])}, np.array([2]), np.arange(1), None, np.ones(1, "f4"))
    with pytest.raises(DataError, match="need labels"):
        batches.training_set(examples, takes_ids(), 2, 0, 0)
    with pytest.raises(DataError, match="need labels"):
        batches.validation_set(examples, takes_ids(), 2)


def test_inference_gives_each_row_its_own_output_whatever_the_structure_of_the_inputs():
    lengths = [3, 17, 1, 9, 9]
    examples = encoded(lengths)
    found = np.zeros(5)
    for rows, (output,) in batches.infer(takes_ids(), examples, 2):
        found[rows] = output
    assert found.tolist() == [length * (at + 1) for at, length in enumerate(lengths)]


@pytest.mark.parametrize("structure", ["list", "dict", "one"])
def test_inputs_are_arranged_as_the_model_takes_them(structure):
    one, other = keras.Input((2,), name="one"), keras.Input((2,), name="other")
    inputs = {"list": [other, one], "dict": {"one": one, "other": other}, "one": one}[structure]
    output = one[:, 0] if structure == "one" else one[:, 0] - other[:, 0]
    model = keras.Model(inputs, output)
    columns = {"one": Dense(np.full((3, 2), 5.0)), "other": Dense(np.full((3, 2), 2.0))}
    examples = Encoded(columns, None, np.arange(3), np.arange(3).astype("int32"), np.ones(3, "float32"))
    expected = [5.0] * 3 if structure == "one" else [3.0] * 3
    ((_, (found,)),) = batches.infer(model, examples)
    assert found.tolist() == expected
    (first, _, _) = next(iter(batches.validation_set(examples, model, 3)))
    assert np.asarray(model(list(first) if isinstance(first, tuple) else first)).tolist() == expected


# ---------------------------------------------------------------------------------------------------------- columns
@given(st.lists(st.lists(st.integers(-100, 100), max_size=6), max_size=8), st.data())
def test_ragged_rows_come_back_exactly(rows, data):
    column = Ragged.of([np.array(row, np.int32) for row in rows], pad=-7)
    assert len(column) == len(rows) and column.lengths.tolist() == [len(row) for row in rows]
    at = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=5)) if rows else []
    longest = max((len(rows[i]) for i in at), default=0)
    width = data.draw(st.sampled_from([None, longest, longest + 3]))
    taken = column.take(np.array(at, np.int64), width)
    assert taken.dtype == np.int32 and taken.shape == (len(at), longest if width is None else width)
    for row, i in zip(taken, at, strict=True):
        assert row.tolist() == rows[i] + [-7] * (len(row) - len(rows[i]))


def test_ragged_vectors():
    rows = [np.random.default_rng(n).normal(size=(n, 4)).astype("float32") for n in (3, 0, 5)]
    taken = Ragged.of(rows).take(np.array([2, 1, 0]), 8)
    assert taken.shape == (3, 8, 4) and np.array_equal(taken[0, :5], rows[2]) and not taken[1].any()


def test_the_padded_length_never_exceeds_what_the_preprocessor_allows():
    """A backbone of 30 positions has no 31st, though 30 tokens are in the bucket of 32."""
    task = tiny.TextClassifier(tiny.text_backbone(length=30, longest=30), tiny.LABELS)
    long = tiny.labelled(["the card never came " * 20, "good"], None)
    assert task.scores(long).shape == (2, 2)


def test_only_inputs_that_differ_in_length_are_grouped_by_it():
    lengths = np.random.default_rng(0).integers(1, 50, 64)
    grouped = batches.epoch(encoded(lengths), 8, 0, 3)
    assert max(np.ptp(lengths[rows]) for rows in grouped) < 20
    texts = tiny.text_task().encode(tiny.texts(64, seed=1))
    told = [batches.epoch(texts, 8, 0, 3, asked) for asked in (None, True, False)]
    assert [rows.tolist() for rows in told[0]] == [rows.tolist() for rows in told[1]]
    assert [rows.tolist() for rows in told[0]] != [rows.tolist() for rows in told[2]]
    same = replace(encoded(lengths), columns={"x": Dense(np.zeros((64, 2), np.float32))})
    plain = batches.epoch(same, 8, 0, 3)
    assert np.concatenate(plain).tolist() == np.random.default_rng([0, 3]).permutation(64).tolist()
    for asked, want in ((True, grouped), (False, plain)):
        found = batches.epoch(same if asked else encoded(lengths), 8, 0, 3, grouped=asked)
        assert [rows.tolist() for rows in found] == [rows.tolist() for rows in want]


def test_no_dataset_of_ours_is_tuned():
    """Letting go of an iterator would wait for the tuner's thread, up to a second."""
    task = tiny.text_task()
    encoded = task.encode(tiny.texts(10))
    training, _ = batches.training_set(encoded, task.model, 4, 0, 0)
    for dataset in (training, batches.validation_set(encoded, task.model, 4)):
        assert dataset.options().autotune.enabled is False
