"""Entities in CoNLL files, JSON lines and lists: read, and where they cannot be used, told by file and row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tfvertical import data
from tfvertical.codecs.tagging import Span
from tfvertical.data._stream import stream
from tfvertical.errors import ConfigError, DataError

GOOD = "-DOCSTART-\tO\n\nNo\tO\nWilson\tB-Disease\ndisease\tI-Disease\n\n\n\nFever\tB-Sign\n.\tO\n"


def write(folder: Path, content: str | bytes, name: str = "a.conll") -> Path:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


def read(path, **options):
    return data.load(path, target="entities", **options)


def test_a_conll_file(tmp_path: Path):
    found = read(write(tmp_path, GOOD))
    assert found.ids == ["a.conll:3", "a.conll:9"]
    assert found.inputs == [("No", "Wilson", "disease"), ("Fever", ".")]
    assert found.labels == [(Span(1, 3, "Disease"),), (Span(0, 1, "Sign"),)]
    assert found.report.read == found.report.kept == 2 and data.label_names(found) == ("Disease", "Sign")


@pytest.mark.parametrize(
    "content",
    [
        GOOD.replace("\t", " "),
        GOOD.replace("\t", "\tNN\t_\t"),
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.rstrip("\n"),
        "# a comment\n" + GOOD,
        "# sent_id = 1\n" + GOOD.replace("\t", " "),
        "#\n# text =\tNo\n" + GOOD.replace("\t", " "),
        "#begin document (a); part 000\n" + GOOD + "\n#end document\n",
        "#begin document\n" + GOOD.rstrip("\n") + "\n#end document\n",
        "#newdoc\n#id=12\n" + GOOD,
        GOOD.replace("B-Disease", "I-Disease").replace("B-Sign", "I-Sign"),
        GOOD.replace("I-Disease", "E-Disease").replace("B-Sign", "S-Sign"),
        GOOD.replace("I-Disease", "L-Disease").replace("B-Sign", "U-Sign"),
    ],
)
def test_other_ways_to_write_it(content: str, tmp_path: Path):
    found, plain = read(write(tmp_path, content)), read(write(tmp_path, GOOD, "b.conll"))
    assert (found.inputs, found.labels) == (plain.inputs, plain.labels)


def test_which_files_are_taken_for_conll(tmp_path: Path):
    assert read(write(tmp_path, GOOD, "a.tsv")).inputs == read(write(tmp_path, GOOD, "a.txt")).inputs
    table = write(tmp_path, "text\tlabel\nfine\tO\nbad\tB-x\n", "table.tsv")
    assert data.load(table).labels == ["O", "B-x"]
    lines = write(tmp_path, "I like option O\nand O\n", "lines.txt")
    assert [item.value for item in stream(lines)] == ["I like option O", "and O"]
    hashed = write(tmp_path, "# O\nx B-A\n", "hash.conll")  # a word that is a number sign
    assert read(hashed).inputs == [("#", "x")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a O\nb I-X\nc B-X\n\nd B-X\n", "a.conll:1: line 2: 'I-X' goes on with an entity that was not begun"),
        ("a O\nb B-X\nc I-Y\n", "a.conll:1: line 3: 'I-Y' changes the type inside an entity of type 'X'"),
        ("a O\nb B-X\nc X-Y\n", "a.conll:1: line 3: the tag 'X-Y' is none"),
        ("a O\n\nb B-X\nc\n", "a.conll:3: line 4: the word 'c' has no tag"),
        ("a\tO\nb\tB-X\n\tO\n", "a.conll:1: line 3: the word is empty"),
        (b"a O\nb\xe9 B-X\n", "a.conll:1: line 2: byte 0xE9 at byte 2 is not utf-8"),
        ("a O\nb B-X\n" + "c" * 2000 + " O\n", "line 3: it takes more than 1,000 bytes"),
        ("a B-X\n" + "word O\n" * 400, "the sentence takes more than 1,000 bytes"),
    ],
)
def test_sentences_that_cannot_be_used(content, message: str, tmp_path: Path):
    content = content if isinstance(content, bytes) else content.encode()
    good = b"fine O\nfever B-X\n".replace(b" ", b"\t" if b"\t" in content else b" ")
    path = write(tmp_path, content + b"\n" + good)
    with pytest.raises(DataError) as caught:
        read(path, max_text_bytes=1000)
    assert message in str(caught.value)
    kept = read(path, max_text_bytes=1000, policy="quarantine", quarantine=tmp_path / "bad.jsonl")
    assert kept.inputs[-1] == ("fine", "fever")
    assert kept.report.kept + len(kept.report.rejected) == kept.report.read
    entries = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert [entry["id"] for entry in entries] == [one.id for one in kept.report.rejected]


def test_files_as_a_whole(tmp_path: Path):
    with pytest.raises(DataError, match="is empty"):
        read(write(tmp_path, "\n\n"))
    with pytest.raises(DataError, match="not one entity is marked in 1 rows"):
        read(write(tmp_path, "a O\n"))
    assert read(write(tmp_path, "a O\n"), labels=["X"]).labels == [()]
    with pytest.raises(DataError, match="holds words with tags, not labels"):
        data.load(write(tmp_path, GOOD))
    with pytest.raises(DataError, match=r"entities of type 'Disese' are unknown \(nearest: 'Disease'\)"):
        read(write(tmp_path, "a B-Disese\n"), labels=["Disease"])
    with pytest.raises(ConfigError, match="no encoding called 'utf-9'"):
        read(write(tmp_path, GOOD), encoding="utf-9")
    with pytest.raises(ConfigError, match="no scheme 'iobes'"):
        read(write(tmp_path, GOOD), scheme="iobes")
    with pytest.raises(ConfigError, match="no target 'tags'"):
        data.load(write(tmp_path, GOOD), target="tags")
    with pytest.raises(DataError, match="which is iob2"):
        read(write(tmp_path, GOOD), scheme="iob1")


def test_columns_can_be_named(tmp_path: Path):
    path = write(tmp_path, "1 Fever B-X NN\n2 . O P\n")
    assert read(path, word_column=1, tag_column=2).inputs == [("Fever", ".")]
    with pytest.raises(DataError, match="line 1: 4 columns; the word is wanted in 9"):
        read(path, word_column=9, tag_column=2)


@pytest.mark.parametrize("space", ["\u00a0", "\u202f", "\u3000", "\u0085", "\u2028", "\x0c"])
@pytest.mark.parametrize("name", ["a.conll", "a.txt"])
def test_other_white_space_belongs_to_a_word(space: str, name: str, tmp_path: Path):
    found = read(write(tmp_path, f"10{space}000 NUM O\r\n Euro  NN \tB-X \r\n", name))
    assert found.inputs == [(f"10{space}000", "Euro")] and found.labels == [(Span(1, 2, "X"),)]


def test_a_tagged_table_is_known_by_its_first_entity_however_far_it_stands(tmp_path: Path):
    start = "plain\tO\n\n" * 10_000
    assert read(write(tmp_path, start + "Rome\tB-X\n", "a.tsv")).labels[-1] == (Span(0, 1, "X"),)
    with pytest.raises(DataError, match=r"no column 'text'(.|\n)*a word and its tag a line: call it \.conll"):
        read(write(tmp_path, start, "b.tsv"))


@pytest.mark.parametrize("mark", [" ", "\t"])
def test_a_word_that_begins_like_a_comment(mark: str, tmp_path: Path):
    path = write(tmp_path, "#Berlin B-X NN\n# O P\n\n# B-X P\n#1 O N\n".replace(" ", mark))
    assert read(path, tag_column=1).inputs == [("#Berlin", "#"), ("#", "#1")]
    words = write(tmp_path, "#Berlin\n#\n# 7\n", "words.conll")
    assert read(words, label=None).inputs == [("#Berlin", "#", "#")]
    with pytest.raises(DataError, match="the word '#Berlin' has no tag"):
        read(words)


def test_a_tab_in_a_later_line_changes_no_columns(tmp_path: Path):
    path = write(tmp_path, "New O\nYork B-X\n\n# a\tb\nOld O\nDelhi\tB-X\nis O\n")
    assert read(path).inputs == [("New", "York"), ("Old", "Delhi", "is")]


def test_spans_of_characters_in_json_lines(tmp_path: Path):
    rows = [
        {"text": "Max flog nach Köln.", "label": [{"start": 14, "end": 18, "label": "LOC"}, [0, 3, "PER"]]},
        {"text": "Nichts.", "label": []},
    ]
    path = write(tmp_path, "\n".join(map(json.dumps, rows)), "a.jsonl")
    assert read(path).labels == [(Span(0, 3, "PER"), Span(14, 18, "LOC")), ()]
    words = [{"text": ["Max", "flog"], "label": ["B-PER", "O"]}, {"text": ["Max"], "label": ["S-PER"]}]
    found = read(write(tmp_path, "\n".join(map(json.dumps, words)), "b.jsonl"))
    assert found.inputs == [("Max", "flog"), ("Max",)] and found.labels == [(Span(0, 1, "PER"),)] * 2


@pytest.mark.parametrize(
    ("item", "label", "message"),
    [
        ("abc def", [(0, 3, "A"), (2, 5, "B")], "the entity 0…3 ('A') and the entity 2…5 ('B') overlap"),
        ("abc", [(0, 4, "A")], "lies outside the 3 characters"),
        ("abc", [(-1, 2, "A")], "lies outside"),
        ("abc", [(2, 2, "A")], "or is empty"),
        ("cafe\u0301 x", [(0, 4, "A")], "cuts the character"),
        ("👩\u200d⚕ x", [(0, 1, "A")], "cuts the character"),
        ("👍\U0001f3fd x", [(0, 1, "A")], "cuts the character"),
        ("x 🇩🇪🇫🇷", [(2, 5, "A")], "cuts the character"),
        ("🏴\U000e0067\U000e007f x", [(0, 2, "A")], "cuts the character"),
        ("\u1112\u1161\u11ab x", [(0, 1, "A")], "cuts the character"),
        ("\u1112\u1161\u11ab x", [(0, 2, "A")], "cuts the character"),
        ("\uac00\u11ab x", [(0, 1, "A")], "cuts the character"),
        ("abc d", [(0, 4, "A")], "begins or ends with white space"),
        ("abc", [(0, 1)], "start, end and label are wanted"),
        ("abc", [{"start": 0, "end": 1}], "start, end and label are wanted"),
        ("abc", [(0.0, 1, "A")], "whole numbers are wanted"),
        ("abc", [(0, 1, "")], "the label is missing"),
        ("abc", ["B-A"], "tags belong to a list of words"),
        ("abc", "B-A", "a list of entities or tags is wanted"),
        ("abc", None, "the entities are missing"),
        ("", [], "the text is empty"),
        ([], [], "there is no word"),
        (["a", " "], ["O", "B-A"], "word 1: it is empty"),
        (["a", 3], ["O", "B-A"], "word 1: a text is wanted"),
        (["a"], ["O", "B-A"], "1 words and 2 tags"),
        (["a", "b"], ["O", "I-A"], "word 1: 'I-A' goes on"),
        (["a", "b"], [b"O", b"I-A"], "word 1: 'I-A' goes on"),
        (["a"], [b"B-\xe9"], "a tag is not utf-8"),
        (["a"], [(0, 2, "A")], "lies outside the 1 words"),
    ],
)
def test_entities_that_cannot_be_used(item, label, message: str):
    with pytest.raises(DataError) as caught:
        read(([item, "fine"], [label, [(0, 4, "A")]]))
    assert "arrays:0: " in str(caught.value) and message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "span"),
    [("x 🇩🇪🇫🇷", (2, 4)), ("x 🇩🇪🇫🇷", (4, 6)), ("한국 x", (0, 1)), ("a \U0001f3fd", (2, 3)), ("🇩🇪🇫 x", (2, 3))],
)
def test_whole_characters_may_be_marked(text, span):
    assert read(([text, "fine"], [[(*span, "A")], []])).labels[0] == (Span(*span, "A"),)


def test_splits_and_warnings_know_the_types():
    texts = [f"text number {number}" for number in range(40)]
    labels = [[(0, 4, "common")] if number % 4 else [(0, 4, "rare"), (5, 11, "common")] for number in range(40)]
    found = read((texts, labels))
    parts = data.split(found, {"train": 0.5, "test": 0.5})
    assert all(sum(len(label) == 2 for label in part.labels) == 5 for part in parts.values())
    torn = read(([("a", "b"), ("a", "b"), ("c",)], [["B-X", "O"], ["O", "B-X"], ["B-Y"]]))
    assert [warning.kind for warning in torn.report.warnings] == ["duplicate", "conflicting_label", "rare_class"]
    assert torn.report.warnings[-1].ids == ("arrays:2",)
    assert list(data.overlap(read((["A b"], [[(0, 1, "X")]])), torn)) == [0, 1]


@pytest.mark.shared
def test_the_disease_corpus(shared_data: Path):
    found = {part: read(shared_data / "ncbi_disease" / f"{part}.tsv") for part in ("train", "devel", "test")}
    assert {name: len(part) for name, part in found.items()} == {"train": 5424, "devel": 923, "test": 940}
    assert {name: sum(map(len, part.labels)) for name, part in found.items()} == {
        "train": 5134,
        "devel": 787,
        "test": 960,
    }
