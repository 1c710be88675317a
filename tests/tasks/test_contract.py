"""One contract for every task with every adaptation: build, fit, evaluate, predict, save, load, export."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfvertical as tv
from tests.core import tiny
from tfvertical import kernels
from tfvertical.codecs.alignment import Sentence
from tfvertical.registry import Registry, to_config
from tfvertical.settings import monitored

KINDS = {
    "text_classifier": "text",
    "image_classifier": "image",
    "token_classifier": "token",
    "pair_classifier": "pair",
    "extractive_qa": "answers",
    "text_multi_label_classifier": "text labels",
    "image_multi_label_classifier": "image labels",
    "text_regressor": "text numbers",
    "image_regressor": "image numbers",
    "pair_regressor": "pair numbers",
}
WITHOUT_SAVED_MODEL = ("token", "answers")  # which knows no words
OPTIONS: dict[str, dict[str, Any]] = {
    "frozen": {},
    "gradual_unfreezing": {"blocks": 1, "head_epochs": 1, "epochs_per_block": 1},
    "full_fine_tuning": {},
    "discriminative": {},
    "stages": {"in_order": [{"name": "mine", "rates": {"head/": 0.5}, "epochs": 1}]},
}
HEADS = {
    "frozen": {"dropout": 0.3},
    "gradual_unfreezing": {"pooling": "max", "hidden": [6], "last_blocks": 2, "convolutions": 2},
    "full_fine_tuning": {"normalize": True, "crf": True},
    "discriminative": {"pooling": "mean", "normalize": False, "dropout": 0.0},
    "stages": {},
}


def test_every_registered_class_is_in_this_suite():
    assert set(Registry("tasks").modules()) == set(KINDS), "add the new task to this suite"
    assert set(Registry("adaptations").modules()) == set(OPTIONS) == set(HEADS), "add the new adaptation"


def make(task: str, **options: Any) -> Any:
    kind = KINDS[task]
    small = {} if kind.startswith("image") else {"layers": 1}
    if kind in ("token", "answers"):  # their heads pool nothing
        options = {name: value for name, value in options.items() if name not in ("pooling", "normalize")}
    if kind != "token":
        only = ("crf", "last_blocks", "convolutions")
        options = {name: value for name, value in options.items() if name not in only}
    return tiny.make_task(kind, **small, **options)


@pytest.mark.parametrize("adaptation", OPTIONS)
@pytest.mark.parametrize("name", KINDS)
def test_build_fit_evaluate_predict_save_load(name: str, adaptation: str, tmp_path: Path):
    kind = KINDS[name]
    task = make(name, **HEADS[adaptation])
    chosen = Registry("adaptations").build({"name": adaptation, **OPTIONS[adaptation]})
    train, test = tiny.make_examples(kind, 12), tiny.make_examples(kind, 6, seed=1)
    before = tiny.values(task.model)
    history = task.fit(train, test, adaptation=chosen, epochs=1, batch_size=6, learning_rate=0.01, verbose=0)
    assert history.stages == [stage.name for stage in chosen.stages(task, 1)]
    assert all(np.isfinite(values).all() for values in history.history.values())
    own = {"token": {"accuracy", "f1"}, "numbers": {"mae"}, "labels": {"f1"}}
    watched = {"loss"} | own.get(kind.split()[-1], {"accuracy"})
    assert watched | {f"val_{name}" for name in watched} == set(history.history) == set(monitored(task.quantities))
    assert history.proofs[0].moved and tiny.largest_difference(before, tiny.values(task.model)) > 0
    report = task.evaluate(test, resamples=20)
    scores = task.scores(test)
    assert scores.shape[1] == len(task.outputs) and scores.dtype == np.float32
    if kind.split()[-1] not in ("numbers", "labels", "answers"):
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    assert report.metrics[task.measure] == pytest.approx(task.quality(test, scores))
    if kind == "token":
        found = [[(each.start, each.end, each.label) for each in row] for row in task.predict(test.inputs)]
        assert len(found) == 6 and scores.shape[0] == sum(len(Sentence.of(item).places) for item in test.inputs)
    elif kind == "answers":
        told = task.predict(test.inputs)
        for each, item in zip(told, test.inputs, strict=True):
            assert each.text == item[1][each.start : each.end]
        assert len(told) == 6 and scores.shape[0] == sum(1 + len(Sentence.of(item[1]).places) for item in test.inputs)
    elif kind.endswith("labels"):
        told = [sorted(each.labels) for each in task.predict(test.inputs)]
        assert told == [
            [name for name, yes in zip(tiny.SETS, row, strict=True) if yes] for row in task.codec.applies(scores)
        ]
    elif kind.endswith("numbers"):
        told = [[each.value for each in row] for row in task.predict(test.inputs)]
        np.testing.assert_array_equal(np.float32(told), scores)
    else:
        right = [found.label == label for found, label in zip(task.predict(test.inputs), test.labels, strict=True)]
        assert len(scores) == 6 and report.metrics["accuracy"] == np.mean(right)
    task.save(tmp_path / "saved")
    again = tv.load(tmp_path / "saved")
    assert type(again) is type(task) and again.labels == task.labels and again.config() == task.config()
    assert list(again.blocks) == list(task.blocks)
    np.testing.assert_array_equal(again.scores(test), scores)
    run = json.loads((tmp_path / "saved" / "bundle" / "run.json").read_text())
    assert run["adaptation"] == json.loads(json.dumps(to_config(chosen)))
    assert Registry("adaptations").build(run["adaptation"]) == chosen


@pytest.mark.parametrize("kind", sorted({*KINDS.values(), "apart"} - {"text", "image", "token"}))
def test_what_is_kept_of_the_frozen_part_trains_as_running_it_does(kind: str):
    """Of texts, pictures and tokens `tests/core/test_features.py` and `test_token_classifier.py` have it."""
    train, held_out = tiny.make_examples(kind, 12), tiny.make_examples(kind, 6, seed=1)
    found = []
    for cache in (True, False):
        task = tiny.make_task(kind, dropout=0.2, **({} if kind.startswith("image") else {"layers": 1}))
        history = task.fit(
            train,
            held_out,
            adaptation=tv.GradualUnfreezing(blocks=1),
            epochs=2,
            batch_size=6,
            learning_rate=0.01,
            precision="float32",
            verbose=0,
            cache=cache,
            cache_disk=0,
            group_by_length=True,
        )
        found.append((history.history, tiny.values(task.model)))
    (one, weights), (other, others) = found
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert tiny.largest_difference(weights, others) <= 1e-5


# kinds of heads that the tasks above do not have by default
OTHER_HEADS: dict[str, tuple[str, dict[str, Any]]] = {
    "bi-encoder": ("apart", {}),
    "bi-encoder of numbers": ("pair numbers", {"encoder": "bi"}),
    "chain": ("chain", {}),
    "all pieces": ("token", {"pieces": "all"}),
    "quantiles": ("text numbers", {"loss": "quantile", "units": ("EUR", "years")}),
    "quantiles of pictures": ("image numbers", {"loss": "quantile"}),
    "levels": ("text numbers", {"loss": "ordinal"}),
    "levels of pictures": ("image numbers", {"loss": "ordinal"}),
    "levels of pairs": ("pair numbers", {"loss": "ordinal"}),
}
PROGRAM = """
import sys
import numpy as np
import tfvertical as tv
from tests.core import tiny
for each in sys.argv[2:]:
    name, kind = each.split(":")
    items = tiny.labelled(tiny.make_examples(kind, 7, seed=2).inputs, None)
    np.save(f"{sys.argv[1]}/{name}.npy", tv.load(f"{sys.argv[1]}/{name}").scores(items))
