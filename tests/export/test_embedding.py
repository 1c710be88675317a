"""An export of embeddings: what the last layer sees, in the package's runtime and in MediaPipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bundle import fakes
from tests.core import tiny
from tests.export.conftest import pictures
from tfvertical.errors import BundleError, ConfigError
from tfvertical.export import _answers, export
from tfvertical.runtime import Embedder, Predictor
from tfvertical.runtime.contents import contents

TEXTS = ["the card never arrived", "Card, card: NEVER!", "the 12 cards .", "a" * 40]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, text_classifier) -> Path:
    return export(text_classifier, tmp_path_factory.mktemp("embedding"), output="embedding")


def test_the_head_makes_the_scores_of_it(folder: Path, text_classifier):
    assert folder.name == "litert-float32-embedding" and not (folder / "labels.txt").exists()
    found = Embedder(folder).embed(TEXTS)
    assert found.shape == (4, _answers.last(text_classifier).kernel.shape[0])
    expected = text_classifier.scores(fakes.examples(TEXTS))
    np.testing.assert_allclose(_answers.scores(text_classifier, found), expected, atol=1e-5)
    assert Embedder(folder).embed([]).shape == (0, found.shape[1])


def test_golden_answers_are_numbers_of_the_file(folder: Path):
    lines = [json.loads(line) for line in (folder / "golden.jsonl").read_text().splitlines()]
    found = Embedder(folder).embed([line["text"] for line in lines])
    np.testing.assert_allclose(found, [line["embedding"] for line in lines], atol=1e-6)
    assert {path.name for path in (folder / "snippets").iterdir()} == {"Tokenizer.kt", "Tokenizer.swift"}


def test_a_predictor_says_who_reads_it(folder: Path):
    with pytest.raises(BundleError, match=r"no LiteRT export of scores(.|\n)*runtime\.Embedder"):
        Predictor(folder)


def test_an_embedder_says_who_reads_scores(tmp_path: Path, text_classifier):
    with pytest.raises(BundleError, match=r"of embeddings: it gives scores(.|\n)*runtime\.Predictor"):
        Embedder(export(text_classifier, tmp_path))


@pytest.mark.parametrize("kind", ["text labels", "image numbers", "pair"])
def test_what_an_embedding_was_learned_for_is_nothing_to_mediapipe(tmp_path: Path, kind: str):
    folder = export(tiny.make_task(kind), tmp_path, output="embedding")
    assert (contents(folder / "model.tflite").metadata is not None) == (kind != "pair")


@pytest.mark.parametrize("kind", ["text numbers", "text labels"])
def test_mediapipe_embeds_texts_for_numbers_and_sets_of_labels(tmp_path: Path, kind: str, tasks: Any):
    test_mediapipe_embeds_texts(export(tiny.make_task(kind), tmp_path, output="embedding"), tasks)


def test_mediapipe_embeds_texts(folder: Path, tasks: Any):
    options = tasks.text.TextEmbedderOptions(
        base_options=tasks.BaseOptions(model_asset_path=str(folder / "model.tflite"))
    )
    with tasks.text.TextEmbedder.create_from_options(options) as embedder:
        for text, expected in zip(TEXTS, Embedder(folder).embed(TEXTS), strict=True):
            np.testing.assert_allclose(embedder.embed(text).embeddings[0].embedding, expected, atol=1e-5)


def test_mediapipe_embeds_pictures(tmp_path: Path, image_classifier, tasks: Any):
    import mediapipe

    folder = export(image_classifier, tmp_path, output="embedding")
    metadata = contents(folder / "model.tflite").metadata
    assert metadata is not None and metadata.labels == {}
    options = tasks.vision.ImageEmbedderOptions(
        base_options=tasks.BaseOptions(model_asset_path=str(folder / "model.tflite"))
    )
    seen = pictures(6)
    with tasks.vision.ImageEmbedder.create_from_options(options) as embedder:
        for picture, expected in zip(seen, Embedder(folder).embed(seen), strict=True):
            pixels = np.ascontiguousarray(image_classifier.preprocessor.pixels(picture).astype(np.uint8))
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
            np.testing.assert_allclose(embedder.embed(image).embeddings[0].embedding, expected, atol=1e-4)


@pytest.mark.parametrize("options", [{"trainable_head": True}, {"label_names": {"de": ["a", "b", "c"]}}])
def test_an_embedding_has_no_labels(tmp_path: Path, text_classifier, options: dict[str, Any]):
    with pytest.raises(ConfigError, match="has no labels"):
        export(text_classifier, tmp_path, output="embedding", **options)
    with pytest.raises(ConfigError, match="no output 'logits'"):
        export(text_classifier, tmp_path, output="logits")
