"""Sweeps: what trials share, how they are compared, and how mistakes and failures are told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import TOPICS, Place
from tfvertical import bundle, chunks, config, features, lock, proof, sweeps, training
from tfvertical.checkpoint import Checkpoint
from tfvertical.cli import main
from tfvertical.errors import CheckpointError, ConfigError, DataError, Interrupted, PresetError, TrainingError
from tfvertical.jobs import reading
from tfvertical.reporting import trials as tables
from tfvertical.reporting.trials import Trial
from tfvertical.runfiles import grid

RUN = """\
task: {name: TextClassifier, preset: ./preset, length: 16, dropout: 0.0}
data:
  train: train.csv
  text: message
  label: topic
  split: {fractions: {train: 0.6, validation: 0.2, test: 0.2}}
adaptation: Frozen
training: {epochs: 2, batch_size: 16, learning_rate: 3e-2, cache_disk: 0}
evaluation: {examples: false}
"""
SWEEP = """\
sweep:
  training.learning_rate: [1e-5, 3e-2]
  task.hidden: [[], [8]]
  training.seed: [0, 1]
"""
Written = Callable[[str], Path]


@pytest.fixture
def written(place: Place) -> Written:
    """A run file beside the tiny preset and its data."""

    def write(text: str) -> Path:
        path = place.folder / "sweep.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """How often frozen outputs were computed or found, data read and backbones loaded."""
    from tfvertical import backbones

    found = {"computed": 0, "memory": 0, "disk": 0, "read": 0, "loaded": 0}

    def counting(room: Any, name: str, key: Callable[[Any], str]) -> None:
        real = getattr(room, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = real(*args, **kwargs)
            found[key(result)] += 1
            return result

        monkeypatch.setattr(room, name, call)

    counting(features, "compute", lambda result: result.source)
    counting(reading, "read", lambda result: "read")
    counting(backbones, "load", lambda result: "loaded")
    features.forget()
    yield found
    features.forget()


def test_the_prefix_runs_once_for_all_trials_and_the_best_is_saved(
    written: Written, tmp_path: Path, counted: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["sweep", str(written(RUN + SWEEP)), "--out", str(out)]) == 0
    # for the training and for the validation data: computed once, found by the other kind of head, and by the final
    # training; trials that differ in rate and seed only do not look for them again
    assert (counted["computed"], counted["memory"]) == (2, 2 + 2)
    assert (counted["read"], counted["loaded"]) == (2, 2)  # for the study, and for the final training
    said = capsys.readouterr()
    heading, _, *rows = said.out.split("\n\n")[0].splitlines()
    assert heading.split()[:4] == ["learning_rate", "hidden", "loss", "seeds"]
    assert len(rows) == 4 and all("…" in row for row in rows)  # two seeds each
    losses = [float(row.replace("[8]", "x").replace("[]", "x").split()[2]) for row in rows]
    assert losses == sorted(losses) and rows[0].split()[0] == "0.03"
    content = json.loads((out / "sweep.json").read_text())
    assert (content["schema_version"], content["metric"], len(content["trials"])) == (1, "loss", 8)
    for trial in content["trials"]:
        assert trial["metrics"].keys() == {"accuracy", "macro_f1", "loss"}
        for name, (low, high) in trial["intervals"].items():
            assert low <= trial["metrics"][name] <= high
    assert content["best"]["training.learning_rate"] == 0.03
    run = bundle.run(out)
    assert run["settings"]["learning_rate"] == 0.03 and "sweep" not in run["config"]
    assert (out / "bundle" / "report" / "report.json").is_file()
    # the final training is the trial, again
    best = next(trial for trial in content["trials"] if trial["options"] == content["best"])
    assert min(run["history"]["val_loss"]) == pytest.approx(best["metrics"]["loss"], rel=1e-4)


def test_the_backbone_is_put_back(written: Written) -> None:
    study = sweeps.Study(written(RUN), say=lambda line: None)
    full = {"adaptation": {"name": "GradualUnfreezing", "blocks": 1}}
    frozen, first, second = study.trial({}), study.trial(full), study.trial(full)
    assert first.metrics == second.metrics != frozen.metrics
    assert study.trial({}).metrics == frozen.metrics


def test_mistakes_are_told_at_once_and_nothing_is_loaded(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "read", lambda *_: pytest.fail("data were read"))
    wrong = """\
