"""MediaPipe Tasks loads the files and answers with Keras' scores and label names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bundle import fakes
from tests.export.conftest import pictures
from tfvertical.export import export
from tfvertical.runtime import Predictor

TEXTS = ["the card never arrived", "Card, card: NEVER!", "the 12 cards .", "a" * 40, "the card " * 200]


def classified(result: Any) -> dict[str, float]:
    return {each.display_name or each.category_name: each.score for each in result.classifications[0].categories}


@pytest.mark.parametrize(
    "given",
    [{}, {"precision": "dynamic", "examples": ["the card", "never"] * 50}, {"dynamic_length": True}],
    ids=["float32", "dynamic", "any length"],
)
def test_texts(tmp_path: Path, text_classifier, tasks, given: dict[str, Any]):
    folder = export(text_classifier, tmp_path, **given)
    options = tasks.text.TextClassifierOptions(
        base_options=tasks.BaseOptions(model_asset_path=str(folder / "model.tflite"))
    )
    expected = Predictor(folder).scores(TEXTS)
    with tasks.text.TextClassifier.create_from_options(options) as classifier:
        for text, scores in zip(TEXTS, expected, strict=True):
            found = classified(classifier.classify(text))
            assert set(found) == set(text_classifier.labels)
            np.testing.assert_allclose([found[name] for name in text_classifier.labels], scores, atol=1e-5)


def test_label_names_in_another_language(tmp_path: Path, text_classifier, tasks):
    folder = export(text_classifier, tmp_path, label_names={"de": ["schlecht", "mittel", "gut"]})
    options = tasks.text.TextClassifierOptions(
        base_options=tasks.BaseOptions(model_asset_path=str(folder / "model.tflite")), display_names_locale="de"
    )
    with tasks.text.TextClassifier.create_from_options(options) as classifier:
        assert set(classified(classifier.classify("the card"))) == {"schlecht", "mittel", "gut"}


@pytest.mark.parametrize(
    "options",
    [{}, {"precision": "int8"}, {"precision": "int8", "integer_io": True}],
    ids=["float32", "int8", "uint8"],
)
def test_pictures(tmp_path: Path, sure_image_classifier, tasks, options: dict[str, Any]):
    import mediapipe

    task, seen = sure_image_classifier, pictures()
    given = {"examples": seen, "calibration": seen[:40]} if options else {}
    folder = export(task, tmp_path, **options, **given)
    asked = tasks.vision.ImageClassifierOptions(
        base_options=tasks.BaseOptions(model_asset_path=str(folder / "model.tflite"))
    )
    whole = [task.preprocessor.pixels(picture) for picture in seen[:20]]  # as large as the model takes them
    expected = Predictor(folder).scores(seen[:20])
    assert np.abs(expected - task.scores(fakes.examples(seen[:20]))).max() < 0.1
    with tasks.vision.ImageClassifier.create_from_options(asked) as classifier:
        for picture, scores in zip(whole, expected, strict=True):
            pixels = np.ascontiguousarray(picture.astype(np.uint8))
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
            found = classified(classifier.classify(image))
            np.testing.assert_allclose([found[name] for name in task.labels], scores, atol=1e-5)