"""


def test_a_new_process_predicts_the_same_bits(tmp_path: Path, root: Path):
    tasks = {name: (kind, make(name, hidden=[5])) for name, kind in KINDS.items()}
    tasks |= {name: (kind, tiny.make_task(kind, **options)) for name, (kind, options) in OTHER_HEADS.items()}
    expected = {}
    for name, (kind, task) in tasks.items():
        task.save(tmp_path / name)
        items = tiny.labelled(tiny.make_examples(kind, 7, seed=2).inputs, None)
        expected[f"{name}:{kind}"] = task.scores(items)
    same = {**os.environ, kernels.SWITCH: str(int(kernels.onednn()))}  # here Keras may have been imported first
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), *expected]
    subprocess.run(command, cwd=root, env=same, check=True, capture_output=True)
    for each, scores in expected.items():
        np.testing.assert_array_equal(np.load(tmp_path / f"{each.split(':')[0]}.npy"), scores)
        assert len(np.unique(scores)) > 7


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_exports_score_as_the_task_does(name: str, tmp_path: Path):
    task, kind = make(name), KINDS[name]
    items = list(tiny.make_examples(kind, 3).inputs)
    task.save(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the converter's own
        for format in ("litert", "onnx", *(() if kind in WITHOUT_SAVED_MODEL else ("saved_model",))):
            folder = task.export(tmp_path, format, examples=items)
            parity = json.loads((folder / "parity.json").read_text())
            assert parity["n"] == 3 and parity["max_difference"] <= 1e-5


@pytest.mark.parametrize("name", KINDS)
def test_after_load_a_second_fit_works(name: str, tmp_path: Path):
    task, kind = make(name), KINDS[name]
    task.save(tmp_path)
    again = tv.load(tmp_path)
    train = tiny.make_examples(kind, 8)
    options = {"epochs": 1, "verbose": 0, "batch_size": 8, "adaptation": tv.GradualUnfreezing(blocks=1)}
    task.fit(train, **options)
    again.fit(train, **options)
    assert tiny.largest_difference(tiny.values(task.model), tiny.values(again.model)) <= 1e-6
