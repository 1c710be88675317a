"""LiteRT (TFLite): one fixed-shape file for phones and gateways, run by `tfvertical.runtime` or by MediaPipe Tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical.contracts import Exporter, Margin, Predict, Task, TextPreprocessor
from tfvertical.errors import ConfigError, ExportError
from tfvertical.export import _handover, _mediapipe, _personal
from tfvertical.export._convert import PRECISIONS, convert
from tfvertical.export._inputs import fixed_inputs
from tfvertical.export._timing import latency
from tfvertical.files import write_bytes
from tfvertical.runtime.litert import LiteRT as Runner
from tfvertical.runtime.litert import interpreter_class


@dataclass(frozen=True)
class LiteRT(Exporter):
    """A `.tflite` file of built-in operators: model inputs by name, batch 1, to `scores`.

    Tokenizing and decoding pictures stay outside, in NumPy; `preprocessing.json` and the assets beside say how. The
    file carries the metadata that MediaPipe Tasks reads, where its preprocessing is one that MediaPipe has.

    Args:
        precision: `float32`; `float16`: half the size; `dynamic`: weights in int8, a quarter of the size, fast for
            transformers; `int8`: weights and activations, a quarter of the size, fast for convolutions; `auto`:
            `dynamic` for texts, `int8` for pictures.
        length: tokens the file takes, special ones included; the preprocessor's own where None. Shorter is faster.
        integer_io: with `int8`, pixels come in and scores go out as uint8.
        trainable_head: write `features.tflite` and `head.tflite` too, with which an app trains the last layer further.
        label_names: locale (`de`) -> the label names in that language, in the order of the task's.

    Raises:
        ConfigError: another precision; a length that is not between 1 and the model's; names that do not fit.
        ExportError: a layer that only TensorFlow can run.
        MissingPackageError: ai-edge-litert, which runs the file for the check, is not installed.
    """

    precision: str = "float32"
    length: int | None = None
    integer_io: bool = False
    trainable_head: bool = False
    label_names: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.precision not in (*PRECISIONS, "auto"):
            raise ConfigError(
                f"LiteRT has no precision {self.precision!r}.", expected="one of " + ", ".join((*PRECISIONS, "auto"))
            )

    def chosen(self, kind: str) -> str:
        """The precision for a task that reads texts or pictures: what was measured to be smallest and fastest."""
        if self.integer_io and kind != "image":
            raise ConfigError("`integer_io` is for pictures, whose pixels are integers.", fix="leave it out")
        if self.integer_io and self.precision not in ("int8", "auto"):
            raise ConfigError("`integer_io` goes with precision `int8`.", received=self.precision)
        if self.precision != "auto":
            return self.precision
        return "dynamic" if kind == "text" else "int8"

    def write(
        self, task: Task, folder: Path, calibration: Sequence[Any] = (), margin: Margin | None = None
    ) -> dict[str, Any]:
        interpreter_class()  # a missing package is better said before a minute of conversion
        length = self._length(task)
        if self.trainable_head:
            _personal.check(task)
        _mediapipe.check(task, self.label_names)

        def above(candidate: bytes) -> float:
            return 0.0 if margin is None else margin(self._predict(task, candidate))

        model, how = convert(task, length, self.precision, calibration, self.integer_io, above)
        if self.trainable_head:
            how["features_precision"] = self._personal(task, folder, length, margin)
        model = _mediapipe.described(model, task, self.label_names)
        write_bytes(folder / "model.tflite", model)
        _handover.preprocessing(task, folder, length)
        run = Runner(folder / "model.tflite")
        _handover.write(task, folder, length, lambda inputs: run(inputs)["scores"][0])
        return how

    def _personal(self, task: Task, folder: Path, length: int | None, margin: Margin | None) -> str:
        """Write the two files of a head that learns; the precision of the features, the lowest that holds.

        Raises:
            ExportError: not even float32 does.
        """
        first = "float16" if self.precision == "int8" else self.precision  # integers are too coarse to learn on
        for precision in dict.fromkeys((first, "float16", "float32")):
            for name, content in _personal.files(task, length, precision).items():
                write_bytes(folder / name, content)
            if margin is None or margin(_personal.predictor(task, folder, length)) >= 0:
                return precision
        raise ExportError(
            f"{_personal.FEATURES} and {_personal.HEAD} do not answer as the task does.", fix="leave trainable_head out"
        )

    def load(self, task: Task, folder: Path) -> Predict:
        return self._predict(task, folder / "model.tflite")

    def _predict(self, task: Task, model: Path | bytes) -> Predict:
        runner, length = Runner(model), self._length(task)

        def predict(items: Sequence[Any]) -> np.ndarray:
            rows = [runner(fixed_inputs(task.preprocessor, item, length))["scores"][0] for item in items]
            return np.stack(rows)

        return predict

    def measured(self, task: Task, folder: Path, items: Sequence[Any]) -> dict[str, Any]:
        return latency(folder / "model.tflite", fixed_inputs(task.preprocessor, items[0], self._length(task)))

    def _length(self, task: Task) -> int | None:
        if not isinstance(task.preprocessor, TextPreprocessor):
            if self.length is not None:
                raise ConfigError("`length` counts tokens; this task reads no text.", fix="leave `length` out")
            return None
        most, least = task.preprocessor.length, task.preprocessor.specials + 1
        if self.length is not None and not least <= self.length <= most:
            raise ConfigError(f"A length of {self.length} tokens does not fit.", expected=f"{least} to {most}")
        return self.length or most
