"""YAML with lines, within bounds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfvertical.errors import ConfigError
from tfvertical.runfiles.runfile import MOST_BYTES, override, parse, read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("~", None),
        ("", None),
        ("1e-3", 1e-3),
        ("1.5", 1.5),
        (".5", 0.5),
        ("-3", -3),
        ("1_000", 1000),
        ("007", "007"),
        ("12:30", "12:30"),
        ("2020-01-01", "2020-01-01"),
        ('"1"', "1"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_words_mean_what_they_look_like(text: str, value: object) -> None:
    found = parse(f"key: {text}").value["key"]
    assert found == value and type(found) is type(value)


def test_every_key_and_item_knows_its_line() -> None:
    document = parse("a:\n  b: 1\n  c:\n    - 2\n    - {d: 3}\n")
    assert {place: document.at[place] for place in (("a", "b"), ("a", "c", 1), ("a", "c", 1, "d"))} == {
        ("a", "b"): "line 2",
        ("a", "c", 1): "line 5",
        ("a", "c", 1, "d"): "line 5",
    }


def test_keys_written_twice_are_mistakes_with_both_lines() -> None:
    (mistake,) = parse("a: 1\nb: 2\na: 3\n").mistakes
    assert (mistake.place, mistake.at) == (("a",), "line 3")
    assert "first on line 1" in mistake.what


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "line 1"),
        ("a: &x 1\nb: *x", "aliases"),
        ("[" * 1000, "nested"),
        ("a: b: c", "line 1"),
        ("\x00", "no YAML"),
        ("--- 1\n--- 2", "line 2"),
        ("a:\n\t- b", "line 2"),
    ],
)
def test_what_is_no_run_file_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(text)


@pytest.mark.parametrize("value", ["!!python/object/apply:os.system [echo]", "!!binary aGk=", "!!set {a}", "!own x"])
def test_tags_build_nothing(value: str) -> None:
    document = parse(f"a: {value}\n")
    assert document.value == {"a": None}
    assert "not taken" in document.mistakes[0].what


@pytest.mark.parametrize(
    "value",
    ["!!bool maybe", '!!int ""', '!!float ""', "!!int 0b", "!!int 0x" + "f" * 4000, "9" * 5000],
)
def test_words_that_are_not_what_their_tag_says_are_mistakes(value: str) -> None:
    document = parse(f"a: {value}\n")
    assert document.value == {"a": None}
    assert document.mistakes[0].what.startswith("cannot be read: ")


def test_files_are_bounded_and_must_be_utf8(tmp_path: Path) -> None:
    large, latin = tmp_path / "large.yaml", tmp_path / "latin.yaml"
    large.write_bytes(b"#" * (MOST_BYTES + 1))
    latin.write_bytes(b"a: \xe9\n")
    start = time.process_time()
    with pytest.raises(ConfigError, match="too large"):
        read(large)
    assert time.process_time() - start < 1
    with pytest.raises(ConfigError, match="not UTF-8"):
        read(latin)
    with pytest.raises(ConfigError, match="no run file"):
        read(tmp_path / "none.yaml")


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("a: 1")

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(ConfigError, match=r"run\.yaml cannot be read: Permission denied"):
        read(path)
    with pytest.raises(ConfigError, match="no run file"):
        read("long" * 1000)


def test_overrides_replace_add_and_say_where_they_came_from() -> None:
    document = override(parse("a: {b: 1}\nc: [{d: 1}]\n"), ["a.b=2", "c.0.d=x", "c.1=new", "e.f=[1, 2]"])
    assert document.value == {"a": {"b": 2}, "c": [{"d": "x"}, "new"], "e": {"f": [1, 2]}}
    assert document.at["a", "b"] == "--set a.b"
    assert not document.mistakes


def test_overrides_that_lead_nowhere_are_mistakes_and_change_nothing() -> None:
    document = override(parse("a: 1\nc: []\n"), ["a.b=2", "c.7=1", "c.²=1", "c." + "9" * 5000 + "=1"])
    assert document.value == {"a": 1, "c": []}
    assert [mistake.place for mistake in document.mistakes] == [("a", "b"), ("c", 7), ("c", "²"), ("c", "9" * 5000)]
    with pytest.raises(ConfigError, match="key=value"):
        override(document, ["a"])


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_document_or_a_clear_refusal(text: str) -> None:
    try:
        parse(text)
    except ConfigError as error:
        assert "YAML" in str(error)
