"""What a report says beside its numbers: the worst errors, the data that was read, the model that was asked.

All that could show a text, a picture or its file name passes through here, and is kept back with `show=False`.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical.codecs import pixels
from tfvertical.codecs.pairs import Pair
from tfvertical.contracts import Encoded, Examples, SourceInfo
from tfvertical.data import unknown_tokens
from tfvertical.errors import ConfigError, DataError
from tfvertical.evaluating import metrics
from tfvertical.evaluating.metrics import Array

TEXT_LENGTH = 200  # characters of a text that are shown
THUMBNAIL = 112  # pixels, the longer side
_REJECTED = 50  # rejected rows listed


def worst_errors(
    examples: Examples, y_true: Array, scores: Array, labels: tuple[str, ...], most: int, *, show: bool
) -> list[dict[str, Any]]:
    """The wrongly predicted rows, the greatest loss first, at most `most`.

    Returns:
        Per row `id`, `true`, `predicted`, `score` (of the predicted label), `true_score`; with `show` also `text`, or
        `file` and `thumbnail` (a PNG as data URI; None where it cannot be made).
    """
    predicted = metrics.predictions(scores)
    wrong = np.flatnonzero(predicted != y_true)
    losses = metrics.log_losses(y_true[wrong], scores[wrong])
    found = []
    for row in wrong[np.argsort(-losses, kind="stable")][:most]:
        entry = {
            "id": shown_id(examples, int(row), show=show),
            "true": labels[y_true[row]],
            "predicted": labels[predicted[row]],
            "score": float(scores[row, predicted[row]]),
            "true_score": float(scores[row, y_true[row]]),
        }
        found.append(entry | (shown(examples.inputs[row]) if show else {}))
    return found


def row_name(examples: Examples, row: int) -> str:
    """The row's id, unless it gives away the name of a picture: then its place among the rows."""
    item = examples.inputs[row]
    if isinstance(item, Path) and item.stem in examples.ids[row]:
        return f"row {row + 1}"
    return examples.ids[row]


def shown_id(examples: Examples, row: int, *, show: bool) -> str:
    """The row's id as a report may have it."""
    return _storable(examples.ids[row] if show else row_name(examples, row))


def shown(item: Any) -> dict[str, Any]:
    if isinstance(item, Pair):
        item = " ⏐ ".join(item)
    if isinstance(item, str):
        return {"text": _storable(item if len(item) <= TEXT_LENGTH else item[:TEXT_LENGTH] + "…")}
    if isinstance(item, Path):
        return {"file": _storable(item.name), "thumbnail": _thumbnail(item)}
    if isinstance(item, np.ndarray):
        return {"file": None, "thumbnail": _thumbnail(item)}
    return {}


def around(text: str, start: int, end: int) -> str:
    """A place in a text between brackets, with as much around it as is shown of a text."""
    room = max(0, (TEXT_LENGTH - (end - start)) // 2)
    before, after = text[max(0, start - room) : start], text[end : end + room]
    dots = "…" if start > room else "", "…" if end + room < len(text) else ""
    return _storable(f"{dots[0]}{before}[{text[start:end][:TEXT_LENGTH]}]{after}{dots[1]}")


def _storable(text: str) -> str:
    """Half a surrogate pair (a file name that is not UTF-8, a broken escape) cannot be written: it becomes `?`."""
    return text.encode("utf-8", "replace").decode()


def _thumbnail(item: Path | Array) -> str | None:
    """A small PNG of what the model saw, drawn anew: whatever else the file holds (place, camera) stays behind."""
    from PIL import Image

    try:
        small = Image.fromarray(pixels.decode(item))  # just what reading has checked
    except DataError:
        return None
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    clean = Image.fromarray(np.asarray(small))
    file = io.BytesIO()
    clean.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def data_account(examples: Examples, encoded: Encoded | None, *, show: bool) -> dict[str, Any]:
    """The reading's account, and what the tokenizer cut or did not know, where that was counted."""
    report, found = examples.report, [*examples.report.warnings]
    if encoded is not None and (unknown := unknown_tokens(examples, encoded)) is not None:
        found.append(unknown)
    return {
        "name": _storable(report.name),
        "read": report.read,
        "kept": report.kept,
        "rejected": len(report.rejected),
        "rejected_rows": [
            {"id": _storable(row.id), "reason": _storable(row.reason), "column": row.column}
            for row in report.rejected[: _REJECTED * show]
        ],
        "warnings": [
            {
                "kind": warning.kind,
                "count": warning.count,
                "message": _storable(warning.message) if show else "",
                "ids": [_storable(id) for id in warning.ids[: 20 * show]],
            }
            for warning in found
        ],
        "truncated": None if encoded is None else int(encoded.truncated),
        "unknown_tokens": None if encoded is None else float(encoded.unknown),
    }


def history_account(history: Mapping[str, Sequence[float | None]] | None) -> dict[str, list[float | None]]:
    """Name -> a number per epoch, None where it was not finite."""
    return {
        name: [float(value) if value is not None and np.isfinite(value) else None for value in values]
        for name, values in (history or {}).items()
    }


def apart(overlap: Sequence[int], rows: int) -> tuple[list[int], Array]:
    """The rows that were trained on, each once, and the others, int64.

    Raises:
        ConfigError: one is no row.
    """
    known = sorted({int(at) for at in overlap})
    if known and (known[0] < 0 or known[-1] >= rows):
        raise ConfigError("An overlap is not a row.", expected=f"0…{rows - 1}", received=f"{known[0]}…{known[-1]}")
    return known, np.setdiff1d(np.arange(rows), known)


def model_account(task: Any) -> dict[str, Any]:
    """What kind of task it is and where its backbone came from, as far as it says."""
    account: dict[str, Any] = {"task": type(task).__name__}
    source = getattr(task, "source", None)
    if isinstance(source, SourceInfo):
        account |= {
            "preset": source.preset,
            "weights_from": source.kind,
            "licence": source.licence,
            "weights_sha256": source.weights_sha256,
            "versions": dict(source.versions),
        }
    run = getattr(task, "run", None) or {}
    for name, key in (("training_seconds", "seconds"), ("of_which_steps_waited_for_data", "waited")):
        if key in run:
            account[name] = round(run[key], 1)
    return account
