"""Run files: read whole, every mistake told at once, nothing loaded before."""

from __future__ import annotations

import copy
import functools
import operator
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tfvertical import backbones, config
from tfvertical.adaptations.gradual_unfreezing import GradualUnfreezing
from tfvertical.errors import ConfigError
from tfvertical.registry import Registry
from tfvertical.runfiles import runfile, schema
from tfvertical.settings import Settings
from tfvertical.stages import Stage

GOOD = """\
task:
  name: TextClassifier
  preset: minilm_l6_v2
  length: 64
data:
  train: train.csv
  label: category
  split: {fractions: {train: 0.8, validation: 0.2}}
adaptation: {name: GradualUnfreezing, blocks: 1}
training:
  epochs: 2
  learning_rate: 1e-3
  clip_norm: null
  early_stopping: 3
export:
  - litert
  - {format: saved_model}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.csv").write_text("text,category\n")
    return tmp_path


def written(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text)
    return path


def mistakes(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config.load(written(folder, text), overrides)
    return str(caught.value)


def test_a_file_becomes_objects(folder: Path) -> None:
    run = config.load(written(folder, GOOD))
    assert (run.task, run.preset, run.options) == ("text_classifier", "minilm_l6_v2", {"length": 64})
    assert run.data.sources == {"train": str(folder / "train.csv")}
    assert run.data.load == {"label": "category"}
    assert run.adaptation == GradualUnfreezing(blocks=1)
    assert run.training == Settings(epochs=2, learning_rate=1e-3, clip_norm=None, early_stopping=3)
    assert [plan.format for plan in run.export] == ["litert", "saved_model"]
    assert run.written["training"]["epochs"] == 2


def test_overrides_are_checked_like_the_file(folder: Path) -> None:
    assert config.load(written(folder, GOOD), ["training.epochs=5", "adaptation=Frozen"]).training.epochs == 5
    message = mistakes(folder, GOOD, "training.epohs=5")
    assert "--set training.epohs" in message and "Nearest: 'epochs'" in message


def test_folders_are_taken_from_the_file_s_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "models" / "bert").mkdir(parents=True)
    monkeypatch.chdir("/")
    monkeypatch.setattr(backbones, "check", lambda name: None)
    text = GOOD.replace("minilm_l6_v2", "models/bert")
    assert config.load(written(folder, text)).preset == str(folder / "models" / "bert")
    assert config.load(written(folder, GOOD.replace("minilm_l6_v2", "models/other"))).preset == "models/other"
    for data_dir, found in (("./tfds", str(folder / "tfds")), ("gs://b/tfds", "gs://b/tfds"), ("~/tfds", "~/tfds")):
        assert config.load(written(folder, GOOD), [f"data.data_dir={data_dir}"]).data.load["data_dir"] == found


def test_three_mistakes_are_all_told_with_line_and_nearest_name(folder: Path) -> None:
    text = (
        GOOD.replace("epochs: 2", "epochs: two").replace("blocks: 1", "block: 1").replace("minilm_l6_v2", "minilm_l6")
    )
    message = mistakes(folder, text)
    assert "run.yaml has 3 mistakes" in message
    assert "line 3, task.preset" in message and "'minilm_l6_v2'" in message
    assert "line 9, adaptation.block: unknown key. Nearest: 'blocks'" in message
    assert 'line 11, training.epochs: expected a whole number, received "two"' in message


def test_stages_of_ones_own(folder: Path) -> None:
    own = """{name: Stages, in_order: [{name: head, rates: {head/: 1.0, .*bias$: 0.1}, epochs: 3}]}"""
    run = config.load(written(folder, GOOD.replace("{name: GradualUnfreezing, blocks: 1}", own)))
    assert run.adaptation.stages(None, 1) == (Stage("head", {"head/": 1.0, ".*bias$": 0.1}, 3),)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: TextClassifier", "name: TextClasifier", ["task.name", "Nearest: 'TextClassifier'"]),
        ("epochs: 2", "lr: 1.0e-3", ["training.lr: unknown key: it is called learning_rate."]),
        ("length: 64", "length: 1", ["line 4, task.length", "at least 3"]),
        ("length: 64", "pooling: men", ["task.pooling", "'attention'", "Nearest: 'mean'"]),
        ("length: 64", "dropout: 1.0", ["task.dropout", "less than 1"]),
        ("length: 64", "hidden: [a]", ["task.hidden.0", "whole number"]),
        ("length: 64", "labels: [a, a]", ["task.labels", "twice"]),
        ("length: 64", "labels: [true, no]", ["task.labels.0", "text (in quotes"]),
        ("  preset: minilm_l6_v2\n", "", ["task.preset", "is missing"]),
        ("train: train.csv", "train: tran.csv", ["line 6, data.train", "no file or folder", "Nearest: 'train.csv'"]),
        ("train: train.csv", "train: " + "long" * 1000, ["line 6, data.train", "no file or folder"]),
        ("  train: train.csv\n", "", ["data.train", "is missing"]),
        ("label: category", "lable: category", ["data.lable", "Nearest: 'label'"]),
        ("label: category", "class_weight: balnced", ["data.class_weight", "or a mapping", "Nearest: 'balanced'"]),
        ("label: category", "class_weight: {a: -1}", ["has 1 mistake", "data.class_weight.a", "at least 0"]),
        ("label: category", "separator: ''", ["line 7, data.separator", "separator is empty"]),
        ("label: category", "max_rows: 0", ["data.max_rows", "at least 1"]),
        ("label: category", "max_rows: many", ["has 1 mistake", "data.max_rows", "whole number"]),
        ("label: category", "encoding: utf9", ["data.encoding", "no encoding called 'utf9'"]),
        ("label: category", "delimiter: '::'", ["data.delimiter", "one character"]),
        ("label: category", 'encoding: "a\\0b"', ["data.encoding", "no encoding called"]),
        ("train: 0.8", "train: " + "9" * 400, ["data.split.fractions", "sum to 1"]),
        ("label: category", "delimiter: ''", ["data.delimiter", "one character"]),
        ("name: TextClassifier", "name: PairClassifier", ["has 1 mistake", "data.text", "give both columns"]),
        ("label: category", "policy: rais", ["data.policy", "Nearest: 'raise'"]),
        ("label: category", "encoding: 3", ["data.encoding", "expected text"]),
        (
            "{train: 0.8, validation: 0.2}",
            "{train: 0.8, val: 0.2}",
            ["data.split.fractions.val", "Known: train, validation"],
        ),
        ("split: {fractions", "split: {fraction", ["data.split.fraction", "Nearest: 'fractions'"]),
        ("0.8, validation: 0.2", "0.8, validation: 0.3", ["data.split.fractions", "sum to 1", "1.1"]),
        (
            "  split: {fractions: {train: 0.8, validation: 0.2}}\n",
            "  split: {seed: 1}\n  validation: train.csv\n  test: train.csv\n",
            ["has 1 mistake", "data.split: divides nothing"],
        ),
        ("{train: 0.8, validation: 0.2}", "{validation: 1.0}", ["data.split.fractions:", "no part called train"]),
        ("label: category", "policy: quarantine", ["line 7, data.policy", "quarantine="]),
        ("label: category", "quarantine: bad.jsonl", ["data.policy", "together"]),
        ("epochs: 2", "augment: {flip: false}", ["line 11, training.augment", "is for pictures"]),
        ("preset: minilm_l6_v2", "preset: efficientnet_lite0", ["line 3, task.preset", "takes images"]),
        (
            "  split: {fractions: {train: 0.8, validation: 0.2}}\n",
            "",
            ["training.early_stopping", "'val_loss'", "data.validation"],
        ),
        ("name: GradualUnfreezing", "name: GradualFreezing", ["adaptation.name", "Nearest: 'GradualUnfreezing'"]),
        ("blocks: 1", "blocks: 0", ["adaptation.blocks", "at least 1"]),
        ("epochs: 2", "epochs: true", ["training.epochs", "whole number", "received true"]),
        ("epochs: 2", "epochs: 0", ["line 11, training.epochs", "1 or more"]),
        ("epochs: 2", "epochs: 2.5", ["training.epochs", "whole number"]),
        (
            "epochs: 2",
            "epochs: 2\n  monitor: val_acuracy",
            ["line 12, training.monitor", "TextClassifier", "val_loss", "Nearest: 'val_accuracy'"],
        ),
        ("learning_rate: 1e-3", "learning_rate: .inf", ["training.learning_rate"]),
        ("learning_rate: 1e-3", "learning_rate: .nan", ["training.learning_rate"]),
        ("epochs: 2", "augment: {crop: [2, 3]}", ["training.augment.crop", "at most 1"]),
        ("epochs: 2", "strategy: mirorred", ["training.strategy", "mirrored"]),
        ("epochs: 2", "checkpoint_every: -1", ["training.checkpoint_every", "0"]),
        ("epochs: 2", "augment: {crops: 1}", ["training.augment.crops", "Nearest: 'crop'"]),
        ("- litert", "- lite", ["export.0.format", "Nearest: 'litert'"]),
        ("- litert", "- {format: litert, precision: float8}", ["export.0.precision"]),
        ("- litert", "- {format: litert, max_drop: 5}", ["export.0.max_drop"]),
        ("- litert", "- {format: litert, max_drop: null}", ["export.0.max_drop"]),
        ("- litert", "- {format: litert, max_drop: 0.05}", ["export.0.max_drop", "would do nothing"]),
        ("- litert", "- {format: litert, length: 500}", ["export.0.length"]),
        ("name: TextClassifier", 'name: TextClassifier\n  labels: ["a\\nb", c]', ["task.labels", "fit on a line"]),
        ("- litert", "- {format: litert, precision: auto, integer_io: true}", ["export.0", "is for pictures"]),
        ("{format: saved_model}", "{format: litert, length: 8}", ["export.1", "a second export to litert-float32"]),
        ("training:", "trainig:", ["trainig", "unknown section. Nearest: 'training'"]),
        ("epochs: 2", "epochs: 2\n  epochs: 3", ["line 12, training.epochs", "written twice"]),
        (
            "{name: GradualUnfreezing, blocks: 1}",
            "{name: Stages, in_order: [{name: head, rates: {head/: x}, epochs: 3}]}",
            ["adaptation.in_order", "Stage 1: rates is {'head/': 'x'}"],
        ),
        ("blocks: 1}", "blocks: 1, decay: 0.5, blok: 1}", ["has 2 mistakes", "adaptation.decay", "adaptation.blok"]),
    ],
)
def test_each_mistake_is_named(folder: Path, old: str, new: str, expected: list[str]) -> None:
    assert old in GOOD
    message = mistakes(folder, GOOD.replace(old, new))
    for part in expected:
        assert part in message


@pytest.mark.parametrize(
    ("task", "data", "training", "places"),
    [
        (
            "name: TokenClassifier\n  crf: true",
            "class_weight: balanced",
            "focal: 2.0",
            ["data.class_weight", "training.focal"],
        ),
        (
            "name: TokenClassifier\n  crf: true\n  pieces: all",
            "policy: raise",
            "epochs: 2",
            ["task.pieces: In a chain"],
        ),
        ("name: TextRegressor", "policy: raise", "label_smoothing: 0.1", ["training.label_smoothing"]),
        (
            "name: TextRegressor\n  interval: 0.8",
            "policy: raise",
            "epochs: 2",
            ["task: An interval belongs to the quantile loss"],
        ),
        (
            "name: ExtractiveQA",
            "class_weight: balanced\n  text: [question, context]",
            "focal: 2.0",
            ["data.class_weight", "training.focal"],
        ),
    ],
)
def test_what_a_task_s_loss_has_no_use_for(
    folder: Path, task: str, data: str, training: str, places: list[str]
) -> None:
    text = GOOD.replace("name: TextClassifier", task).replace("label: category", data)
    message = mistakes(folder, text.replace("epochs: 2", training).replace("  - {format: saved_model}\n", ""))
    assert f"has {len(places)} mistake" in message
    for place in places:
        assert place in message


@pytest.mark.parametrize(
    ("task", "export"),
    [
        ("TextClassifier", "{format: litert, precision: auto, length: 32, max_drop: 0.02, trainable_head: true}"),
        ("ImageClassifier", "{format: litert, precision: int8, integer_io: true, label_names: {de: [ja, nein]}}"),
    ],
)
def test_an_export_s_options_are_taken(folder: Path, task: str, export: str) -> None:
    text = GOOD.replace("- litert", f"- {export}").replace("TextClassifier", task)
    if task == "ImageClassifier":
        text = text.replace("minilm_l6_v2\n  length: 64", "efficientnet_lite0")
    run = config.load(written(folder, text))
    assert run.export[0].options["precision"] in ("auto", "int8")


def test_a_package_that_an_export_needs_is_missed_before_the_training(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ai_edge_litert", "tf2onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    message = mistakes(folder, GOOD + "  - onnx\n", "training.epochs=0")
    assert "has 3 mistakes" in message and "training.epochs" in message
    assert "line 16, export.0.format: An export to litert needs ai_edge_litert. Fix: pip install" in message
    assert "export.2.format: An export to onnx needs tf2onnx and onnxruntime. Fix: pip install" in message


def test_a_pair_has_two_columns(folder: Path) -> None:
    text = GOOD.replace("TextClassifier", "PairClassifier")
    assert "data.text: names 3 columns; PairClassifier reads two" in mistakes(folder, text, "data.text=[a, b, c]")
    assert config.load(written(folder, text), ["data.text=[a, b]"]).data.load["text"] == ["a", "b"]


def test_what_does_not_fit_together_is_told_beside_other_mistakes(folder: Path) -> None:
    text = GOOD.replace("epochs: 2", "epochs: two\n  augment: {flip: false}\n  warmup: 7").replace(
        "length: 64", "size: 6"
    )
    text = text.replace("saved_model}", "litert, precision: dynamic}").replace(
        "  split: {fractions: {train: 0.8, ", "  #"
    )
    message = mistakes(folder, text)
    assert "has 6 mistakes" in message
    for place in ("task.size", "training.epochs", "training.warmup", "training.augment: is for pictures"):
        assert place in message
    assert "training.early_stopping: judges by" in message and "export.1.precision: is measured on" in message


def test_what_a_mistake_says_is_not_said_twice(folder: Path) -> None:
    """A validation file that does not exist is one mistake; of a task that does not exist, nothing is known."""
    split = "  split: {fractions: {train: 0.8, validation: 0.2}}\n"
    text = GOOD.replace(split, "  validation: no.csv\n").replace("- litert", "- {format: litert, precision: dynamic}")
    assert "has 1 mistake" in mistakes(folder, text)
    assert "has 1 mistake" in mistakes(folder, GOOD.replace("TextClassifier", "TextClasifier"), "training.augment={}")


@pytest.mark.parametrize("wrong", [3, "x", [], [1], ["a", "b", "c"], {}, {"a": 1}, None, True, -1e9], ids=repr)
def test_whatever_stands_anywhere_is_taken_or_told(folder: Path, wrong: Any) -> None:
    document = runfile.parse(GOOD.replace("- litert", "- {format: litert, length: 8, precision: dynamic}"))
    more = {"task": {"labels": ["a", "b"]}, "data": {"text": "text", "spans": [], "validation": None}}
    content = document.value | {name: document.value[name] | keys for name, keys in more.items()}
    assert config.build(runfile.Document("run.yaml", content), folder).labels == ("a", "b")
    told, places = 0, list(places_of(content))
    for place in places:
        changed = copy.deepcopy(content)
        functools.reduce(operator.getitem, place[:-1], changed)[place[-1]] = wrong
        try:
            config.build(runfile.Document("run.yaml", changed), folder)
        except ConfigError:
            told += 1
    assert 10 < told <= len(places)


def places_of(value: Any, place: runfile.Place = ()) -> Iterator[runfile.Place]:
    """Where anything stands in a run file's content."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield (*place, key)
        yield from places_of(each, (*place, key))


