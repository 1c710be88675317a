"""The real MiniLM: what it is good for, and that our tokens are those it was trained with."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tfvertical import backbones
from tfvertical.contracts import Backbone

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def minilm() -> Backbone:
    return backbones.load("minilm_l6_v2")


def embed(backbone: Backbone, texts: list[str]) -> np.ndarray:
    """Unit vectors: the mean of the token states."""
    preprocessor = backbone.preprocessor
    rows = [preprocessor.wrap(pieces) for pieces in preprocessor.tokenize(texts)]
    width = max(map(len, rows))
    mask = np.array([[at < len(row) for at in range(width)] for row in rows])
    ids = np.array([np.pad(row, (0, width - len(row)), constant_values=preprocessor.pad_id) for row in rows])
    states = np.asarray(backbone.model(preprocessor.inputs(ids, mask)))
    mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def test_paraphrases_are_near_and_other_things_far(minilm: Backbone) -> None:
    vectors = embed(
        minilm,
        [
            "How can I reset my password?",
            "I forgot my password, what should I do?",
            "The weather in Paris is lovely today.",
        ],
    )
    near, far, farther = vectors[0] @ vectors[1], vectors[0] @ vectors[2], vectors[1] @ vectors[2]
    assert 0.75 < near < 0.9
    assert abs(far) < 0.1 and abs(farther) < 0.1


def test_what_it_is(minilm: Backbone) -> None:
    assert minilm.blocks[1:] == tuple(f"transformer_layer_{i}/" for i in range(6))
    assert minilm.model.count_params() == 22_565_376  # 22.7 M without the pooler, which token states do not need
    assert minilm.source.weights_sha256 == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert minilm.source.licence == "Apache-2.0"
    assert (minilm.preprocessor.length, minilm.preprocessor.unknown_id, minilm.preprocessor.pad_id) == (256, 100, 0)


def test_the_tokens_are_those_of_its_own_tokenizer(minilm: Backbone) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    own = tokenizers.Tokenizer.from_file(str(backbones.fetch("minilm_l6_v2") / "tokenizer.json"))
    own.no_truncation()
    own.no_padding()
    texts = [
        "The Café's naïve CARD!",
        "日本語 and Ünïcödé",
        "tab\tnew\nline",
        "e-mail@example.com",
        "zero\u200bwidth",
        "x\0y",
    ]
    preprocessor = minilm.preprocessor
    for text, pieces in zip(texts, preprocessor.tokenize(texts), strict=True):
        assert preprocessor.wrap(pieces).tolist() == own.encode(text).ids


def test_loading_warns_of_nothing_and_prints_nothing() -> None:
    code = "from tfvertical import backbones; backbones.load('minilm_l6_v2')"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not done.stdout
    assert "Warning" not in done.stderr
