"""What stands beside a `.tflite` file answers as the file does, and is enough to rebuild its inputs."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
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


KOTLIN = """
import tfvertical.*
import java.io.File

fun main(arguments: Array<String>) {
    val folder = File(arguments[0])
    val lines = File(folder, "vocab.txt").readText().removeSuffix("\\n").split("\\n")
    val lengths = arguments[1].split(",").map { it.toInt() }
    val tokenizer = Tokenizer(lines, Normalizer(File(folder, "normalizer.bin").readBytes()), lengths)
    for (line in File(arguments[2]).readLines()) {
        val text = String(line.chunked(2).map { it.toInt(16).toByte() }.toByteArray(), Charsets.UTF_8)
        println(tokenizer.inputs(text).getValue("token_ids").joinToString(" "))
    }
}
"""


@pytest.mark.parametrize("lengths", [[16], [4, 8, 24]], ids=["one length", "several"])
def test_the_kotlin_tokenizer_gives_the_same_ids(tmp_path: Path, text_classifier, lengths: list[int]):
    compiler = shutil.which("kotlinc")
    if compiler is None or shutil.which("java") is None:
        pytest.skip("kotlinc is not installed (Debian: apt install kotlin)")
    text_folder = export(text_classifier, tmp_path, length=lengths)
    lines = golden(text_folder)
    (tmp_path / "Main.kt").write_text(KOTLIN)
    (tmp_path / "texts").write_text("".join(line["text"].encode().hex() + "\n" for line in lines))
    jar = tmp_path / "check.jar"
    sources = [str(text_folder / "snippets" / "Tokenizer.kt"), str(tmp_path / "Main.kt")]
    subprocess.run([compiler, *sources, "-include-runtime", "-d", str(jar)], check=True, timeout=600)
    command = ["java", "-jar", str(jar), str(text_folder), ",".join(map(str, lengths)), str(tmp_path / "texts")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    found = [[int(each) for each in line.split()] for line in printed.splitlines()]
    assert found == [line["token_ids"] for line in lines]


def test_the_vocabulary_s_file_is_enough_for_ids(text_folder: Path, text_classifier):
    pieces = WordPiece((text_folder / "vocab.txt").read_text().split("\n")[:-1])
    for line in golden(text_folder):
        ids = [2, *pieces(text_classifier.preprocessor.normalizer(line["text"]))[:14].tolist(), 3]
        assert line["token_ids"] == ids + [0] * (16 - len(ids))
