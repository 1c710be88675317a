"""Tiny random backbones, tasks and data for the tests of the core: built in a second, trained in another."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tfvertical.backbones._text_preprocessor import WordPiecePreprocessor
from tfvertical.codecs.pairs import Pair
from tfvertical.codecs.tagging import Span
from tfvertical.codecs.text import Normalizer
from tfvertical.codecs.words import joined
from tfvertical.contracts import Backbone, Examples, SourceInfo
from tfvertical.tasks.extractive_qa import ExtractiveQA
from tfvertical.tasks.image_classifier import ImageClassifier
from tfvertical.tasks.image_multi_label_classifier import ImageMultiLabelClassifier
from tfvertical.tasks.image_regressor import ImageRegressor
from tfvertical.tasks.pair_classifier import PairClassifier
from tfvertical.tasks.pair_regressor import PairRegressor
from tfvertical.tasks.text_classifier import TextClassifier
from tfvertical.tasks.text_multi_label_classifier import TextMultiLabelClassifier
from tfvertical.tasks.text_regressor import TextRegressor
from tfvertical.tasks.token_classifier import TokenClassifier

SOURCE = SourceInfo("tiny", "test", {}, "0" * 64)
WORDS = ("good", "fine", "bad", "poor", "the", "card", "never", "came", "was", "very")
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *"abcdefghijklmnopqrstuvwxyz")
LABELS = ("negative", "positive")
TYPES = ("thing", "time")
NUMBERS = ("price", "age")
SETS = ("bright", "late", "rare")
LEVELS = (1.0, 2.0, 4.0)


def bert(layers: int = 2, dropout: float = 0.1, seed: int = 0, longest: int = 32, **options: Any) -> Any:
    """A random KerasHub BERT, 16 wide."""
    import keras_hub

    keras.utils.set_random_seed(seed)
    return keras_hub.models.BertBackbone(
        vocabulary_size=len(VOCABULARY),
        num_layers=layers,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        dropout=dropout,
        max_sequence_length=longest,
        **options,
    )


def text_preprocessor(length: int = 24) -> WordPiecePreprocessor:
    names = ("token_ids", "padding_mask", "segment_ids")
    return WordPiecePreprocessor(VOCABULARY, Normalizer(True, True), length, names)


def text_backbone(
    layers: int = 2, dropout: float = 0.1, length: int = 24, seed: int = 0, longest: int = 32
) -> Backbone:
    whole = bert(layers, dropout, seed, longest)
    # every address but the encoder layers' belongs to the embeddings
    blocks = ["(?!transformer_layer_)", *(f"transformer_layer_{at}/" for at in range(layers))]
    model = keras.Model(whole.input, whole.output["sequence_output"])
    return Backbone(model, text_preprocessor(length), blocks, SOURCE)


def text_task(layers: int = 2, body_dropout: float = 0.1, length: int = 24, body_seed: int = 0, **head: Any) -> Any:
    return TextClassifier(text_backbone(layers, body_dropout, length, body_seed), LABELS, **head)


def convnet(dropout: float = 0.1, seed: int = 0) -> keras.Model:
    """A residual net with BatchNormalization and Dropout, two blocks behind a stem."""
    keras.utils.set_random_seed(seed)
    images = keras.Input((16, 16, 3), name="images")
    x = keras.layers.Rescaling(1 / 127.5, -1, name="scale")(images)
    x = keras.layers.Conv2D(8, 3, 2, "same", use_bias=False, name="stem_conv")(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(name="stem_norm")(x))
    for block in ("block1", "block2"):
        y = keras.layers.Conv2D(8, 3, 1, "same", use_bias=False, name=f"{block}_conv")(x)
        y = keras.layers.BatchNormalization(name=f"{block}_norm")(y)
        y = keras.layers.Dropout(dropout, name=f"{block}_drop")(y)
        x = keras.layers.ReLU()(keras.layers.Add()([x, y]))
    return keras.Model(images, x, name="convnet")


def image_backbone(dropout: float = 0.1, seed: int = 0) -> Backbone:
    from tfvertical.backbones._image_preprocessor import KerasImagePreprocessor

    model = convnet(dropout, seed)
    draw = np.random.default_rng(seed)
    for variable in model.non_trainable_variables:  # statistics that are not those of a fresh layer
        if "moving" in variable.path:
            low = 0.5 if "variance" in variable.path else -0.3
            variable.assign(draw.uniform(low, low + 0.6, variable.shape))
    return Backbone(model, KerasImagePreprocessor((16, 16)), ["stem_", "block1_", "block2_"], SOURCE)


def image_task(body_dropout: float = 0.1, body_seed: int = 0, **head: Any) -> Any:
    return ImageClassifier(image_backbone(body_dropout, body_seed), LABELS, **head)


def token_task(layers: int = 2, body_dropout: float = 0.1, length: int = 24, body_seed: int = 0, **head: Any) -> Any:
    return TokenClassifier(text_backbone(layers, body_dropout, length, body_seed), TYPES, **head)


def pair_task(layers: int = 2, body_dropout: float = 0.1, length: int = 24, body_seed: int = 0, **head: Any) -> Any:
    return PairClassifier(text_backbone(layers, body_dropout, length, body_seed), LABELS, **head)


def apart_task(**options: Any) -> Any:
    return pair_task(encoder="bi", **options)


def number_task(
    kind: str, layers: int = 2, body_dropout: float = 0.1, length: int = 24, body_seed: int = 0, **head: Any
) -> Any:
    if head.get("loss") == "ordinal":
        head = {"levels": LEVELS} | head
    labels = NUMBERS[:1] if "levels" in head else NUMBERS
    if kind == "image":
        return ImageRegressor(image_backbone(body_dropout, body_seed), labels, **head)
    backbone = text_backbone(layers, body_dropout, length, body_seed)
    return (PairRegressor if kind == "pair" else TextRegressor)(backbone, labels, **head)


def sets_task(
    kind: str, layers: int = 2, body_dropout: float = 0.1, length: int = 24, body_seed: int = 0, **head: Any
) -> Any:
    if kind == "image":
        return ImageMultiLabelClassifier(image_backbone(body_dropout, body_seed), SETS, **head)
    return TextMultiLabelClassifier(text_backbone(layers, body_dropout, length, body_seed), SETS, **head)


def answer_task(layers: int = 2, body_dropout: float = 0.1, length: int = 24, body_seed: int = 0, **head: Any) -> Any:
    head = {"max_question": 8} | head
    return ExtractiveQA(text_backbone(layers, body_dropout, length, body_seed), **head)


def make_task(kind: str, **options: Any) -> Any:
    """`text`, `image`, `token`, `chain`, `pair`, `apart` or `answers`; `text numbers`, `image labels` and the like.

    `chain` is `token` with all that its head can have.
    """
    if kind.endswith(" numbers"):
        return number_task(kind.split()[0], **options)
    if kind.endswith(" labels"):
        return sets_task(kind.split()[0], **options)
    return {
        "text": text_task,
        "image": image_task,
        "token": token_task,
        "chain": functools.partial(token_task, crf=True, last_blocks=2, hidden=[6], convolutions=2),
        "pair": pair_task,
        "apart": apart_task,
        "answers": answer_task,
    }[kind](**options)


def texts(count: int, seed: int = 0, longest: int = 12) -> Examples:
    """Texts of different lengths whose label shows in one word."""
    draw = np.random.default_rng([seed, count])
    labels = [LABELS[at % 2] for at in range(count)]
    found = []
    for label in labels:
        words = list(draw.choice(WORDS[4:], int(draw.integers(1, longest))))
        words.insert(
            int(draw.integers(0, len(words) + 1)), str(draw.choice(WORDS[2:4] if label[0] == "n" else WORDS[:2]))
        )
        found.append(" ".join(words))
    return labelled(found, labels)


def pictures(count: int, seed: int = 0, side: int = 20) -> Examples:
    """Noise whose brightness is the label."""
    draw = np.random.default_rng([seed, count])
    labels = [LABELS[at % 2] for at in range(count)]
    found = [
        draw.integers(0, 128, (side, side, 3), dtype=np.uint8) + np.uint8(127 * (label[0] == "p")) for label in labels
    ]
    return labelled(found, labels)


def sentences(count: int, seed: int = 0, longest: int = 12) -> Examples:
    """Lists of words in which `good card` and the like are of one type, `never` of the other; every third as a text."""
    draw = np.random.default_rng([seed, count])
    items: list[Any] = []
    labels: list[Any] = []
    for at in range(count):
        words = [str(word) for word in draw.choice([*WORDS[6:], "the"], int(draw.integers(2, longest)))]
        place = int(draw.integers(0, len(words) + 1))
        words[place:place] = [str(draw.choice(WORDS[:4])), "card"]
        spans = [Span(place, place + 2, "thing")]
        spans += [Span(one, one + 1, "time") for one, word in enumerate(words) if word == "never"]
        if at % 3:
            items.append(tuple(words))
            labels.append(tuple(sorted(spans)))
        else:
            text, places = joined(words)
            items.append(text)
            found = [Span(int(places[span.start, 0]), int(places[span.end - 1, 1]), span.label) for span in spans]
            labels.append(tuple(sorted(found)))
    return labelled(items, labels)


def pairs(count: int, seed: int = 0, longest: int = 8) -> Examples:
    """Two texts whose label shows in one word of the second."""
    firsts, seconds = texts(count, seed + 100, longest), texts(count, seed, longest)
    found = [Pair(*each) for each in zip(firsts.inputs, seconds.inputs, strict=True)]
    return labelled(found, seconds.labels)


def questions(count: int, seed: int = 0, longest: int = 16) -> Examples:
    """Which card came: in contexts one word stands before `card`, and of every fourth question it does not."""
    draw = np.random.default_rng([seed, count, 3])
    items, labels = [], []
    for at in range(count):
        words = [
            str(word) for word in draw.choice(["the", "never", "came", "was", "very"], int(draw.integers(2, longest)))
        ]
        place = int(draw.integers(0, len(words) + 1))
        words[place:place] = [str(draw.choice(WORDS[:4])), "card"] if at % 4 else [str(draw.choice(WORDS[:4]))]
        text, places = joined(words)
        items.append(Pair(f"{draw.choice(['the', 'was'])} card", text))
        start, end = places[place].tolist()
        labels.append((Span(start, end, "answer"),) if at % 4 else ())
    return labelled(items, labels)


def numbered(kind: str, count: int, seed: int = 0, levels: bool = False) -> Examples:
    """Items with two numbers of very different size that show in them, or with one of `LEVELS`."""
    examples = make_examples(kind, count, seed)
    draw = np.random.default_rng([seed, count, 7])
    names = list(examples.labels or ())
    if levels:
        found: list[Any] = [(LEVELS[0] if label[0] == "n" else LEVELS[at % 2 + 1],) for at, label in enumerate(names)]
    else:
        noise = draw.normal(0, 0.1, (count, 2))
        found = [
            (float(200_000 + 50_000 * ((label[0] == "p") + a)), float(0.3 - 0.01 * ((label[0] == "p") + b)))
            for label, (a, b) in zip(names, noise, strict=True)
        ]
    return labelled(examples.inputs, found)


def sets(kind: str, count: int, seed: int = 0) -> Examples:
    """Items whose first label shows in them; the second belongs to every item without the first; the third is rare."""
    examples = make_examples(kind, count, seed)
    found = []
    for at, label in enumerate(examples.labels or ()):
        names = ["bright"] if label[0] == "p" else ["late"] * (at % 4 > 0)
        found.append(tuple(names + ["rare"] * (at % 7 == 0)))
    return labelled(examples.inputs, found)


def labelled(inputs: Sequence[Any], labels: Sequence[Any] | None, **fields: Any) -> Examples:
    return Examples(
        list(inputs), None if labels is None else list(labels), [f"row:{at}" for at in range(len(inputs))], **fields
    )


def make_examples(kind: str, count: int, seed: int = 0) -> Examples:
    if kind.endswith(" numbers"):
        return numbered(kind.split()[0], count, seed)
    if kind.endswith(" labels"):
        return sets(kind.split()[0], count, seed)
    return {
        "text": texts,
        "image": pictures,
        "token": sentences,
        "chain": sentences,
        "pair": pairs,
        "apart": pairs,
        "answers": questions,
    }[kind](count, seed)


def values(model: keras.Model) -> dict[str, np.ndarray]:
    """Every weight, by path and position."""
    return {f"{at}:{variable.path}": variable.numpy() for at, variable in enumerate(model.weights)}


def largest_difference(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    assert one.keys() == other.keys()
    return max(float(np.abs(one[name].astype("float64") - other[name].astype("float64")).max()) for name in one)
