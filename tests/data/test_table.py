from __future__ import annotations

import json
import os
import tracemalloc

import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest

from tfvertical import data
from tfvertical.errors import ConfigError, DataError

GOOD = "text,label\nhello,a\nthere,b\n"


def test_rows_are_named_by_the_line_they_start_on(write):
    examples = data.load(write("a.csv", 'text,label\r\n"two\r\nlines",a\r\n\r\nplain,b\r\n"x ""y"" z",a'))
    assert list(examples.inputs) == ["two\r\nlines", "plain", 'x "y" z']
    assert list(examples.ids) == ["a.csv:2", "a.csv:5", "a.csv:6"]
    assert list(examples.labels) == ["a", "b", "a"]


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.csv", GOOD),
        ("a.csv", "\ufeff" + GOOD),
        ("a.CSV", GOOD.replace("\n", "\r\n")),
        ("a.csv", "\r\n\r\n" + GOOD),
        ("a.csv", "\n" * 70_000 + GOOD),
        ("a.csv", "\ufeff\n" + GOOD),
        ("a.tsv", GOOD.replace(",", "\t")),
        ("a.jsonl", '{"text": "hello", "label": "a"}\n\n{"label": "b", "text": "there", "more": [1]}'),
    ],
)
def test_formats_agree(write, name, content):
    examples = data.load(write(name, content))
    assert (list(examples.inputs), list(examples.labels)) == (["hello", "there"], ["a", "b"])
    assert (examples.report.read, examples.report.kept) == (2, 2)


def test_parquet_is_read_by_column(tmp_path):
    pd.DataFrame({"more": [0, 1, 2], "text": ["hello", None, "there"], "label": [1, 2, 2]}).to_parquet(
        tmp_path / "a.parquet"
    )
    examples = data.load(tmp_path / "a.parquet", policy="skip")
    assert (list(examples.labels), list(examples.ids)) == (["1", "2"], ["a.parquet:1", "a.parquet:3"])
    assert examples.report.rejected[0].reason == "the text is missing"
    with pytest.raises(DataError, match=r"no column 'txt'[\s\S]*'text'"):
        data.load(tmp_path / "a.parquet", text="txt")


def test_parquet_columns_of_one_name_are_told_apart_by_position(tmp_path):
    columns = [["hello", "there"], ["a", "b"], ["b", "a"], ["never", "read"]]
    pyarrow.parquet.write_table(pyarrow.table(columns, ["text", "label", "label", "text"]), tmp_path / "a.parquet")
    examples = data.load(tmp_path / "a.parquet", text=0, label=2)
    assert (list(examples.inputs), list(examples.labels)) == (["hello", "there"], ["b", "a"])
    with pytest.raises(DataError, match="two columns called 'label'"):
        data.load(tmp_path / "a.parquet", text=0)


def test_parquet_dates_that_no_calendar_holds_are_told(tmp_path):
    days = pyarrow.array([19_000, 10_000_000], pyarrow.int32()).cast(pyarrow.date32())
    table = pyarrow.table({"text": ["x", "y"], "label": ["a", "b"], "day": days})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: the column 'day' cannot be read"):
        data.load(tmp_path / "a.parquet", time="day")


def test_what_is_no_parquet_is_said_to_be_none(write):
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        data.load(write("a.parquet", GOOD))


def test_other_encodings_and_headerless_tables(write):
    path = write("a.csv", "gut,schön\nschlecht,häßlich\n".encode("latin-1"))
    examples = data.load(path, encoding="latin-1", header=False, text=1, label=0)
    assert list(examples.inputs) == ["schön", "häßlich"]
    assert list(examples.ids) == ["a.csv:1", "a.csv:2"]
    with pytest.raises(DataError, match=r"a\.csv:1[\s\S]*encoding='latin-1'"):
        data.load(path, header=False, text=1, label=0)


@pytest.mark.parametrize("content", [GOOD, "\ufeff" + GOOD])
def test_utf8_with_a_mark_may_be_named(write, content):
    assert list(data.load(write("a.csv", content), encoding="utf-8-sig").inputs) == ["hello", "there"]


def test_a_delimiter_is_for_tables_only(write):
    lines = '{"text": "hello", "label": "a"}\n{"text": "there", "label": "b"}\n'
    assert list(data.load(write("a.jsonl", lines), delimiter=";").inputs) == ["hello", "there"]


def test_semicolons_and_plain_quotes(write):
    examples = data.load(write("a.csv", 'text;label\n5" nail;a\n"odd;b\n'), delimiter=";", quotes=False)
    assert list(examples.inputs) == ['5" nail', '"odd']


