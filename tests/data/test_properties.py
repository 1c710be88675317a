"""Kept + rejected = read, whatever a file holds."""

from __future__ import annotations

import csv
import string
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfvertical import data
from tfvertical.contracts import Examples
from tfvertical.errors import DataError

quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
names = st.text(string.ascii_letters, min_size=1, max_size=3)


def account(path: Path, **options) -> Examples | None:
    """Read it and check the account; None where it is refused as a whole."""
    try:
        examples = data.load(path, policy="skip", max_text_bytes=200, **options)
    except DataError:
        return None
    report = examples.report
    assert report.kept + len(report.rejected) == report.read and report.kept == len(examples)
    assert len({*examples.ids, *(one.id for one in report.rejected)}) == report.read
    assert all(isinstance(text, str) and text.strip() for text in examples.inputs)
    return examples


@quick
@given(
    st.lists(st.tuples(cells, names), min_size=1, max_size=8),
    st.sampled_from([("\n", csv.QUOTE_ALL), ("\r\n", csv.QUOTE_MINIMAL)]),
)
def test_what_the_csv_module_wrote_is_read_back(tmp_path, rows, style):
    path = tmp_path / "a.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator=style[0], quoting=style[1]).writerows([("text", "label"), *rows])
    good = [row for row in rows if row[0].strip()]
    examples = account(path, labels=sorted({label for _, label in rows}))
    if examples is None:
        assert not good
    else:
        assert list(zip(examples.inputs, examples.labels, strict=True)) == good
        starts = [
            2 + at + sum(text.count("\n") for text, _ in rows[:at]) for at in range(len(rows))
        ]  # as an editor shows
        assert list(examples.ids) == [f"a.csv:{starts[at]}" for at, row in enumerate(rows) if row[0].strip()]


@quick
@given(
    st.lists(
        st.sampled_from([b'"', b",", b"\n", b"\r\n", b"x", b"\xff", b"a,b\n", b'""', b'","', b"long " * 99]),
        max_size=25,
    )
)
def test_no_bytes_break_the_account_of_a_table(tmp_path, pieces):
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,label\n" + b"".join(pieces))
    account(path, labels=["a", "b", "x"])


@quick
@given(
    st.lists(
        st.sampled_from([b'{"text": "x"', b', "label": "a"}', b"\n", b"null", b"\xff", b'{"text": 1}', b"[" * 50]),
        max_size=20,
    )
)
def test_no_bytes_break_the_account_of_json_lines(tmp_path, pieces):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "x", "label": "a"}\n' + b"".join(pieces))
    account(path, labels=["a"])


@quick
@given(
    st.lists(
        st.one_of(cells, st.none(), st.floats(), st.integers(), st.binary(max_size=4), st.lists(st.none())), min_size=1
    )
)
def test_no_values_break_the_account_of_arrays(values):
    try:
        report = data.load((values, ["a"] * len(values)), policy="skip", labels=["a"]).report
    except DataError as error:
        assert "none of the" in str(error)
        return
    assert report.kept + len(report.rejected) == report.read == len(values)
