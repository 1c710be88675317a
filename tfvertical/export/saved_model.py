"""TensorFlow SavedModel: raw texts or encoded pictures in, labels and scores out; preprocessing is in the graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical.contracts import Exporter, Margin, Predict, Task
from tfvertical.errors import ConfigError
from tfvertical.export._inputs import call


@dataclass(frozen=True)
class SavedModel(Exporter):
    """A SavedModel for TensorFlow Serving or plain TensorFlow.

    `serving_default` takes `inputs`, strings `(batch,)` (UTF-8 texts, or the bytes of JPEG, PNG and the like), and
    returns `label` (string `(batch,)`), `score` (float32 `(batch,)`) and `scores` (float32 `(batch, labels)`). The
    signature `classes` takes nothing and returns `classes`, the label names in the order of `scores`. A text model's
    graph needs `import tensorflow_text` in the process that loads it.

    Args:
        precision: `"float32"`.
    """

    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.precision != "float32":
            raise ConfigError(f"saved_model has no precision {self.precision!r}.", expected="'float32'")

    def chosen(self, items: str, target: str = "label") -> str:
        """The one there is; ConfigError for pairs, and for entities, whose places in a text a graph does not know."""
        if items == "pair":
            raise ConfigError("A SavedModel takes one text for each row.", fix="export pairs as litert or onnx")
        if target == "entities":
            raise ConfigError(
                "A SavedModel takes texts as bytes, and does not know where their words stand.",
                fix="export entities as litert or onnx, and find them with tfvertical.runtime.Tagger",
            )
        return self.precision

    def write(
        self, task: Task, folder: Path, calibration: Sequence[Any] = (), margin: Margin | None = None
    ) -> dict[str, Any]:
        import tensorflow as tf

        preprocess, labels = task.preprocessor.graph(), tf.constant(task.outputs)
        thresholds = tf.constant(getattr(task, "thresholds", ()), tf.float32)

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="inputs")], autograph=False)
        def serve(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            scores = tf.cast(task.activation(call(task.model, preprocess(inputs))), tf.float32)
            if task.target == "numbers":
                return {"scores": scores}
            if task.target == "labels":
                return {"applies": scores >= thresholds, "scores": scores}
            best = tf.argmax(scores, axis=-1)
            return {"label": tf.gather(labels, best), "score": tf.reduce_max(scores, axis=-1), "scores": scores}

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

        def predict(items: Sequence[Any]) -> np.ndarray:
            scores = [serve(inputs=tf.constant([raw(item)]))["scores"].numpy() for item in items]
            return np.concatenate(scores)

        return predict

    def measured(self, task: Task, folder: Path, items: Sequence[Any]) -> dict[str, Any]:
        return {"bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())}


def raw(item: Any) -> bytes:
    """One raw item as the signature takes it: UTF-8, or an encoded picture (arrays become PNG, which loses nothing)."""
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, bytes):
        return item
    if isinstance(item, Path):
        return item.read_bytes()
    import tensorflow as tf

    return bytes(tf.io.encode_png(np.asarray(item, np.uint8)).numpy())