@pytest.mark.parametrize(
    "row, reason",
    [
        ("a,b,c", "3 cells where the first row has 2"),
        ("alone", "1 cells where the first row has 2"),
        ('"never closed,a', "a quote is opened and never closed"),
        ('"closed"too early,a', "a quoted cell goes on after its closing quote"),
        ("caf\udce9,a", "byte 0xE9 at byte 4 is not utf-8"),
        (" ,a", "the text is empty"),
        ("hello, ", "the label is missing"),
    ],
)
def test_a_broken_row_is_named_and_costs_no_other(write, row, reason):
    content = f"text,label\nbefore,a\n{row}\nafter,b\nlast,b\n".encode(errors="surrogateescape")
    path = write("a.csv", content)
    with pytest.raises(DataError, match=r"1 of 4 rows cannot be used:\n  a\.csv:3: ") as error:
        data.load(path)
    assert reason in str(error.value) and "policy='skip'" in str(error.value)
    examples = data.load(path, policy="skip")
    assert list(examples.inputs) == ["before", "after", "last"]
    assert list(examples.ids) == ["a.csv:2", "a.csv:4", "a.csv:5"]


def test_broken_json_lines_are_named(write):
    lines = ['{"text": "x", "label": "a"}', "{", "[1]", '{"text": 3, "label": "a"}', '{"label": "a"}', "[" * 100_000]
    path = write("a.jsonl", "\n".join(lines).encode() + b'\n{"text": "\xff"}\n{"text": "y", "label": "b"}\n')
    report = data.load(path, policy="skip").report
    assert [one.id for one in report.rejected] == [f"a.jsonl:{row}" for row in range(2, 8)]
    for one, word in zip(report.rejected, ("JSON", "list", "int", "missing", "nested", "utf-8"), strict=True):
        assert word in one.reason


def test_a_key_that_stands_twice_is_a_fault(write):
    path = write("a.jsonl", '{"text": "x", "label": "a"}\n{"text": "y", "text": "z", "label": "b"}\n')
    nested = write("b.jsonl", '{"text": "x", "label": "a", "more": {"k": 1, "k": 2}}\n')
    assert data.load(nested, labels=["a", "b"]).report.kept == 1, "what is not read may hold what it likes"
    report = data.load(path, policy="skip", labels=["a", "b"]).report
    assert [(one.id, one.reason) for one in report.rejected] == [("a.jsonl:2", "the key 'text' stands twice")]


def test_a_late_column_is_found_and_rows_without_it_are_faults(write):
    rows = [json.dumps({"text": "x", f"key {at}": 1}) for at in range(1500)] + [json.dumps({"text": "y", "label": "a"})]
    report = data.load(write("a.jsonl", "\n".join(rows)), policy="skip", labels=["a"]).report
    assert (report.kept, report.rejected[0].reason) == (1, "the label is missing")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_missing_column_is_an_error_with_the_nearest(write, name):
    path = write(name, "text,category\nhello,a\n" if name == "a.csv" else '{"text": "hello", "category": "a"}\n')
    with pytest.raises(DataError, match=r"no column 'categry'[\s\S]*Nearest: 'category'"):
        data.load(path, label="categry")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf\r\n", "is empty"),
        (b"text,label\n", "has no rows"),
        (b"\n\n\n\n\n\n", "is empty"),
        (b"\n" * 70_000, "is empty"),
        ("text,label\n".encode("utf-16"), "UTF-16"),
        (b'"text,label\n', "the first row, cannot be read"),
        (b"text,text,label\na,b,c\n", "two columns called 'text'"),
    ],
)
def test_files_without_a_table_are_refused(write, content, message):
    with pytest.raises(DataError, match=message):
        data.load(write("a.csv", content))


def test_files_that_are_not_there(tmp_path, write):
    path = write("train.csv", GOOD)
    with pytest.raises(DataError, match=r"does not exist[\s\S]*'train.csv'"):
        data.load(path.with_name("tran.csv"))
    with pytest.raises(DataError, match="cannot be read"):
        data.load(write("a.docx", GOOD))
    for ending in ("", ".csv", ".txt", ".conll"):
        with pytest.raises(DataError, match="does not exist"):
            data.load("a text, not a file " * 300 + ending)


def test_a_picture_whose_path_is_too_long_costs_no_other(pictures):
    (pictures / "a.csv").write_text(f"text,label\nhat/0.jpg,a\n{'x' * 5000},b\nshoe/0.jpg,b\n")
    report = data.load(pictures / "a.csv", kind="image", policy="skip").report
    assert [one.id for one in report.rejected] == ["a.csv:3"]


