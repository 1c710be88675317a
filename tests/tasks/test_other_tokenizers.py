"""Entities and answers of models that do not read WordPiece: in the text's own offsets, and the same from a bundle."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfvertical as tv
from tests.backbones import test_text_sources as sources
from tfvertical.errors import ConfigError

# Keras' own, when it writes weights
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
TEXT = "  The card\u00a0never arrived at the caf\u00e9 \N{CREDIT CARD}, the\tcard arrived."
WORDS = [each.span() for each in re.finditer(r"\w+|[^\w\s]", TEXT)]


@pytest.fixture(scope="module", params=[sources.albert, sources.deberta], ids=lambda make: make.__name__)
def preset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    make: Callable[[Path], tuple[Any, Any]] = request.param
    folder = tmp_path_factory.mktemp(make.__name__)
    for part in make(folder):
        part.save_to_preset(str(folder / "preset"))
    return str(folder / "preset")


@pytest.mark.parametrize(
    ("kind", "options", "user"),
    [
        (tv.TextClassifier, {}, "pooling"),
        (tv.PairClassifier, {}, "pooling"),
        (tv.PairClassifier, {"encoder": "bi"}, "pooling"),
        (tv.TokenClassifier, {"convolutions": 1}, "a convolution"),
    ],
)
def test_a_backbone_without_a_mask_is_refused(tmp_path: Path, kind: Any, options: dict[str, Any], user: str):
    for part in sources.f_net(tmp_path):
        part.save_to_preset(str(tmp_path / "preset"))
    with pytest.raises(ConfigError, match=f"no input `padding_mask`, which {user} needs"):
        kind.from_preset(str(tmp_path / "preset"), labels=["A", "B"], length=16, **options)


def test_entities_are_whole_words_of_the_text(preset: str, tmp_path: Path):
    task = tv.TokenClassifier.from_preset(preset, labels=["A", "B", "C", "D"], length=16)
    found = task.predict([TEXT])[0]
    assert found
    for each in found:
        assert each.text == TEXT[each.start : each.end]
        assert each.start in {start for start, _ in WORDS} and each.end in {end for _, end in WORDS}
    task.save(tmp_path / "saved")
    assert tv.load(tmp_path / "saved").predict([TEXT])[0] == found


def test_tags_stand_on_the_first_piece_of_their_words(preset: str):
    task = tv.TokenClassifier.from_preset(preset, labels=["A"], length=16)
    words, tags = ["the", "card"], ["O", "B-A"]
    given = task.encode(tv.data.load(([words], [tags]), target="entities", labels=["A"]))
    labels, pieces = given.labels.take(np.array([0]), None)[0], task.preprocessor.tokenize(words)
    firsts = 1 + np.cumsum([0, *map(len, pieces)])[:-1]  # behind the special token at the beginning
    assert np.flatnonzero(labels >= 0).tolist() == firsts.tolist()
    assert (labels[firsts] > 0).tolist() == [False, True]


def test_an_answer_is_a_part_of_the_text(preset: str, tmp_path: Path):
    task = tv.ExtractiveQA.from_preset(preset, length=16, max_question=4)
    task.threshold = None  # always an answer
    asked = [("where?", TEXT), ("?", TEXT)]
    found = task.predict(asked)
    assert all(each.text for each in found)
    assert all(each.text == TEXT[each.start : each.end] for each in found)
    task.save(tmp_path / "saved")
    assert tv.load(tmp_path / "saved").predict(asked) == found
