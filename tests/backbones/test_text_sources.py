"""What every text backbone promises, on tiny random ones that went through a folder."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from tfvertical import backbones, stages
from tfvertical.contracts import Backbone
from tfvertical.errors import ConfigError, PresetError

# Keras' own, when it writes weights
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
WORDS = ["the", "card", "never", "arrived", "cafe", "[", "sep", "]", "<", "/", "s", ">", ",", ".", "!"]
SIZES = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16, "max_sequence_length": 16}
TEXTS = ["The card never arrived!", "", "Café [SEP] </s> \0 <mask>", "the " * 50, "中文 👍🏽"]


def word_pieces() -> list[str]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *letters, *(f"##{c}" for c in letters)]
    return list(dict.fromkeys(pieces))


def sentence_pieces(folder: Path, specials: tuple[str, ...], ids: tuple[int, ...] = (0, 1, 2, 3)) -> bytes:
    trainer = pytest.importorskip("sentencepiece").SentencePieceTrainer
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(["the card never arrived at the cafe", "a second sentence , with more words ."] * 20))
    (pad, unknown, start, end), (pad_id, unk_id, bos_id, eos_id) = specials[:4], ids
    trainer.train(
        input=str(corpus), model_prefix=str(folder / "pieces"), vocab_size=60, minloglevel=2, hard_vocab_limit=False,
        pad_id=pad_id, unk_id=unk_id, bos_id=bos_id, eos_id=eos_id,
        pad_piece=pad, unk_piece=unknown, bos_piece=start, eos_piece=end,
        user_defined_symbols=list(specials[4:]),
    )  # fmt: skip
    return (folder / "pieces.model").read_bytes()


def byte_pairs() -> tuple[dict[str, int], list[str]]:
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    characters = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]
    merges = ["t h", "th e", "c a", "r d"]
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *characters, *(merge.replace(" ", "") for merge in merges)]
    return {piece: i for i, piece in enumerate(pieces)}, merges


def bert(folder: Path) -> tuple[Any, Any]:
    tokenizer = keras_hub.models.BertTokenizer(word_pieces(), lowercase=True)
    return keras_hub.models.BertBackbone(tokenizer.vocabulary_size(), **SIZES), tokenizer


def distil_bert(folder: Path) -> tuple[Any, Any]:
    tokenizer = keras_hub.models.DistilBertTokenizer(word_pieces())
    return keras_hub.models.DistilBertBackbone(tokenizer.vocabulary_size(), **SIZES), tokenizer


def electra(folder: Path) -> tuple[Any, Any]:
    tokenizer = keras_hub.models.ElectraTokenizer(word_pieces(), lowercase=True)
    return keras_hub.models.ElectraBackbone(tokenizer.vocabulary_size(), embedding_dim=8, **SIZES), tokenizer


def roberta(folder: Path) -> tuple[Any, Any]:
    tokenizer = keras_hub.models.RobertaTokenizer(*byte_pairs())
    return keras_hub.models.RobertaBackbone(tokenizer.vocabulary_size(), **SIZES), tokenizer


def albert(folder: Path) -> tuple[Any, Any]:
    proto = sentence_pieces(folder, ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"))
    tokenizer = keras_hub.models.AlbertTokenizer(proto)
    return keras_hub.models.AlbertBackbone(tokenizer.vocabulary_size(), embedding_dim=4, **SIZES), tokenizer


def deberta(folder: Path) -> tuple[Any, Any]:
    proto = sentence_pieces(folder, ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
    tokenizer = keras_hub.models.DebertaV3Tokenizer(proto)
    return keras_hub.models.DebertaV3Backbone(tokenizer.vocabulary_size(), bucket_size=8, **SIZES), tokenizer


def xlm_roberta(folder: Path) -> tuple[Any, Any]:
    proto = sentence_pieces(folder, ("<pad>", "<unk>", "<s>", "</s>"), (-1, 0, 1, 2))
    tokenizer = keras_hub.models.XLMRobertaTokenizer(proto)
    return keras_hub.models.XLMRobertaBackbone(tokenizer.vocabulary_size() + 2, **SIZES), tokenizer


def f_net(folder: Path) -> tuple[Any, Any]:
    proto = sentence_pieces(folder, ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"))
    tokenizer = keras_hub.models.FNetTokenizer(proto)
    sizes = {name: value for name, value in SIZES.items() if name != "num_heads"}
    return keras_hub.models.FNetBackbone(tokenizer.vocabulary_size(), **sizes), tokenizer


MAKERS: list[Callable[[Path], tuple[Any, Any]]] = [
    bert, distil_bert, electra, roberta, albert, deberta, xlm_roberta, f_net,
]  # fmt: skip


@pytest.fixture(scope="module", params=MAKERS, ids=lambda maker: maker.__name__)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, Backbone]:
    folder = tmp_path_factory.mktemp(request.param.__name__)
    hub, tokenizer = request.param(folder)
    hub.save_to_preset(str(folder / "preset"))
    tokenizer.save_to_preset(str(folder / "preset"))
    return hub, folder / "preset", backbones.load(str(folder / "preset"))


def batch(backbone: Backbone, texts: list[str]) -> dict[str, np.ndarray]:
    """The texts as a task would pack them."""
    preprocessor = backbone.preprocessor
    room = preprocessor.length - preprocessor.specials
    rows = [preprocessor.wrap(pieces[:room]) for pieces in preprocessor.tokenize(texts)]
    ids = np.full((len(rows), max(map(len, rows))), preprocessor.pad_id, np.int32)
    mask = np.zeros(ids.shape, bool)
    for row, (values, at) in enumerate(zip(rows, mask, strict=True)):
        ids[row, : len(values)] = values
        at[: len(values)] = True
    return preprocessor.inputs(ids, mask)


def test_it_computes_what_the_hub_computes(made: tuple[Any, Path, Backbone]) -> None:
    hub, _, backbone = made
    inputs = batch(backbone, TEXTS)
    expected = hub(inputs)
    expected = expected["sequence_output"] if isinstance(expected, dict) else expected
    np.testing.assert_array_equal(backbone.model(inputs), expected)
    assert backbone.model.name == "text"
    assert backbone.model.output_shape == (None, None, 8)


def test_it_holds_no_weight_that_its_output_does_not_need(made: tuple[Any, Path, Backbone]) -> None:
    _, _, backbone = made
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(backbone.model(batch(backbone, TEXTS[:1])) ** 3)
    gradients = tape.gradient(loss, [v.value for v in backbone.model.trainable_variables])
    assert all(gradient is not None for gradient in gradients)
    assert not any("pooled" in variable.path for variable in backbone.model.weights)


def test_every_variable_belongs_to_one_block(made: tuple[Any, Path, Backbone]) -> None:
    hub, _, backbone = made
    layers = 1 if isinstance(hub, keras_hub.models.AlbertBackbone) else 2  # ALBERT's layers share their weights
    assert len(backbone.blocks) == 1 + layers
    addresses = stages.addresses({"text": backbone.model})
    for address in addresses:
        assert sum(bool(re.match(f"text/{block}", address)) for block in backbone.blocks) == 1
    first, last = (
        [a for a in addresses if re.match(f"text/{block}", a)] for block in (backbone.blocks[0], backbone.blocks[-1])
    )
    assert any("token_embedding" in a or "embeddings" in a for a in first)
    assert any(f"_{layers - 1}/" in a for a in last)


def test_the_graph_gives_the_same_inputs(made: tuple[Any, Path, Backbone]) -> None:
    _, _, backbone = made
    found = backbone.preprocessor.graph()(tf.constant([text.encode() for text in TEXTS]))
    expected = batch(backbone, TEXTS)
    assert list(found) == list(expected) == list(backbone.model.input)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


def test_special_tokens_cannot_be_typed(made: tuple[Any, Path, Backbone]) -> None:
    _, _, backbone = made
    preprocessor = backbone.preprocessor
    specials = {*preprocessor.wrap(np.zeros(0, np.int32)).tolist(), preprocessor.pad_id}
    for pieces in preprocessor.tokenize(["[SEP]", "a[CLS]b", "</s>", "<s><pad>", "[PAD] <\0s>"]):
        assert not specials & set(pieces.tolist())


def test_the_preprocessor_needs_no_preset(made: tuple[Any, Path, Backbone]) -> None:
    _, _, backbone = made
    own = backbone.preprocessor
    again = backbones.preprocessor({"class": type(own).__name__, **own.config()}, own.assets())
    assert (again.config(), again.assets()) == (own.config(), own.assets())
    assert (again.pad_id, again.unknown_id, again.length) == (own.pad_id, own.unknown_id, own.length)
    for left, right in zip(again.tokenize(TEXTS), own.tokenize(TEXTS), strict=True):
        assert left.dtype == right.dtype == np.int32
        np.testing.assert_array_equal(left, right)


def test_a_saved_model_preprocesses(made: tuple[Any, Path, Backbone], tmp_path: Path) -> None:
    _, _, backbone = made
    module = tf.Module()
    module.preprocess = backbone.preprocessor.graph()
    module.serve = tf.function(module.preprocess, input_signature=[tf.TensorSpec((None,), tf.string)])
    tf.saved_model.save(module, str(tmp_path))
    found = tf.saved_model.load(str(tmp_path)).serve(tf.constant([text.encode() for text in TEXTS]))
    for name, value in batch(backbone, TEXTS).items():
        np.testing.assert_array_equal(found[name], value)


def test_a_saved_model_packs_pairs_as_numpy_does(made: tuple[Any, Path, Backbone], tmp_path: Path) -> None:
    own = made[2].preprocessor
    pairs = [(first, second) for first in TEXTS for second in TEXTS]
    module = tf.Module()
    module.preprocess = own.pair_graph()
    module.serve = tf.function(module.preprocess, input_signature=[tf.TensorSpec((None,), tf.string)] * 2)
    tf.saved_model.save(module, str(tmp_path))
    serve = tf.saved_model.load(str(tmp_path)).serve
    found = serve(*(tf.constant([text.encode() for text in side]) for side in zip(*pairs, strict=True)))
    wrapped = [own.wrap_pair(*own.tokenize(pair), own.length) for pair in pairs]
    width = max(len(ids) for ids, _ in wrapped)
    ids, segments = np.full((len(pairs), width), own.pad_id), np.zeros((len(pairs), width), int)
    for row, (tokens, sides) in enumerate(wrapped):
        ids[row, : len(tokens)], segments[row, : len(tokens)] = tokens, sides
    mask = np.arange(width) < np.array([[len(tokens)] for tokens, _ in wrapped])
    for name, value in own.inputs(ids, mask, segments).items():
        np.testing.assert_array_equal(found[name], value)


def test_seeding_between_two_calls_does_no_harm(made: tuple[Any, Path, Backbone]) -> None:
    _, _, backbone = made
    before = backbone.preprocessor.tokenize(TEXTS)
    keras.utils.set_random_seed(5)
    for left, right in zip(before, backbone.preprocessor.tokenize(TEXTS), strict=True):
        np.testing.assert_array_equal(left, right)


def test_source_and_options(made: tuple[Any, Path, Backbone]) -> None:
    _, folder, backbone = made
    assert backbone.source.kind == "local"
    assert re.fullmatch(r"[0-9a-f]{64}", backbone.source.weights_sha256)
    assert set(backbone.source.versions) == {"tensorflow", "keras", "keras-hub"}
    assert backbones.load(str(folder), length=8).preprocessor.length == 8


def preset_of(tmp_path: Path) -> Path:
    hub, tokenizer = bert(tmp_path)
    hub.save_to_preset(str(tmp_path / "preset"))
    tokenizer.save_to_preset(str(tmp_path / "preset"))
    return tmp_path / "preset"


def test_random_weights(tmp_path: Path) -> None:
    folder = str(preset_of(tmp_path))
    keras.utils.set_random_seed(1)
    one, other = backbones.load(folder, weights=False), backbones.load(folder)
    assert one.source.weights_sha256 != other.source.weights_sha256
    assert not np.array_equal(one.model.weights[0], other.model.weights[0])


def test_accents_go_where_the_vocabulary_has_none(tmp_path: Path) -> None:
    preprocessor = backbones.load(str(preset_of(tmp_path))).preprocessor
    assert [preprocessor.vocabulary[i] for i in preprocessor.tokenize(["CAFÉ"])[0]] == ["cafe"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "holds no model"),
        (lambda folder: (folder / "config.json").write_text("{"), "not valid JSON"),
        (lambda folder: (folder / "config.json").write_text("{}"), "holds no model"),
        (lambda folder: (folder / "model.weights.h5").unlink(), "no weights that can be read"),
        (lambda folder: (folder / "model.weights.h5").write_bytes(b"no"), "could not be loaded"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer"),
        (lambda folder: shutil.rmtree(folder), "There is no folder"),
    ],
)
def test_damaged_folders(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    folder = preset_of(tmp_path)
    damage(folder)
    with pytest.raises(PresetError, match=message):
        backbones.load(str(folder))


def test_wrong_options(tmp_path: Path) -> None:
    folder = str(preset_of(tmp_path))
    with pytest.raises(PresetError, match="length of 17 tokens"):
        backbones.load(folder, length=17)
    with pytest.raises(ConfigError, match="Nearest: 'length'"):
        backbones.load(folder, lenght=8)
