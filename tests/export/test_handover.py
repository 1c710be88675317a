"""What stands beside a `.tflite` file answers as the file does, and is enough to rebuild its inputs."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from tfvertical.codecs.text import table
from tfvertical.codecs.wordpiece import WordPiece
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
    assert sorted(path.name for path in (folder / "snippets").iterdir()) == [
        "ImageExample.kt",
        "ImageExample.swift",
        "example.py",
    ]


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


def test_the_vocabulary_s_file_is_enough_for_ids(text_folder: Path, text_classifier):
    pieces = WordPiece((text_folder / "vocab.txt").read_text().split("\n")[:-1])
    for line in golden(text_folder):
        ids = [2, *pieces(text_classifier.preprocessor.normalizer(line["text"]))[:14].tolist(), 3]
        assert line["token_ids"] == ids + [0] * (16 - len(ids))
