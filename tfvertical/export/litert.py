"""LiteRT (TFLite): one file for phones and gateways, run by `tfvertical.runtime` or by MediaPipe Tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tfvertical.codecs.answers import LEAST_ROOM
from tfvertical.contracts import Exporter, Margin, Predict, Task, TextPreprocessor
from tfvertical.errors import ConfigError, ExportError
from tfvertical.export import _answers, _handover, _mediapipe, _personal
from tfvertical.export._convert import PRECISIONS, Shapes, convert
from tfvertical.export._inputs import fixed_inputs
from tfvertical.export._timing import latency
from tfvertical.files import write_bytes
from tfvertical.runtime.litert import LiteRT as Runner
from tfvertical.runtime.litert import interpreter_class

BATCH = 8  # that a file of any batch is checked with


@dataclass(frozen=True)
class LiteRT(Exporter):
    """A `.tflite` file of built-in operators: model inputs by name to `scores` or to an `embedding`.

    Tokenizing and decoding pictures stay outside, in NumPy; `preprocessing.json` and the assets beside say how. The
    file carries the metadata that MediaPipe Tasks reads, where its preprocessing is one that MediaPipe has.

    Args:
        precision: `float32`; `float16`: half the size; `dynamic`: weights in int8, a quarter of the size, fast for
            transformers; `int8`: weights and activations, a quarter of the size, fast for convolutions; `auto`:
            `dynamic` for texts, `int8` for pictures.
        output: `scores`; `embedding`: what the last layer sees, for search and clustering.
        length: tokens the file takes, special ones included; the preprocessor's own where None. Shorter is faster.
            Several, `[16, 32, 64]`: one signature each on the same weights; the shortest that holds a text runs.
        dynamic_length: take texts of any number of tokens up to `length`, none of them padding.
        dynamic_batch: take any number of examples at once; one otherwise.
        integer_io: with `int8`, pixels come in and scores go out as uint8.
        trainable_head: write `features.tflite` and `head.tflite` too, with which an app trains the last layer further.
        label_names: locale (`de`) -> the label names in that language, in the order of the task's.

    Raises:
        ConfigError: another precision or output; a length that is not between 1 and the model's; names that do not fit.
        ExportError: a layer that only TensorFlow can run; a length that no example has.
        MissingPackageError: ai-edge-litert, which runs the file for the check, is not installed.
    """

    packages: ClassVar[tuple[str, ...]] = ("ai_edge_litert",)
    precision: str = "float32"
    output: str = "scores"
    length: int | Sequence[int] | None = None
    dynamic_length: bool = False
    dynamic_batch: bool = False
    integer_io: bool = False
    trainable_head: bool = False
    label_names: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.precision not in (*PRECISIONS, "auto"):
            raise ConfigError(
                f"LiteRT has no precision {self.precision!r}.", expected="one of " + ", ".join((*PRECISIONS, "auto"))
            )
        several = self.length if isinstance(self.length, list | tuple) else [self.length or 1]
        if not several or not all(isinstance(each, int) for each in several):
            raise ConfigError(
                "`length` is no number of tokens.", expected="a number, or several", received=f"{self.length!r}"
            )
        if self.dynamic_length and len(several) > 1:
            raise ConfigError(
                "A file of dynamic length has one signature.",
                received=f"length {self.length!r}",
                fix="give the most tokens that it takes, or leave dynamic_length out",
            )
        if self.output not in _answers.OUTPUTS:
            raise ConfigError(
                f"LiteRT has no output {self.output!r}.", expected="one of " + ", ".join(_answers.OUTPUTS)
            )
        if self.output != "scores" and (self.trainable_head or self.integer_io or self.label_names):
            raise ConfigError(
                f"An export of output {self.output!r} has no labels.",
                fix="leave trainable_head, integer_io and label_names out",
            )

    def chosen(self, items: str, target: str = "label") -> str:
        """The precision for a task that reads texts or pictures: what was measured to be smallest and fastest."""
        if target in ("labels", "numbers") and (self.trainable_head or self.label_names):
            raise ConfigError(
                "trainable_head and label_names are for one label an example.",
                received=f"a task of {target}",
                fix="leave them out",
            )
        if target == "answers" and self.precision == "int8":
            raise ConfigError("In 8-bit integers an answer's scores lie too close together.", fix="precision 'dynamic'")
        if target in ("entities", "answers") and (self.output != "scores" or self.trainable_head or self.label_names):
            what = "tags" if target == "entities" else "places"
            raise ConfigError(
                f"A file that finds {target} gives the scores of {what}, word by word.",
                fix="leave output, trainable_head and label_names out",
            )
        if self.integer_io and items != "image":
            raise ConfigError("`integer_io` is for pictures, whose pixels are integers.", fix="leave it out")
        if self.integer_io and self.precision not in ("int8", "auto"):
            raise ConfigError("`integer_io` goes with precision `int8`.", received=self.precision)
        chosen = self.precision
        if chosen == "auto":
            chosen = "int8" if items == "image" else "dynamic"
        if chosen == "int8" and (self._any_shape or not isinstance(self.length, int | None)):
            raise ConfigError(
                "A file in full integers has one shape.",
                fix="give one length, no dynamic_length and no dynamic_batch, or another precision",
            )
        return chosen

    def suits(self, task: Task) -> None:
        self._lengths(task)
        if self.trainable_head:
            _personal.check(task)
        _mediapipe.check(task, self.label_names)

    def write(
        self, task: Task, folder: Path, calibration: Sequence[Any] = (), margin: Margin | None = None
    ) -> dict[str, Any]:
        interpreter_class()  # a missing package is better said before a minute of conversion
        lengths = self._lengths(task)
        answer = _answers.answer(task, self.output)
        shapes = Shapes(lengths, self.dynamic_batch)
        if self.dynamic_length:
            answer = _answers.cut(answer, lengths[-1])
            shapes = Shapes(lengths[-1:], self.dynamic_batch, any_length=True)

        def above(candidate: bytes) -> float:
            return 0.0 if margin is None else margin(self._predict(task, candidate))

        model, how = convert(task, answer, shapes, self.precision, calibration, self.integer_io, above, folder)
        if self.trainable_head:
            how["features_precision"] = self._personal(task, folder, margin)
        model = _mediapipe.described(model, task, self.output, self.label_names)
        write_bytes(folder / "model.tflite", model)
        _handover.preprocessing(task, folder, lengths)
        _handover.write(task, folder, self.output, lengths, Runner(folder / "model.tflite"))
        return how

    def _personal(self, task: Task, folder: Path, margin: Margin | None) -> str:
        """Write the two files of a head that learns; the precision of the features, the lowest that holds.

        Raises:
            ExportError: not even float32 does.
        """
        first = "float16" if self.precision == "int8" else self.precision  # integers are too coarse to learn on
        for precision in dict.fromkeys((first, "float16", "float32")):
            for name, content in _personal.files(task, self._longest(task), precision, folder).items():
                write_bytes(folder / name, content)
            if margin is None or margin(_personal.predictor(task, folder, self._longest(task))) >= 0:
                return precision
        raise ExportError(
            f"{_personal.FEATURES} and {_personal.HEAD} do not answer as the task does.", fix="leave trainable_head out"
        )

    def load(self, task: Task, folder: Path) -> Predict:
        return self._predict(task, folder / "model.tflite")

    def _predict(self, task: Task, model: Path | bytes) -> Predict:
        run, lengths = Runner(model), self._lengths(task) or None
        most = BATCH if self.dynamic_batch else 1

        def predict(items: Sequence[Any]) -> np.ndarray:
            rows = (fixed_inputs(task, item, lengths) for item in items)  # pictures are large: no list
            found: list[np.ndarray] = []
            for _, alike in groupby(rows, lambda row: [value.shape for value in row.values()]):
                while some := list(islice(alike, most)):
                    inputs = {name: np.concatenate([row[name] for row in some]) for name in some[0]}
                    found.extend(run(inputs)[self.output])
            if self.output == "scores":
                return task.answered(items, found)
            return _answers.scores(task, np.stack(found))

        return predict

    def beside(self, task: Task, folder: Path) -> Mapping[str, Predict]:
        if not self.trainable_head:
            return {}
        return {"trainable_head": _personal.predictor(task, folder, self._longest(task))}

    def measured(self, task: Task, folder: Path, items: Sequence[Any]) -> dict[str, Any]:
        lengths, path = self._lengths(task), folder / "model.tflite"
        found: dict[str, Any] = {"bytes": path.stat().st_size}
        if self.trainable_head:
            files = (_personal.FEATURES, _personal.HEAD)
            found["trainable_head_bytes"] = {name: (folder / name).stat().st_size for name in files}
        if not lengths:
            return found | {"milliseconds": latency(path, fixed_inputs(task, items[0]))}
        if len(lengths) == 1:
            return found | {"milliseconds": latency(path, fixed_inputs(task, items[0], lengths))}
        shown = self._by_length(task, items)
        timed = sorted(shown)
        if self.dynamic_length:
            timed = sorted({timed[0], timed[len(timed) // 2], lengths[-1]})
            shown.setdefault(lengths[-1], [fixed_inputs(task, items[0], lengths[-1])])
        by_length = {str(length): latency(path, shown[length][0]) for length in timed}
        return found | {"milliseconds": by_length[str(lengths[-1])], "by_length": by_length}

    def check(self, task: Task, items: Sequence[Any]) -> None:
        lengths = self._lengths(task)
        if len(lengths) < 2 or self.dynamic_length:
            return
        counts = {length: len(inputs) for length, inputs in self._by_length(task, items).items()}
        if unseen := [length for length in lengths if length not in counts]:
            raise ExportError(
                f"No example runs in {unseen[0]} tokens, so that length cannot be checked.",
                expected=f"examples for each of the lengths {', '.join(map(str, lengths))}",
                received=", ".join(f"{count} for {length}" for length, count in sorted(counts.items())),
                fix="give examples of that length, or leave it out",
            )

    def _by_length(self, task: Task, items: Sequence[Any]) -> dict[int, list[dict[str, np.ndarray]]]:
        """Model inputs of raw items by the length that they run in."""
        found: dict[int, list[dict[str, np.ndarray]]] = {}
        for item in items:
            inputs = fixed_inputs(task, item, self._lengths(task))
            found.setdefault(next(iter(inputs.values())).shape[1], []).append(inputs)
        return found

    def _lengths(self, task: Task) -> tuple[int, ...]:
        """Tokens that the file takes, in ascending order; none for pictures."""
        if not isinstance(task.preprocessor, TextPreprocessor):
            if self.length is not None or self.dynamic_length:
                which = "length" if self.length is not None else "dynamic_length"
                raise ConfigError(f"`{which}` counts tokens; this task reads no text.", fix=f"leave `{which}` out")
            return ()
        most, least = task.preprocessor.length, task.preprocessor.specials + 1
        if task.items == "pair":
            least = 1 + max(len(ids) for ids, _ in task.sides(("", ""), most).values())
        if task.target == "answers":
            least = 3 + int(task.config()["head"]["max_question"]) + LEAST_ROOM
        given = most if self.length is None else self.length
        lengths = sorted({given} if isinstance(given, int) else set(given))
        for length in lengths:
            if not least <= length <= most:
                raise ConfigError(f"A length of {length} tokens does not fit.", expected=f"{least} to {most}")
        return tuple(range(least, lengths[-1] + 1)) if self.dynamic_length else tuple(lengths)

    def _longest(self, task: Task) -> int | None:
        """Tokens that the features of a head that learns are computed of; None for pictures."""
        return max(self._lengths(task), default=None)

    @property
    def _any_shape(self) -> bool:
        return self.dynamic_batch or self.dynamic_length
