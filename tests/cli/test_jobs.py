"""The commands that work: train, evaluate, predict, export, from one tiny run."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Place, lines
from tfvertical import bundle, config, data, jobs, lock
from tfvertical.checkpoint import Checkpoint
from tfvertical.cli import main
from tfvertical.contracts import Examples
from tfvertical.errors import CheckpointError, ConfigError, DataError, PresetError
from tfvertical.export import _samples
from tfvertical.jobs import reading, training
from tfvertical.jobs import trained as trained_by
from tfvertical.registry import Registry
from tfvertical.runfiles.run import DataPlan, ExportPlan

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("module", Registry("tasks").modules())
def test_what_a_task_declares_is_known_without_importing_it(module: str) -> None:
    task = Registry("tasks").get(module)
    told = jobs.kind_of(module), jobs.target_of(module), jobs.measure_of(module)
    assert told == (task.items, task.target, task.measure)


def test_positions_of_a_run_under_way_are_not_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT", 0.1)
    monkeypatch.setattr(lock, "PATIENCE", 0.5)
    kept = Checkpoint(tmp_path / "run.unfinished")
    kept.save({}, {"epoch": 1})
    with lock.Lock(kept.place), pytest.raises(CheckpointError, match="Another process writes"):
        training._forget(kept)
    assert kept.load() is not None
    training._forget(kept)
    assert kept.load() is None and not (tmp_path / "run.unfinished").exists()


def test_a_folder_without_a_name_of_its_own_can_be_trained_into(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run" / "inside").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "run" / "inside")
    run = str(tmp_path.resolve() / "run")
    places = {".": f"{run}/inside.unfinished", "..": f"{run}.unfinished", "a/../..": f"{run}.unfinished"}
    for out, place_of_it in {**places, "a/cards": "a/cards.unfinished"}.items():
        assert str(training._kept_at(out).place) == place_of_it
    with pytest.raises(ConfigError, match="Nothing can stand beside /"):
        training._kept_at("/")
    short = ["adaptation.head_epochs=1", "adaptation.epochs_per_block=1", "export=[]", "evaluation.before=false"]
    assert main(["train", str(place.run), "--out", ".", *(word for each in short for word in ("--set", each))]) == 0
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["inside"] and Path("bundle").is_dir()


@pytest.mark.parametrize("inside", ["{}", "{}/position", "file://{}/position"])
def test_a_position_in_the_output_folder_is_refused_before_anything_is_read(
    inside: str, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """The folder would be filled when the same command is given again."""
    monkeypatch.setattr(reading, "read", lambda *_: pytest.fail("data were read"))
    out = tmp_path / "out"
    assert main(["train", str(place.run), "--out", str(out), "--checkpoint", inside.format(out)]) == 2
    assert "has to be empty when the run goes on" in capsys.readouterr().err and not out.exists()
    monkeypatch.chdir(tmp_path)
    assert str(training._kept_at(".", "memory://runs/cards").place) == "memory://runs/cards"


def test_train_saves_a_bundle_with_report_configuration_and_export(trained: Place) -> None:
    told = json.loads((trained.bundle / "exports" / "litert-float32" / "parity.json").read_text())
    assert told["examples"] == "given" and told["n"] > 1 and told["nasty"]["count"] > 10
    report = json.loads((trained.bundle / "bundle" / "report" / "report.json").read_text())
    assert report["labels"] == ["cards", "travel"]
    assert report["before"]["metrics"]["accuracy"] < report["metrics"]["accuracy"]
    run = bundle.run(trained.bundle)
    assert run["config"]["training"]["learning_rate"] == 3e-2
    assert run["stages"] == ["head"] * 4 + ["top 1"] * 2
    assert {"tfvertical", "tensorflow", "keras", "python"} <= run["versions"].keys()
    (export,) = bundle.exports(trained.bundle)
    assert (export.name, export.stale) == ("litert-float32", False)


SHORT = ("--set", "adaptation.head_epochs=1", "--set", "adaptation.epochs_per_block=1")


def test_an_export_that_cannot_be_costs_neither_the_others_nor_the_report(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)  # a broken installation: it is there
    both = ("--set", "export=[litert, saved_model]")
    assert main(["train", str(place.run), "--out", str(tmp_path / "run"), *SHORT, *both]) == 2
    said = capsys.readouterr().err
    assert "The bundle is saved" in said and "1 of 2 exports are not" in said and "needs ai-edge-litert" in said
    assert "accuracy" in said
    assert [path.name for path in (tmp_path / "run" / "exports").iterdir() if path.is_dir()] == ["saved_model-float32"]


def test_lengths_that_no_built_in_text_has_are_checked_on_the_run_s_own_data(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As texts of some hundred tokens are for real: here the data have 6 tokens, and the built-in text has 2."""
    monkeypatch.setattr(_samples, "TEXTS", ("",))
    several = ("--set", "export=[{format: litert, length: [5, 6]}]")
    assert main(["train", str(place.run), "--out", str(tmp_path / "run"), *SHORT, *several]) == 0
    told = json.loads((tmp_path / "run" / "exports" / "litert-float32" / "parity.json").read_text())
    assert set(told["by_length"]) == {"5", "6"} and told["n"] > 1 and told["max_difference"] <= 1e-5


