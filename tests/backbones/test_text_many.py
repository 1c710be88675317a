"""A great many random Unicode strings give the same ids without TensorFlow and in its graph.

`TFVERTICAL_STRINGS=1000000` says how many; the default takes seconds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tfvertical.backbones._text_preprocessor import WordPiecePreprocessor
from tfvertical.codecs.text import Normalizer

STRINGS, BATCH = int(os.environ.get("TFVERTICAL_STRINGS", "10000")), 2000
PARTS = (  # first and last code point, and how often
    (0x20, 0x7E, 50),
    (0x61, 0x7A, 20),
    (0xA0, 0x24F, 10),
    (0x300, 0x36F, 3),  # accents that combine
    (0x370, 0x1FFF, 6),
    (0x2000, 0x206F, 3),  # spaces, joiners, controls of direction
    (0x0, 0x1F, 1),
    (0x3040, 0x9FFF, 3),
    (0xAC00, 0xD7A3, 1),
    (0xE000, 0xFFFF, 1),
    (0x10000, 0x10FFFF, 1),
    (0x1F300, 0x1FAFF, 1),
)
LETTERS = [
    chr(point) for point in [*range(0x21, 0x7F), *range(0xA1, 0x250), *range(0x391, 0x3CA), *range(0x410, 0x450)]
]
WORDS = ["th", "##he", "in", "##ng", "ca", "##rd", "ab", "##bc"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]


def strings(count: int, seed: int) -> Iterator[str]:
    """Mostly what people type, with a little of everything that Unicode has."""
    draw = np.random.default_rng(seed)
    weights = np.array([often for *_, often in PARTS], float)
    firsts, lasts = (np.array([part[at] for part in PARTS]) for at in (0, 1))
    for length in draw.integers(0, 40, count):
        which = draw.choice(len(PARTS), length, p=weights / weights.sum())
        yield "".join(map(chr, draw.integers(firsts[which], lasts[which] + 1)))


def test_ids_are_the_same() -> None:
    preprocessor = WordPiecePreprocessor(
        VOCABULARY, Normalizer(lowercase=True, strip_accents=True), 48, ("token_ids", "padding_mask")
    )
    graph, seen, room = preprocessor.graph(), 0, preprocessor.length - preprocessor.specials
    for number in range(0, STRINGS, BATCH):
        texts = list(strings(min(BATCH, STRINGS - number), number))
        found = graph(tf.constant([text.encode() for text in texts]))
        ids, mask = found["token_ids"].numpy(), found["padding_mask"].numpy() > 0
        for text, own, row, real in zip(texts, preprocessor.tokenize(texts), ids, mask, strict=True):
            assert preprocessor.wrap(own[:room]).tolist() == row[real].tolist(), ascii(text)
            seen += len(own)
    assert seen > 10 * STRINGS, "most of a string becomes tokens"
