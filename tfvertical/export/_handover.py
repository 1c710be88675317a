"""What an app's developer needs beside a `.tflite` file: its text normalizer, sources that call it, golden answers."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical.codecs.pairs import Pair
from tfvertical.codecs.text import Table, table
from tfvertical.contracts import Preprocessor, Task
from tfvertical.errors import ExportError
from tfvertical.export import _samples
from tfvertical.export._inputs import fixed_inputs
from tfvertical.files import write_bytes, write_json, write_text

MAGIC = 0x314E5654  # "TVN1", little-endian
_ANY = 2**31 - 1  # tokens: a text as it is
_SNIPPETS = Path(__file__).parent / "snippets"
_TOKENIZER = ("Tokenizer.kt", "Tokenizer.swift")
_PLACES = ("Words.kt", "Words.swift", "Model.kt")
_OF_TEXTS = {
    "entities": (*_PLACES, "Entities.kt", "Entities.swift", "EntityExample.kt"),
    "answers": (*_PLACES, "Answers.kt", "Answers.swift", "AnswerExample.kt"),
    "label": ("TextExample.kt", "TextExample.swift", "example.py"),
}
_OF_PICTURES = ("ImageExample.kt", "ImageExample.swift", "example.py")


def preprocessing(task: Task, folder: Path, lengths: Sequence[int]) -> None:
    """Write `preprocessing.json`, what becomes of an example before the model, and the files that it names.

    Args:
        task: what is exported.
        folder: the export's.
        lengths: tokens that the file takes, in ascending order; none for pictures.

    Raises:
        ExportError: one of them has the name of a file that is there.
    """
    preprocessor = task.preprocessor
    config = {"class": type(preprocessor).__name__, **preprocessor.config()}
    description = {"schema_version": 1, "kind": preprocessor.kind, "length": lengths[-1] if lengths else None}
    if len(lengths) > 1:
        description["lengths"] = list(lengths)
    if task.target == "entities":
        description |= {"target": task.target, "pieces": task.config()["head"]["pieces"]}
        if (steps := getattr(task, "steps", None)) is not None:
            description["steps"] = steps.tolist()
    if task.target in ("labels", "numbers", "answers"):
        description |= {"target": task.target, "codec": task.codec.config()}
    if task.target == "answers":
        description["max_question"] = task.config()["head"]["max_question"]
    if task.items == "pair":
        description["items"] = task.items
        description["encoder"] = task.config()["head"].get("encoder", "cross")
    description["config"] = config
    write_json(folder / "preprocessing.json", description)
    for name, content in preprocessor.assets().items():
        if (folder / name).exists():
            raise ExportError(f"The preprocessor's file {name!r} has the name of one of the export's own.")
        write_bytes(folder / name, content)


def write(
    task: Task,
    folder: Path,
    output: str,
    lengths: Sequence[int],
    run: Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]],
) -> None:
    """Write `golden.jsonl`, `snippets/`, and for a text model with a WordPiece vocabulary `normalizer.bin`.

    Args:
        task: what is exported.
        folder: the export's.
        output: `scores` or `embedding`.
        lengths: tokens that the file takes, in ascending order; none for pictures.
        run: runs the written file: model inputs -> `{output: float32 (1, labels or width)}`.
    """
    preprocessor = task.preprocessor
    normalizer = getattr(preprocessor, "normalizer", None) if reads_words(preprocessor) else None
    if normalizer is not None:
        write_bytes(folder / "normalizer.bin", packed(table(normalizer)))
    items = _samples.many(task.items)
    lines = []
    for item in items:
        if task.target in ("entities", "answers") and len(task.wrapped(item, _ANY)[0]) > lengths[-1]:
            continue  # what was cut off has no answer
        inputs = fixed_inputs(task, item, lengths or None)
        lines.append(_example(item, inputs) | _golden(task, item, output, run(inputs)[output][0]))
    write_text(folder / "golden.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    for name in _sources(task, output, words=normalizer is not None):
        (folder / "snippets").mkdir(exist_ok=True)
        write_bytes(folder / "snippets" / name, (_SNIPPETS / name).read_bytes())


def _sources(task: Task, output: str, words: bool) -> tuple[str, ...]:
    """The files of `snippets/` that say something of this export; examples print the label of one item."""
    target = task.target if output == "scores" else None
    if target == "label" and task.items == "pair":
        target = None
    if words:
        return (*_TOKENIZER, *_OF_TEXTS.get(target or "", ()))
    return _OF_PICTURES if task.preprocessor.kind == "image" and target == "label" else ()


def reads_words(preprocessor: Preprocessor) -> bool:
    """Whether it is ours for WordPiece vocabularies, which snippets, runtime and MediaPipe have too."""
    return type(preprocessor).__name__ == "WordPiecePreprocessor"


def packed(mapping: Table) -> bytes:
    """`normalizer.bin`: magic number, lengths of `pages`, `codes` and `extras`, width of `extras`, then the three.

    All int32, little-endian; what the numbers mean stands with `codecs.text.Table`.
    """
    arrays = [np.ascontiguousarray(array, "<i4") for array in (mapping.pages, mapping.codes, mapping.extras)]
    head = struct.pack("<5i", MAGIC, *(array.size for array in arrays), mapping.extras.shape[1])
    return head + b"".join(array.tobytes() for array in arrays)


def _example(item: Any, inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The input of one line, and the ids that texts become."""
    if isinstance(item, Pair):
        shown = [name for name in inputs if name.endswith(("token_ids", "segment_ids"))]
        shown = [name for name in shown if not name.endswith("_segment_ids")]  # of one text all are 0
        return {"texts": list(item)} | {name: inputs[name][0].tolist() for name in shown}
    if not isinstance(item, str):
        return {"png": base64.b64encode(item).decode()}
    return {"text": item, "token_ids": inputs["token_ids"][0].tolist() if "token_ids" in inputs else []}


def _golden(task: Task, item: Any, output: str, found: np.ndarray) -> dict[str, Any]:
    """What the file itself answers."""
    if task.target == "entities":
        (entities,) = task.decode(task.answered([item], [found]), [item])
        return {"entities": [{"start": each.start, "end": each.end, "label": each.label} for each in entities]}
    if task.target == "answers":
        (told,) = task.decode(task.answered([item], [found]), [item])
        return {"answer": told.text, "start": told.start, "end": told.end}
    numbers = [float(f"{number:.7g}") for number in found]  # digits, not decimals: a regressor's unit may be tiny
    if task.target == "labels" and output == "scores":
        (told,) = task.decode(found[None], [item])
        return {"labels": list(told.labels), output: numbers}
    if task.target == "numbers":
        return {output: numbers}
    return ({"label": task.labels[int(found.argmax())]} if output == "scores" else {}) | {output: numbers}
