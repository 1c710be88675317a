"""What stands beside a `.tflite` file answers as the file does, and is enough to rebuild its inputs."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from tests.core import tiny
from tfvertical.codecs import pixels, wordpiece
from tfvertical.codecs.text import table
from tfvertical.codecs.wordpiece import WordPiece
from tfvertical.errors import BundleError
from tfvertical.export import _handover, _samples, export
from tfvertical.runtime import Predictor


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory: pytest.TempPathFactory, text_classifier) -> Path:
    return export(text_classifier, tmp_path_factory.mktemp("text"), length=16)


def golden(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "golden.jsonl").read_text().splitlines()]


def test_golden_texts_are_what_the_runtime_answers(text_folder: Path):
    lines = golden(text_folder)
    assert len(lines) >= 50 and "" in [line["text"] for line in lines]
    predictor = Predictor(text_folder)
    found = predictor.scores([line["text"] for line in lines])
    np.testing.assert_allclose(found, [line["scores"] for line in lines], atol=1e-6)
    assert [each.label for each in predictor.predict([line["text"] for line in lines])] == [
        line["label"] for line in lines
    ]
    assert {len(line["token_ids"]) for line in lines} == {16}


def test_golden_pictures_are_what_the_runtime_answers(tmp_path: Path, image_classifier):
    folder = export(image_classifier, tmp_path)
    lines = golden(folder)
    assert len(lines) >= 50
    found = Predictor(folder).scores([base64.b64decode(line["png"]) for line in lines])
    np.testing.assert_allclose(found, [line["scores"] for line in lines], atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("text", "Model TextExample Tokenizer"),
        ("text numbers", "Model TextExample Tokenizer"),
        ("apart", "Model PairExample Tokenizer"),
        ("token", "Entities EntityExample Model Tokenizer Words"),
        ("answers", "AnswerExample Answers Model Tokenizer Words"),
        ("image labels", "ImageExample Pixels"),
    ],
)
def test_each_task_has_its_callers(tmp_path: Path, kind: str, names: str):
    more = {} if kind.startswith("image") else {"layers": 1}
    folder = export(tiny.make_task(kind, **more), tmp_path)
    found = {path.name for path in (folder / "snippets").iterdir()}
    of_all = {f"{name}.{ending}" for name in (*names.split(), "Export", "Said") for ending in ("kt", "swift")}
    assert found == of_all | {"example.py"}


def read_table(packed: bytes):
    """As the snippets read it."""
    numbers = np.frombuffer(packed, "<i4")
    magic, pages, codes, extras, width = numbers[:5].tolist()
    assert magic == _handover.MAGIC and len(numbers) == 5 + pages + codes + extras
    first, second = 5 + pages, 5 + pages + codes
    return numbers[5:first], numbers[first:second], numbers[second:].reshape(-1, width)


def normalized(text: str, packed: bytes) -> str:
    """The snippets' loop, in Python."""
    pages, codes, extras = read_table(packed)
    mapped: list[int] = []
    for point in map(ord, text):
        code = int(codes[pages[point >> 8] * 256 + (point & 255)])
        kind, value = code & 3, code >> 2
        if kind == 0:
            mapped.append(point + value)
        elif kind == 2:
            mapped += [32, point + value, 32]
        elif kind == 3:
            mapped += [int(each) for each in extras[value] if each >= 0]
    return " ".join(word for word in "".join(map(chr, mapped)).split(" ") if word)


def test_the_normalizer_s_file_is_the_normalizer(text_folder: Path, text_classifier):
    normalizer = text_classifier.preprocessor.normalizer
    packed = (text_folder / "normalizer.bin").read_bytes()
    pages, codes, extras = read_table(packed)
    whole = table(normalizer)
    assert np.array_equal(pages, whole.pages) and np.array_equal(codes, whole.codes)
    assert np.array_equal(extras, whole.extras)
    for text in _samples.texts():
        assert normalized(text, packed) == normalizer(text)
    for line in golden(text_folder):
        assert line["normalized"] == normalized(line["text"], packed)


def test_the_vocabulary_s_file_is_enough_for_ids(text_folder: Path, text_classifier):
    pieces = WordPiece((text_folder / "vocab.txt").read_text().split("\n")[:-1])
    for line in golden(text_folder):
        ids = [2, *pieces(text_classifier.preprocessor.normalizer(line["text"]))[:14].tolist(), 3]
        assert line["token_ids"] == ids + [0] * (16 - len(ids))


def test_the_vocabulary_s_rules_are_told(text_folder: Path):
    """As an app would cut words that knows the files beside the model and nothing else."""
    told = json.loads((text_folder / "preprocessing.json").read_text())["wordpiece"]
    assert told["version"] == 1 and "pair" not in told and "overlap" not in told
    ids = {piece: at for at, piece in enumerate((text_folder / "vocab.txt").read_text().split("\n")[:-1])}
    for line in golden(text_folder):
        found = [ids[told["start"]]]
        for word in line["normalized"].split():
            cut, start = [], 0
            while start < len(word) and len(word.encode()) <= told["longest_word_bytes"]:
                mark = told["continuation"] if start else ""
                end = next((end for end in range(len(word), start, -1) if mark + word[start:end] in ids), None)
                if end is None:
                    break
                cut.append(ids[mark + word[start:end]])
                start = end
            found += cut if start == len(word) else [ids[told["unknown"]]]
        found = [*found[:15], ids[told["end"]]]
        assert line["token_ids"] == found + [ids[told["pad"]]] * (16 - len(found))


@pytest.mark.parametrize(
    ("make", "more"),
    [
        (tiny.pair_task, {"pair": "longer_first"}),
        (tiny.apart_task, {"pair": "apart"}),
        (tiny.token_task, {"overlap": 0.25}),
        (tiny.answer_task, {"pair": "longer_first", "overlap": 0.25}),
    ],
)
def test_rules_of_pairs_and_windows_are_told(tmp_path: Path, make, more: dict):
    _handover.preprocessing(make(layers=1), tmp_path, [24])
    told = json.loads((tmp_path / "preprocessing.json").read_text())["wordpiece"]
    assert told == wordpiece.rules(None, False) | more


def test_rules_of_pictures_are_told_and_later_ones_refused(tmp_path: Path, image_classifier):
    folder = export(image_classifier, tmp_path)
    description = json.loads((folder / "preprocessing.json").read_text())
    assert description["pixels"] == pixels.rules() and "wordpiece" not in description
    older = {key: value for key, value in description.items() if key != "pixels"}
    (folder / "preprocessing.json").write_text(json.dumps(older))
    expected = Predictor(folder, verify=False).scores(_samples.pictures()[:1])
    np.testing.assert_allclose(expected, [golden(folder)[0]["scores"]], atol=1e-6)
    for told in ({"version": pixels.RULES + 1}, {}, []):
        (folder / "preprocessing.json").write_text(json.dumps(description | {"pixels": told}))
        with pytest.raises(BundleError, match="pixels has other rules"):
            Predictor(folder, verify=False)
