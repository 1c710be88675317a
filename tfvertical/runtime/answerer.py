"""From questions and contexts to answers, with what stands in a LiteRT export's folder and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from tfvertical.codecs import alignment
from tfvertical.codecs.alignment import Sentence
from tfvertical.codecs.answers import FAR, Answer, AnswerCodec
from tfvertical.codecs.listing import listed
from tfvertical.errors import BundleError
from tfvertical.runtime import _checked
from tfvertical.runtime._folder import opened_places, pair_of


class Answerer:
    """A LiteRT export of an `ExtractiveQA`, ready to answer without TensorFlow.

    Args:
        folder: `exports/litert-…` of a saved model: `model.tflite`, `preprocessing.json` and its files.
        threads: of the interpreter.
        verify: check every file's SHA-256 against `manifest.json` first.

    Raises:
        BundleError: the folder is no such export, a file of it was changed, its files do not belong
            together, or its preprocessing has no NumPy form.
        MissingPackageError: ai-edge-litert is not installed.

    Example:
        >>> answerer = Answerer("saved_models/leases/exports/litert-dynamic")  # doctest: +SKIP
        >>> answerer.predict([("When is it due?", "Payment is due by 6 May.")])[0].text  # doctest: +SKIP
        '6 May'
    """

    def __init__(self, folder: str | Path, *, threads: int = 1, verify: bool = True):
        folder = Path(folder)
        self._words, self._run, description = opened_places(folder, "answers", (), threads, verify)
        with _checked.understood(folder):
            self._most: int = description["max_question"]
            self._codec = AnswerCodec(**description["codec"])
        if type(self._most) is not int or not 1 <= self._most <= self._words.room - 2:
            raise BundleError(
                f"{folder / _checked.NAME}: max_question leaves no room for a context.",
                expected=f"1 to {self._words.room - 2} pieces",
                received=f"{self._most!r:.80}",
            )
        _checked.outputs(folder, self._run, ("begin", "end"))

    def scores(self, question: str, context: str) -> np.ndarray:
        """How much likelier each word begins or ends the answer than that there is none: float32 `(1 + words, 2)`."""
        asked = self._words(question)[: self._most]
        room = self._words.room - 1 - len(asked)
        words = Sentence.of(context).words
        cut = [self._words(word)[: self._words.room - 1 - self._most] for word in words]
        counts = np.array([len(ids) for ids in cut], np.int64)
        found = np.full((1 + len(words), 2), FAR, np.float32)
        found[0] = 0
        for window in alignment.windows(counts, room):
            ids = np.array([each for one in cut[window.first : window.last] for each in one.tolist()], np.int32)
            answers = alignment.answering(window, counts, False)
            told = self._run(self._words.inputs_of_pair(asked, ids))["scores"][0][len(asked) + 2 :][: len(ids)]
            here = answers >= 0
            found[1 + answers[here]] = told[here]
        return found

    def predict(self, items: Iterable[Sequence[str]]) -> list[Answer]:
        """The answer to each question, with its place in the context.

        Args:
            items: a list of questions with their contexts; a single `Pair` counts as a list of one.

        Raises:
            DataError: an item is no pair of texts.
        """
        found = []
        for item in listed(items, "pair"):
            question, context = pair_of(item)
            found += self._codec.decode(self.scores(question, context), [Sentence.of(context)])
        return found
