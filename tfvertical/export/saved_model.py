"""TensorFlow SavedModel: raw texts or encoded pictures in, labels and scores out; preprocessing is in the graph."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical.contracts import Exporter, ImagePreprocessor, Margin, Predict, Task
from tfvertical.errors import ConfigError, ExportError
from tfvertical.export._inputs import call
from tfvertical.export._timing import PROCESS, timed

_READERS = {"entities": "Tagger", "answers": "Answerer"}  # what finds places in texts, from the files of other formats


@dataclass(frozen=True)
class SavedModel(Exporter):
    """A SavedModel for TensorFlow Serving or plain TensorFlow.

    `serving_default` takes `inputs`, strings `(batch,)` (UTF-8 texts, or the bytes of JPEG, PNG and the like), of pairs
    `first` and `second`, and returns `label` (string `(batch,)`), `score` (float32 `(batch,)`) and `scores` (float32
    `(batch, labels)`). The signature `classes` takes nothing and returns `classes`, the label names in the order of
    `scores`. A text model's graph needs `import tensorflow_text` in the process that loads it, and reads the first
    tokens of a long text, even where the task reads it in windows.

    Args:
        precision: `"float32"`.
    """

    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.precision != "float32":
            raise ConfigError(f"saved_model has no precision {self.precision!r}.", expected="'float32'")

    def chosen(self, items: str, target: str = "label") -> str:
        """The one there is; ConfigError for entities and answers, whose places in a text a graph does not know."""
        if target in _READERS:
            raise ConfigError(
                "A SavedModel takes texts as bytes, and does not know where their words stand.",
                fix=f"export {target} as litert, and find them with tfvertical.runtime.{_READERS[target]}",
            )
        return self.precision

    def write(
        self, task: Task, folder: Path, calibration: Sequence[Any] = (), margin: Margin | None = None
    ) -> dict[str, Any]:
        import tensorflow as tf

        preprocess, labels = task.graph(), tf.constant(task.outputs)
        thresholds = tf.constant(getattr(task, "thresholds", ()), tf.float32)

        def answer(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            scores = tf.cast(task.activation(call(task.model, inputs)), tf.float32)
            if task.target == "numbers":
                return {"scores": scores}
            if task.target == "labels":
                return {"applies": scores >= thresholds, "scores": scores}
            best = tf.argmax(scores, axis=-1)
            return {"label": tf.gather(labels, best), "score": tf.reduce_max(scores, axis=-1), "scores": scores}

        def of_items(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return answer(preprocess(inputs))

        def of_pairs(first: tf.Tensor, second: tf.Tensor) -> dict[str, tf.Tensor]:
            return answer(preprocess(first, second))

        raw_to_scores = of_pairs if task.items == "pair" else of_items
        taken = [tf.TensorSpec((None,), tf.string, name=name) for name in names(task)]
        serve = tf.function(raw_to_scores, input_signature=taken, autograph=False)

        @tf.function(input_signature=[], autograph=False)
        def classes() -> dict[str, tf.Tensor]:
            return {"classes": tf.identity(labels)}

        concrete = serve.get_concrete_function()
        module = tf.Module()
        # The variables alone, not the Keras model: tracking that as well would store every weight twice.
        module.held, module.serve, module.classes = list(concrete.variables), serve, classes
        module.preprocess = preprocess  # it may hold a tokenizer's tables
        tf.saved_model.save(module, str(folder), signatures={"serving_default": serve, "classes": classes})
        if not any((folder / "assets").iterdir()):
            (folder / "assets").rmdir()
        return {}

    def load(self, task: Task, folder: Path) -> Predict:
        import tensorflow as tf

        serve = tf.saved_model.load(str(folder)).signatures["serving_default"]

        def scores(item: Any) -> np.ndarray:
            parts = item if task.items == "pair" else (item,)
            given = {name: tf.constant([raw(task, part)]) for name, part in zip(names(task), parts, strict=True)}
            try:
                return np.asarray(serve(**given)["scores"])
            except tf.errors.InvalidArgumentError as error:
                if task.items != "image":
                    raise
                name = item if isinstance(item, str | os.PathLike) else "A picture that was given as bytes"
                raise ExportError(
                    f"{name} is no picture that TensorFlow's graph can read; nothing was written.",
                    expected="JPEG, PNG, GIF, WebP (no animation) or BMP",
                    fix="leave it out, or save it as PNG",
                ) from error

        def predict(items: Sequence[Any]) -> np.ndarray:
            return np.concatenate([scores(item) for item in items])

        return predict

    def measured(self, task: Task, folder: Path, items: Sequence[Any]) -> dict[str, Any]:
        """Size, and how long the graph takes for one raw item on the threads that this process has.

        TensorFlow fixes their number when it first computes, so there is one figure and not one for each number.
        """
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return {"bytes": size, "milliseconds": {PROCESS: timed(partial(self.load(task, folder), items[:1]))}}


def names(task: Task) -> tuple[str, ...]:
    """What the signature takes."""
    return ("first", "second") if task.items == "pair" else ("inputs",)


def raw(task: Task, item: Any) -> bytes:
    """One raw item as the signature takes it: UTF-8, or an encoded picture (arrays become PNG, which loses nothing)."""
    if not isinstance(task.preprocessor, ImagePreprocessor):
        return str(item).encode("utf-8", "ignore")  # half a surrogate pair, which the normalizer drops as well
    if isinstance(item, str | os.PathLike):
        return Path(item).read_bytes()
    if isinstance(item, bytes | bytearray | memoryview):
        return bytes(item)
    import tensorflow as tf

    return bytes(tf.io.encode_png(task.preprocessor.decode(item)).numpy())