@pytest.mark.parametrize("text", ["", "[]", "3", "task: 3\ndata: x\n", "task:\ndata:\n"])
def test_what_is_no_run_is_refused(folder: Path, text: str) -> None:
    assert "mistake" in mistakes(folder, text)


def test_a_given_part_cannot_also_be_split_off(folder: Path) -> None:
    message = mistakes(folder, GOOD.replace("train: train.csv", "train: train.csv\n  validation: train.csv"))
    assert "data.split.fractions.validation: validation is given as a source already" in message


def test_a_quarantine_file_that_is_a_source_is_a_mistake(folder: Path) -> None:
    text = GOOD.replace("label: category", "policy: quarantine\n  quarantine: train.csv")
    assert "line 8, data.quarantine: The quarantine file" in mistakes(folder, text)
    (folder / "rows.test.csv").touch()
    several = text.replace("quarantine: train.csv", "quarantine: rows.csv\n  test: train.csv")
    assert config.load(written(folder, several)).data.load["quarantine"] == str(folder / "rows.csv")
    message = mistakes(folder, several.replace("train: train.csv", "train: rows.test.csv"))
    assert "rows.test.csv' would replace" in message


def test_checking_loads_no_tensorflow_and_is_quick(folder: Path) -> None:
    code = f"""
import sys
from tfvertical import config
config.load({str(written(folder, GOOD))!r})
print([name for name in ("tensorflow", "keras", "pandas", "sklearn") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.shared
@pytest.mark.parametrize("name", ["banking77", "clothing"])
def test_the_examples_are_right_as_they_stand(root: Path, shared_data: Path, name: str) -> None:
    run = config.load(root / "examples" / f"{name}.yaml")
    assert all(Path(source).is_relative_to(shared_data / name) for source in run.data.sources.values())


@pytest.mark.parametrize("task", Registry("tasks").modules())
def test_declared_signatures_are_those_that_python_sees(task: str) -> None:
    path = Path(config.__file__).parent / "tasks" / f"{task}.py"
    read = schema.declared(path, task, "from_preset").parameters
    real = schema.options(Registry("tasks").get(task).from_preset)
    assert {name: p.default for name, p in read.items()} == {name: p.default for name, p in real.items()}


def test_every_setting_can_be_written(folder: Path) -> None:
    defaults: dict[str, Any] = {name: field.default for name, field in Settings.__dataclass_fields__.items()}
    assert not schema.check(Settings, defaults, ("training",))
    assert schema.build(Settings, defaults) == Settings()