def test_a_label_that_no_export_can_write_is_told_before_the_training(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(training, "check_room", lambda *_: pytest.fail("the backbone was loaded"))
    bad = tmp_path / "bad.csv"
    bad.write_text(place.data.read_text().replace(",cards", ',"ca\nrds"'))
    out = tmp_path / "out"
    assert main(["train", str(place.run), "--out", str(out), "--set", f"data.train={bad}"]) == 2
    assert "'ca\\nrds' does not fit on a line of labels.txt" in capsys.readouterr().err and not out.exists()


def test_a_package_that_an_export_needs_is_missed_before_the_bundle_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main(["export", str(tmp_path / "none"), "--format", "onnx"]) == 2
    assert "An export to onnx needs onnxruntime. Fix: pip install" in capsys.readouterr().err


OF_STAGES = ("epoch_ended", "features", "steps")  # how often, and where, follows from the plan


def test_train_writes_what_happened_beside_the_bundle(trained: Place) -> None:
    text = (trained.bundle / "events.jsonl").read_text()
    events = lines(text)
    assert [event["kind"] for event in events if event["kind"] not in OF_STAGES] == [
        *["data_read"] * 3,
        *["stage_started", "stage_ended"] * 2,
        "run_ended",
        "bundle_saved",
        "exported",
    ]
    parts = [event for event in events if event["kind"] == "data_read"]
    rows = len(trained.data.read_text().splitlines()) - 1
    assert {(event["read"], event["kept"], event["rejected"]) for event in parts} == {(rows, rows, 0)}
    assert {str(event["part"]) for event in parts} == {"train", "validation", "test"}
    assert sum(event["kind"] == "epoch_ended" for event in events) == 6
    assert events[-2]["hash"] == bundle.verify(trained.bundle).hash
    texts = [row.split(",")[0] for row in trained.data.read_text().splitlines()[1:]]
    assert not any(row in text for row in texts)


@pytest.mark.parametrize(
    ("quarantine", "files"),
    [
        ("bad.jsonl", ["bad.test.jsonl", "bad.train.jsonl"]),
        ("bad.d/", ["bad.d/test.rejected.jsonl", "bad.d/train.rejected.jsonl"]),
        ("bad", ["bad/test.rejected.jsonl", "bad/train.rejected.jsonl"]),
    ],
)
def test_each_source_has_its_own_quarantine_file(tmp_path: Path, quarantine: str, files: list[str]) -> None:
    sources = {}
    for part in ("train", "test"):
        sources[part] = str(tmp_path / part / "rows.csv")  # of one name
        (tmp_path / part).mkdir()
        (tmp_path / part / "rows.csv").write_text(f"text,label\n{part} a,x\n{part} b,y\n,x\n")
    if quarantine.endswith("/"):
        (tmp_path / "out" / quarantine).mkdir(parents=True)
    load = {"policy": "quarantine", "quarantine": str(tmp_path / "out" / quarantine)}
    parts = jobs.read(DataPlan(sources, load), "text", None)
    assert [len(part) for part in parts.values()] == [2, 2]
    found = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert [path.relative_to(tmp_path / "out").as_posix() for path in found] == files
    assert all(lines(path.read_text())[0]["id"] == "rows.csv:4" for path in found)


@pytest.mark.parametrize("options", [{"seed": 1}, {}, {"fractions": None}])
@pytest.mark.parametrize(
    ("given", "rows"),
    [(["test"], [36, 4, 2]), (["validation"], [36, 2, 4]), (["validation", "test"], [40, 2, 2]), ([], [32, 4, 4])],
)
def test_a_split_divides_into_what_is_not_given(
    tmp_path: Path, given: list[str], rows: list[int], options: dict[str, object]
) -> None:
    (tmp_path / "all.csv").write_text("text,label\n" + "".join(f"row {at},{'xy'[at % 2]}\n" for at in range(40)))
    (tmp_path / "given.csv").write_text("text,label\na,x\nb,y\n")
    sources = {"train": str(tmp_path / "all.csv")} | {part: str(tmp_path / "given.csv") for part in given}
    parts = jobs.read(DataPlan(sources, split=options), "text", None)
    assert [len(parts[name]) for name in ("train", "validation", "test")] == rows


def test_numbers_before_the_training_are_in_their_own_units(place: Place, tmp_path: Path) -> None:
    rows = [row.split(",") for row in place.data.read_text().splitlines()[1:]]
    table = [f"{text},{1000 + (topic == 'cards') + at % 3}" for at, (text, topic) in enumerate(rows)]
    (tmp_path / "rows.csv").write_text("message,score\n" + "\n".join(table) + "\n")
    options = [f"data.train={tmp_path / 'rows.csv'}", "data.label=score", "export=[]", "task.name=TextRegressor"]
    chosen = [word for each in options for word in ("--set", each)]
    assert main(["train", str(place.run), "--out", str(tmp_path / "run"), *SHORT, *chosen]) == 0
    report = json.loads((tmp_path / "run" / "bundle" / "report" / "report.json").read_text())
    assert report["before"]["metrics"]["mae"] < 10


def test_a_label_that_only_the_test_part_has_does_not_end_a_run_after_its_training(
    place: Place, tmp_path: Path, capsys: Capture
) -> None:
    rows = place.data.read_text().splitlines()
    dates = [f"2024-01-{1 + at * 27 // len(rows):02d}" for at in range(len(rows))]
    table = [rows[0] + ",at", *(f"{row},{date}" for row, date in zip(rows[1:], dates, strict=False))]
    table += ["lost visa pin trip,other,2024-02-01"]
    (tmp_path / "rows.csv").write_text("\n".join(table) + "\n")
    options = [f"data.train={tmp_path / 'rows.csv'}", "data.time=at", "export=[]", "evaluation.before=false"]
    chosen = [word for each in options for word in ("--set", each)]
    assert main(["train", str(place.run), "--out", str(tmp_path / "run"), *SHORT, *chosen]) == 0
    assert "No training row has the label 'other'" in capsys.readouterr().err
    report = json.loads((tmp_path / "run" / "bundle" / "report" / "report.json").read_text())
    assert report["labels"] == ["cards", "other", "travel"]


def test_labels_that_nothing_teaches_are_named() -> None:
    train = data.load((["a", "b"], ["x", "y"]))
    assert reading.unlearned(("x", "y"), "label", train) == ""
    assert "one of the labels 'v', 'w'" in reading.unlearned(("v", "w", "x"), "label", train)


def test_strict_runs_refuse_what_was_trained_on(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\na,x\nb,y\nc,x\nd,y\n")
    sources = {"train": str(tmp_path / "rows.csv"), "test": str(tmp_path / "rows.csv")}
    with pytest.raises(DataError, match="overlap"):
        jobs.read(DataPlan(sources, {"strict": True, "label": "label"}), "text", ("x", "y"))
    assert jobs.read(DataPlan(sources), "text", None)["test"].report.warnings[-1].kind == "overlap"


def test_a_disk_without_room_is_told_before_training(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
    assert main(["train", str(place.run), "--out", str(tmp_path / "a" / "b")]) == 2
    said = capsys.readouterr().err
    assert "No space left" in said and "loss" not in said
    assert not (tmp_path / "a").exists()


def test_evaluate_and_predict_name_a_wrong_column_before_the_model_is_loaded(
    trained: Place, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(bundle, "load", None)
    assert main(["evaluate", str(trained.bundle), str(trained.data), "--label", "topics"]) == 2
    assert main(["predict", str(trained.bundle), str(trained.data), "--text", "mesage"]) == 2
    assert "'message'" in capsys.readouterr().err


def test_strict_runs_refuse_a_language_that_the_vocabulary_lacks(place: Place, tmp_path: Path) -> None:
    rows = [f"{'карта' if at % 2 else 'виза'} {'я' * at},{'cards' if at % 2 else 'travel'}" for at in range(1, 41)]
    (tmp_path / "rows.csv").write_text("message,topic\n" + "\n".join(rows) + "\n")
    run = config.load(place.run, [f"data.train={tmp_path / 'rows.csv'}", "data.strict=true"])
    with pytest.raises(DataError, match="unknown_tokens: The vocabulary lacks 100% of the tokens"):
        jobs.train(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tables_are_read_as_in_training(trained: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tfvertical import jobs

    columns = {"text": "1", "label": "0"}
    options = {"encoding": "latin-1", "header": False, "delimiter": ";"}
    run = {"config": {"data": {"train": "old.csv", "policy": "skip", **columns, **options}}}
    monkeypatch.setattr(bundle, "run", lambda path: run)
    (tmp_path / "new.csv").write_bytes("cards;stolen caf\xe9 card\ntravel;visa; border\n".encode("latin-1"))
    first, second = jobs.predict(trained.bundle, str(tmp_path / "new.csv"))
    assert (first["label"], second["id"]) == ("cards", "new.csv:2") and "3 cells" in second["error"]
    assert trained_by.columns(trained.bundle, "new.jsonl", text=None, label="topic") == {"text": "1", "label": "topic"}


OF_SOURCES: dict[str, dict[str, object]] = {
    "new.csv": {"encoding": "latin-1", "header": False, "delimiter": ";", "quotes": False},
    "new.iob2": {"encoding": "latin-1", "word_column": 1, "tag_column": 2},
    "tfds:new": {"data_dir": "prepared"},
}
OF_ANY = {"separator": ";", "spans": ["head", "tail"], "scheme": "bioes"}
LIMITS = {"max_text_bytes": 9, "max_pixels": 9, "max_rows": 9}


@pytest.mark.parametrize("source", OF_SOURCES)
def test_what_a_run_file_says_about_reading_holds_for_its_bundle(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set().union(*OF_SOURCES.values()) == set(config._source_options()), "a kind of source has a new option"
    said = OF_SOURCES[source] | OF_ANY | LIMITS
    train = "old.conll" if source.endswith("iob2") else "old.parquet"
    run = {"config": {"data": {"train": train, "test": "old.csv", "group": "patient", "strict": True, **said}}}
    monkeypatch.setattr(bundle, "run", lambda path: run)
    monkeypatch.setattr(bundle, "description", lambda path: ("token_classifier", ("a", "b")))
    assert trained_by.columns("anywhere", source, text=None, label=None) == said


def test_conll_files_are_read_by_the_columns_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.conll"
    path.write_text("1\tAda\tB-PER\tO\n2\tsleeps\tO\tO\n\n1\tin\tO\tO\n2\tRome\tB-LOC\tI-PER\n")
    options = {"word_column": 1, "tag_column": 2, "scheme": "iob2", "max_text_bytes": 20, "max_rows": 5}
    monkeypatch.setattr(bundle, "run", lambda path: {"config": {"data": {"train": "old.conll", **options}}})
    monkeypatch.setattr(bundle, "description", lambda path: ("token_classifier", ("LOC", "PER")))
    learned = jobs.read(DataPlan({"train": str(path)}, options), "text", None, "entities")["train"]
    rows = trained_by.rows("anywhere", str(path), text=None, label=None, reading=None)
    assert rows.inputs == learned.inputs == [("Ada", "sleeps"), ("in", "Rome")]
    assert rows.labels == learned.labels and [span.label for row in rows.labels or () for span in row] == ["PER", "LOC"]
    assert [item.value for item in jobs.rows_of("anywhere", str(path))] == rows.inputs
    path.write_text("1\tAda\tO\n2\tslumbered\tO\n3\tdeeply\tO\n4\there\tO\n")
    (item,) = jobs.rows_of("anywhere", str(path))
    assert item.fault == "line 4: the sentence takes more than 20 bytes"
    (item,) = jobs.rows_of("anywhere", str(path), reading={"max_text_bytes": 100})
    assert item.value == ("Ada", "slumbered", "deeply", "here")


@pytest.mark.parametrize("policy", ["skip", "quarantine"])
def test_rows_that_training_went_on_without_are_skipped_and_counted(
    trained: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, policy: str
) -> None:
    run = bundle.run(trained.bundle)
    run["config"]["data"] |= {"policy": policy} | ({} if policy == "skip" else {"quarantine": str(tmp_path / "bad")})
    (tmp_path / "test.csv").write_text(trained.data.read_text() + ",cards\n")
    asked = ["evaluate", str(trained.bundle), str(tmp_path / "test.csv"), "--out", str(tmp_path / "report")]
    with monkeypatch.context() as patch:
        patch.setattr(bundle, "run", lambda path: run)
        assert main(asked) == 0
    assert "rejected 1: the text is empty" in capsys.readouterr().err
    assert json.loads((tmp_path / "report" / "report.json").read_text())["data"]["rejected"] == 1
    assert not (tmp_path / "bad").exists()


def test_what_evaluate_advises_is_taken_by_it(trained: Place, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "test.csv").write_text(trained.data.read_text().replace(",", ";") + ";cards\n")
    asked = ["evaluate", str(trained.bundle), str(tmp_path / "test.csv"), "--no-examples"]
    assert main(asked) == 2
    assert "--data-option 'delimiter=\";\"'" in capsys.readouterr().err
    asked += ["--data-option", 'delimiter=";"']
    assert main(asked) == 2
    assert "or say --data-option policy=skip" in capsys.readouterr().err
    assert main([*asked, "--data-option", "policy=skip"]) == 0
    assert "rejected 1 (column 'message')" in capsys.readouterr().err
    said = ["--data-option", 'delimiter=";"']
    assert main(["predict", str(trained.bundle), str(tmp_path / "test.csv")]) == 2
    assert main(["predict", str(trained.bundle), str(tmp_path / "test.csv"), *said]) == 1
    assert "1 rows could not be used" in capsys.readouterr().err


def test_export_sets_the_bad_rows_of_each_source_aside(
    trained: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, said = dict[str, Any](), list[str]()

    class Task:
        def export(self, *where: object, **options: object) -> Path:
            given.update(options)
            return tmp_path

    monkeypatch.setattr(trained_by, "loaded", lambda path: Task())
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(trained.data.read_text() + ",cards\n")
    files = {"source": str(tmp_path / "a.csv"), "calibration": str(tmp_path / "b.csv")}
    reading = {"policy": "quarantine", "quarantine": str(tmp_path / "bad.jsonl")}
    options = {"format": "litert", "precision": "int8", "overwrite": True}
    jobs.export(trained.bundle, **options, **files, reading=reading, say=said.append)
    rows = len(trained.data.read_text().splitlines()) - 1
    assert len(given["examples"]) == len(given["calibration"]) == rows
    assert [line.splitlines()[0] for line in said] == [
        f"{name}: read {rows + 1}, kept {rows}, rejected 1" for name in ("a.csv", "b.csv")
    ]
    assert (tmp_path / "bad.examples.jsonl").exists() and (tmp_path / "bad.calibration.jsonl").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--text", "message", "--label", "topic"], "--text and --label would do nothing: no data are read"),
        (["--data-option", "encoding=utf-8"], "--data-option would do nothing"),
        (["--calibration", "train.csv"], "`calibration` would do nothing"),
        (["--max-drop", "0.01"], "`max_drop` would do nothing"),
    ],
)
def test_options_of_an_export_that_would_do_nothing_are_refused_before_anything_is_read(
    trained: Place, given: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(trained_by, "loaded", lambda path: pytest.fail("the bundle was read"))
    assert main(["export", str(trained.bundle), "--overwrite", *given]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("precision", "keys"), [("int8", ["calibration"]), ("auto", ["calibration"]), ("dynamic", [])])
def test_a_run_s_export_is_given_what_its_precision_uses(precision: str, keys: list[str]) -> None:
    plan = ExportPlan("litert", {"precision": precision})
    given = training._for_export(plan, {"train": "train", "validation": "held out"}, None)
    assert given.pop("examples") == "held out" and list(given) == keys


def test_a_file_that_sees_no_validation_text_whole_is_compared_on_the_built_in_ones(
    trained: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = trained_by.loaded(trained.bundle)
    held = Examples(["card " * 9] * 600, None, [str(at) for at in range(600)])
    given = training._for_export(ExportPlan("litert", {"length": 8}), {"validation": held}, task)
    assert given == {}
    assert len(training._for_export(ExportPlan("litert", {}), {"validation": held}, task)["examples"]) == 500
    assert training._for_export(ExportPlan("litert", {}), {}, task) == {}


def test_no_examples_keeps_texts_out_of_the_report(trained: Place) -> None:
    texts = [row.split(",")[0] for row in trained.data.read_text().splitlines()[1:]]
    pages = [path.read_text() for path in (trained.bundle / "bundle" / "report").iterdir()]
    assert pages and not any(text in page for text in texts for page in pages)


@pytest.mark.parametrize("examples", [True, False])
def test_no_examples_keeps_cells_out_of_what_is_said(place: Place, tmp_path: Path, examples: bool) -> None:
    (tmp_path / "rows.csv").write_text(place.data.read_text() + "patient jones,jones\n")
    changes = [f"data.train={tmp_path / 'rows.csv'}", "data.policy=skip", "task.labels=[cards, travel]"]
    run, said = config.load(place.run, [*changes, f"evaluation.examples={json.dumps(examples)}"]), list[str]()
    with pytest.raises(PresetError):  # behind the account, and before the long part
        jobs.train(dataclasses.replace(run, preset="./none"), tmp_path / "out", say=said.append)
    assert any("rejected 1" in line for line in said) and any("jones" in line for line in said) == examples


def test_evaluate_uses_the_columns_of_training_and_writes_a_report(
    trained: Place, tmp_path: Path, capsys: Capture
) -> None:
    assert main(["evaluate", str(trained.bundle), str(trained.data), "--out", str(tmp_path / "report")]) == 0
    assert "macro F1" in capsys.readouterr().out
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["metrics"]["accuracy"] > 0.9


def test_evaluate_refuses_a_column_that_is_not_there(trained: Place, capsys: Capture) -> None:
    assert main(["evaluate", str(trained.bundle), str(trained.data), "--label", "topics"]) == 2
    assert "'topic'" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "shown"), [(b"in.txt", "in.txt"), (b"caf\xe9.txt", "caf\\xe9.txt")])
def test_predict_reads_lines_and_accounts_for_every_one(
    trained: Place, tmp_path: Path, capsys: Capture, name: bytes, shown: str
) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(b"card pin lost bank\n\nplane visa trip border\r\n\xff\n")
    assert main(["predict", str(trained.bundle), str(path), "--batch", "2"]) == 1
    said = capsys.readouterr()
    found = lines(said.out)
    assert [row["id"] for row in found] == [f"{shown}:{line}" for line in range(1, 5)]
    assert [row.get("label") for row in found] == ["cards", None, "travel", None]
    assert "empty" in str(found[1]["error"]) and "utf-8" in str(found[3]["error"])
    assert "2 rows" in said.err


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_predict_reads_tables_by_the_column_of_training(
    trained: Place, tmp_path: Path, capsys: Capture, ending: str
) -> None:
    path = tmp_path / f"in{ending}"
    rows = [{"message": "card pin lost bank", "other": 1}, {"message": "border trip visa plane", "other": 2}]
    if ending == ".csv":
        path.write_text("other,message\n" + "".join(f"{row['other']},{row['message']}\n" for row in rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["predict", str(trained.bundle), str(path)]) == 0
    assert [row["label"] for row in lines(capsys.readouterr().out)] == ["cards", "travel"]


def test_predict_reads_stdin(trained: Place, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"chip bank card pin\n")))
    assert main(["predict", str(trained.bundle), "-"]) == 0
    (row,) = lines(capsys.readouterr().out)
    assert (row["id"], row["label"]) == ("stdin:1", "cards")


def test_predictions_are_those_of_the_loaded_task(trained: Place, tmp_path: Path, capsys: Capture) -> None:
    texts = ["card plane", "trip chip", "bank"]
    (tmp_path / "in.txt").write_text("\n".join(texts))
    assert main(["predict", str(trained.bundle), str(tmp_path / "in.txt"), "--batch", "3"]) == 0
    expected = bundle.load(trained.bundle).predict(texts)  # type: ignore[attr-defined]
    found = lines(capsys.readouterr().out)
    assert [row["score"] for row in found] == [round(prediction.score, 6) for prediction in expected]


def test_the_likeliest_labels_are_told(trained: Place, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "in.txt").write_text("card pin lost bank\n\nplane visa trip border\n")
    for count in ("1", "9"):
        assert main(["predict", str(trained.bundle), str(tmp_path / "in.txt"), "--top", count]) == 1
        first, fault, last = lines(capsys.readouterr().out)
        best = {name: first[name] for name in ("label", "score")}
        assert first["top"][0] == best and len(first["top"]) == min(int(count), 2) and "top" not in fault  # type: ignore[index,arg-type]
    assert [each["label"] for each in last["top"]] == ["travel", "cards"]  # type: ignore[attr-defined]
    # each is rounded to six digits, by half of the last at most
    assert sum(each["score"] for each in last["top"]) == pytest.approx(1, abs=1.1e-6)  # type: ignore[attr-defined]
    assert main(["predict", str(trained.bundle), str(tmp_path / "in.txt"), "--top", "2", "--runner", "beam"]) == 2


def test_no_likeliest_labels_are_told_where_labels_do_not_compete(monkeypatch, capsys: Capture) -> None:
    monkeypatch.setattr(bundle, "description", lambda path: ("TextRegressor", ("price",)))
    assert main(["predict", "prices", "-", "--top", "2"]) == 2
    assert "TextRegressor, which does not choose one of several labels" in capsys.readouterr().err


def test_predict_takes_a_tfds_name(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    from tfvertical import jobs

    monkeypatch.setattr(jobs, "predict", lambda path, source, **_: iter([{"id": source}]))
    assert main(["predict", "cards", "tfds:imdb_reviews"]) == 0
    assert lines(capsys.readouterr().out) == [{"id": "tfds:imdb_reviews"}]


def test_predict_reads_no_further_than_it_has_written(trained: Place) -> None:
    from tfvertical import jobs

    class Endless(io.RawIOBase):
        served = 0

        def readline(self, size: int | None = -1) -> bytes:  # type: ignore[override]
            self.served += 1
            return b"card pin\n"

    source = Endless()
    found = jobs.predict(trained.bundle, source, batch=4)  # type: ignore[arg-type]
    for _ in range(9):
        next(found)
    assert source.served == 12


def test_a_line_without_end_is_a_fault_in_bounded_memory(tmp_path: Path) -> None:
    from tfvertical.data._stream import stream

    path = tmp_path / "in.txt"
    path.write_bytes(b"x" * 30_000_000 + b"\nshort\n")
    tracemalloc.start()
    long, short = stream(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "more than 1,000,000 bytes" in str(long.fault) and short.value == "short"
    assert peak < 10_000_000


def test_export_adds_beside_the_bundle_and_overwrites_only_when_told(
    trained: Place, tmp_path: Path, capsys: Capture
) -> None:
    copy = Path(shutil.copytree(trained.bundle, tmp_path / "copy"))
    before = {path: path.read_bytes() for path in (copy / "bundle").rglob("*") if path.is_file()}
    assert main(["export", str(copy), "--format", "litert"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["export", str(copy), "--format", "litert", "--overwrite"]) == 0
    assert capsys.readouterr().out.strip() == str(copy / "exports" / "litert-float32")
    assert {path: path.read_bytes() for path in (copy / "bundle").rglob("*") if path.is_file()} == before


def test_a_flipped_bit_is_one_clear_message(trained: Place, tmp_path: Path, capsys: Capture) -> None:
    copy = Path(shutil.copytree(trained.bundle, tmp_path / "copy"))
    weights = copy / "bundle" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(content)
    (tmp_path / "in.txt").write_text("card\n")
    assert main(["predict", str(copy), str(tmp_path / "in.txt")]) == 2
    said = capsys.readouterr()
    assert "weights.safetensors" in said.err and not said.out


def test_a_bad_row_stops_training_before_anything_is_written(place: Place, tmp_path: Path, capsys: Capture) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text(place.data.read_text() + ",cards\n")
    out = tmp_path / "out"
    assert main(["train", str(place.run), "--out", str(out), "--set", f"data.train={bad}"]) == 2
    assert "the text is empty" in capsys.readouterr().err
    assert not out.exists()


def test_predicting_reads_the_places_that_were_marked_in_training(monkeypatch) -> None:
    trained = {"config": {"data": {"train": "rows.jsonl", "text": "note", "spans": ["head", "tail"], "separator": ";"}}}
    monkeypatch.setattr(bundle, "run", lambda path: trained)
    monkeypatch.setattr(bundle, "description", lambda path: ("text_classifier", ("a", "b")))
    found = trained_by.columns("anywhere", "new.jsonl", text=None, label=None)
    assert found == {"text": "note", "spans": ["head", "tail"], "separator": ";"}


def test_a_picture_whose_name_is_not_utf8_has_an_id_that_can_be_written(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bundle, "description", lambda path: ("ImageClassifier", ("a", "b")))
    monkeypatch.setattr(trained_by, "columns", lambda *given, **options: {})
    (row,) = jobs.rows_of("anywhere", str(tmp_path / os.fsdecode(b"caf\xe9.png")))
    assert row.id == str(tmp_path / r"caf\xe9.png")
