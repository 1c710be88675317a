"""Token ids in Python and in the graph are the same, whatever somebody types."""

from __future__ import annotations

import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfvertical import backbones
from tfvertical.backbones import _text_preprocessor_graph as twin
from tfvertical.backbones._text_preprocessor import WordPiecePreprocessor
from tfvertical.codecs.text import Normalizer
from tfvertical.errors import PresetError

LETTERS = "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789éÅßñσжあ中文한é€.,!?'-[]#/<>"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "card", "##s", "sep", "SEP", "never", "", "the"]
VOCABULARY += [*LETTERS, *(f"##{letter}" for letter in LETTERS)]  # some pieces stand twice, as in real vocabularies
NAMES = ("token_ids", "padding_mask", "segment_ids")
NORMALIZERS = {
    "uncased": Normalizer(lowercase=True, strip_accents=True),
    "cased": Normalizer(),
    "lower": Normalizer(lowercase=True),
    "no_cjk": Normalizer(cjk=False),
}
AWKWARD = [
    "",
    " ",
    "The cards never arrived.",
    "Café [SEP] [CLS] [MASK] [UNK] ##s ## [PAD]",
    "nul\0in the\0middle",
    "\x00\x01\x1f\x7f\x85\u200b\u2028\ufeff\ufffd",
    "the " * 2500,
    "a" * 10_000,
    "x" * 99 + " " + "x" * 100 + " " + "x" * 101,
    "é" * 50 + " " + "é" * 51,
    "👨\u200d👩\u200d👧 👍🏽 ❤\ufe0f",
    "中文text한글あ",
    "ΟΔΥΣΣΕΥΣ İIıi ß ﬁ Å",
    "e\u0301\u0323\u0302 \u302e\u0301a",
]


def make(name: str = "uncased", length: int = 24) -> WordPiecePreprocessor:
    return WordPiecePreprocessor(VOCABULARY, NORMALIZERS[name], length, NAMES)


def expected(preprocessor: WordPiecePreprocessor, texts: list[str]) -> list[list[int]]:
    room = preprocessor.length - preprocessor.specials
    return [preprocessor.wrap(pieces[:room]).tolist() for pieces in preprocessor.tokenize(texts)]


def from_graph(preprocessor: WordPiecePreprocessor, texts: list[str]) -> list[list[int]]:
    found = preprocessor.graph()(tf.constant([text.encode() for text in texts]))
    return [
        row[mask > 0].tolist()
        for row, mask in zip(found["token_ids"].numpy(), found["padding_mask"].numpy(), strict=True)
    ]


@pytest.mark.parametrize("name", NORMALIZERS)
def test_awkward_texts(name: str) -> None:
    preprocessor = make(name)
    assert from_graph(preprocessor, AWKWARD) == expected(preprocessor, AWKWARD)


def test_what_somebody_types_is_never_a_special_token() -> None:
    preprocessor = make("cased")
    for pieces in preprocessor.tokenize(["[SEP]", "[CLS][PAD]", "a [MASK] b"]):
        assert not {0, 2, 3, 4} & set(pieces.tolist())


def assigned(page: range) -> bool:
    return any(unicodedata.category(chr(c)) not in ("Cn", "Co", "Cs") for c in page)


@pytest.mark.parametrize("name", NORMALIZERS)
def test_every_assigned_code_point(name: str) -> None:
    preprocessor = make(name, length=4000)
    pages = [range(page * 256, page * 256 + 256) for page in range(0x1100)]
    pages = [page for page in pages if assigned(page) or page.start in (0xE000, 0xE0000, 0xF0000, 0x10FF00)]
    texts = [" ".join(f"a{chr(c)}b" for c in page if not 0xD800 <= c < 0xE000) for page in pages]
    graph = preprocessor.graph()
    pieces = preprocessor.tokenize(texts)
    for first in range(0, len(texts), 512):
        found = graph(tf.constant([text.encode() for text in texts[first : first + 512]]))
        ids, mask = found["token_ids"].numpy(), found["padding_mask"].numpy() > 0
        for row, (text, own) in enumerate(zip(texts[first : first + 512], pieces[first : first + 512], strict=True)):
            assert ids[row][mask[row]].tolist() == preprocessor.wrap(own).tolist(), hex(ord(text[1]) if text else 0)