sweep:
  training.learning_rat: [1e-3]
  training.epochs: [3, 0, many]
  task.pooling: mean
  training.warmup: []
  data.train: [a.csv]
  training.monitor: [val_loss]
  task.dropout: [0.1, 0.1]
  task.labels.0: [cards, travel]
  training.strategy: [auto, one_device]
"""
    with pytest.raises(ConfigError) as caught:
        sweeps.run(written(RUN + wrong), tmp_path / "out")
    told = str(caught.value)
    for part in (
        "line 11, sweep.training.learning_rat.0: unknown key. Nearest: 'learning_rate'",
        "line 12, sweep.training.epochs.1: Training settings: epochs is 0",
        "line 12, sweep.training.epochs.2: expected a whole number",
        "line 13, sweep.task.pooling: expected a list of values, received str 'mean'",
        "line 14, sweep.training.warmup: the list is empty",
        "line 15, sweep.data.train: cannot be swept",
        "line 16, sweep.training.monitor: cannot be swept",
        "line 17, sweep.task.dropout: the list holds a value twice",
        "line 18, sweep.task.labels.0: cannot be swept",
        "line 19, sweep.training.strategy: cannot be swept",
    ):
        assert part in told
    assert "has 10 mistakes" in told
    assert not (tmp_path / "out").exists()


def test_what_else_is_refused(written: Written, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="use `tfvertical sweep`"):
        config.load(written(RUN + SWEEP))
    assert config.load(written(RUN + SWEEP), ["sweep=null"]).training.epochs == 2
    with pytest.raises(ConfigError, match="has no sweep: section"):
        grid.load(written(RUN))
    with pytest.raises(ConfigError, match=r"training\.seed: is swept, and set by --set"):
        grid.load(written(RUN + SWEEP), ["training.seed=3"])
    with pytest.raises(ConfigError, match="asks for 1,001 trials"):
        grid.load(written(RUN + f"sweep: {{training.seed: {list(range(1001))}}}"))
    with pytest.raises(ConfigError, match=r"sweep\.task\.²\.0: unknown key"):
        grid.load(written(RUN + "sweep: {task.²: [1]}"))
    without = RUN.replace("  split: {fractions: {train: 0.6, validation: 0.2, test: 0.2}}\n", "")
    with pytest.raises(ConfigError, match=r"line 2, data: .* there are none\. Give data\.validation or data\.split"):
        grid.load(written(without + SWEEP))
    with pytest.raises(ConfigError, match="Trials train on one device, not by 'mirrored'"):
        sweeps.run(written(RUN + SWEEP), tmp_path / "out", ["training.strategy=mirrored"])


def test_values_that_do_not_go_together_and_missing_sections_are_told(written: Written) -> None:
    augmented = "sweep: {training.augment: [null, {flip: true}], task.preset: [./preset, ./preset2]}"
    with pytest.raises(ConfigError) as caught:
        grid.load(written(RUN.replace("adaptation: Frozen", "adaptation: Frozn") + augmented))
    assert "line 7, adaptation" in str(caught.value) and "sweep.task.preset.1" in str(caught.value)
    with pytest.raises(ConfigError, match=r"sweep\.training\.augment\.1: is for pictures"):
        grid.load(written(RUN + "sweep: {training.augment: [null, {flip: true}]}"))
    assert len(grid.load(written(RUN + f"sweep: {{training.seed: {list(range(200))}}}")).trials) == 200


def trial(rate: float, seed: int, loss: float, accuracy: float) -> Trial:
    values = {"loss": loss, "accuracy": accuracy, "macro_f1": accuracy}
    options = {"training.learning_rate": rate, "training.seed": seed}
    return Trial(options, values, {name: (value - 0.1, value + 0.1) for name, value in values.items()}, 1.0)


def test_seeds_are_grouped_and_the_monitor_decides() -> None:
    found = [trial(0.1, 0, 0.5, 0.9), trial(0.1, 1, 0.7, 0.9), trial(0.2, 0, 0.3, 0.8), trial(0.2, 1, 0.5, 0.6)]
    failed = Trial({"training.learning_rate": 9.0, "training.seed": 0}, error="the loss is nan")
    by_loss, by_accuracy = (tables.groups([failed, *found], metric) for metric in ("loss", "accuracy"))
    assert [group.options["training.learning_rate"] for group in by_loss] == [0.2, 0.1, 9.0]
    assert [group.options["training.learning_rate"] for group in by_accuracy] == [0.1, 0.2, 9.0]
    assert by_loss[0].mean("loss") == pytest.approx(0.4) and by_loss[0].range("loss") == (0.3, 0.5)
    assert by_loss[0].interval("loss") == pytest.approx((0.3, 0.5))
    assert by_accuracy[0].best("accuracy").options["training.seed"] == 0
    assert "learning_rate 9.0: the loss is nan" in tables.table([failed, *found], "loss")


def test_the_files_monitor_is_what_trials_are_compared_by(written: Written) -> None:
    study = sweeps.Study(written(RUN), ["training.monitor=val_accuracy"])
    assert study.metric == "accuracy"


def test_a_failed_trial_is_a_row_and_all_failed_an_error(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, lines = training.run, []

    def breaks(task: Any, train: Any, validation: Any, how: Any, settings: Any, **options: Any) -> Any:
        if settings.seed in failing:
            raise TrainingError("the loss is nan")
        return real(task, train, validation, how, settings, **options)

    monkeypatch.setattr(training, "run", breaks)
    path, failing = written(RUN + "sweep: {training.seed: [0, 1]}"), {0}
    found = sweeps.run(path, tmp_path / "one", say=lines.append)
    assert [one.error for one in found.trials] == ["the loss is nan", None] and found.best is found.trials[1]
    assert any("failed" in line for line in lines)
    failing = {0, 1}
    with pytest.raises(TrainingError, match="All 2 trials failed"):
        sweeps.run(path, tmp_path / "two", say=lines.append)
    assert len(json.loads((tmp_path / "two" / "sweep.json").read_text())["trials"]) == 2


def test_a_preset_that_cannot_be_had_and_too_little_memory_fail_their_trials_alone(
    written: Written, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    from tfvertical import backbones

    shutil.copytree(place.folder / "preset", place.folder / "gone")
    load, real = backbones.load, training.run

    def fetch(preset: str, **options: Any) -> Any:
        if preset.endswith("gone"):
            raise PresetError("The hub is down.")
        return load(preset, **options)

    examples = sweeps.Study._examples

    def reads(study: Any, run: Any, task: Any) -> Any:
        if run.training.batch_size == 256:  # there is no room for another encoding
            raise MemoryError
        return examples(study, run, task)

    def breaks(task: Any, train: Any, validation: Any, how: Any, settings: Any, **options: Any) -> Any:
        if settings.batch_size == 512:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor\nHint: …")
        return real(task, train, validation, how, settings, **options)

    monkeypatch.setattr(backbones, "load", fetch)
    monkeypatch.setattr(training, "run", breaks)
    monkeypatch.setattr(sweeps.Study, "_examples", reads)
    path = written(RUN + "sweep: {task.preset: [./gone, ./preset], training.batch_size: [512, 256, 16]}")
    found = sweeps.run(path, tmp_path / "out", say=lambda line: None)
    assert [each.error and each.error.split(".")[0] for each in found.trials] == [
        *["The hub is down"] * 3,
        *["There is no memory for this trial"] * 2,
        None,
    ]
    assert "OOM when" in str(found.trials[3].error) and "batch_size" in str(found.trials[3].error)
    assert found.best is found.trials[5] and (tmp_path / "out" / "bundle").is_dir()


@pytest.mark.parametrize("kind", [DataError, TrainingError])
def test_scores_that_are_not_finite_fail_their_trial_alone(
    kind: type[Exception], written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = training.run

    def breaks(task: Any, train: Any, validation: Any, how: Any, settings: Any, **options: Any) -> Any:
        real(task, train, validation, how, settings, **options)
        if settings.seed == 0 and kind is DataError:
            raise DataError("The scores are not finite.")
        if settings.seed == 0:
            kernel = task.components["head"].weights[0]
            kernel.assign(np.full(kernel.shape, np.nan))

    monkeypatch.setattr(training, "run", breaks)
    path, seeds = written(RUN), [{"training.seed": seed} for seed in (0, 1)]
    study = sweeps.Study(path, say=lambda line: None)
    found = [sweeps._tried(study, options) for options in seeds]
    assert "not finite" in found[0].error and found[1].error is None
    sweeps._write(tmp_path, found, "loss", None)
    with pytest.raises(ConfigError, match="cannot set"):
        study.trial({"task.labels": ["a", "b"]})
    with pytest.raises(ConfigError, match="cannot set"):
        study.trial({"task": {"labels": ["a", "b"]}})


def test_ctrl_c_keeps_what_is_done(written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def once(study: sweeps.Study, options: Any) -> Trial:
        if options["training.seed"] == 1:
            raise KeyboardInterrupt
        return trial(0.1, 0, 0.5, 0.9)

    monkeypatch.setattr(sweeps.Study, "trial", once)
    with pytest.raises(KeyboardInterrupt):
        sweeps.run(written(RUN + "sweep: {training.seed: [0, 1]}"), tmp_path / "out", say=lambda line: None)
    content = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert (len(content["trials"]), content["best"]) == (1, None)


def test_an_unfinished_run_that_stands_there_is_told_before_the_first_trial(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BEAT", 0.1)
    monkeypatch.setattr(lock, "PATIENCE", 0.5)
    path, out = written(RUN + "sweep: {training.seed: [0, 1]}"), tmp_path / "out"
    kept, stood = Checkpoint(tmp_path / "out.unfinished"), list[bool]()
    kept.save({}, {"config": {"another": 1}})
    with monkeypatch.context() as patch:
        patch.setattr(sweeps.Study, "trial", lambda *_: pytest.fail("a trial ran"))
        with pytest.raises(CheckpointError, match=r"An unfinished run stands in .*out\.unfinished"):
            sweeps.run(path, out, say=lambda line: None)
        with lock.Lock(kept.place), pytest.raises(CheckpointError, match="Another process writes"):
            sweeps.run(path, out, overwrite=True, say=lambda line: None)
    assert kept.there() and not out.exists()
    monkeypatch.setattr(sweeps.Study, "trial", lambda *_: trial(0.1, 0, 0.5, 0.9))
    monkeypatch.setattr(sweeps.jobs, "train", lambda *_, **__: stood.append(kept.there()))
    sweeps.run(path, out, overwrite=True, say=lambda line: None)
    assert stood == [False]


def test_a_signal_in_the_last_training_does_not_promise_that_the_same_command_goes_on(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def asked(*_: Any, **__: Any) -> None:
        raise Interrupted("SIGTERM", str(tmp_path / "out.unfinished"))

    monkeypatch.setattr(sweeps.Study, "trial", lambda *_: trial(0.1, 0, 0.5, 0.9))
    monkeypatch.setattr(sweeps.jobs, "train", asked)
    path = written(RUN + "sweep: {training.seed: [0, 1]}")
    assert main(["sweep", str(path), "--out", str(tmp_path / "out")]) == 130
    said = capsys.readouterr().err
    assert "asked to end (SIGTERM)" in said and "--overwrite" in said and "go on from" not in said


def test_settings_may_be_numbers_of_numpy_and_nothing_that_a_file_cannot_hold() -> None:
    assert grid.settings({"training.epochs": np.int64(3), "task.hidden": [np.int32(64)]}) == [
        "training.epochs=3",
        "task.hidden=[64]",
    ]
    with pytest.raises(ConfigError, match=r"training\.epochs cannot be \{3\}"):
        grid.settings({"training.epochs": {3}})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # KerasTuner's own
def test_keras_tuner_searches_with_trials(written: Written, tmp_path: Path, counted: dict[str, int]) -> None:
    import keras_tuner  # in the `test` extra: absent, this fails

    study = sweeps.Study(written(RUN), say=lambda line: None)

    class Search(keras_tuner.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            rate = trial.hyperparameters.Float("rate", 1e-4, 1e-1, sampling="log")
            return study.trial({"training.learning_rate": rate}).metrics["accuracy"]

    search = Search(
        objective=keras_tuner.Objective("val", "max"), max_trials=3, seed=0, directory=tmp_path, project_name="s"
    )
    search.search(verbose=0)
    assert len(search.oracle.trials) == 3 and 1e-4 <= search.get_best_hyperparameters()[0]["rate"] <= 1e-1
    assert counted["computed"] == 2


@pytest.mark.parametrize("steps", [chunks.XLA_STEPS, 0], ids=["graph", "XLA"])
def test_a_trial_that_begins_with_another_s_graphs_ends_as_it_would_alone(
    steps: int, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ran before, by which rate and seed, and whether XLA compiles the steps and draws are made for them."""
    path = written(RUN.replace("dropout: 0.0", "dropout: 0.3"))
    settings = [{"training.learning_rate": rate, "training.seed": seed} for rate, seed in ((3e-2, 0), (1e-2, 1))]
    settings.append({"task.hidden": [8], **settings[0]})
    monkeypatch.setattr(chunks, "XLA_STEPS", steps)
    alone = [sweeps.Study(path, say=lambda line: None).trial(each).metrics for each in settings]
    study, made, real = sweeps.Study(path, say=lambda line: None), [], chunks.Chunks._made
    monkeypatch.setattr(chunks.Chunks, "_made", lambda *arguments: made.append(0) or real(*arguments))
    together = [study.trial(settings[at]).metrics for at in (0, 1, 2, 1, 0)]
    assert together == [alone[at] for at in (0, 1, 2, 1, 0)]
    assert len(made) == 2, "one graph for each kind of head"


