"""Data sets of TensorFlow Datasets as a user's script has them; loaded by path, outside every package.

They stay unregistered, so that reading what they generated has to do without their code.
"""

from __future__ import annotations

import numpy as np
import tensorflow_datasets as tfds


class LocalReviews(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Five texts, two of them for testing."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"review": tfds.features.Text(), "mood": tfds.features.ClassLabel(names=["sad", "glad"])}
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("review", "mood")
        )

    def _split_generators(self, manager):
        return {"train": self._generate_examples(0, 3), "test": self._generate_examples(3, 5)}

    def _generate_examples(self, first, end):
        for at in range(first, end):
            yield at, {"review": f"text {at}", "mood": at % 2}


class LocalTopics(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Forty texts of two topics."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"text": tfds.features.Text(), "topic": tfds.features.ClassLabel(names=["cards", "travel"])}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        words = (("card", "pin", "chip", "bank"), ("visa", "airport", "plane", "trip"))
        for at in range(40):
            found = words[at % 2]
            yield at, {"text": f"{found[at % 4]} {found[at // 4 % 4]} {found[at // 16]}", "topic": at % 2}


class LocalPictures(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Four noisy pictures."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"image": tfds.features.Image(shape=(8, 8, 3)), "label": tfds.features.ClassLabel(num_classes=2)}
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
        )

    def _split_generators(self, manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for at in range(4):
            yield at, {"image": np.random.default_rng(at).integers(0, 256, (8, 8, 3), np.uint8), "label": at % 2}
