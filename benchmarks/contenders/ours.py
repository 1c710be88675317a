"""tfvertical, through its public calls only: whatever makes the engine faster shows here by itself."""

from __future__ import annotations

import csv
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import tfvertical as tv  # before whatever imports TensorFlow, as its users do: it turns oneDNN on

# isort: split
import keras
import numpy as np

from benchmarks.contenders.clock import Clock, figures
from tfvertical import data, sweeps, training
from tfvertical.contracts import Adaptation, Examples
from tfvertical.settings import Settings


class Epochs(keras.callbacks.Callback):
    """When training began, and how long each epoch took."""

    def __init__(self) -> None:
        super().__init__()
        self.began: float | None = None
        self.seconds: list[float] = []

    def on_train_begin(self, logs: Any = None) -> None:
        """The first stage's only."""
        self.began = self.began or time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._at = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seconds.append(time.perf_counter() - self._at)


def cold_text(work: dict[str, Any]) -> dict[str, Any]:
    """From raw texts to the test accuracy of a head on frozen MiniLM; `prefix` is what passes before its training."""
    return _fitted(work, text_task(work), tv.Frozen())


def float32(work: dict[str, Any]) -> dict[str, Any]:
    """The work's own call, in float32."""
    found: dict[str, Any] = globals()[work["call"]](work | {"precision": "float32"})
    return found


def cold_image(work: dict[str, Any]) -> dict[str, Any]:
    """The same from paths of pictures, on frozen EfficientNet-Lite0."""
    return _fitted(work, image_task(work), tv.Frozen())


def gradual(work: dict[str, Any]) -> dict[str, Any]:
    """Head, top block, top two blocks; one rate for all that learns, another once blocks do."""
    slower = work["deep_rate"] / work["rate"]
    how = tv.GradualUnfreezing(blocks=2, head_rate=slower, backbone_rate=slower)
    return _fitted(work, text_task(work), how, restart=True)


def full(work: dict[str, Any]) -> dict[str, Any]:
    """Every weight, one rate."""
    return _fitted(work, text_task(work), tv.FullFineTuning(backbone_rate=1.0))


def full_bfloat16(work: dict[str, Any]) -> dict[str, Any]:
    """The same with bfloat16 products."""
    return _fitted(work, text_task(work), tv.FullFineTuning(backbone_rate=1.0), precision="mixed_bfloat16")


def warm_head(work: dict[str, Any]) -> dict[str, Any]:
    """A new head on data whose features are known from a run before; `steady` is ten times the median later epoch."""
    train, settings = examples(work, "train"), _settings(work)
    first = text_task(work)
    training.run(first, first.encode(train), None, tv.Frozen(), Settings(epochs=1), verbose=0)
    task, seen = text_task(work), Epochs()
    encoded = task.encode(train)
    clock = Clock()
    training.run(task, encoded, None, tv.Frozen(), settings, callbacks=[seen], verbose=0)
    seconds = clock.seconds
    steady = float(np.median(seen.seconds[1:] or seen.seconds)) * settings.epochs
    return figures(seconds, accuracy(task, work), steady=steady)


def sweep(work: dict[str, Any]) -> dict[str, Any]:
    """Eight heads on one data set, as `tfvertical sweep` trains them; quality is their mean accuracy.

    The test part stands as validation data, which each trial is measured on and nothing is chosen by.
    """
    found = []
    with tempfile.TemporaryDirectory() as folder:
        file = _run_file(work, Path(folder))
        clock = Clock()
        study = sweeps.Study(file, say=lambda line: None)
        for rate, seed in work["heads"]:
            trial = study.trial({"training.learning_rate": rate, "training.seed": seed})
            found.append(trial.metrics["accuracy"])
        seconds = clock.seconds
    return figures(seconds, float(np.mean(found)), best=max(found))


def _run_file(work: dict[str, Any], folder: Path) -> Path:
    """The work as a person has it: two CSV files and a run file. JSON is YAML."""
    for part in ("train", "test"):
        rows = zip(work[part]["items"], (work["names"][at] for at in work[part]["labels"]), strict=True)
        with open(folder / f"{part}.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    task = {
        "name": "TextClassifier",
        "preset": "minilm_l6_v2",
        "length": work["length"],
        "dropout": work["dropout"],
        "labels": work["names"],
    }
    content = {
        "task": task,
        "data": {"train": "train.csv", "validation": "test.csv", "text": "text", "label": "label"},
        "adaptation": {"name": "Frozen"},
        "training": {**vars(_settings(work)), "restore_best": False},
    }
    (folder / "run.yaml").write_text(json.dumps(content), encoding="utf-8")
    return folder / "run.yaml"


def text_task(work: dict[str, Any]) -> tv.TextClassifier:
    """MiniLM with the work's length and dropout."""
    return tv.TextClassifier.from_preset(
        "minilm_l6_v2", labels=work["names"], length=work["length"], dropout=work["dropout"], seed=work["seed"]
    )


def image_task(work: dict[str, Any]) -> tv.ImageClassifier:
    """EfficientNet-Lite0 with the work's dropout."""
    return tv.ImageClassifier.from_preset(
        "efficientnet_lite0", labels=work["names"], dropout=work["dropout"], seed=work["seed"]
    )


def examples(work: dict[str, Any], part: str) -> Examples:
    """A part of the work, read and checked as a user's list would be."""
    kind = "image" if "lite0" in work else "text"
    labels = [work["names"][at] for at in work[part]["labels"]]
    return data.load((work[part]["items"], labels), kind=kind, labels=work["names"])


def accuracy(task: Any, work: dict[str, Any]) -> float:
    """On the test part."""
    return float(np.mean(task.scores(examples(work, "test")).argmax(1) == work["test"]["labels"]))


def _settings(work: dict[str, Any], **more: Any) -> Settings:
    """What all contenders train with."""
    settings = {
        "epochs": work["epochs"],
        "batch_size": work["batch"],
        "learning_rate": work["rate"],
        "weight_decay": work["decay"],
        "clip_norm": work["clip"],
        "seed": work["seed"],
        "precision": work.get("precision", "float32"),
    }
    return Settings(**settings | more)


def _fitted(work: dict[str, Any], task: Any, how: Adaptation, **more: Any) -> dict[str, Any]:
    """`task.fit` on the raw items, then the test accuracy."""
    seen, clock = Epochs(), Clock()
    settings = {**vars(_settings(work, **more))}
    task.fit(examples(work, "train"), adaptation=how, verbose=0, callbacks=[seen], **settings)
    quality = accuracy(task, work)
    return figures(clock.seconds, quality, prefix=(seen.began or clock.began) - clock.began)
