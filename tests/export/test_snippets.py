"""The Kotlin and Swift sources beside a `.tflite` file do what the package does; the apps' examples compile."""

from __future__ import annotations

import json
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.core import tiny
from tfvertical.codecs import pixels
from tfvertical.codecs.label_sets import LabelSet
from tfvertical.codecs.labels import Prediction
from tfvertical.export import _handover, _samples
from tfvertical.runtime import Answerer, Predictor, Tagger, _folder

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
LONG = "The good card never came. 中文 Very bad — the CARD! " * 6
UNSEEN = "\ufeffgood \u200bcard\u200b \x0cne\u00adver\x0c \ue000\U000f0000came\ufffd\U000ffffe. a\u200d \u200cb \u200b"
Ask = Callable[..., list[str]]


def kotlin(folder: Path) -> list[str]:
    """The command that runs the compiled sources."""
    sources = [*_handover._SNIPPETS.glob("*.kt"), *(HERE / "kotlin").glob("*.kt")]
    compiled("kotlinc", "-nowarn", *sources, "-include-runtime", "-d", folder / "all.jar")
    return ["java", "-cp", str(folder / "all.jar"), "MainKt"]


def swift(folder: Path) -> list[str]:
    """The same; TensorFlowLiteSwift is a module of its own."""
    stand_in, library = HERE / "swift" / "TensorFlowLite.swift", folder / "libTensorFlowLite.so"
    module = ["-module-name", "TensorFlowLite", "-emit-module-path", folder / "TensorFlowLite.swiftmodule"]
    compiled("swiftc", "-emit-module", "-emit-library", *module, "-o", library, stand_in)
    sources = [*_handover._SNIPPETS.glob("*.swift"), HERE / "swift" / "main.swift"]
    linked = ["-I", folder, "-L", folder, "-lTensorFlowLite", "-Xlinker", "-rpath", "-Xlinker", folder]
    compiled("swiftc", "-O", *linked, "-o", folder / "all", *sources)
    return [str(folder / "all")]


def compiled(*command: Any) -> None:
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


LANGUAGES = {
    "kotlin": (kotlin, ("kotlinc", "java"), "Debian: apt install kotlin"),
    "swift": (swift, ("swiftc",), "Debian 13: apt install swiftlang; or swift.org"),
}


@pytest.fixture(scope="module", params=LANGUAGES)
def ask(request, tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Runs the compiled sources: what, folder, lengths, texts or tuples of them -> the lines that they print."""
    make, programs, where = LANGUAGES[request.param]
    if missing := [program for program in programs if shutil.which(program) is None]:
        pytest.skip(f"{missing[0]} is not installed ({where})")
    folder = tmp_path_factory.mktemp(request.param)
    main = make(folder)

    def run(what: str, export: Path, lengths: Sequence[int], items: Iterable[str | Sequence[str]], *more: str):
        rows = [[item] if isinstance(item, str) else item for item in items]
        lines = "".join(" ".join(text.encode().hex() for text in row) + "\n" for row in rows)
        return ran(what, export, lengths, lines, *more)

    def ran(what: str, export: Path, lengths: Sequence[int], lines: str, *more: str):
        (folder / "lines").write_text(lines)
        command = [*main, what, str(export), ",".join(map(str, lengths)), str(folder / "lines"), *more]
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
def test_long_texts(ask: Ask, tmp_path: Path, windows: bool):
    folder = exported(tiny.text_task(layers=1, windows=windows), tmp_path, [16])
    items = [*_samples.texts(), LONG, "the " * 200]
    described = json.loads((folder / "preprocessing.json").read_text())
    for lengths in ([3], [4], [5, 9], [16]):
        prepare = _folder._prepare(folder, described | {"lengths": lengths})
        expected = [[each["token_ids"][0].tolist() for each in prepare(item)] for item in items]
        found = [numbers(line) for line in ask("windows", folder, lengths, items)]
        assert (found if windows else [each[:1] for each in found]) == expected


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("text", {"windows": True}),
        ("text", {}),
        ("text labels", {}),
        ("text numbers", {"units": ["years", ""]}),
        ("text numbers", {"loss": "quantile"}),
        ("text numbers", {"loss": "ordinal"}),
        ("pair", {}),
        ("apart", {}),
    ],
)
def test_what_scores_say(ask: Ask, tmp_path: Path, monkeypatch, kind: str, options: dict[str, Any]):
    """By the app's examples, which read the folder as an app reads its assets."""
    task = tiny.make_task(kind, layers=1, **options)
    folder, items = exported(task, tmp_path, [16]), [*_samples.texts(), LONG, "the " * 200]
    if task.items == "pair":
        items = [*_samples.pairs(items), (LONG, LONG)]
    predictor = Predictor(folder)

    def run(made):
        ids = np.concatenate([made[name] for name in sorted(made) if name.endswith("token_ids")], axis=1)
        scores = drawn({"token_ids": ids}, len(task.outputs)).sum(axis=0) % 10007 / 10007
        return {"scores": scores.astype(np.float32)[None]}

    monkeypatch.setattr(predictor, "_run", run)
    expected = predictor.predict(items)
    what = {Prediction: "label", LabelSet: "labels"}.get(type(expected[0]), "numbers")
    found = [line.split(" ") for line in ask("said", folder, [16], items, what, task.items)]
    if what == "labels":
        assert found == [list(each.labels) or [""] for each in expected]
        assert {len(each.labels) for each in expected} >= {0, 1, 2}
        return
    if what == "label":
        assert [label for label, _ in found] == [each.label for each in expected]
        np.testing.assert_allclose([float(score) for _, score in found], [each.score for each in expected], atol=1e-5)
        return
    for line, numbers in zip(found, expected, strict=True):
        for at, each in enumerate(numbers):
            assert line[5 * at : 5 * at + 2] == [each.label, each.unit]
            told = [None if part == "null" else float(part) for part in line[5 * at + 2 : 5 * at + 5]]
            assert told == pytest.approx([each.value, each.low, each.high], abs=1e-5)


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
