from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfvertical import data
from tfvertical.contracts import Examples
from tfvertical.errors import ConfigError, DataError


def examples_of(inputs, labels=None, **more):
    return Examples(inputs, labels, [f"r:{at}" for at in range(len(inputs))], **more)


def ids(parts):
    return {name: list(part.ids) for name, part in parts.items()}


def test_classes_keep_their_shares():
    labels = ["a"] * 100 + ["b"] * 50 + ["c"] * 10
    parts = data.split(examples_of([f"text {at}" for at in range(160)], labels))
    counts = {name: Counter(part.labels) for name, part in parts.items()}
    assert counts == {"train": {"a": 80, "b": 40, "c": 8}} | {
        n: {"a": 10, "b": 5, "c": 1} for n in ("validation", "test")
    }
    assert all(list(part.ids) == sorted(part.ids, key=lambda id: int(id[2:])) for part in parts.values())


def test_a_split_is_a_pure_function_of_its_seed():
    examples = examples_of([f"text {at}" for at in range(100)], ["a", "b"] * 50)
    assert ids(data.split(examples, seed=1)) == ids(data.split(examples, seed=1))
    assert ids(data.split(examples, seed=1)) != ids(data.split(examples, seed=2))


def test_small_classes_stay_in_training_and_parts_even_out():
    labels = [f"class {at // 5}" for at in range(200)]  # forty classes of five rows: 4, 0.5 and 0.5 each
    parts = data.split(examples_of([f"text {at}" for at in range(200)], labels))
    assert {name: len(part) for name, part in parts.items()} == {"train": 160, "validation": 20, "test": 20}
    assert len(set(parts["train"].labels)) == 40


def test_pictures_of_one_content_stay_together(pictures):
    for at in range(3, 9):
        (pictures / "shoe" / f"{at}.jpg").write_bytes((pictures / "hat" / "0.jpg").read_bytes())
    parts = data.split(data.load(pictures, kind="image"), {"train": 0.5, "test": 0.5})
    where = {id: name for name, part in parts.items() for id in part.ids}
    assert len({where[f"shoe/{at}.jpg"] for at in range(3, 9)} | {where["hat/0.jpg"]}) == 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_nothing_leaks_and_no_row_is_lost(draw):
    rows = draw.draw(st.integers(20, 80))
    texts = draw.draw(
        st.lists(st.sampled_from([f"{'Xx'[at % 2]} {at // 2}" for at in range(60)]), min_size=rows, max_size=rows)
    )
    labels = draw.draw(st.lists(st.sampled_from("abc"), min_size=rows, max_size=rows))
    groups = draw.draw(st.lists(st.one_of(st.none(), st.integers(0, 40)), min_size=rows, max_size=rows))
    times = draw.draw(st.one_of(st.none(), st.lists(st.integers(0, 30), min_size=rows, max_size=rows)))
    examples = examples_of(texts, labels, groups=groups, times=times)
    try:
        parts = data.split(examples, {"train": 0.6, "test": 0.4}, seed=draw.draw(st.integers(0, 5)))
    except DataError as error:
        assert "would be empty" in str(error)
        return
    train, test = parts["train"], parts["test"]
    assert sorted([*train.ids, *test.ids]) == sorted(examples.ids)
    assert not {text.casefold() for text in train.inputs} & {text.casefold() for text in test.inputs}
    assert not (set(train.groups) & set(test.groups)) - {None}
    assert not len(data.overlap(train, test))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=10, max_size=60))
def test_times_split_by_date(times):
    examples = examples_of([f"text {at}" for at in range(len(times))], times=times)
    try:
        parts = data.split(examples, {"train": 0.6, "validation": 0.2, "test": 0.2})
    except DataError as error:
        assert "would be empty" in str(error)
        return
    assert max(parts["train"].times) < min(parts["validation"].times)
    assert max(parts["validation"].times) < min(parts["test"].times)


def test_distinct_times_are_cut_at_the_shares_whatever_their_order():
    times = np.random.default_rng(0).permutation(100)
    parts = data.split(examples_of([f"text {at}" for at in range(100)]), time=times.tolist())
    assert {name: len(part) for name, part in parts.items()} == {"train": 80, "validation": 10, "test": 10}


@pytest.mark.parametrize(
    ("fractions", "first"), [({"test": 0.2, "train": 0.8}, "train"), ({"old": 0.2, "test": 0.8}, "old")]
)
def test_parts_follow_each_other_in_time_however_they_are_written(fractions, first):
    parts = data.split(examples_of([f"text {at}" for at in range(50)]), fractions, time=list(range(50)))
    assert next(iter(parts)) == first
    assert {name: len(part) for name, part in parts.items()} == {name: 50 * share for name, share in fractions.items()}
    assert parts[first].inputs[0] == "text 0" and parts["test"].inputs[-1] == "text 49"


def test_groups_are_balanced_by_class():
    random = np.random.default_rng(0)
    groups = random.integers(0, 120, 1000)
    labels = ["a" if random.random() < 0.2 + 0.6 * (at % 2) else "b" for at in groups]
    parts = data.split(examples_of([f"text {at}" for at in range(1000)], labels), group=groups.tolist())
    share = Counter(labels)["a"] / 1000
    for name, fraction in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert len(parts[name]) == pytest.approx(1000 * fraction, abs=12)
        assert Counter(parts[name].labels)["a"] / len(parts[name]) == pytest.approx(share, abs=0.06)


