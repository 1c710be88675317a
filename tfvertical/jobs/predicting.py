"""Predictions of a bundle, row by row."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from tfvertical._console import load_tensorflow
from tfvertical.codecs.answers import Answer
from tfvertical.codecs.entities import Entity
from tfvertical.codecs.label_sets import LabelSet
from tfvertical.codecs.labels import Prediction
from tfvertical.codecs.numbers import Number
from tfvertical.data._encoding import utf8_name
from tfvertical.data._stream import Item, stream
from tfvertical.errors import ConfigError
from tfvertical.jobs import trained
from tfvertical.jobs.declared import kind_of, target_of

_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


def predict(
    path: str | Path,
    source: str | IO[bytes],
    *,
    text: str | None = None,
    reading: Mapping[str, Any] | None = None,
    batch: int = 256,
    top: int | None = None,
) -> Iterator[dict[str, Any]]:
    """A mapping for each row: its `id`, and what `written` makes of its prediction or, if it cannot be used, `error`.

    At most `batch` rows are held in memory.

    Args:
        path: the bundle.
        source: a table, a `.txt` file, a folder of pictures or one picture, `tfds:NAME`, or an open binary stream of
            lines.
        text: column of the text; None for the one that the bundle was trained on.
        reading: other keywords of reading without labels, in the place of those that the bundle was trained with.
        batch: rows predicted at a time.
        top: how many of the likeliest labels are told with their scores, as `top`; None for the one alone.

    Raises:
        ConfigError: `top` of a task whose labels do not share one probability.
    """
    made = trained.origin(path)
    if top is not None and target_of(made.task) != "label":
        raise ConfigError(
            f"{path} holds a {made.task}, which does not choose one of several labels: there are no {top} likeliest.",
            fix="leave out top (--top)",
        )
    rows = rows_of(made, source, text, reading)
    chunk, task = list(itertools.islice(rows, batch)), None
    while chunk:
        # the first rows before TensorFlow: a column that is not there is told at once
        task = task or trained.loaded(path)
        yield from _predicted(task, chunk, top or 0)
        chunk = list(itertools.islice(rows, batch))


def rows_of(
    of: str | Path | trained.Origin,
    source: str | IO[bytes],
    text: str | None = None,
    reading: Mapping[str, Any] | None = None,
) -> Iterator[Item]:
    """What `predict` predicts from, row by row, usable or not; the arguments are its own.

    For many files of one bundle, its `Origin` in the place of its path saves verifying it for each.
    """
    made = trained.origin(of)
    kind = kind_of(made.task)
    columns = trained.columns(made, source, text=text, label=None)
    for of_labels in ("label", "separator", "scheme", "max_rows"):  # or of reading all at once
        columns.pop(of_labels, None)
    columns |= dict(reading or {})
    if str(source).startswith("tfds:"):
        load_tensorflow()
    if kind == "image" and isinstance(source, str | Path) and Path(source).suffix.lower() in _PICTURES:
        yield from (replace(item, id=utf8_name(str(source))) for item in stream([Path(source)], kind=kind, **columns))
        return
    yield from stream(source, kind=kind, target=target_of(made.task), **columns)


def _predicted(task: Any, chunk: list[Item], top: int) -> Iterator[dict[str, Any]]:
    found = iter(task.predict([item.value for item in chunk if item.fault is None]))
    for item in chunk:
        row = {"id": item.id}
        if item.fault is not None:
            yield row | {"error": item.fault}
        else:
            prediction = next(found)
            yield row | written(prediction) | ({"top": likeliest(prediction, task.labels, top)} if top else {})


def likeliest(found: Prediction, labels: Sequence[str], count: int) -> list[dict[str, Any]]:
    """The labels of the highest scores, best first.

    Example:
        >>> likeliest(Prediction("b", 0.7, np.array([0.1, 0.7, 0.2])), ["a", "b", "c"], 2)
        [{'label': 'b', 'score': 0.7}, {'label': 'c', 'score': 0.2}]
    """
    best = np.argsort(-found.scores, kind="stable")[:count]
    return [{"label": labels[at], "score": round(float(found.scores[at]), 6)} for at in best]


def written(found: Prediction | LabelSet | Answer | Sequence[Entity] | Sequence[Number]) -> dict[str, Any]:
    """A prediction as JSON values.

    `label` and `score`; or `labels` and `scores`; or `entities`; or `numbers`; or `answer`, None where there is none,
    with `start`, `end` and `score`.
    """
    if isinstance(found, Answer):
        place = {"start": found.start, "end": found.end} if found.text else {}
        return {"answer": found.text or None, **place, "score": round(found.score, 6)}
    if isinstance(found, Prediction):
        return {"label": found.label, "score": round(found.score, 6)}
    if isinstance(found, LabelSet):
        return {"labels": list(found.labels), "scores": [round(float(each), 6) for each in found.scores]}
    numbers = [each for each in found if isinstance(each, Number)]
    if numbers:
        return {"numbers": [{k: v for k, v in asdict(each).items() if v not in (None, "")} for each in numbers]}
    entities = [each for each in found if isinstance(each, Entity)]
    return {"entities": [asdict(each) | {"score": round(each.score, 6)} for each in entities]}
