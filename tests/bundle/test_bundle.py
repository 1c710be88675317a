"""What is saved comes back, bit for bit, and what is not whole does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.bundle import fakes
from tfvertical import bundle, manifest, stages
from tfvertical.errors import BundleError

SCRIPT = """
import sys, warnings
warnings.simplefilter("ignore")
import numpy as np
import keras
keras.layers.Dense(1)  # Keras' automatic names have moved on in this process
from tests.bundle import fakes
from tfvertical import bundle
bundle.task_class = lambda name: fakes.FakeTask
np.save(sys.argv[2], bundle.load(sys.argv[1]).scores(fakes.examples(fakes.TEXTS)))
"""


def test_scores_are_bit_equal_in_a_new_process(made, tmp_path: Path, root: Path):
    task, path = made
    subprocess.run([sys.executable, "-c", SCRIPT, str(path), str(tmp_path / "scores.npy")], check=True, cwd=root)
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), task.scores(fakes.examples(fakes.TEXTS)))


def test_moving_averages_and_labels_come_back(tmp_path: Path, fake_tasks):
    task = fakes.image_task(labels=("Straße", 'a "quoted" label'))
    bundle.save(task, tmp_path / "pictures")
    loaded = bundle.load(tmp_path / "pictures")
    assert loaded.labels == task.labels
    before, after = (stages.addresses(t.components) for t in (task, loaded))
    assert list(before) == list(after)
    assert any("moving_variance" in address for address in before)
    for address in before:
        np.testing.assert_array_equal(before[address].numpy(), after[address].numpy(), err_msg=address)


def test_frozen_layers_and_a_compiled_model_are_saved(tmp_path: Path, fake_tasks):
    task = fakes.text_task()
    stages.apply(task.components, stages.Stage("top", {"text/transformer_layer_1/": 1.0, "head/": 1.0}, 1))
    task.model.compile("adam", loss=lambda y, p: keras.ops.sum(p))
    bundle.save(task, tmp_path / "cards")
    loaded = bundle.load(tmp_path / "cards")
    assert not loaded.model.compiled
    np.testing.assert_array_equal(loaded.scores(fakes.examples(fakes.TEXTS)), task.scores(fakes.examples(fakes.TEXTS)))


def test_dropout_keeps_its_seeds(tmp_path: Path, fake_tasks):
    bundle.save(fakes.image_task(), tmp_path / "pictures")
    loaded = bundle.load(tmp_path / "pictures")
    seeds = [v.numpy() for v in loaded.model.variables if "seed" in v.path]
    assert seeds and any(seed.any() for seed in seeds)


def test_layout_and_run(made):
    _, path = made
    names = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}
    expected = "manifest.json task.json architecture.json labels.json run.json weights.safetensors assets/vocab.txt"
    assert names == {f"bundle/{name}" for name in [*expected.split(), "report/report.json"]}
    assert bundle.run(path) == {"adaptation": {"name": "Frozen"}}
    assert bundle.verify(path).schema_version == bundle.SCHEMA_VERSION
    assert json.loads((path / "bundle/labels.json").read_text()) == ["no", "maybe", "yes"]


def test_same_task_gives_the_same_hash(tmp_path: Path, made):
    task, path = made
    first, second = tmp_path / "a", tmp_path / "b"
    bundle.save(task, first)
    bundle.save(task, second)
    assert bundle.verify(first) == bundle.verify(second)
    assert bundle.verify(first).hash != bundle.verify(path).hash  # which has a report


def test_kept_unless_overwrite(saved: Path):
    before = bundle.verify(saved)
    with pytest.raises(BundleError, match="not empty"):
        bundle.save(fakes.text_task(seed=1), saved)
    assert bundle.verify(saved) == before
    (saved / "exports").mkdir()
    (saved / "notes.txt").write_text("mine")
    bundle.save(fakes.text_task(seed=1), saved, overwrite=True)
    assert bundle.verify(saved) != before
    assert (saved / "notes.txt").read_text() == "mine" and (saved / "exports").is_dir()
    assert sorted(p.name for p in saved.iterdir()) == ["bundle", "exports", "notes.txt"]


@pytest.mark.parametrize("run", [{"history": [float("nan")]}, {"when": object()}])
def test_a_run_that_is_no_json_leaves_nothing(tmp_path: Path, run):
    with pytest.raises(BundleError, match="run holds what JSON has no word for"):
        bundle.save(fakes.text_task(), tmp_path / "new" / "cards", run=run)
    assert not list(tmp_path.iterdir())


def test_nothing_there(tmp_path: Path, made):
    with pytest.raises(BundleError, match="There is no bundle"):
        bundle.load(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"give the folder above it"):
        bundle.load(made[1] / "bundle")


def test_older_schemas_load_and_newer_say_so(saved: Path, monkeypatch: pytest.MonkeyPatch):
    """A synthetic version 0, whose labels stood in task.json alone."""
    folder = saved / "bundle"
    (folder / "labels.json").unlink()
    (folder / manifest.NAME).unlink()
    manifest.seal(folder, kind="bundle", schema_version=0)
    with pytest.raises(BundleError, match="schema version 0"):
        bundle.load(saved)

    def to_1(files: bundle.Files) -> bundle.Files:
        labels = json.loads(files["task.json"])["config"]["labels"]
        return files | {"labels.json": json.dumps(labels).encode()}

    monkeypatch.setitem(bundle.MIGRATIONS, 0, to_1)
    assert bundle.load(saved).labels == ("no", "maybe", "yes")
    assert bundle.run(saved) == {"adaptation": {"name": "Frozen"}}

    (folder / manifest.NAME).unlink()
    manifest.seal(folder, kind="bundle", schema_version=bundle.SCHEMA_VERSION + 1)
    with pytest.raises(BundleError, match=r"newer tfvertical[\s\S]*pip install --upgrade"):
        bundle.verify(saved)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("task.json", '{"task": "FakeTask", "config": {}}'),
        ("task.json", '{"task": "FakeTask", "config": {"labels": 3, "kind": "text", "preprocessor": {"size": 1}}}'),
        ("task.json", "[]"),
        ("labels.json", '["no", "yes"]'),
        ("architecture.json", '{"class_name": "Functional", "module": "keras.src.models.functional", "config": {}}'),
        ("weights.safetensors", "nothing of the kind"),
    ],
)
def test_sealed_nonsense_is_an_error_of_ours(saved: Path, name: str, content: str):
    """A manifest that fits says nothing of the contents."""
    folder = saved / "bundle"
    (folder / name).write_text(content)
    (folder / manifest.NAME).unlink()
    manifest.seal(folder, kind="bundle", schema_version=bundle.SCHEMA_VERSION)
    with pytest.raises(BundleError):
        bundle.load(saved)


def test_hash_for_knows_its_own_task(made, saved: Path, tmp_path: Path):
    assert bundle.hash_for(made[0], saved) == bundle.verify(saved).hash
    assert bundle.hash_for(made[0], tmp_path / "new") is None
    with pytest.raises(BundleError, match="not of this task"):
        bundle.hash_for(fakes.text_task(seed=1), saved)
    again = bundle.load(saved)
    assert bundle.hash_for(again, saved) == bundle.verify(saved).hash
    again.labels = tuple(reversed(again.labels))
    with pytest.raises(BundleError, match=r"not of this task: '(task|labels).json' differs"):
        bundle.hash_for(again, saved)


def test_stale_exports_are_reported(saved: Path):
    for name, origin in (("litert-float32", bundle.verify(saved).hash), ("saved_model-float32", "0" * 64)):
        folder = saved / "exports" / name
        folder.mkdir(parents=True)
        (folder / "parity.json").write_text(json.dumps({"bundle_hash": origin}))
        manifest.seal(folder, kind="export", schema_version=1)
    fresh, stale = bundle.exports(saved)
    assert (fresh.name, fresh.stale, stale.name, stale.stale) == ("litert-float32", False, "saved_model-float32", True)
    with pytest.warns(bundle.StaleExportWarning, match="saved_model-float32"):
        bundle.load(saved)
    (saved / "exports/litert-float32/parity.json").write_text("{}")
    with pytest.raises(BundleError, match=r"parity.json' was changed"):
        bundle.exports(saved)


@pytest.mark.parametrize("content", ["[]", "{", "3"])
def test_a_damaged_export_does_not_keep_a_sound_bundle_from_loading(saved: Path, content: str):
    folder = saved / "exports" / "litert-float32"
    folder.mkdir(parents=True)
    (folder / "parity.json").write_text(content)
    assert bundle.load(saved).labels


def test_how_it_was_trained_outlives_loading_and_saving_again(saved: Path, tmp_path: Path):
    task = bundle.load(saved)
    assert task.run == {"adaptation": {"name": "Frozen"}}
    bundle.save(task, tmp_path / "again", run=task.run)
    assert bundle.run(tmp_path / "again") == bundle.run(saved)


def test_a_report_is_saved_with_the_model_it_measured_only(tmp_path: Path):
    from tests.core import tiny

    task, rows = tiny.text_task(layers=1), tiny.make_examples("text", 8)
    found = task.evaluate(rows, resamples=10)
    task.save(tmp_path / "measured")
    loaded = bundle.load(tmp_path / "measured")
    assert loaded.report == type(found).load(tmp_path / "measured" / "bundle" / "report")
    loaded.save(tmp_path / "again")
    assert bundle.verify(tmp_path / "again").hash == bundle.verify(tmp_path / "measured").hash
    loaded.fit(rows, epochs=1, verbose=0)
    loaded.save(tmp_path / "trained")
    assert not (tmp_path / "trained" / "bundle" / "report").exists()


def test_the_home_folder_may_be_written_short(tmp_path: Path, made, fake_tasks, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert bundle.save(made[0], "~/m") == tmp_path / "m" / "bundle"
    assert bundle.load("~/m").labels == made[0].labels and bundle.hash_for(made[0], "~/m") == bundle.verify("~/m").hash
    assert not bundle.exports("~/m") and not (tmp_path / "~").exists()


REAL_SCRIPT = """
import sys
import numpy as np
from tests.bundle import fakes
from tfvertical import bundle
np.save(sys.argv[2], bundle.load(sys.argv[1]).scores(fakes.examples(fakes.TEXTS)))
"""


def test_a_text_classifier_in_a_new_process(tmp_path: Path, root: Path):
    """The real task, its tokenizer and its own registered layers, found through the registry."""
    from tests.export.conftest import make_text_classifier

    task = make_text_classifier(pooling="attention", windows=True)
    bundle.save(task, tmp_path / "cards")
    command = [sys.executable, "-c", REAL_SCRIPT, str(tmp_path / "cards"), str(tmp_path / "scores.npy")]
    subprocess.run(command, check=True, cwd=root)
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), task.scores(fakes.examples(fakes.TEXTS)))
