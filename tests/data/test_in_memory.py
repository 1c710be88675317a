"""Arrays, data frames and tf.data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfvertical import data
from tfvertical.codecs import pixels
from tfvertical.codecs.tagging import Span
from tfvertical.errors import DataError

TEXTS, LABELS = ["one", "two", "three"], ["a", "b", "a"]
BROKEN = tf.data.Dataset.from_tensor_slices((TEXTS, [1.0, 2.0, float("nan")])).map(
    lambda x, y: (x, tf.debugging.check_numerics(y, "broken"))
)


@pytest.mark.parametrize(
    "value",
    [
        (TEXTS, LABELS),
        (tuple(TEXTS), tuple(LABELS)),
        (np.array(TEXTS), np.array(LABELS)),
        (np.array(TEXTS, object), LABELS),
        (pd.Series(TEXTS, index=[7, 8, 9]), pd.Series(LABELS)),
        (pd.array(TEXTS, dtype="string"), pd.Categorical(LABELS)),
        (pd.Series(TEXTS).astype("category"), pd.Index(LABELS)),
        (TEXTS, np.array(LABELS)[:, None]),
        pd.DataFrame({"label": LABELS, "text": TEXTS}),
        tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)),
        tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)).batch(2),
        tf.data.Dataset.from_tensor_slices({"text": TEXTS, "label": LABELS, "more": [1, 2, 3]}).batch(2),
    ],
    ids=[
        "lists",
        "tuples",
        "arrays",
        "objects",
        "series",
        "extension",
        "category",
        "column",
        "frame",
        "dataset",
        "batched",
        "dictionaries",
    ],
)
def test_forms_agree(value):
    examples = data.load(value)
    assert (list(examples.inputs), list(examples.labels)) == (TEXTS, LABELS)
    assert all(type(item) is str for item in [*examples.inputs, *examples.labels])
    assert [id.split(":")[1] for id in examples.ids] == ["0", "1", "2"]


def test_weights_come_third():
    for value in (
        (TEXTS, LABELS, [1, 2.5, 0]),
        tf.data.Dataset.from_tensor_slices((TEXTS, LABELS, [1, 2.5, 0])),
    ):
        weights = data.load(value).weights
        assert weights.dtype == np.float32 and weights.tolist() == [1, 2.5, 0]
    with pytest.raises(DataError, match="weight"):
        data.load((TEXTS, LABELS, [1, -1, float("nan")]))


def test_texts_alone_have_no_labels():
    for value in (TEXTS, (TEXTS, None), tf.data.Dataset.from_tensor_slices(TEXTS)):
        examples = data.load(value, label=None)
        assert examples.labels is None and list(examples.inputs) == TEXTS
        with pytest.raises(DataError, match="without labels"):
            data.load(value)


def test_pictures_as_arrays_and_bytes(pictures):
    x = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    examples = data.load((x, [0, 1, 0, 1]), kind="image", labels=["hat", "shoe"])
    assert list(examples.labels) == ["hat", "shoe"] * 2 and np.array_equal(examples.inputs[2], x[2])
    encoded = [path.read_bytes() for path in sorted(pictures.glob("*/*.jpg"))]
    assert data.load((encoded, [0, 1] * 3), kind="image").report.kept == 6
    assert data.load(tf.data.Dataset.from_tensor_slices((x, [0, 1, 0, 1])).batch(3), kind="image").report.kept == 4
    for grey in (x[..., 0], x[..., :1]):
        sliced = tf.data.Dataset.from_tensor_slices((grey, [0, 1, 0, 1]))
        for value in (sliced, sliced.batch(3)):
            found = data.load(value, kind="image")
            assert found.report.kept == 4 and np.array_equal(found.inputs[3], grey[3])
    with pytest.raises(DataError, match=r"arrays:0: .*float32"):
        data.load(((x / 255).astype(np.float32), [0, 1, 0, 1]), kind="image")


def test_pictures_of_floats_are_refused_with_the_cast_to_make():
    x = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    floats = tf.data.Dataset.from_tensor_slices((x.astype(np.float32), [0, 1, 0, 1])).batch(3)
    with pytest.raises(DataError, match=r"float32[\s\S]*dataset\.map\(lambda x, \*y") as told:
        data.load(floats, kind="image")
    advised = str(told.value).partition("dataset.map(")[2].partition("), where")[0]
    assert advised == "lambda x, *y: (tf.cast(tf.round(x), tf.uint8), *y)"
    examples = data.load(floats.map(lambda x, *y: (tf.cast(tf.round(x), tf.uint8), *y)), kind="image")
    assert np.array_equal(np.stack(examples.inputs), x)
    with pytest.raises(DataError, match=r"\(255 \* array\)\.round\(\)\.astype\('uint8'\)"):
        data.load((x / 255, [0, 1, 0, 1]), kind="image")
    with pytest.raises(DataError, match=r"Fix: array\.round\(\)"):
        pixels.decode(x[0].astype(np.float32))


@pytest.mark.parametrize(
    "value, message",
    [
        ((TEXTS, LABELS[:2]), "3 inputs and 2 of label"),
        ((TEXTS, np.eye(3)), "argmax"),
        ((TEXTS, [["a"], ["b"], ["a"]]), "a label is wanted"),
        ((TEXTS, [None, float("nan"), pd.NA]), "the label is missing"),
        (([1, None, "x"], LABELS), "arrays:0: a text is wanted, this is of type int: 1"),
        (([], []), "no rows"),
        (object(), "Data of type object cannot be read"),
        (tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)).repeat(), "never ends"),
        (tf.data.Dataset.from_tensor_slices((TEXTS, LABELS)).take(0), "has no rows"),
        (tf.data.Dataset.from_tensor_slices(((TEXTS, TEXTS), LABELS)), "elements have the form"),
        (tf.data.Dataset.from_tensor_slices({"txt": TEXTS, "label": LABELS}), "no column 'text'"),
        (BROKEN, "failed while it was read"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_read_is_refused(value, message):
    with pytest.raises(DataError, match=message):
        data.load(value)


def test_a_tuple_of_tuples_without_labels_says_nothing_of_columns():
    with pytest.raises(DataError, match=r"may be columns(.|\n)*give a list of rows"):
        data.load((("Max", "flies"), ("Max",)), label=None, target="entities")
    assert data.load([("Max", "flies"), ("Max",)], label=None, target="entities").inputs == [("Max", "flies"), ("Max",)]


PAIRS = [["When?", "On 6 May."], ["Who?", "Nobody."]]
WORDS, TAGS = [["Max", "flies"], ["Max"]], [["B-PER", "O"], ["S-PER"]]


@pytest.mark.parametrize("batch", [0, 2])
def test_pairs_and_words_of_a_dataset(batch):
    pairs = tf.data.Dataset.from_tensor_slices((PAIRS, ["a", "b"]))
    columns = tf.data.Dataset.from_tensor_slices({"q": ["When?", "Who?"], "c": ["On 6 May.", "Nobody."]})
    words = tf.data.Dataset.from_tensor_slices((tf.ragged.constant(WORDS), tf.ragged.constant(TAGS)))
    if batch:
        pairs, columns, words = pairs.batch(batch), columns.batch(batch), words.batch(batch)
    assert [list(pair) for pair in data.load(pairs, kind="pair").inputs] == PAIRS
    assert [list(pair) for pair in data.load(columns, kind="pair", text=["q", "c"], label=None).inputs] == PAIRS
    found = data.load(words, target="entities")
    assert found.inputs == [("Max", "flies"), ("Max",)] and found.labels == [(Span(0, 1, "PER"),)] * 2


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (tf.data.Dataset.from_tensor_slices((PAIRS, ["a", "b"])), "its other columns are not"),
        (tf.data.Dataset.from_tensor_slices(([PAIRS], [["a", "b"]])), "0 axes an item of kind 'text'"),
        (tf.data.Dataset.from_tensor_slices({"text": {"q": TEXTS}, "label": LABELS}), "items have another form"),
    ],
    ids=["pairs", "batched pairs", "a column of columns"],
)
def test_items_of_another_rank_are_refused(value, message):
    with pytest.raises(DataError, match=message):
        data.load(value)


def test_endless_generators_are_stopped():
    endless = tf.data.Dataset.from_tensors(("x", "a")).repeat().filter(lambda x, y: True)
    with pytest.raises(DataError, match="more than 100 rows"):
        data.load(endless, max_rows=100)
