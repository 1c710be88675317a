"""A tiny random backbone in a folder and two topics of words, for the commands that train."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

TOPICS = {
    "cards": ["card", "pin", "chip", "lost", "stolen", "bank"],
    "travel": ["country", "visa", "airport", "plane", "border", "trip"],
}
RUN = """\
task: {name: TextClassifier, preset: ./preset, length: 16, dropout: 0.0}
data:
  train: train.csv
  text: message
  label: topic
  split: {fractions: {train: 0.6, validation: 0.2, test: 0.2}}
adaptation: {name: GradualUnfreezing, blocks: 1, head_epochs: 4, epochs_per_block: 2}
training: {batch_size: 16, learning_rate: 3e-2}
evaluation: {examples: false, before: true}
export: [litert]
"""


@dataclass(frozen=True)
class Place:
    """Where a run file, its data, its preset and a trained bundle lie."""

    folder: Path

    @property
    def run(self) -> Path:
        return self.folder / "run.yaml"

    @property
    def data(self) -> Path:
        return self.folder / "train.csv"

    @property
    def bundle(self) -> Path:
        return self.folder / "trained"


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A run file with what it needs; nothing trained yet."""
    folder = tmp_path_factory.mktemp("cli")
    _save_preset(folder / "preset")
    random = np.random.default_rng(0)
    rows = ["message,topic"]
    for _ in range(60):
        for topic, words in TOPICS.items():
            rows.append(f"{' '.join(random.choice(words, 4))},{topic}")
    (folder / "train.csv").write_text("\n".join(dict.fromkeys(rows)) + "\n")
    (folder / "run.yaml").write_text(RUN)
    return Place(folder)


@pytest.fixture(scope="session")
def trained(place: Place) -> Place:
    """The same, trained through the command."""
    from tfvertical.cli import main

    assert main(["train", str(place.run), "--out", str(place.bundle)]) == 0
    return place


def _save_preset(folder: Path) -> None:
    import keras
    import keras_hub

    keras.utils.set_random_seed(0)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(word for words in TOPICS.values() for word in words)]
    tokenizer = keras_hub.models.BertTokenizer(pieces, lowercase=True)
    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 16, "max_sequence_length": 16}
    with warnings.catch_warnings():  # Keras' own, when it writes weights
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        keras_hub.models.BertBackbone(len(pieces), **sizes).save_to_preset(str(folder))
        tokenizer.save_to_preset(str(folder))


def lines(text: str) -> list[dict[str, object]]:
    """JSON Lines as objects."""
    return [json.loads(line) for line in text.splitlines()]
