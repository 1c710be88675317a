"""The Kotlin sources beside a `.tflite` file do what the package does; the Android examples compile."""

from __future__ import annotations

import json
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.core import tiny
from tfvertical.codecs import pixels
from tfvertical.export import _handover, _samples
from tfvertical.runtime import Answerer, Predictor, Tagger, _folder

pytestmark = pytest.mark.slow
KOTLIN = Path(__file__).parent / "kotlin"
LONG = "The good card never came. 中文 Very bad — the CARD! " * 6
UNSEEN = "\ufeffgood \u200bcard\u200b \x0cne\u00adver\x0c \ue000\U000f0000came\ufffd\U000ffffe. a\u200d \u200cb \u200b"
Ask = Callable[..., list[str]]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Runs the compiled sources: what, folder, lengths, texts or tuples of them -> the lines that they print."""
    compiler = shutil.which("kotlinc")
    if compiler is None or shutil.which("java") is None:
        pytest.skip("kotlinc is not installed (Debian: apt install kotlin)")
    folder = tmp_path_factory.mktemp("kotlin")
    sources = [str(path) for path in (*_handover._SNIPPETS.glob("*.kt"), *KOTLIN.glob("*.kt"))]
    command = [compiler, "-nowarn", *sources, "-include-runtime", "-d", str(folder / "all.jar")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr

    def run(what: str, export: Path, lengths: Sequence[int], items: Iterable[str | Sequence[str]], *more: str):
        rows = [[item] if isinstance(item, str) else item for item in items]
        lines = "".join(" ".join(text.encode().hex() for text in row) + "\n" for row in rows)
        return ran(what, export, lengths, lines, *more)

    def ran(what: str, export: Path, lengths: Sequence[int], lines: str, *more: str):
        (folder / "lines").write_text(lines)
        command = ["java", "-cp", str(folder / "all.jar"), "MainKt", what, str(export)]
        command += [",".join(map(str, lengths)), str(folder / "lines"), *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.split("\n")[:-1]

    run.lines = ran
    return run


def exported(task, folder: Path, lengths: Sequence[int]) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the converter's own
        return task.export(folder, "litert", length=list(lengths))


def drawn(made: Mapping[str, np.ndarray], outputs: int) -> np.ndarray:
    """In the place of a model: numbers that depend on a piece and on the one behind it; Main.kt draws the same."""
    ids = made["token_ids"][0].astype(np.int64)
    both = ids * 7919 + np.roll(ids, -1) * 104729
    return 1.0 + (both[:, None] + np.arange(outputs) * 1299709) % 10007


def numbers(line: str) -> list[list[int]]:
    return [[int(each) for each in part.split()] for part in line.split(";")]


@pytest.mark.parametrize("lengths", [[16], [4, 8, 24]], ids=["one length", "several"])
def test_ids(ask: Ask, tmp_path: Path, text_classifier, lengths: list[int]):
    folder = exported(text_classifier, tmp_path, lengths)
    items = _samples.texts()
    expected = [Predictor(folder).prepare(item)["token_ids"][0].tolist() for item in items]
    assert [numbers(line)[0] for line in ask("text", folder, lengths, items)] == expected


@pytest.mark.parametrize("windows", [False, True])
def test_long_texts(ask: Ask, tmp_path: Path, monkeypatch, windows: bool):
    folder = exported(tiny.text_task(layers=1, windows=windows), tmp_path, [16])
    predictor, items = Predictor(folder), [*_samples.texts(), LONG, "the " * 200]
    described = json.loads((folder / "preprocessing.json").read_text())
    for lengths in ([3], [4], [5, 9], [16]):
        prepare = _folder._prepare(folder, described | {"lengths": lengths})
        expected = [[each["token_ids"][0].tolist() for each in prepare(item)] for item in items]
        found = [numbers(line) for line in ask("windows", folder, lengths, items)]
        assert (found if windows else [each[:1] for each in found]) == expected

    def run(made):
        return {"scores": (drawn(made, 2) / 10007).mean(axis=0).astype(np.float32)[None]}

    monkeypatch.setattr(predictor, "_run", run)
    told = [line.split(" ") for line in ask("classify", folder, [16], items, "windows" if windows else "beginning")]
    told, expected = told, predictor.predict(items)
    assert [label for label, _ in told] == [each.label for each in expected]
    np.testing.assert_allclose([float(score) for _, score in told], [each.score for each in expected], atol=1e-5)


@pytest.mark.parametrize("make", [tiny.pair_task, tiny.apart_task])
def test_pairs(ask: Ask, tmp_path: Path, make):
    folder = exported(make(layers=1), tmp_path, [12, 24])
    items = [*_samples.pairs(_samples.texts()), ("", ""), (LONG, "bad"), ("bad", LONG), (LONG, LONG)]
    prepared = [Predictor(folder).prepare(tuple(item)) for item in items]
    apart = make is tiny.apart_task
    names = ("first_token_ids", "second_token_ids") if apart else ("token_ids", "segment_ids")
    found = ask("apart" if apart else "pair", folder, [12, 24], items)
    assert [numbers(line) for line in found] == [[each[name][0].tolist() for name in names] for each in prepared]


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("every", [False, True])
def test_entities(ask: Ask, tmp_path: Path, monkeypatch, crf: bool, every: bool):
    folder = exported(tiny.token_task(layers=1), tmp_path, [12, 24])
    tagger = Tagger(folder)
    tags = len(tagger._codec.tags)
    steps = np.random.default_rng(0).normal(0, 1, (tags + 2, tags)).astype(np.float32)

    def run(made):
        scores = drawn(made, tags)
        return {"scores": (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)[None]}

    monkeypatch.setattr(tagger, "_run", run)
    monkeypatch.setattr(tagger, "_every", every)
    monkeypatch.setattr(tagger, "_steps", steps if crf else None)
    items = [*_samples.texts(), LONG, "the " * 200, "👍🏽 good 𝒜card", UNSEEN]
    rows = [",".join(f"{each:.9g}" for each in row) for row in steps] if crf else []
    lines = ask("entities", folder, [12, 24], items, "all" if every else "first", *rows)
    count = 0
    for line, expected in zip(lines, tagger.predict(items), strict=True):
        found = [each.split(" ") for each in line.split(";") if each]
        assert [(int(start), int(end), label) for start, end, label, _ in found] == [
            (each.start, each.end, each.label) for each in expected
        ]
        np.testing.assert_allclose([float(score) for *_, score in found], [e.score for e in expected], atol=1e-5)
        count += len(found)
    assert count > 100


@pytest.mark.parametrize("resample", pixels.RESAMPLES)
@pytest.mark.parametrize(("crop", "margin"), [("center", 0), ("center", 5), ("squash", 0), ("pad", 0)])
def test_pictures(ask: Ask, tmp_path: Path, crop: str, margin: int, resample: str):
    """Pixel for pixel: smaller ones and larger ones, upright and lying, of one pixel and of the model's size."""
    draw = np.random.default_rng(0)
    sizes = [(1, 1), (1, 40), (40, 1), (24, 16), (25, 17), (300, 20), (20, 300), (150, 100), (97, 131), (23, 16)]
    pictures = [draw.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    pictures += [np.kron(draw.integers(0, 2, (9, 7, 3), dtype=np.uint8) * 255, np.ones((5, 5, 1), np.uint8))]
    lines = "".join(f"{each.shape[1]},{each.shape[0]} {each.tobytes().hex()}\n" for each in pictures)
    found = ask.lines("pixels", tmp_path, [24, 16], lines, crop, str(margin), resample)
    for line, picture in zip(found, pictures, strict=True):
        expected = pixels.crop_resize(picture, (24, 16), crop, margin, resample)
        np.testing.assert_array_equal(np.array(line.split(" "), int), expected.ravel(), err_msg=str(picture.shape))


@pytest.mark.parametrize("threshold", [0.0, 6.0, None])
def test_answers(ask: Ask, tmp_path: Path, monkeypatch, threshold: float | None):
    folder = exported(tiny.answer_task(layers=1), tmp_path, [20, 24])
    answerer = Answerer(folder)
    codec = type(answerer._codec)(most_words=3, threshold=threshold)
    monkeypatch.setattr(answerer, "_codec", codec)

    def run(made):
        return {"scores": (drawn(made, 2) / 1000 - 5).astype(np.float32)[None]}

    monkeypatch.setattr(answerer, "_run", run)
    items = [
        *_samples.pairs(_samples.texts()),
        ("the", LONG),
        (LONG, LONG),
        ("", ""),
        ("the", "👍🏽 good 𝒜card"),
        ("the", UNSEEN),
    ]
    more = [str(answerer._most), "3", "null" if threshold is None else str(threshold)]
    found = [line.split(" ") for line in ask("answers", folder, [20, 24], items, *more)]
    expected = answerer.predict(items)
    assert [(int(start), int(end)) for start, end, _ in found] == [(each.start, each.end) for each in expected]
    np.testing.assert_allclose([float(score) for *_, score in found], [each.score for each in expected], atol=1e-5)
    assert len({each.text for each in expected}) > 5