def test_a_trial_that_fails_leaves_nothing_to_the_next(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(RUN)
    want = sweeps.Study(path, say=lambda line: None).trial({}).metrics
    study = sweeps.Study(path, say=lambda line: None)
    study.trial({"training.seed": 1})
    with monkeypatch.context() as patch, pytest.raises(TrainingError, match="moved"):

        def refuse(*arguments: Any) -> None:
            raise TrainingError("A frozen weight moved.")

        patch.setattr(proof, "check", refuse)
        study.trial({"training.seed": 2})
    assert study.trial({}).metrics == want


def test_a_trial_that_lets_more_learn_begins_anew(written: Written) -> None:
    path, more = written(RUN), {"adaptation": {"name": "GradualUnfreezing", "blocks": 1}}
    runs = [{**more, "training.seed": 0}, {**more, "training.seed": 1}, {"training.average": 0.5}]
    alone = [sweeps.Study(path, say=lambda line: None).trial(each).metrics for each in runs]
    study = sweeps.Study(path, say=lambda line: None)
    assert [study.trial(each).metrics for each in (*runs, runs[0])] == [*alone, alone[0]]


WORDS = [word for words in TOPICS.values() for word in words]


def _rows() -> list[list[str]]:
    draw = np.random.default_rng(1)
    return [list(draw.choice(WORDS, int(draw.integers(3, 7)), replace=False)) for _ in range(90)]


def _numbers(folder: Path) -> str:
    lines = [f"{' '.join(row)},{sum(word in TOPICS['cards'] for word in row)}" for row in _rows()]
    (folder / "numbers.csv").write_text("\n".join(["message,cards", *dict.fromkeys(lines)]) + "\n")
    return "train: numbers.csv, text: message, label: cards"


def _sets(folder: Path) -> str:
    names = [[name for name, words in TOPICS.items() if set(row) & set(words[:3])] for row in _rows()]
    lines = [f"{' '.join(row)},{'|'.join(sets)}" for row, sets in zip(_rows(), names, strict=True)]
    (folder / "sets.csv").write_text("\n".join(["message,topics", *dict.fromkeys(lines)]) + "\n")
    return "train: sets.csv, text: message, label: topics"


def _entities(folder: Path) -> str:
    lines = [[f"{word}\t{'B-card' if word in TOPICS['cards'] else 'O'}" for word in row] for row in _rows()]
    (folder / "entities.tsv").write_text("\n\n".join("\n".join(each) for each in lines) + "\n")
    return "train: entities.tsv"


def _answers(folder: Path) -> str:
    asked = [
        {
            "context": " ".join(row),
            "qas": [{"id": str(at), "question": "card", "answers": [{"text": row[0], "answer_start": 0}]}],
        }
        for at, row in enumerate(_rows())
    ]
    (folder / "answers.json").write_text(json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": asked}]}))
    return "train: answers.json"


@pytest.mark.parametrize(
    ("name", "data", "swept", "metric"),
    [
        ("TextRegressor", _numbers, "training.learning_rate: [1e-4, 3e-2]", "r2"),
        ("TextMultiLabelClassifier", _sets, "training.learning_rate: [1e-4, 3e-2]", "micro_f1"),
        ("TokenClassifier", _entities, "task.pieces: [first, all]", "f1"),
        ("ExtractiveQA, max_question: 4", _answers, "training.learning_rate: [1e-4, 3e-2]", "f1"),
    ],
)
def test_every_task_is_compared_by_the_number_that_counts(
    name: str, data: Any, swept: str, metric: str, written: Written, place: Place, tmp_path: Path
) -> None:
    import tfvertical as tv

    text = f"""\
task: {{name: {name}, preset: ./preset, length: 16, dropout: 0.0}}
data: {{{data(place.folder)}, split: {{fractions: {{train: 0.5, validation: 0.3, test: 0.2}}}}}}
adaptation: Frozen
training: {{epochs: 3, batch_size: 16, learning_rate: 3e-2, cache_disk: 0, precision: float32}}
evaluation: {{examples: false}}
"""
    out = tmp_path / "out"
    found = sweeps.run(written(text + f"sweep: {{{swept}, training.seed: [0, 1]}}"), out, say=lambda line: None)
    assert found.metric == metric and len(found.trials) == 4 and not any(each.error for each in found.trials)
    for each in found.trials:
        low, high = each.intervals[metric]
        assert low <= each.metrics[metric] <= high
    assert metric in found.report.metrics
    study = sweeps.Study(written(text), say=lambda line: None)
    saved = tv.load(out).evaluate(study.parts["validation"]).metrics
    assert saved[metric] == pytest.approx(found.best.metrics[metric], abs=1e-4)


@pytest.mark.real
@pytest.mark.shared
def test_rates_on_real_texts(shared_data: Path, tmp_path: Path, counted: dict[str, int]) -> None:
    """MiniLM runs once over 600 messages for four heads, and a rate that is far too low comes out last."""
    rows = (shared_data / "banking77" / "train.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "some.csv").write_text("\n".join([rows[0], *rows[1::16]]), encoding="utf-8")
    run = """\
task: {name: TextClassifier, preset: minilm_l6_v2, length: 48}
data: {train: some.csv, text: text, label: category, split: {fractions: {train: 0.7, validation: 0.3}}}
adaptation: Frozen
training: {epochs: 8, cache_disk: 0, monitor: val_accuracy}
sweep: {training.learning_rate: [1e-5, 1e-2], training.seed: [0, 1]}
"""
    (tmp_path / "run.yaml").write_text(run)
    found = sweeps.run(tmp_path / "run.yaml", tmp_path / "out", say=lambda line: None)
    accuracies = [trial.metrics["accuracy"] for trial in found.trials]
    assert min(accuracies[2:]) > 0.5 > max(accuracies[:2])
    assert found.best.options["training.learning_rate"] == 1e-2
    assert counted["computed"] == 2
