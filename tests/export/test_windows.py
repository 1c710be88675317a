"""A file reads a long text as the task does: in windows whose answers are averaged."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.core import tiny
from tfvertical.codecs.pairs import Pair
from tfvertical.errors import ExportError
from tfvertical.export import _parity, export
from tfvertical.export._inputs import call, fixed_inputs
from tfvertical.export.litert import LiteRT
from tfvertical.export.onnx import Onnx
from tfvertical.export.saved_model import SavedModel
from tfvertical.runtime import Embedder, Predictor

TEXTS = ["good " * 100 + "bad " * 100, "good", "very good card " * 8, ""]
KINDS = ("text", "text labels", "text numbers")


def made(kind: str, windows: bool = True) -> Any:
    task = tiny.make_task(kind, layers=1, windows=windows)
    for variable in task.components["head"].trainable_variables:  # words are told apart
        variable.assign(variable * 10)
    return task


def exported(task: Any, folder: Path, format: str = "litert", **options: Any) -> tuple[Path, dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the converter's own
        found = export(task, folder, format, **options)
    return found, json.loads((found / "parity.json").read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_scores_long_texts_as_the_task_does(tmp_path: Path, kind: str):
    task = made(kind)
    folder, told = exported(task, tmp_path, length=[8, 24], examples=TEXTS)
    assert (told["n"], told["left_out"]) == (4, 0) and told["max_difference"] <= 1e-5
    assert json.loads((folder / "preprocessing.json").read_text())["windows"] is True
    predictor, expected = Predictor(folder), task.scores(tiny.labelled(TEXTS, None))
    found = predictor.scores(TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    beginning = predictor.scores([" ".join(text.split()[:22]) for text in TEXTS])
    assert np.abs(beginning - expected)[0].max() > 1e-3, "the beginning says something else"
    lines = [json.loads(line) for line in (folder / "golden.jsonl").read_text().splitlines()]
    np.testing.assert_allclose(
        predictor.scores([line["text"] for line in lines]), [line["scores"] for line in lines], atol=1e-5
    )
    several = [line for line in lines if "windows" in line]
    assert several and all(line["windows"][0] == line["token_ids"] for line in several)


@pytest.mark.parametrize("options", [{"dynamic_length": True}, {"dynamic_batch": True}, {"trainable_head": True}])
def test_however_the_file_is_made(tmp_path: Path, options: dict[str, Any]):
    task = made("text")
    folder, told = exported(task, tmp_path, examples=TEXTS, **options)
    assert told["left_out"] == 0
    np.testing.assert_allclose(Predictor(folder).scores(TEXTS), task.scores(tiny.labelled(TEXTS, None)), atol=1e-5)


def test_an_embedding_is_the_mean_of_its_windows(tmp_path: Path):
    task = made("text")
    folder, told = exported(task, tmp_path, output="embedding", examples=TEXTS)
    embedder = Embedder(folder)
    assert told["left_out"] == 0 and len(embedder._prepare(TEXTS[0])) > 2
    each = [embedder._run(inputs)["embedding"][0] for inputs in embedder._prepare(TEXTS[0])]
    np.testing.assert_allclose(embedder.embed(TEXTS[:1])[0], np.mean(each, axis=0), atol=1e-6)


def test_onnx_is_checked_on_long_texts_and_a_saved_model_is_not(tmp_path: Path):
    pytest.importorskip("onnxruntime")
    task = made("text")
    _, told = exported(task, tmp_path, "onnx", examples=TEXTS)
    assert (told["n"], told["left_out"]) == (4, 0) and told["max_difference"] <= 1e-5
    _, told = exported(task, tmp_path, "saved_model", examples=TEXTS)
    assert (told["n"], told["left_out"]) == (2, 2)


def test_a_shorter_file_has_other_windows(tmp_path: Path):
    task = made("text")
    folder, told = exported(task, tmp_path, length=16, examples=TEXTS)
    assert (told["n"], told["left_out"]) == (2, 2)
    assert len(Predictor(folder)._prepare(TEXTS[0])) > len(task.parts(TEXTS[0], 24))
    with pytest.raises(ExportError, match="No example fits"):
        export(task, tmp_path / "other", length=16, examples=TEXTS[:1])


def test_a_file_without_windows_reads_the_beginning(tmp_path: Path):
    task = made("text", windows=False)
    folder, told = exported(task, tmp_path, examples=TEXTS)
    assert told["left_out"] == 0 and "windows" not in json.loads((folder / "preprocessing.json").read_text())
    np.testing.assert_allclose(Predictor(folder).scores(TEXTS), task.scores(tiny.labelled(TEXTS, None)), atol=1e-5)


@pytest.mark.parametrize("kind", [*KINDS, "token", "chain", "answers"])
def test_parts_are_the_rows_that_the_task_reads(kind: str):
    """And what is said of them comes together as the task's own scores."""
    options = {"windows": True} if kind in KINDS else {}
    task = tiny.make_task(kind, **options)
    items = [(text, text) for text in TEXTS] if kind == "answers" else TEXTS
    examples = tiny.labelled(items, None)
    encoded = task.encode(examples)
    parts = [task.parts(item, 24) for item in items]
    assert np.bincount(encoded.rows).tolist() == [len(each) for each in parts] and max(map(len, parts)) > 2
    read = [part[""][0].tolist() for each in parts for part in each]
    rows = [encoded.columns["token_ids"].take(np.array([row]), None)[0].tolist() for row in range(len(encoded))]
    assert read == [row[: len(one)] for row, one in zip(rows, read, strict=True)]
    assert [len(one) for one in read] == encoded.lengths.tolist()
    found = []
    for item, each in zip(items, parts, strict=True):
        raw = [call(task.model, fixed_inputs(task, item, 24, part)) for part in each]
        found.append(task.scored(item, 24, [np.asarray(task.activation(one))[0] for one in raw]))
    np.testing.assert_allclose(np.concatenate(found), task.scores(examples), atol=1e-5)
    whole = [all(_parity._fits(task, exporter(), items)) for exporter in (LiteRT, Onnx, SavedModel)]
    assert whole == [True, True, False]


def test_a_shorter_file_leaves_out_what_it_reads_less_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A long word has fewer pieces in a shorter file, though question and context fit."""
    monkeypatch.setattr(tiny, "VOCABULARY", (*tiny.VOCABULARY, "##a"))
    task = tiny.make_task("answers", layers=1)
    most, asked = task.preprocessor.length, task.config()["head"]["max_question"]
    long = Pair("good", "a" * (most - 3 - asked))  # a piece a letter: so many, the task reads of one word
    _, told = exported(task, tmp_path, length=most - 2, examples=[Pair("good", "very good card")] * 3 + [long])
    assert (told["n"], told["left_out"]) == (3, 1)
    _, told = exported(task, tmp_path / "whole", examples=[long])
    assert (told["n"], told["left_out"]) == (1, 0)