def test_groups_given_in_two_types_stay_together():
    examples = examples_of([f"text {at}" for at in range(40)])
    parts = data.split(examples, {"train": 0.5, "test": 0.5}, group=[*range(20), *map(str, range(20))])
    rows = [{int(id[2:]) % 20 for id in part.ids} for part in parts.values()]
    assert rows[0].isdisjoint(rows[1])


def test_overlap_is_reported_and_alters_nothing():
    train = data.load((["Where is my card?", "b", "c", "d"], ["x", "y", "x", "y"]))
    test = data.load((["e", "where  is MY card?", "f", "d"], ["x", "y", "x", "y"]), name="test set")
    assert data.overlap(train, test).tolist() == [1, 3]
    more = data.with_overlap(train, test)
    (warning,) = more.report.warnings
    assert (warning.kind, warning.count, warning.ids) == ("overlap", 2, ("arrays:1", "arrays:3"))
    assert more.inputs == test.inputs and test.report.warnings == ()
    assert data.with_overlap(test.take([0]), train) is train
    with pytest.raises(DataError, match=r"test set, read strictly:\s+overlap: 2 of 4 rows"):
        data.with_overlap(train, test, strict=True)
    assert data.with_overlap(test.take([0]), train, strict=True) is train


def test_shared_groups_and_contexts_overlap():
    train = examples_of(["a", "b", "c"], groups=[1, None, 2])
    test = examples_of(["d", "e", "B", "f"], groups=[2, None, 3, 4])
    assert data.overlap(train, test).tolist() == [0, 2]
    assert data.overlap(train, examples_of(["d", "e"])).tolist() == []  # without groups
    assert (
        data.with_overlap(train, test).report.warnings[0].message.endswith("1 of them by their group or context alone.")
    )
    learned = data.load(([("When?", "Due by 6 May.")], ["6 May"]), kind="pair", target="answers")
    asked = [("Who?", "due by  6 may."), ("When?", "Due by 7 May.")]
    for answers in (["", "7 May"], ["", ""]):
        given = data.load((asked, answers), kind="pair", target="answers", labels=["answer"])
        assert data.overlap(learned, given).tolist() == [0]
    pairs = data.load((asked, ["x", "y"]), kind="pair")
    assert not len(data.overlap(data.load(([("When?", "Due by 6 May.")], ["x"]), kind="pair", labels=["x"]), pairs))


@pytest.mark.parametrize(
    "fractions",
    [{}, {"train": 0.5}, {"train": 1.5, "test": -0.5}, {"train": 1.0, "test": 0.0}, {"train": 10**400, "test": 0.5}],
)
def test_fractions_that_are_no_division(fractions):
    with pytest.raises(ConfigError, match="no division"):
        data.split(examples_of(["a", "b"]), fractions)


def test_what_cannot_be_divided_is_said_so():
    with pytest.raises(DataError, match="'validation' would be empty"):
        data.split(examples_of(["same"] * 50))
    with pytest.raises(ConfigError, match="one a row"):
        data.split(examples_of(["a", "b"]), group=[1])


def test_folds_hold_each_row_once_and_keep_together_what_a_split_does():
    inputs = [f"text {at // 2 if at < 20 else at}" for at in range(60)]  # ten texts stand there twice
    groups = [f"g{at // 3}" if at >= 30 else None for at in range(60)]
    examples = examples_of(inputs, ["a", "a", "b"] * 20, groups=groups)
    found = list(data.folds(examples, 4, seed=3))
    assert sorted(id for _, held in found for id in held.ids) == sorted(examples.ids)
    for train, held in found:
        assert set(train.ids) | set(held.ids) == set(examples.ids) and not set(train.ids) & set(held.ids)
        assert not set(train.inputs) & set(held.inputs)
        assert not {group for group in train.groups if group} & {group for group in held.groups if group}
        assert abs(held.labels.count("a") - 10) <= 1 and abs(held.labels.count("b") - 5) <= 1
        assert list(held.ids) == sorted(held.ids, key=lambda id: int(id[2:]))
    assert [list(held.ids) for _, held in found] == [list(held.ids) for _, held in data.folds(examples, 4, seed=3)]
    assert [list(held.ids) for _, held in found] != [list(held.ids) for _, held in data.folds(examples, 4, seed=4)]


@pytest.mark.parametrize(
    ("count", "more", "error", "message"),
    [
        (1, {}, ConfigError, "2 or more"),
        ("5", {}, ConfigError, "2 or more"),
        (2, {"times": [1, 2, 3]}, ConfigError, "have times"),
        (2, {"groups": ["a"] * 3}, DataError, "1 of 2 folds would be empty"),
    ],
)
def test_folds_that_cannot_be_are_refused_at_once(count, more, error, message):
    with pytest.raises(error, match=message):
        data.folds(examples_of(["x", "y", "z"], ["a", "b", "a"], **more), count)
