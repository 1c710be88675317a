"""Plain Keras on texts: as most people write it, and as experts do."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from benchmarks.contenders import keras_parts as parts
from benchmarks.contenders.clock import Clock, figures, part_of, planned, rest_seconds


def padded(work: dict[str, Any]) -> dict[str, Any]:
    """`fit` with a frozen backbone on texts padded to one length."""
    return _padded(work, frozen=True)


def padded_full(work: dict[str, Any]) -> dict[str, Any]:
    """`fit` of every weight on texts padded to one length."""
    return _padded(work, frozen=False)


def _padded(work: dict[str, Any], frozen: bool) -> dict[str, Any]:
    keras.utils.set_random_seed(work["seed"])
    model, preprocessor = parts.classifier(work, parts.bert(work), frozen), parts.tokenizer(work)
    epochs, batch = planned(work, work["epochs"], work["short"]), work["batch"]
    clock = Clock()
    x, y = parts.tokens(preprocessor, work["train"]["items"]), np.asarray(work["train"]["labels"])
    used = len(y) if work["whole"] or "share" not in work else max(batch, int(len(y) * work["share"]) // batch * batch)
    parts.compiled(model, work, parts.steps_of(len(y), batch) * work["epochs"])
    some = {name: values[:used] for name, values in x.items()}
    model.fit(some, y[:used], batch_size=batch, epochs=epochs, verbose=0, callbacks=[parts.Marks(clock)])
    rest = rest_seconds(clock.epochs, work["epochs"] * len(y) / used)
    test = parts.tokens(preprocessor, work["test"]["items"])
    quality = accuracy(model.predict(test, batch_size=64, verbose=0), work)
    ran = part_of(epochs, work["epochs"])
    ran = ran if used == len(y) else f"{epochs} of {work['epochs']} epochs on {used:,} of {len(y):,} rows"
    return figures(clock.seconds + rest, quality, ran)


def bucketed(work: dict[str, Any]) -> dict[str, Any]:
    """`fit` with a frozen backbone on texts grouped by length; the backbone's dropout is off, as an expert has it."""
    model, preprocessor = parts.classifier(work, parts.bert(work, dropout=False), True), parts.tokenizer(work)
    return _grouped(work, model, preprocessor)


def full(work: dict[str, Any]) -> dict[str, Any]:
    """`fit` of every weight on texts grouped by length, for as many epochs as all of the schedule's stages have."""
    model, preprocessor = parts.classifier(work, parts.bert(work), False), parts.tokenizer(work)
    every = work | {"epochs": work["epochs"] * work.get("stages", 1), "rate": work.get("deep_rate", work["rate"])}
    return _grouped(every, model, preprocessor)


def _grouped(work: dict[str, Any], model: keras.Model, preprocessor: Any) -> dict[str, Any]:
    keras.utils.set_random_seed(work["seed"])
    epochs = planned(work, work["epochs"], work["short"])
    clock = Clock()
    x = parts.tokens(preprocessor, work["train"]["items"])
    parts.compiled(model, work, parts.steps_of(len(work["train"]["labels"]), work["batch"]) * work["epochs"])
    batches = parts.grouped(x, work["train"]["labels"], work["batch"], work["seed"])
    model.fit(batches, epochs=epochs, verbose=0, callbacks=[parts.Marks(clock)], shuffle=False)
    quality = _test(model, preprocessor, work)
    rest = rest_seconds(clock.epochs, work["epochs"])
    return figures(clock.seconds + rest, quality, part_of(epochs, work["epochs"]))


def gradual(work: dict[str, Any]) -> dict[str, Any]:
    """Three `fit`s on texts grouped by length: head, top block, top two blocks, compiled anew for each."""
    keras.utils.set_random_seed(work["seed"])
    body, preprocessor = parts.bert(work), parts.tokenizer(work)
    model = parts.classifier(work, body, True)
    epochs, rest, clock = planned(work, work["epochs"], work["short"]), 0.0, Clock()
    x = parts.tokens(preprocessor, work["train"]["items"])
    batches = parts.grouped(x, work["train"]["labels"], work["batch"], work["seed"])
    steps = parts.steps_of(len(work["train"]["labels"]), work["batch"]) * work["epochs"]
    for stage in range(work["stages"]):
        body.trainable = True
        for layer in body.layers:
            layer.trainable = layer.name in [f"transformer_layer_{5 - at}" for at in range(stage)]
        parts.compiled(model, work, steps, work["rate"] if stage == 0 else work["deep_rate"])
        clock.epochs = []
        model.fit(batches, epochs=epochs, verbose=0, callbacks=[parts.Marks(clock)], shuffle=False)
        rest += rest_seconds(clock.epochs, work["epochs"])
    quality = _test(model, preprocessor, work)
    part = part_of(epochs, work["epochs"])
    return figures(clock.seconds + rest, quality, part and f"{part} of each stage")


def sweep_padded(work: dict[str, Any]) -> dict[str, Any]:
    """Eight padded runs, of which the first is run; the others cost the same."""
    found = padded(work)
    part = f"1 of {len(work['heads'])} runs" + (f", {found['extended']}" if found["extended"] else "")
    return figures(found["seconds"] * len(work["heads"]), 0.0, part)


def _test(model: keras.Model, preprocessor: Any, work: dict[str, Any]) -> float:
    """Accuracy on the test texts, sorted by length."""
    x, labels = parts.tokens(preprocessor, work["test"]["items"]), np.asarray(work["test"]["labels"])
    order = np.argsort(x["padding_mask"].sum(1), kind="stable")
    batches = parts.grouped(x, labels, 64, None)
    return float(np.mean(model.predict(batches, verbose=0).argmax(1) == labels[order]))


def accuracy(logits: np.ndarray, work: dict[str, Any]) -> float:
    """On the test part, in its order."""
    return float(np.mean(logits.argmax(1) == np.asarray(work["test"]["labels"])))