@pytest.mark.parametrize(
    "options",
    [{"encoding": "utf-16"}, {"encoding": "no-such"}, {"delimiter": "::"}, {"delimiter": ""}, {"encodin": "x"}],
)
def test_options_that_cannot_be(write, options):
    with pytest.raises(ConfigError):
        data.load(write("a.csv", GOOD), **options)


@pytest.mark.parametrize(
    "cell",
    [
        "x" * 50_000_000,
        '"' + "x" * 50_000_000 + '"',
        '"' + ("some words, " * 20 + "\n") * 207_000 + '"',
        '"' + ("some words, " * 20 + '""quoted""') * 200_000 + '"',
    ],
    ids=["plain", "quoted", "lines", "quotes"],
)
def test_a_text_of_50_mb_is_refused_by_its_size_without_being_held(write, cell):
    path = write("a.csv", f"text,label\nbefore,a\n{cell},a\nafter,b\n")
    rows = cell.count("\n")
    del cell
    tracemalloc.start()
    examples = data.load(path, policy="skip")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert list(examples.ids) == ["a.csv:2", f"a.csv:{4 + rows}"]
    (rejected,) = examples.report.rejected
    assert rejected.id == "a.csv:3" and "bytes, more than 4,065,536" in rejected.reason
    assert peak < 25_000_000


def test_a_long_json_line_is_refused_by_its_size(write):
    good = json.dumps({"text": "y", "label": "b"})
    path = write("a.jsonl", json.dumps({"text": "x" * 10_000_000, "label": "a"}) + f"\n{good}\n{good}")
    report = data.load(path, policy="skip", labels=["b"]).report
    assert report.rejected[0].id == "a.jsonl:1" and "10,000,027 bytes" in report.rejected[0].reason
    assert report.kept == 2


def test_a_long_text_is_refused_by_its_size(write):
    path = write("a.csv", f"text,label\n{'é' * 60},a\nhello,b\nthere,a\n")
    report = data.load(path, policy="skip", max_text_bytes=119).report
    assert report.rejected[0].reason == "the text takes 120 bytes, more than 119"
    assert data.load(path, max_text_bytes=120).report.kept == 3


def test_a_quote_never_closed_in_a_long_file_costs_one_row(write):
    rows = "".join(f"text {at},{'ab'[at % 2]}\n" for at in range(20_000))
    path = write("a.csv", f'text,label\n"open,a\n{rows}last,"b"\n')
    report = data.load(path, policy="skip", max_text_bytes=1000).report
    assert (report.read, report.kept) == (20_002, 20_001)
    assert report.rejected[0].reason == "a quote is opened and never closed"


def test_pictures_named_in_a_table(pictures):
    table = pictures / "a.csv"
    table.write_text("file,label\nhat/0.jpg,hat\nshoe/1.jpg,shoe\nshoe/9.jpg,shoe\n,hat\n")
    examples = data.load(table, kind="image", text="file", policy="skip")
    assert list(examples.inputs) == [pictures / "hat/0.jpg", pictures / "shoe/1.jpg"]
    assert [one.id for one in examples.report.rejected] == ["a.csv:4", "a.csv:5"]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("aGVsbG8" * 1000, "no such file"),
        ("hat/" + "x" * 300 + ".jpg", "no such file"),
        ("hat/\0.jpg", "no such file"),
        ("/dev/zero", "not a regular file"),
        ("pipe.jpg", "not a regular file"),
        ("hat", "names a folder"),
    ],
)
def test_cells_that_name_no_picture_cost_no_other(pictures, cell, reason):
    os.mkfifo(pictures / "pipe.jpg")
    rows = [{"text": name, "label": name[:3]} for name in ("hat/0.jpg", "shoe/1.jpg", cell)]
    (pictures / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    report = data.load(pictures / "a.jsonl", kind="image", policy="skip").report
    assert [one.id for one in report.rejected] == ["a.jsonl:3"] and reason in report.rejected[0].reason
    assert len(report.rejected[0].reason) < 100


def test_a_header_that_is_one_cell_names_the_delimiter(tmp_path):
    path = tmp_path / "european.csv"
    path.write_text("text;label\na;b\nc;d\n")
    with pytest.raises(DataError, match=r"delimiter=';'"):
        data.load(path)
    assert data.load(path, delimiter=";").inputs == ["a", "c"]
