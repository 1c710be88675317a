"""What `load` does for every source: policy, account, labels, warnings."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from tfvertical import data
from tfvertical.contracts import DataWarning
from tfvertical.errors import ConfigError, DataError

MANY = "text,label\n" + "".join(f"text {at},{'ab'[at % 2]}\n" for at in range(30)) + " ,a\n" * 12


def test_raise_lists_the_first_ten_and_counts_all(write):
    with pytest.raises(DataError) as error:
        data.load(write("a.csv", MANY))
    message = str(error.value)
    assert "12 of 42 rows" in message and "… and 2 more" in message and "quarantine" in message
    assert message.count("the text is empty (column 'text')") == 10


def test_quarantine_writes_each_rejected_row_with_its_reason(write, tmp_path):
    path = write("a.csv", 'text,label\nx,a\n,a\n"open,b\n\xff,b\ny,b\n'.encode("latin-1"))
    report = data.load(path, policy="quarantine", quarantine=tmp_path / "out" / "bad.jsonl").report
    lines = [json.loads(line) for line in (tmp_path / "out" / "bad.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [one.id for one in report.rejected] == ["a.csv:3", "a.csv:4", "a.csv:5"]
    assert lines[0] == {"id": "a.csv:3", "reason": "the text is empty", "column": "text", "input": "", "label": "a"}
    assert lines[1]["input"] == '"open,b'
    data.load(path, policy="quarantine", quarantine=tmp_path / "new", name="train")
    assert (tmp_path / "new" / "train.rejected.jsonl").read_text() == (tmp_path / "out" / "bad.jsonl").read_text()


def test_quarantine_replaces_no_source(write, tmp_path):
    path = write("a.csv", "text,label\nx,a\n,a\ny,b\n")
    (tmp_path / "link.jsonl").symlink_to(path)
    for target in (path, tmp_path / "link.jsonl"):
        with pytest.raises(ConfigError, match="would replace a source"):
            data.load(path, policy="quarantine", quarantine=target)
    assert data.load(path, policy="skip").report.read == 3


@pytest.mark.parametrize("content", ["text,label\n,a\n", "text,label\nx,a\ny,a\n,b\n", "text,label\nx,a\ny,1\n,a\n"])
def test_an_error_writes_nothing(write, tmp_path, content):
    with pytest.raises(DataError):
        data.load(write("a.csv", content), policy="quarantine", quarantine=tmp_path / "bad.jsonl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv"]


@pytest.mark.parametrize(
    "options",
    [
        {"policy": "ignore"},
        {"policy": "quarantine"},
        {"quarantine": "x"},
        {"kind": "audio"},
        {"max_rows": 0},
        {"labels": []},
        {"labels": ["a", "a"]},
        {"labels": ["a", ""]},
        {"labels": "ab"},
        {"no_such": 1},
    ],
)
def test_arguments_that_do_not_fit_are_refused_first(options):
    with pytest.raises(ConfigError):
        data.load((["x", "y"], ["a", "b"]), **options)


def test_mixed_label_types_name_examples(write):
    path = write("a.csv", "text,label\nx,spam\ny,1\nz,ham\n")
    with pytest.raises(
        DataError, match=r"mixed type: 1 of type number \(a\.csv:3: '1'\); 2 of type text \(a\.csv:2: 'spam'"
    ):
        data.load(path, policy="skip")
    assert list(data.load(path, labels=["spam", "ham", "1"]).labels) == ["spam", "1", "ham"]
    with pytest.raises(DataError, match="truth value"):
        data.load((["x", "y"], [True, "no"]))


@pytest.mark.parametrize(
    "labels, names",
    [
        ([0, 1, 10], ["0", "1", "10"]),
        (np.array([0.0, 1.0, 2.5]), ["0", "1", "2.5"]),
        ([True, False, np.True_], ["True", "False", "True"]),
        ([" a ", "b\n", b"c"], ["a", "b", "c"]),
    ],
)
def test_labels_become_names(labels, names):
    assert list(data.load((["x", "y", "z"], labels)).labels) == names


def test_unknown_labels_follow_the_policy(write):
    path = write("test.csv", "text,label\nx,card\ny,crad\nz,fee\n")
    with pytest.raises(
        DataError, match=r"test\.csv:3: the label 'crad' is unknown \(nearest: 'card'\) \(column 'label'\)"
    ):
        data.load(path, labels=["card", "fee"])
    assert data.load(path, labels=["card", "fee"], policy="skip").report.kept == 2


def test_positions_stand_for_known_names_unless_these_are_numbers():
    x = ["x", "y"]
    assert list(data.load((x, [1, 0]), labels=["neg", "pos"]).labels) == ["pos", "neg"]
    assert list(data.load((x, [1, 2]), labels=["1", "2"]).labels) == ["1", "2"]
    with pytest.raises(DataError, match="the label '2' is unknown"):
        data.load((x, [1, 2]), labels=["neg", "pos"])
    with pytest.raises(DataError, match="the label '0' is unknown"):
        data.load((x, [0, 2]), labels=["1", "2"])


def test_numbers_in_text_are_told_to_be_names(write):
    path = write("a.csv", "text,label\nx,0\ny,1\n")
    with pytest.raises(DataError, match=r"numbers are names and no positions: list '0', '1' as labels, or write the"):
        data.load(path, labels=["negative", "positive"])
    assert list(data.load(path, labels=["0", "1"]).labels) == ["0", "1"]
    with pytest.raises(DataError) as error:
        data.load(write("b.csv", "text,label\nx,0\ny,one\n"), labels=["negative", "positive"])
    assert "positions" not in str(error.value)


def test_a_single_class_is_an_error_unless_the_labels_are_known():
    with pytest.raises(DataError, match="nothing to tell apart"):
        data.load((["x", "y"], ["a", "a"]))
    report = data.load((["x", "y"], ["a", "a"]), labels=["a", "b"]).report
    assert [w.kind for w in report.warnings] == ["single_class"]


def test_warnings_count_and_name_rows(write):
    path = write("a.csv", "text,label\nsame,a\nsame,b\nsame,a\nSAME,a\nx,b\ny,b\nalone,c\n")
    warnings = {w.kind: w for w in data.load(path).report.warnings}
    assert set(warnings) == {"duplicate", "conflicting_label", "rare_class"}
    assert (warnings["duplicate"].count, warnings["duplicate"].ids) == (2, ("a.csv:3", "a.csv:4"))
    assert (warnings["conflicting_label"].count, warnings["conflicting_label"].ids[0]) == (3, "a.csv:2")
    assert (warnings["rare_class"].count, warnings["rare_class"].ids) == (1, ("a.csv:8",))
    with pytest.raises(
        DataError, match=r"duplicate: 2 rows[\s\S]*conflicting_label: 1 texts[\s\S]*rare_class: 1 classes"
    ):
        data.load(path, strict=True)


def test_a_warning_carries_at_most_a_hundred_rows():
    (warning,) = data.load((["x"] * 300 + ["y"] * 2, ["a"] * 300 + ["b"] * 2)).report.warnings
    assert (len(warning.ids), warning.count) == (100, 300)


def test_a_warning_is_added_to_a_copy():
    examples = data.load((["x", "y", "z"] * 2, ["a", "b", "b"] * 2))
    before = examples.report
    more = data.with_warning(examples, DataWarning("unknown_tokens", "80 % unknown."))
    assert more.report.warnings == (*before.warnings, more.report.warnings[-1]) and examples.report is before
    assert more.inputs is examples.inputs


def test_groups_times_and_weights_come_along(write):
    path = write(
        "a.csv", "text,label,who,when,w\nx,a,p1,2024-05-31,1\ny,b,,2024-05-30T12:00:00+02:00,0.5\nz,b,p1,2023-01-01,\n"
    )
    examples = data.load(path, group="who", time="when", weight="w")
    assert list(examples.groups) == ["p1", None, "p1"]
    assert list(np.argsort(examples.times)) == [2, 1, 0] and examples.times[1] == 1717063200.0
    assert examples.weights.tolist() == [1, 0.5, 1]
    taken = examples.take([2, 0])
    assert taken.groups == ["p1", "p1"] and taken.times == [examples.times[2], examples.times[0]]
    report = data.load(
        write("b.csv", path.read_text() + "v,a,p2,yesterday,1\nu,a,p2,2024-01-01,much\n"),
        **{
            "group": "who",
            "time": "when",
            "weight": "w",
            "policy": "skip",
        },
    ).report
    assert [(one.id, one.column) for one in report.rejected] == [("b.csv:5", "when"), ("b.csv:6", "w")]


def test_times_written_in_two_ways_are_refused(write):
    with pytest.raises(DataError, match="times are of mixed type"):
        data.load(write("a.csv", "text,label,when\nx,a,2024-05-31\ny,b,2024\n"), time="when")


def test_groups_and_weights_of_what_has_no_columns_are_refused(write, pictures):
    with pytest.raises(DataError, match="No row has a group"):
        data.load((["x", "y"], ["a", "b"]), group="patient")
    tagged = write("a.conll", "fine O\nfever B-X\n")
    for value, more in (
        ((["x", "y"], ["a", "b"]), {}),
        (pictures, {"kind": "image"}),
        (tagged, {"target": "entities"}),
    ):
        with pytest.raises(DataError, match="No row has a weight 'w'"):
            data.load(value, weight="w", **more)
    assert data.load((["x", "y"], ["a", "b"], [2, None]), weight="w").weights.tolist() == [2, 1]
    assert data.load(write("b.csv", "text,label,w\nx,a,\ny,b,\n"), weight="w").weights is None, "blank cells are 1"


@pytest.mark.parametrize(
    "weight", [10**400, "1e39", -(10**400), "nan", [1]], ids=["long", "large", "negative", "nan", "list"]
)
def test_a_weight_that_float32_cannot_hold_costs_its_row(write, weight):
    rows = [{"text": "x", "label": "a"}, {"text": "y", "label": "b", "w": weight}, {"text": "z", "label": "b", "w": 3}]
    examples = data.load(write("a.jsonl", "\n".join(map(json.dumps, rows))), weight="w", policy="skip")
    assert [(one.id, one.column) for one in examples.report.rejected] == [("a.jsonl:2", "w")]
    assert examples.weights.tolist() == [1, 3]


def test_arrays_as_weights_groups_and_times():
    x, y = ["x", "y"], ["a", "b"]
    assert data.load((x, y, np.array([[2.0], [3.0]]))).weights.tolist() == [2, 3]
    with pytest.raises(DataError, match=r"arrays:0: the weight array\(\[1\., 1\.\]\) is not a number"):
        data.load((x, y, np.ones((2, 2))))
    slices = tf.data.Dataset.from_tensor_slices({"text": x, "label": y, "both": np.ones((2, 2))})
    assert data.load(slices, group="both").groups == ["[1.0, 1.0]"] * 2
    with pytest.raises(DataError, match=r"dataset:0: the time array"):
        data.load(slices, time="both")


def test_groups_are_compared_as_labels_are(write):
    cells = [7, "7", " 7 ", 7.0, "p1", "p1 ", " ", None, "", 2.5]
    rows = [{"text": f"text {at}", "label": "ab"[at % 2], "who": who} for at, who in enumerate(cells)]
    examples = data.load(write("a.jsonl", "\n".join(map(json.dumps, rows))), group="who")
    assert examples.groups == ["7"] * 4 + ["p1"] * 2 + [None] * 3 + ["2.5"]


def test_the_account_is_readable(write):
    text = data.describe(data.load(write("a.csv", MANY), policy="skip").report)
    assert text == "a.csv: read 42, kept 30, rejected 12\n  rejected 12: the text is empty (a.csv:32, …)"


def test_the_account_may_be_without_what_stood_in_cells(write):
    rows = "jones,a\njones,a\nsmith,jones\n,b\n"
    report = data.load(write("a.csv", f"text,label\n{rows}last,b\n"), labels=("a", "b"), policy="skip").report
    assert "jones" in data.describe(report)
    kinds = [f"\n  {warning.kind}: {warning.count}" for warning in report.warnings]
    told = "a.csv: read 5, kept 3, rejected 2\n  rejected 1 (column 'label')\n  rejected 1 (column 'text')"
    assert kinds and data.describe(report, show=False) == told + "".join(kinds)


def test_reading_twice_gives_the_same(write):
    path = write("a.csv", MANY)
    one, two = (data.load(path, policy="skip") for _ in range(2))
    assert dataclasses.asdict(one) == dataclasses.asdict(two)
