"""The real classifiers on tiny random backbones."""

from __future__ import annotations

import string
import warnings
from typing import Any

import keras
import numpy as np
import pytest

from tests.bundle import fakes
from tfvertical.contracts import Backbone, SourceInfo


def make_text_classifier(**options: Any) -> Any:
    """A `TextClassifier` on a random BERT of two layers that reads letters, digits and a few words."""
    import keras_hub

    from tfvertical.backbones._text_preprocessor import WordPiecePreprocessor
    from tfvertical.codecs.text import Normalizer
    from tfvertical.tasks.text_classifier import TextClassifier

    letters = string.ascii_lowercase + string.digits + string.punctuation + "карт卡"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "card", "never", "##ed", *letters]
    vocabulary = pieces + [f"##{letter}" for letter in letters]
    names = ("token_ids", "padding_mask", "segment_ids")
    preprocessor = WordPiecePreprocessor(vocabulary, Normalizer(True, True), 24, names)
    keras.utils.set_random_seed(0)
    bert = keras_hub.models.BertBackbone(
        vocabulary_size=len(vocabulary),
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=32,
    )
    model = keras.Model(bert.input, bert.output["sequence_output"])
    blocks = [
        "(?:token_embedding|position_embedding|segment_embedding|embeddings_|.*embedding)",
        "transformer_layer_0/",
    ]
    backbone = Backbone(
        model, preprocessor, [*blocks, "transformer_layer_1/"], SourceInfo("tiny", "test", {}, "0" * 64)
    )
    return TextClassifier(backbone, ["negative", "neutral", "positive"], **options)


@pytest.fixture(scope="session")
def text_classifier() -> Any:
    """Cut to 24 tokens."""
    return make_text_classifier()


def make_image_classifier() -> Any:
    """An `ImageClassifier` on a random convolutional net of one block."""
    from tfvertical.backbones._image_preprocessor import KerasImagePreprocessor
    from tfvertical.tasks.image_classifier import ImageClassifier

    keras.utils.set_random_seed(0)
    images = keras.Input((32, 32, 3), name="images")
    x = keras.layers.Rescaling(1 / 128, -127 / 128)(images)
    x = keras.layers.Conv2D(8, 3, 2, "same", name="stem")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    model = keras.Model(images, keras.layers.ReLU(6)(x))
    backbone = Backbone(
        model, KerasImagePreprocessor((32, 32), margin=4), ["(?:stem|norm)/"], SourceInfo("tiny", "test", {}, "0" * 64)
    )
    return ImageClassifier(backbone, ["cat", "dog"])


@pytest.fixture(scope="session")
def image_classifier() -> Any:
    """As it is made."""
    return make_image_classifier()


def pictures(count: int = 120) -> list[np.ndarray]:
    """Noise, dark and bright in turn."""
    draw = np.random.default_rng(0)
    return [
        np.clip(draw.normal((60, 190)[number % 2], 40, (40, 50, 3)), 0, 255).astype(np.uint8) for number in range(count)
    ]


@pytest.fixture(scope="session")
def sure_image_classifier() -> Any:
    """An `ImageClassifier` with a head that is far from undecided: on a coin's toss, any rounding changes the label."""
    task = make_image_classifier()
    kernel, bias = task.components["head"].trainable_variables[-2:]
    kernel.assign(kernel * 20)
    logits = np.log(task.scores(fakes.examples(pictures())))
    dark, bright = logits[::2], logits[1::2]
    bias.assign(-(dark.mean(0) + bright.mean(0)) / 2)
    return task


@pytest.fixture(scope="session")
def tasks() -> Any:
    """`mediapipe.tasks.python`, which warns of its own things when imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("mediapipe.tasks.python", reason="mediapipe is not installed")
