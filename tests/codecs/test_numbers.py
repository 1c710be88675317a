"""Numbers: what a model learns of them, what its outputs stand for, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from tfvertical.codecs.numbers import Number, NumberCodec
from tfvertical.errors import ConfigError, DataError


def test_plain_numbers_come_back_as_they_went_in():
    codec = NumberCodec(["price", "age"], ["EUR", ""])
    numbers = [(183_000.0, 12.5), (-1.0, 0.0)]
    encoded = codec.encode(numbers)
    assert encoded.dtype == np.float32 and encoded.tolist() == [list(each) for each in numbers]
    assert codec.outputs == codec.names == ("price", "age")
    assert codec.decode(encoded)[0] == (Number("price", 183_000.0, "EUR"), Number("age", 12.5))
    assert codec.decode(encoded[:0]) == [] and codec.bounds(encoded) is None


def test_an_interval_is_three_outputs_a_number():
    codec = NumberCodec(["price", "age"], interval=0.8)
    assert codec.outputs[:3] == ("price 10 %", "price 50 %", "price 90 %") and len(codec.outputs) == 6
    scores = np.float32([[1, 2, 4, 10, 20, 40]])
    assert codec.values(scores).tolist() == [[2, 20]] and codec.bounds(scores).tolist() == [[[1, 4], [10, 40]]]
    assert codec.decode(scores)[0][1] == Number("age", 20.0, "", 10.0, 40.0)


@pytest.mark.parametrize(
    ("above", "level", "low", "high"),
    [
        ([0.01, 0.01, 0.0], 1, 1, 1),
        ([0.99, 0.99, 0.98], 5, 5, 5),
        ([0.9, 0.6, 0.2], 3, 1, 5),
        ([0.97, 0.4, 0.01], 2, 2, 3),
    ],
)
def test_a_score_of_levels_is_its_median(above: list[float], level: float, low: float, high: float):
    codec = NumberCodec(["stars"], levels=[1, 2, 3, 5])
    assert codec.outputs == ("stars > 1", "stars > 2", "stars > 3")
    (found,) = codec.decode(np.float32([above]))[0]
    assert (found.value, found.low, found.high) == (level, low, high)


def test_levels_become_positions_and_others_are_named():
    codec = NumberCodec(["stars"], levels=[1, 2, 5])
    assert codec.encode([(5.0,), (1.0,)]).tolist() == [[2], [0]]
    assert codec.numbers([(5.0,)]).tolist() == [[5]]
    with pytest.raises(DataError, match=r"1 rows have a score that is no level: 3 \(b:2\)(.|\n)*1, 2, 5"):
        codec.encode([(5.0,), (3.0,)], ["b:1", "b:2"])


def test_a_row_of_another_count_is_named():
    with pytest.raises(DataError, match=r"price, age: \(1.0,\) \(t:9\)"):
        NumberCodec(["price", "age"]).encode([(1.0,)], ["t:9"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"names": []}, "cannot be told"),
        ({"names": ["a", "a"]}, "twice"),
        ({"names": ["a", " "]}, "not a name"),
        ({"names": "price"}, "one text"),
        ({"names": ["a", "b"], "units": ["kg"]}, "units do not fit"),
        ({"names": ["a"], "units": "k"}, "units do not fit"),
        ({"names": ["a"], "interval": 1.0}, "interval is 1.0"),
        ({"names": ["a"], "levels": [1, 2]}, "3 to 100 numbers"),
        ({"names": ["a"], "levels": [1, 3, 2]}, "ascending"),
        ({"names": ["a"], "levels": [1, 2, float("nan")]}, "ascending"),
        ({"names": ["a", "b"], "levels": [1, 2, 3]}, "of one number"),
        ({"names": ["a"], "levels": [1, 2, 3], "interval": 0.5}, "no interval"),
    ],
)
def test_what_cannot_be_is_said(arguments: dict, words: str):
    with pytest.raises(ConfigError, match=words):
        NumberCodec(**arguments)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ({"loss": "hubert"}, "huber"),
        ({"loss": "ordinal"}, "belong together"),
        ({"loss": "mse", "levels": [1, 2, 3]}, "belong together"),
        ({"interval": 0.8}, "belongs to the quantile loss"),
        ({"loss": "quantile", "interval": 7}, "interval is 7"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(head: dict, words: str):
    with pytest.raises(ConfigError, match=words):
        NumberCodec.of(["a"], head)


def test_the_arguments_build_the_same_again():
    for codec in (NumberCodec(["a", "b"], ["kg", "m"], 0.5), NumberCodec(["a"], levels=[1, 2, 3])):
        again = NumberCodec(**codec.config())
        assert again.outputs == codec.outputs and again.config() == codec.config()
