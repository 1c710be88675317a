"""Tags in all schemes become the same entities, and wrong ones are told."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfvertical.codecs.tagging import SCHEMES, Span, TagFault, detect, parts, spans


@st.composite
def sentences(draw):
    """A length, and entities in it that do not overlap."""
    length = draw(st.integers(1, 12))
    found, at = [], 0
    while at < length:
        if draw(st.booleans()):
            end = draw(st.integers(at + 1, length))
            found.append(Span(at, end, draw(st.sampled_from(["PER", "LOC-2", "Krankheit"]))))
            at = end
        else:
            at += 1
    return length, tuple(found)


def written(length, entities, scheme):
    """The tags of entities, by the definition of each scheme."""
    tags, before = ["O"] * length, None
    for span in entities:
        words = span.end - span.start
        if scheme == "iob1":
            beside = before is not None and before.end == span.start and before.label == span.label
            letters = ["B" if beside else "I"] + ["I"] * (words - 1)
        elif scheme == "iob2":
            letters = ["B"] + ["I"] * (words - 1)
        else:
            letters = ["S"] if words == 1 else ["B", *["I"] * (words - 2), "E"]
        tags[span.start : span.end] = [f"{letter}-{span.label}" for letter in letters]
        before = span
    return tags


@given(sentences())
def test_every_scheme_says_the_same(sentence):
    length, entities = sentence
    for scheme in SCHEMES:
        assert spans(written(length, entities, scheme), scheme) == entities
    bilou = [tag.replace("E-", "L-").replace("S-", "U-") for tag in written(length, entities, "bioes")]
    assert spans(bilou, "bioes") == entities


@given(st.lists(sentences(), min_size=1))
def test_a_file_s_scheme_is_found(many):
    for scheme in SCHEMES:
        tags = [written(*sentence, scheme) for sentence in many]
        found = detect(tags)
        assert [spans(each, found) for each in tags] == [entities for _, entities in many]


@pytest.mark.parametrize(
    ("tags", "scheme", "at", "words"),
    [
        (["O", "I-A"], "iob2", 1, "not begun (expected B-A)"),
        (["B-A", "I-B"], "iob2", 1, "changes the type inside an entity of type 'A'"),
        (["O", "E-A"], "iob2", 1, "which iob2 does not"),
        (["O", "Disease"], "iob2", 1, "'Disease' is none"),
        (["B-"], "iob2", 0, "'B-' is none"),
        (["O", "B-A"], "iob1", 1, "which is iob2"),
        (["B-A", "O"], "bioes", 1, "has not ended (expected E-A)"),
        (["B-A", "I-A"], "bioes", 1, "never ends"),
        (["E-A"], "bioes", 0, "not begun"),
        (["B-A", "E-B"], "bioes", 1, "changes the type"),
        (["S-A", "I-A"], "bioes", 1, "not begun"),
    ],
)
def test_wrong_tags_are_told(tags, scheme, at, words):
    with pytest.raises(TagFault) as caught:
        spans(tags, scheme)
    assert caught.value.at == at and words in str(caught.value)


def test_parts_of_any_string():
    random.seed(0)
    assert parts("B-cell-line") == ("B", "cell-line")
    for _ in range(2000):
        tag = "".join(random.choices("BIOELSU-x é", k=random.randrange(5)))
        letter, label = parts(tag)
        assert letter in ("", *"OBIES") and (letter in ("", "O") or label.strip())