@given(st.lists(st.text(max_size=60), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_random_texts(texts: list[str]) -> None:
    for preprocessor, graph in CACHED:
        found = graph(tf.constant([text.encode() for text in texts]))
        mask = found["padding_mask"].numpy() > 0
        ids = [row[m].tolist() for row, m in zip(found["token_ids"].numpy(), mask, strict=True)]
        assert ids == expected(preprocessor, texts)


CACHED = [(made, made.graph()) for made in (make("uncased"), make("lower"))]


def test_bytes_that_are_no_utf8_are_dropped() -> None:
    content = b"card\xff\xfe \xc3 the\x80"
    found = twin.normalize(tf.constant([content]), NORMALIZERS["uncased"]).numpy()[0].decode()
    assert found.split() == NORMALIZERS["uncased"](content.decode(errors="ignore")).split()


def test_padding_and_inputs() -> None:
    preprocessor = make(length=6)
    texts = ["the card", "the card never the card never", ""]
    loose = preprocessor.graph()(tf.constant(texts[:1]))
    assert {name: value.shape.as_list() for name, value in loose.items()} == {name: [1, 4] for name in NAMES}
    fixed = preprocessor.graph(fixed=True)(tf.constant(texts))
    assert fixed["token_ids"].numpy().tolist() == [[2, 12, 6, 3, 0, 0], [2, 12, 6, 10, 12, 3], [2, 3, 0, 0, 0, 0]]
    mask = fixed["padding_mask"].numpy().astype(bool)
    assert mask.sum(1).tolist() == [4, 6, 2]
    own = preprocessor.inputs(fixed["token_ids"].numpy(), mask)
    assert list(own) == list(fixed)
    for name, value in own.items():
        assert value.dtype == np.int32 == fixed[name].dtype.as_numpy_dtype
        np.testing.assert_array_equal(value, fixed[name])


def test_config_and_assets_rebuild_it() -> None:
    for name in NORMALIZERS:
        preprocessor = make(name)
        again = backbones.preprocessor(
            {"class": type(preprocessor).__name__, **preprocessor.config()}, preprocessor.assets()
        )
        assert again.config() == preprocessor.config()
        assert again.assets() == preprocessor.assets()
        assert expected(again, AWKWARD) == expected(preprocessor, AWKWARD)


@pytest.mark.parametrize("length", [4, 7, 8, 24, 25])
def test_the_graph_packs_pairs_as_numpy_does(length: int) -> None:
    preprocessor = make(length=length)
    pairs = [(first, second) for first in AWKWARD for second in (AWKWARD[0], "", "the " * 30, AWKWARD[-1])]
    sides = zip(*pairs, strict=True)
    found = preprocessor.pair_graph()(*(tf.constant([text.encode() for text in side]) for side in sides))
    ids, mask, segments = (found[name].numpy() for name in ("token_ids", "padding_mask", "segment_ids"))
    for row, pair in enumerate(pairs):
        wanted, parts = preprocessor.wrap_pair(*preprocessor.tokenize(pair), length)
        assert ids[row][mask[row] > 0].tolist() == wanted.tolist()
        assert segments[row][: len(parts)].tolist() == parts.tolist() and not segments[row][len(parts) :].any()
        assert (ids[row][mask[row] == 0] == preprocessor.pad_id).all()


def test_saved_model(tmp_path: Path) -> None:
    preprocessor = make()
    module = tf.Module()
    module.serve = tf.function(preprocessor.graph(), input_signature=[tf.TensorSpec((None,), tf.string)])
    tf.saved_model.save(module, str(tmp_path))
    again = tf.saved_model.load(str(tmp_path)).serve(tf.constant([text.encode() for text in AWKWARD]))
    found = [
        row[mask > 0].tolist()
        for row, mask in zip(again["token_ids"].numpy(), again["padding_mask"].numpy(), strict=True)
    ]
    assert found == expected(preprocessor, AWKWARD)


def test_ten_thousand_short_texts_take_less_than_three_seconds() -> None:
    texts = [f"The card number {i} that I ordered two weeks ago has not arrived, what now?" for i in range(10_000)]
    preprocessor = make()
    start = time.process_time()
    preprocessor.tokenize(texts)
    assert time.process_time() - start < 3


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(PresetError, match=r"\[SEP\]"):
        WordPiecePreprocessor(["[PAD]", "[UNK]", "[CLS]"], Normalizer(), 8, NAMES)
    with pytest.raises(PresetError, match="length of 2"):
        make(length=2)
    with pytest.raises(PresetError, match="no preprocessor 'Nope'"):
        backbones.preprocessor({"class": "Nope"}, {})
