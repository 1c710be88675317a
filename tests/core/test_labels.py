"""Label names to ids and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfvertical.codecs.entities import EntityCodec
from tfvertical.codecs.label_sets import LabelSetCodec
from tfvertical.codecs.labels import LabelCodec
from tfvertical.codecs.numbers import NumberCodec
from tfvertical.data._load import known_labels
from tfvertical.errors import ConfigError, DataError

NAMES = st.lists(st.text(min_size=1).filter(lambda name: name.strip()), min_size=2, max_size=6, unique=True)


@given(NAMES, st.data())
def test_there_and_back(names, data):
    codec = LabelCodec(names)
    labels = data.draw(st.lists(st.sampled_from(names)))
    ids = codec.encode(labels)
    assert ids.dtype == np.int32 and ids.shape == (len(labels),)
    scores = np.eye(len(names), dtype=np.float32)[ids]
    assert [prediction.label for prediction in codec.decode(scores)] == labels


@pytest.mark.parametrize("names", [[], ["one"], ["a", "a"], ["a", ""], ["a", " "], ["a", 1], ["a", None], "ab"])
def test_names_that_cannot_be(names):
    with pytest.raises(ConfigError, match=r"label"):
        LabelCodec(names)


def test_unknown_labels_are_named_with_their_rows():
    with pytest.raises(
        DataError, match=r"2 rows[\s\S]*'postive' \(train.csv:3\), 'x' \(train.csv:4\)[\s\S]*'positive'"
    ):
        LabelCodec(["negative", "positive"]).encode(
            ["negative", "postive", "x"], ["train.csv:2", "train.csv:3", "train.csv:4"]
        )


@pytest.mark.parametrize("of", [LabelCodec, LabelSetCodec, EntityCodec, NumberCodec, known_labels])
@pytest.mark.parametrize("kind", [set, frozenset])
def test_a_set_of_labels_has_no_order(of, kind):
    with pytest.raises(ConfigError, match=r"labels is a set(.|\n)*sorted\("):
        of(kind(["a", "b"]))


def test_ten_of_many_unknown_labels_are_shown():
    with pytest.raises(DataError, match="1000 rows") as caught:
        LabelCodec(["a", "b"]).encode(["z"] * 1000)
    assert len(str(caught.value)) < 400


def test_scores_of_a_prediction():
    (prediction,) = LabelCodec(["a", "b"]).decode(np.array([[0.25, 0.75]], np.float32))
    assert (prediction.label, prediction.score, prediction.scores.tolist()) == ("b", 0.75, [0.25, 0.75])
    assert "array" not in repr(prediction)


def test_nothing_to_decode():
    assert LabelCodec(["a", "b"]).decode(np.zeros((0, 2), np.float32)) == []
    assert LabelCodec(["a", "b"]).encode([]).tolist() == []
