"""Every example is a run file without a mistake, there is one a task, and its data are what the script makes."""

from __future__ import annotations

import importlib.util
import itertools
import json
from pathlib import Path

import pytest

from tfvertical import config, jobs
from tfvertical.errors import ConfigError
from tfvertical.registry import Registry

EXAMPLES = Path(__file__).parents[1] / "examples"
OF_SHARED = ("banking77", "clothing", "ncbi")  # read data that lie beside the repository


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_an_example_has_no_mistake(path: Path, request: pytest.FixtureRequest):
    if path.stem.startswith(OF_SHARED):
        request.getfixturevalue("shared_data")
    if "sweep" not in path.stem:
        assert config.load(path).task


TOLD = {  # its file, and what a prediction says
    "ages": ("ages.csv", "numbers"),
    "conditions": ("conditions.csv", "labels"),
    "diabetes": ("diabetes.csv", "numbers"),
    "digits_darkness": ("digits.parquet", "numbers"),
    "digits_marks": ("digits.parquet", "labels"),
    "questions": ("questions.json", "answer"),
    "relations": ("relations.csv", "label"),
    "statements": ("statements.csv", "label"),
}


def test_every_example_with_data_is_run():
    assert set(TOLD) == {path.stem for path in EXAMPLES.glob("*.yaml") if not path.stem.startswith(OF_SHARED)}


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TOLD))
def test_an_example_trains_is_measured_exported_and_predicts(name: str, tmp_path: Path):
    """As it stands, but for one epoch of the head alone."""
    file, field = TOLD[name]
    run = config.load(EXAMPLES / f"{name}.yaml", ["training.epochs=1", "adaptation={name: Frozen}"])
    report = jobs.train(run, tmp_path / "out", say=lambda line: None)
    assert report is not None and report.rows > 50
    (parity,) = (tmp_path / "out").glob("exports/*/parity.json")
    told = json.loads(parity.read_text())
    assert told["n"] > 50 and told["max_difference"] <= told["tolerance"] == (1e-4 if field == "numbers" else 1e-5)
    rows = jobs.predict(tmp_path / "out", str(EXAMPLES / "data" / file), batch=32)
    assert all(field in row for row in itertools.islice(rows, 32))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["task.loss=ordinal"], "belong together"),
        (["task.units=[a, b]"], "units do not fit"),
        (
            ["data.label=[one, two]", "task.loss=ordinal", "task.levels=[1, 2, 3]", "task.interval=null"],
            "of one number",
        ),
        (
            ["task.loss=ordinal", "data.split=null", "training.early_stopping=3"],
            "(?s)2 mistakes.*together.*no validation",
        ),
    ],
)
def test_what_a_head_of_numbers_cannot_be_is_told_with_all_else(overrides: list[str], words: str):
    with pytest.raises(ConfigError, match=words) as told:
        config.load(EXAMPLES / "diabetes.yaml", overrides)
    assert "Nothing was read or loaded" in str(told.value)


def test_every_task_has_one():
    written = "".join(path.read_text() for path in EXAMPLES.glob("*.yaml"))
    room = Registry("tasks")
    for module in room.modules():
        assert f"name: {room.get(module).__name__}\n" in written, module


def test_the_data_are_what_the_script_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import pyarrow.parquet

    spec = importlib.util.spec_from_file_location("make_data", EXAMPLES / "make_data.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    monkeypatch.setattr(made, "HERE", tmp_path)
    made.main()
    names = {path.name for path in (EXAMPLES / "data").iterdir()}
    assert names == {path.name for path in tmp_path.iterdir()}
    for name in names - {"digits.parquet"}:
        assert (tmp_path / name).read_bytes() == (EXAMPLES / "data" / name).read_bytes(), name
    new, old = (pyarrow.parquet.read_table(folder / "digits.parquet") for folder in (tmp_path, EXAMPLES / "data"))
    columns = ["darkness", "label"]  # the bytes of a PNG are another library's
    assert new.select(columns) == old.select(columns) and len(new) == len(old)
