"""A run file drafted from data: the task that a person would choose, or a refusal that says what to name."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from tests.cli.conftest import Place
from tfvertical import cli, config, jobs
from tfvertical.cli import main
from tfvertical.drafting import draft
from tfvertical.errors import ConfigError, DataError

POSTS = [f"the card of customer {at} never arrived, please help" for at in range(60)]
TOPICS = [("card", "cash", "loan")[at % 3] for at in range(60)]


def table(folder: Path, name: str = "posts.csv", sep: str = ",", encoding: str = "utf-8", **columns: list) -> Path:
    pd.DataFrame(columns or {"message": POSTS, "topic": TOPICS}).to_csv(
        folder / name, sep=sep, index=False, encoding=encoding
    )
    return folder / name


def drafted(folder: Path, source: Path, **options) -> config.Run:
    """The run that the file describes; what `load` checks is right with it."""
    draft(source, folder / "run.yaml", **options)
    return config.load(folder / "run.yaml")


@pytest.mark.parametrize(
    ("columns", "task", "given"),
    [
        ({"message": POSTS, "topic": TOPICS}, "text_classifier", {"text": "message", "label": "topic"}),
        ({"id": [*range(60)], "post": POSTS, "label": TOPICS}, "text_classifier", {"text": "post", "label": "label"}),
        ({"post": POSTS, "stars": [at % 5 + 1 for at in range(60)]}, "text_classifier", {"label": "stars"}),
        ({"post": POSTS, "score": [at / 7 for at in range(60)]}, "text_regressor", {"label": "score"}),
        (
            {"post": POSTS, "tags": [("a;b", "b", "a", "b;c")[at % 4] for at in range(60)]},
            "text_multi_label_classifier",
            {"label": "tags", "separator": ";"},
        ),
    ],
)
def test_a_table_says_what_is_learned(tmp_path: Path, columns: dict, task: str, given: dict):
    run = drafted(tmp_path, table(tmp_path, **columns))
    assert run.task == task and given.items() <= run.data.load.items()
    assert run.data.sources == {"train": str(tmp_path / "posts.csv")} and run.data.split is not None
    assert run.options["length"] == 32, "twelve tokens, and room"


@pytest.mark.parametrize(
    ("labels", "task"), [(TOPICS, "pair_classifier"), ([at / 9 for at in range(60)], "pair_regressor")]
)
def test_two_columns_are_a_pair(tmp_path: Path, labels: list, task: str):
    source = table(tmp_path, question=POSTS, answer=POSTS[::-1], label=labels)
    run = drafted(tmp_path, source, text=["question", "answer"])
    assert run.task == task and run.data.load["text"] == ["question", "answer"]


def test_how_a_file_has_to_be_read_is_found_out(tmp_path: Path):
    source = table(
        tmp_path, sep=";", encoding="cp1252", message=["Überweisung " + post for post in POSTS], topic=TOPICS
    )
    run = drafted(tmp_path, source)
    assert run.data.load["delimiter"] == ";" and run.data.load["encoding"] == "cp1252"
    source.write_text("".join(f"{post.replace(',', '')},{at % 2}\n" for at, post in enumerate(POSTS)))
    run = drafted(tmp_path, source, overwrite=True)
    assert run.data.load["header"] is False and (run.data.load["text"], run.data.load["label"]) == (0, 1)


def test_rare_labels_are_weighed_up(tmp_path: Path):
    source = table(tmp_path, message=POSTS, topic=["rare"] * 3 + ["common"] * 57)
    assert drafted(tmp_path, source).data.class_weight == "balanced"
    assert drafted(tmp_path, table(tmp_path), overwrite=True).data.class_weight is None


def test_json_lines_hold_lists_of_names_and_places(tmp_path: Path):
    source = tmp_path / "posts.jsonl"
    rows = [{"text": post, "label": ["a", "b"][: at % 3]} for at, post in enumerate(POSTS)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert drafted(tmp_path, source).task == "text_multi_label_classifier"
    rows = [{"text": post, "label": [{"start": 4, "end": 8, "label": "THING"}]} for post in POSTS]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert drafted(tmp_path, source, overwrite=True).task == "token_classifier"


def test_files_of_other_forms(tmp_path: Path):
    (tmp_path / "train.conll").write_text("Aspirin B-DRUG\nhelps O\n\nNone O\n")
    assert drafted(tmp_path, tmp_path / "train.conll").task == "token_classifier"
    asked = {"id": "1", "question": "When?", "answers": [{"text": "May", "answer_start": 7}]}
    content = {"data": [{"paragraphs": [{"context": "Due in May.", "qas": [asked]}]}]}
    (tmp_path / "train.json").write_text(json.dumps(content))
    assert drafted(tmp_path, tmp_path / "train.json", overwrite=True).task == "extractive_qa"


def test_pictures_in_folders_and_in_a_table(tmp_path: Path):
    for part in ("train", "test"):
        for label in ("cat", "dog"):
            (tmp_path / "pets" / part / label).mkdir(parents=True)
            for at in range(2):
                Image.new("RGB", (8, 8)).save(tmp_path / "pets" / part / label / f"{at}.png")
    run = drafted(tmp_path, tmp_path / "pets")
    assert run.task == "image_classifier" and set(run.data.sources) == {"train", "test"}
    assert run.data.split is not None, "a part of the training data validates"
    source = table(tmp_path, picture=[f"pets/train/cat/{at}.png" for at in range(20)], topic=TOPICS[:20])
    assert drafted(tmp_path, source, overwrite=True).task == "image_classifier"
    encoded = (tmp_path / "pets" / "train" / "cat" / "0.png").read_bytes()
    pd.DataFrame({"image": [encoded] * 20, "topic": TOPICS[:20]}).to_parquet(tmp_path / "pets.parquet")
    assert drafted(tmp_path, tmp_path / "pets.parquet", overwrite=True).task == "image_classifier"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"message": POSTS, "a": TOPICS, "b": TOPICS},
            r"several columns could be the label[\s\S]*'a' \(3 values[\s\S]*--label",
        ),
        (
            {"message": POSTS, "id": [f"id{at}" for at in range(60)]},
            r"no column looks like a label[\s\S]*--label COLUMN",
        ),
        (
            {"one": POSTS, "other": POSTS[::-1], "label": TOPICS},
            r"several columns could be the text[\s\S]*--text 'one,other'",
        ),
        ({"number": [*range(60)], "label": [*range(60)]}, r"no column of texts[\s\S]*--text COLUMN"),
        ({"message": POSTS, "label": ["same"] * 60}, r"'label' \(1 values[\s\S]*is no label"),
    ],
)
def test_what_cannot_be_told_is_asked_for(tmp_path: Path, columns: dict, message: str):
    with pytest.raises(DataError, match=message):
        draft(table(tmp_path, **columns), tmp_path / "run.yaml")
    assert not (tmp_path / "run.yaml").exists()


@pytest.mark.parametrize("which", ["text", "label"])
def test_a_column_with_nothing_in_it_is_told(tmp_path: Path, which: str):
    source = table(tmp_path, **({"text": POSTS, "label": TOPICS} | {which: [""] * 60}))
    with pytest.raises(DataError, match=f"the column '{which}' is empty"):
        draft(source, tmp_path / "run.yaml", text="text", label="label")


def test_names_are_looked_up(tmp_path: Path):
    with pytest.raises(DataError, match=r"no column 'topc'[\s\S]*'topic'"):
        draft(table(tmp_path), tmp_path / "run.yaml", label="topc")
    with pytest.raises(DataError, match=r"does not exist[\s\S]*posts.csv"):
        draft(tmp_path / "post.csv", tmp_path / "run.yaml")
    (tmp_path / "run.yaml").write_text("mine")
    with pytest.raises(ConfigError, match="--overwrite"):
        draft(tmp_path / "posts.csv", tmp_path / "run.yaml")
    assert (tmp_path / "run.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["a: b", "yes", "# no", "a\nb", '"', "é", "1", "- x", "{x}", ".5", ".inf", "a\x7fb", "a\x9fb", "..", "/x"]
)
def test_columns_of_any_name(tmp_path: Path, name: str):
    run = drafted(tmp_path, table(tmp_path, **{name: POSTS, "label": [f"{each}\n{name}" for each in TOPICS]}))
    assert run.data.load["text"] == name


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source, out = table(tmp_path), tmp_path / "run.yaml"
    assert main(["init", str(source), "--out", str(out)]) == 0
    told = capsys.readouterr()
    assert "text: 'message' (60 values, 9 words each)" in told.out and "task: TextClassifier" in told.out
    assert f"tfvertical train {out}" in told.err
    assert main(["init", str(source), "--out", str(out)]) == 2 and "--overwrite" in capsys.readouterr().err


def test_what_is_drafted_trains(tmp_path: Path, place: Place):
    """The whole way, with a tiny backbone in the place of the drafted one."""
    draft(place.data, tmp_path / "run.yaml")
    tiny = [f"task.preset={place.folder / 'preset'}", "task.length=16", "training.learning_rate=0.1"]
    report = jobs.train(config.load(tmp_path / "run.yaml", tiny), tmp_path / "out", say=lambda line: None)
    assert report is not None and report.metrics["accuracy"] > 0.5
    assert (tmp_path / "out" / "exports" / "litert-float32").is_dir(), (
        "18 rows do not tell what a lower precision loses"
    )


@pytest.mark.parametrize(("rows", "precision"), [(60, "float32"), (1000, "auto")])
def test_a_lower_precision_wants_rows_to_be_judged_on(tmp_path: Path, rows: int, precision: str):
    source = table(tmp_path, message=[f"{at} {POSTS[0]}" for at in range(rows)], topic=(TOPICS * rows)[:rows])
    assert drafted(tmp_path, source).export[0].options.get("precision", "float32") == precision


def written(folder: Path, content: str | bytes, name: str = "posts.csv") -> Path:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


def test_the_data_are_never_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source = table(tmp_path)
    before = source.read_bytes()
    assert main(["init", str(source), "--out", str(source), "--overwrite"]) == 2
    assert "take the place of the data" in capsys.readouterr().err and source.read_bytes() == before


def test_the_run_file_may_lie_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source = table(tmp_path)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er")
    table(tmp_path / "deep", message=POSTS, topic=["other", "than"] * 30)  # what `../posts.csv` would be by name
    for out in (tmp_path / "link" / "run.yaml", tmp_path / "not" / "there" / "my run.yaml"):
        assert main(["init", str(source), "--out", str(out)]) == 0
        assert Path(config.load(out).data.sources["train"]).samefile(source)
    assert shlex.split(capsys.readouterr().err.splitlines()[-1])[:3] == ["tfvertical", "train", str(out)]


@pytest.mark.parametrize(
    ("content", "task", "given"),
    [
        ("text,stars\n" + "".join(f"post {at},{at % 9 / 2 if at else ''}\n" for at in range(40)), "text_regressor", {}),
        ("".join(f"I lost my card {at},{TOPICS[at]}\n" for at in range(60)), "text_classifier", {"header": False}),
        ("text,label,2019\n" + "".join(f"a post {at},{TOPICS[at]},7\n" for at in range(60)), "text_classifier", {}),
        (
            "message, raw;topic\n" + "".join(f"lost{', twice' * (at % 2)} {at};{TOPICS[at]}\n" for at in range(60)),
            "text_classifier",
            {"delimiter": ";", "text": "message, raw"},
        ),
        ("title,class\n" + "".join(f"nurse {at},care at home {at % 3}\n" for at in range(60)), "text_classifier", {}),
        ("text,label\n" + "".join(f"post {at},{('a', 'a;b', 'a;b;c')[at % 3]}\n" for at in range(60)),
         "text_multi_label_classifier", {"separator": ";"}),
        ("text\tlabel\n" + "".join(f'the 5" card {at}\t{TOPICS[at]}\n' for at in range(60)), "text_classifier",
         {"delimiter": "\t"}),
    ],
)  # fmt: skip
def test_what_a_person_would_see(tmp_path: Path, content: str, task: str, given: dict):
    run = drafted(tmp_path, written(tmp_path, content))
    assert run.task == task and given.items() <= run.data.load.items()
    assert ("header" in run.data.load) == ("header" in given)


def test_labels_are_counted_in_all_rows(tmp_path: Path):
    source = table(
        tmp_path, message=[f"post {at}" for at in range(25_000)], topic=["first"] * 12_500 + ["then"] * 12_500
    )
    seen = draft(source, tmp_path / "run.yaml")
    assert "names: 2, from 12,500 ('first') to 12,500 ('first') rows each" in seen or "12,500" in " ".join(seen)
    assert "balanced" not in (tmp_path / "run.yaml").read_text()


def test_rows_that_cannot_be_used_are_told(tmp_path: Path):
    rows = "".join(f"post {at},{TOPICS[at]}{',more' * (at % 5 == 4)}\n" for at in range(60))
    seen = draft(written(tmp_path, "text,label\n" + rows), tmp_path / "run.yaml")
    assert "rows: 60, of which 12 cannot be used" in seen and any(
        "3 cells where the first row has 2" in one for one in seen
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,topic,topic\na b,c,d\n", "two columns called 'topic'"),
        ("a.csv", "text,label\na b,c\n".encode("utf-16"), "is UTF-16"),
        ("a.csv", ("text,label\n" + "a b,c\n" * 9).replace("\n", "\r"), "no rows that can be read"),
        ("a.json", '[{"text": "hi", "label": "a"}]', "a.json"),
        ("a.jsonl", '{"text": "a b", "label": []}\n' * 20, "no label applies"),
        ("a.conll", "", "is empty"),
        ("a.docx", "x", "no kind that a run file can be drafted for"),
    ],
)
def test_what_is_no_data_is_refused(tmp_path: Path, name: str, content: str | bytes, message: str):
    with pytest.raises(DataError, match=message):
        draft(written(tmp_path, content, name), tmp_path / "run.yaml")
    assert not (tmp_path / "run.yaml").exists()


def test_a_long_first_text_is_no_header(tmp_path: Path):
    content = "w " * 70_000 + ",card\n" + "".join(f"word {at},{TOPICS[at]}\n" for at in range(30))
    run = drafted(tmp_path, written(tmp_path, content))
    assert run.data.load["header"] is False


def test_other_names_of_the_parts(tmp_path: Path):
    for part in ("Train", "val"):
        for label in ("cat", "dog"):
            (tmp_path / "pets" / part / label).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(tmp_path / "pets" / part / label / "0.png")
    run = drafted(tmp_path, tmp_path / "pets")
    assert {part: Path(path).name for part, path in run.data.sources.items()} == {"train": "Train", "validation": "val"}


def test_a_column_with_a_comma_in_its_name(tmp_path: Path):
    source = table(tmp_path, **{"a, b": POSTS, "c": POSTS[::-1], "label": TOPICS})
    assert drafted(tmp_path, source, text="a, b").data.load["text"] == "a, b"
    assert drafted(tmp_path, source, text="a, b", overwrite=True).task == "text_classifier"
    with pytest.raises(DataError, match="no column 'a'"):
        draft(source, tmp_path / "other.yaml", text="a,c")


def test_a_place_that_cannot_be_written_is_told_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    source = table(tmp_path)
    (tmp_path / "file").write_text("mine")
    assert main(["init", str(source), "--out", str(tmp_path / "file" / "deep" / "run.yaml")]) == 2
    assert "file is a file" in capsys.readouterr().err and (tmp_path / "file").read_text() == "mine"


def test_columns_of_what_has_none_are_refused(tmp_path: Path):
    (tmp_path / "train.conll").write_text("Aspirin B-DRUG\nhelps O\n\nNone O\n")
    (tmp_path / "train.json").write_text("{}")
    (tmp_path / "pets").mkdir()
    for name in ("train.conll", "train.json", "pets"):
        with pytest.raises(ConfigError, match="no columns, and --text and --label would do nothing"):
            draft(tmp_path / name, tmp_path / "run.yaml", text="a", label="b")


@pytest.mark.parametrize(("bad", "told"), [(1, "1 row, which cannot be used, ends"), (2, "2 rows, which cannot be")])
def test_rows_that_will_end_the_run_are_told_beside_the_command(tmp_path: Path, capsys, bad: int, told: str):
    source, out = (
        written(tmp_path, "text,label\n" + ",card\n" * bad + "lost,card\nout,cash\n" * 20),
        tmp_path / "r.yaml",
    )
    assert main(["init", str(source), "--out", str(out)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert told in last and "--set data.policy=skip" in last
    (line,) = [line for line in out.read_text().splitlines() if "policy:" in line]
    assert line.startswith("  policy: raise ") and told in line
    assert draft(table(tmp_path), out, overwrite=True)[-1] == "task: TextClassifier"


@pytest.mark.parametrize(
    ("first", "header"), [("email,spam", True), ("you lost it all,spam", False), ("uid,email,spam", True)]
)
def test_a_column_may_be_called_as_one_of_its_labels(tmp_path: Path, first: str, header: bool):
    ids = first.startswith("uid")
    rows = [f"{f'u{at},' * ids}my card {at} is lost,{('spam', 'ham')[at % 2]}" for at in range(40)]
    seen = draft(written(tmp_path, "\n".join([first, *rows])), tmp_path / "run.yaml", overwrite=True)
    assert f"rows: {40 + (not header)}" in seen
    assert ("header" in config.load(tmp_path / "run.yaml").data.load) is not header


@pytest.mark.parametrize("text", ["我的银行卡还没有到" * 40, "บัตรของฉันยังมาไม่ถึง" * 20, "カードがとどかない" * 40])
def test_scripts_without_spaces_have_their_characters_counted(tmp_path: Path, text: str):
    run = drafted(tmp_path, table(tmp_path, text=[f"{text}{at}" for at in range(60)], label=TOPICS))
    assert run.options["length"] == 512


@pytest.mark.parametrize(
    "rows",
    [
        [{"text": post, "label": [[4, 8, "THING"]]} for post in POSTS],
        [{"text": post, "label": [[4, 8, "THING"]] * (at % 2)} for at, post in enumerate(POSTS)],
        [{"text": ["Aspirin", "helps"], "label": ["B-DRUG", "O"]}] * 20,
        [{"id": f"doc {at}", "tokens": ["Aspirin", f"helps {at}"], "ner": ["B-DRUG", "O"]} for at in range(20)],
    ],
)
def test_every_form_of_entities_is_seen(tmp_path: Path, rows: list):
    source = written(tmp_path, "".join(json.dumps(row) + "\n" for row in rows), "a.jsonl")
    run = drafted(tmp_path, source)
    assert run.task == "token_classifier" and run.data.load["text"] == ("tokens" if "tokens" in rows[0] else "text")


def test_only_flags_that_there_are_are_advised(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for content, name in (("Aspirin B-DRUG\n\nhelps\n", "a.conll"), ('{"text": "a", "label": []}\n' * 9, "a.jsonl")):
        main(["init", str(written(tmp_path, content, name)), "--out", str(tmp_path / "run.yaml")])
        assert "--data-option" not in capsys.readouterr().err


def test_the_encoding_of_a_conll_file_is_found_out(tmp_path: Path):
    source = written(tmp_path, "Zürich B-LOC\nschläft O\n\nHier O\n".encode("cp1252"), "a.conll")
    assert drafted(tmp_path, source).data.load["encoding"] == "cp1252"


def test_what_a_run_cannot_read_is_told_in_the_keys_of_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "run.yaml"
    draft(written(tmp_path, "text,label\n,card\n" + "lost,card\nout,cash\n" * 20), out)
    assert main(["train", str(out), "--out", str(tmp_path / "trained")]) == 2
    told = capsys.readouterr().err
    assert "`data.policy: skip` (--set data.policy=skip)" in told and "policy='" not in told
    assert main(["train", str(out), "--out", str(tmp_path / "trained"), "--set", "data.text=message"]) == 2
    told = capsys.readouterr().err
    assert "`data.text: …`" in told and "`data.header: false` (--set data.header=false)" in told


def test_the_next_command_is_quoted(capsys: pytest.CaptureFixture[str]):
    cli._next(Path("my model"))
    assert shlex.split(capsys.readouterr().err.splitlines()[-1]) == ["tfvertical", "predict", "my model", "INPUT"]
