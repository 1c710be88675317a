"""Prediction by Apache Beam's local runner: the same answers as row by row, every row once, bad ones set aside."""

from __future__ import annotations

import functools
import json
import os
import pickle
from pathlib import Path

import pytest

from tests.cli.conftest import Place
from tfvertical import jobs
from tfvertical.cli import main
from tfvertical.errors import BundleError, ConfigError, DataError

beam = pytest.importorskip("apache_beam", reason="the extra [beam] is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # Beam's own


def lines(folder: Path, name: str) -> list[dict[str, object]]:
    return [json.loads(line) for file in sorted(folder.glob(f"{name}-*")) for line in file.read_text().splitlines()]


@pytest.fixture(scope="module")
def files(trained: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files with 70 rows, four of which cannot be used."""
    folder = tmp_path_factory.mktemp("beam")
    for number, count in enumerate((40, 25, 5)):
        rows = [f"lost card {number} {at}" if at % 2 else f"visa for the airport {at}" for at in range(count)]
        rows[:2] = [" ", ""] if number < 2 else rows[:2]
        (folder / f"rows-{number}.jsonl").write_text("".join(json.dumps({"message": row}) + "\n" for row in rows))
    return folder


def test_beam_predicts_every_row_once_as_row_by_row(trained, files, tmp_path, capsys):
    asked = ["predict", str(trained.bundle), str(files / "rows-*.jsonl"), "--runner", "beam"]
    assert main([*asked, "--out", str(tmp_path / "out")]) == 1  # some rows could not be used
    assert "70 rows of 3 files: 66 predicted" in capsys.readouterr().err
    counts = json.loads((tmp_path / "out" / "counts.json").read_text())
    assert counts == {"files": 3, "broken": 0, "read": 70, "predicted": 66, "quarantined": 4}
    found = {(row["file"], row["id"]): row for row in lines(tmp_path / "out", "predictions")}
    held = {(row["file"], row["id"]): row["error"] for row in lines(tmp_path / "out", "quarantine")}
    assert len(found) == 66 and len(held) == 4
    for file in sorted(files.glob("rows-*.jsonl")):
        for row in jobs.predict(trained.bundle, str(file)):
            key = (str(file), row["id"])
            if "error" in row:
                assert held[key] == row["error"]
            else:
                assert found[key]["label"] == row["label"]
                assert found[key]["score"] == pytest.approx(row["score"], abs=1e-5)
    assert main([*asked, "--out", str(tmp_path / "out")]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_work_that_is_done_again_leaves_no_row_twice(trained, files, tmp_path, monkeypatch):
    """A runner hands out a bundle of work anew when a worker is lost; this one does so with each of them."""
    from tfvertical import beam as room

    seen, real = [], room._Read.process
    monkeypatch.setattr(room._Read, "process", lambda self, path: seen.append(path) or real(self, path))
    monkeypatch.setattr(room, "FnApiRunner", functools.partial(room.FnApiRunner, bundle_repeat=1))
    counts = room.predict(trained.bundle, str(files / "rows-*.jsonl"), tmp_path)
    assert len(seen) > 3, "nothing was done again"
    assert (counts["read"], counts["predicted"], counts["quarantined"]) == (70, 66, 4)
    for name, count in (("predictions", 66), ("quarantine", 4)):
        rows = [(row["file"], row["id"]) for row in lines(tmp_path, name)]
        assert len(rows) == len(set(rows)) == count


def test_a_file_that_breaks_off_is_set_aside_and_the_others_are_predicted(trained, tmp_path, capsys):
    (tmp_path / "a.csv").write_text("message\nlost card\n")
    (tmp_path / "b.csv").write_text("text\nlost card\n")
    (tmp_path / "c.csv").write_bytes(b"message\nlost card\n\xff\xfe\n")
    asked = ["predict", str(trained.bundle), str(tmp_path / "*.csv"), "--runner", "beam"]
    assert main([*asked, "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "files could not be read to their end" in said and "Traceback" not in said
    counts = json.loads((tmp_path / "out" / "counts.json").read_text())
    held = [row for row in lines(tmp_path / "out", "quarantine") if row["id"] is None]
    assert counts["files"] == 3 and counts["broken"] == len(held) >= 1
    assert counts["read"] == counts["predicted"] + counts["quarantined"] and counts["predicted"] >= 1
    assert any(row["file"].endswith("b.csv") and "message" in row["error"] for row in held)


def test_a_first_file_that_is_broken_is_set_aside_too(trained, tmp_path, capsys, monkeypatch):
    """And Beam gets the options that are its own: a runner by its name among them."""
    from tfvertical import beam as room

    handed, plain = [], room.PipelineOptions
    monkeypatch.setattr(room, "PipelineOptions", lambda options: handed.append(options) or plain(options))
    (tmp_path / "a.csv").write_bytes(b"")
    (tmp_path / os.fsdecode(b"b\xe9.csv")).write_text("message\nlost card\n")
    asked = ["predict", str(trained.bundle), str(tmp_path / "*.csv"), "--runner", "beam"]
    own = ["--runner=apache_beam.runners.direct.DirectRunner", "--job_name=mine"]
    options = [part for option in own for part in ("--beam-option", option)]
    assert main([*asked, *options, "--out", str(tmp_path / "out")]) == 1
    assert handed == [own]
    counts = json.loads((tmp_path / "out" / "counts.json").read_text())
    assert counts == {"files": 2, "broken": 1, "read": 1, "predicted": 1, "quarantined": 0}
    (row,) = lines(tmp_path / "out", "predictions")
    assert (row["file"], row["id"]) == (str(tmp_path / r"b\xe9.csv"), r"b\xe9.csv:2")
    assert main([*asked, "--out", str(tmp_path / "other"), "--text", "txt"]) == 2  # no file has it
    assert not (tmp_path / "other").exists()


def test_broken_pages_of_parquet_are_set_aside(trained, tmp_path):
    from tfvertical import beam as room

    pyarrow = pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    rows = pyarrow.table({"message": [f"lost card {at}" for at in range(5000)]})
    pytest.importorskip("pyarrow.parquet").write_table(rows, path, compression="snappy", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[100:2000] = b"\xff" * 1900
    path.write_bytes(content)
    (held,) = room._Read(str(trained.bundle), None).process(bytes(path))
    assert held.tag == "quarantine" and held.value["id"] is None and "as Parquet" in held.value["error"]


def test_the_bundle_is_verified_once_and_not_for_each_file(trained, files, monkeypatch):
    from tfvertical import beam as room
    from tfvertical import bundle
    from tfvertical.jobs.trained import Origin

    made = Origin(trained.bundle)
    paths = sorted(files.glob("rows-*.jsonl"))
    room._refuse_unreadable(made, [str(paths[0])], None, None)
    read = pickle.loads(pickle.dumps(room._Read(made, None)))  # as a worker gets it
    for name in ("run", "description", "verify"):
        monkeypatch.setattr(bundle, name, None)
    assert len(paths) > 1 and all(list(read.process(bytes(path))) for path in paths)


def test_predictions_stand_until_the_new_ones_are_complete(trained, files, tmp_path, monkeypatch):
    from tfvertical import beam as room

    out, source = tmp_path / "out", str(files / "rows-2.jsonl")
    room.predict(trained.bundle, source, out)
    (out / "notes.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(room, "_lines", lambda path: 1)
        for place in (out, tmp_path / "first"):
            with pytest.raises(DataError, match="lie in the files"):
                room.predict(trained.bundle, source, place, overwrite=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before and not (tmp_path / "first").exists()
    room.predict(trained.bundle, str(files / "rows-1.jsonl"), out, overwrite=True)
    assert {path.name for path in out.iterdir()} == set(before)
    assert len(lines(out, "predictions")) == 23 and (out / "notes.txt").read_text() == "mine"


def test_what_cannot_work_is_said_before_a_pipeline_is_made(trained, files, tmp_path, capsys):
    from tfvertical import beam as room

    with pytest.raises(DataError, match="No file matches"):
        room.predict(trained.bundle, str(files / "row-*.jsonl"), tmp_path / "out")
    with pytest.raises(DataError, match="No file matches"):
        room.predict(trained.bundle, "a text, no file " * 300, tmp_path / "out")
    with pytest.raises(ConfigError, match=r"'\[' and '\]', which Beam reads as a pattern"):
        room.predict(trained.bundle, str(files / "rows-*.jsonl"), tmp_path / "pred[1]")
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="is a file"):
        room.predict(trained.bundle, str(files / "rows-*.jsonl"), tmp_path / "file" / "out")
    with pytest.raises(BundleError):
        room.predict(files, str(files / "rows-*.jsonl"), tmp_path / "out")
    asked = ["predict", str(trained.bundle), str(files / "rows-*.jsonl")]
    assert main([*asked, "--runner", "beam"]) == 2
    assert "--out FOLDER" in capsys.readouterr().err
    assert main([*asked, "--runner", "flink", "--out", str(tmp_path / "out")]) == 2
    assert "--beam-option --runner=NAME" in capsys.readouterr().err


def test_a_row_that_is_lost_on_the_way_is_found_out(tmp_path):
    from tfvertical import beam as room

    (tmp_path / "predictions-00000-of-00001.jsonl").write_text("{}\n")
    (tmp_path / ".predictions").write_text("2\n")
    (tmp_path / ".quarantine").write_text("0\n")
    with pytest.raises(DataError, match="2 predictions were made, and 1 lie in the files"):
        room._account(tmp_path, ["one"])


OLD = ("predictions-00000-of-00002.jsonl", "predictions-00001-of-00002.jsonl", "quarantine-00000-of-00001.jsonl")


def test_nothing_but_an_earlier_run_s_files_is_replaced(tmp_path):
    from tfvertical import beam as room

    mine = ("predictions-2024.csv", "predictions-mended.jsonl", "quarantine-notes.txt", "notes.txt")
    for name in (*OLD, "counts.json", *mine):
        (tmp_path / name).write_text("old")
    (tmp_path / "predictions-2023").mkdir()
    (tmp_path / ".unfinished").mkdir()
    new = ("predictions-00000-of-00001.jsonl", "quarantine-00000-of-00001.jsonl", "counts.json")
    for name in new:
        (tmp_path / ".unfinished" / name).write_text("new")
    room._replace(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*new, *mine, "predictions-2023"}
    assert {(tmp_path / name).read_text() for name in new} == {"new"}
    assert {(tmp_path / name).read_text() for name in mine} == {"old"}


@pytest.mark.parametrize("source", ["predicted/quarantine-*.jsonl", "**/*.jsonl", "link.jsonl"])
def test_what_is_about_to_be_replaced_is_not_read(trained, tmp_path, source: str):
    from tfvertical import beam as room

    out = tmp_path / "predicted"
    out.mkdir()
    for name in (*OLD, "counts.json"):
        (out / name).write_text('{"message": "lost card"}\n')
    (tmp_path / "rows.jsonl").write_text('{"message": "lost card"}\n')
    (tmp_path / "link.jsonl").symlink_to(out / OLD[-1])
    with pytest.raises(ConfigError, match="is an earlier result"):
        room.predict(trained.bundle, str(tmp_path / source), out, overwrite=True)
    assert {path.name for path in out.iterdir()} == {*OLD, "counts.json"}
