"""From texts to the entities in them, with what stands in a LiteRT export's folder and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from tfvertical.codecs import alignment
from tfvertical.codecs.alignment import Sentence
from tfvertical.codecs.entities import Entity, EntityCodec, mean_scores
from tfvertical.codecs.listing import listed
from tfvertical.errors import BundleError
from tfvertical.runtime import _checked
from tfvertical.runtime._folder import opened_places


class Tagger:
    """A LiteRT export of a `TokenClassifier`, ready to find entities without TensorFlow.

    Args:
        folder: `exports/litert-…` of a saved model: `model.tflite`, `labels.txt`, `preprocessing.json` and its files.
        threads: of the interpreter.
        verify: check every file's SHA-256 against `manifest.json` first.

    Raises:
        BundleError: the folder is no such export, a file of it was changed, its files do not belong
            together, or its preprocessing has no NumPy form.
        MissingPackageError: ai-edge-litert is not installed.

    Example:
        >>> tagger = Tagger("saved_models/diseases/exports/litert-dynamic")  # doctest: +SKIP
        >>> tagger.predict(["No sign of Wilson's disease."])[0][0].text  # doctest: +SKIP
        "Wilson's disease"
    """

    def __init__(self, folder: str | Path, *, threads: int = 1, verify: bool = True):
        folder = Path(folder)
        self._words, self._run, description = opened_places(folder, "entities", ("labels.txt",), threads, verify)
        with _checked.understood(folder):
            self._every = description["pieces"] == "all"
            tags = (folder / "labels.txt").read_text(encoding="utf-8").splitlines()
            self._codec = EntityCodec([tag[2:] for tag in tags if tag.startswith("B-")])
        if tags != list(self._codec.tags):
            raise BundleError(
                f"{folder / 'labels.txt'} has other lines than the tags of its types.",
                expected=", ".join(self._codec.tags[:7]),
                received=", ".join(tags[:7]),
            )
        _checked.outputs(folder, self._run, tags)
        steps = description.get("steps")  # of a model with a conditional random field
        self._steps = None if steps is None else _between(steps, len(self._codec.tags), folder)

    @property
    def labels(self) -> tuple[str, ...]:
        """The types of entities."""
        return self._codec.names

    def scores(self, item: str | Sequence[str]) -> np.ndarray:
        """Probabilities of the tags of each word of a text, or of a list of words: float32 `(words, tags)`.

        With a conditional random field, what each word says by itself.
        """
        words = Sentence.of(item).words
        cut = [self._words(word)[: self._words.room] for word in words]
        counts = np.array([len(ids) for ids in cut], np.int64)
        total = np.zeros((len(words), len(self._codec.tags)), np.float32)
        count = np.zeros((len(words), 1), np.float32)
        for window in alignment.windows(counts, self._words.room):
            ids = [each for one in cut[window.first : window.last] for each in one.tolist()]
            answers = alignment.answering(window, counts, self._every)
            found = self._run(self._words.inputs(ids))["scores"][0][1 : 1 + len(ids)]
            here = answers >= 0
            np.add.at(total, answers[here], found[here])
            np.add.at(count, answers[here], 1)
        return mean_scores(total, count)

    def predict(self, items: str | Iterable[str | Sequence[str]]) -> list[tuple[Entity, ...]]:
        """The entities of each text, with their places in it; a list of words counts as joined by spaces.

        Args:
            items: a list of them; a single text counts as a list of one.
        """
        given = listed(items, "text")
        return [self._codec.decode(self.scores(item), [Sentence.of(item)], self._steps)[0] for item in given]


def _between(steps: object, tags: int, folder: Path) -> np.ndarray:
    """What the steps between tags are worth, as an array of the right shape."""
    try:
        found = np.asarray(steps, np.float32)
    except (TypeError, ValueError):
        found = np.zeros(0, np.float32)
    if found.shape != (tags + 2, tags) or not np.isfinite(found).all():
        raise BundleError(
            f"{folder / 'preprocessing.json'}: `steps` are no numbers between {tags} tags.",
            expected=f"{tags + 2} rows of {tags} numbers",
            received=f"shape {found.shape}",
        )
    return found
