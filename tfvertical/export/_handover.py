"""What an app's developer needs beside a `.tflite` file: its text normalizer, sources that call it, golden answers."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical.codecs import pixels, wordpiece
from tfvertical.codecs.alignment import averaged
from tfvertical.codecs.pairs import Pair
from tfvertical.codecs.text import Table, table
from tfvertical.contracts import Preprocessor, Task
from tfvertical.errors import ExportError
from tfvertical.export import _samples
from tfvertical.export._inputs import fixed_inputs
from tfvertical.files import write_bytes, write_json, write_text

MAGIC = 0x314E5654  # "TVN1", little-endian
_SNIPPETS = Path(__file__).parent / "snippets"
_TOKENIZER = ("Tokenizer.kt", "Tokenizer.swift")
_EXPORT = ("Export.kt", "Export.swift", "Said.kt", "Said.swift")
_MODEL = (*_EXPORT, "Model.kt", "Model.swift", "example.py")
_PLACES = (*_MODEL, "Words.kt", "Words.swift")
_OF_TEXTS = {
    "entities": (*_PLACES, "Entities.kt", "Entities.swift", "EntityExample.kt", "EntityExample.swift"),
    "answers": (*_PLACES, "Answers.kt", "Answers.swift", "AnswerExample.kt", "AnswerExample.swift"),
    "pair": (*_MODEL, "PairExample.kt", "PairExample.swift"),
    "text": (*_MODEL, "TextExample.kt", "TextExample.swift"),
}
_PIXELS = ("Pixels.kt", "Pixels.swift")
_OF_PICTURES = (*_EXPORT, "ImageExample.kt", "ImageExample.swift", "example.py")


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
    if task.config().get("head", {}).get("windows"):
        description["windows"] = True
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
    if reads_words(preprocessor):
        pair = None if task.items != "pair" else "apart" if description["encoder"] == "bi" else "longer_first"
        in_windows = "windows" in description or task.target in ("entities", "answers")
        description["wordpiece"] = wordpiece.rules(pair, in_windows)
    elif type(preprocessor).__name__ == "KerasImagePreprocessor":
        description["pixels"] = pixels.rules()
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
    length, lines = lengths[-1] if lengths else 0, []
    for item in _samples.many(task.items):
        read = [fixed_inputs(task, item, lengths or None, part) for part in task.parts(item, length)]
        said = [run(each)[output][0] for each in read]
        found = task.scored(item, length, said) if output == "scores" else averaged(said)[None]
        made = {} if normalizer is None else _normalized(normalizer, item)
        lines.append(_example(item, read) | made | _golden(task, item, output, found))
    write_text(folder / "golden.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    for name in _sources(task, output, words=normalizer is not None):
        (folder / "snippets").mkdir(exist_ok=True)
        write_bytes(folder / "snippets" / name, (_SNIPPETS / name).read_bytes())


def _sources(task: Task, output: str, words: bool) -> tuple[str, ...]:
    """The files of `snippets/` that say something of this export; of embeddings what makes a model's inputs."""
    scores = output == "scores"
    if words:
        of_places = task.target in ("entities", "answers")
        return (*_TOKENIZER, *(_OF_TEXTS[task.target if of_places else task.items] if scores else ()))
    if type(task.preprocessor).__name__ != "KerasImagePreprocessor":
        return ()
    return (*_PIXELS, *(_OF_PICTURES if scores else ()))


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


def _example(item: Any, read: Sequence[Mapping[str, np.ndarray]]) -> dict[str, Any]:
    """The input of one line, and the ids that texts become; of several windows the first one's, and those of each."""
    inputs, several = read[0], {}
    if len(read) > 1 and "token_ids" in inputs:
        several = {"windows": [each["token_ids"][0].tolist() for each in read]}
    if isinstance(item, Pair):
        shown = [name for name in inputs if name.endswith(("token_ids", "segment_ids"))]
        shown = [name for name in shown if not name.endswith("_segment_ids")]  # of one text all are 0
        return {"texts": list(item)} | {name: inputs[name][0].tolist() for name in shown} | several
    if not isinstance(item, str):
        return {"png": base64.b64encode(item).decode()}
    return {"text": item, "token_ids": inputs["token_ids"][0].tolist() if "token_ids" in inputs else []} | several


def _normalized(normalizer: Callable[[str], str], item: Any) -> dict[str, Any]:
    """What the normalizer makes of a text, or of both of a pair: what tells a fault of it from one of the tokenizer."""
    return {"normalized": [normalizer(text) for text in item] if isinstance(item, Pair) else normalizer(item)}


def _golden(task: Task, item: Any, output: str, found: np.ndarray) -> dict[str, Any]:
    """What the file itself answers; places count code points."""
    if task.target == "entities":
        (entities,) = task.decode(found, [item])
        names = ("text", "start", "end", "label")
        return {"entities": [{name: getattr(each, name) for name in names} for each in entities]}
    if task.target == "answers":
        (told,) = task.decode(found, [item])
        return {"answer": told.text, "start": told.start, "end": told.end}
    numbers = [float(f"{number:.7g}") for number in found[0]]  # digits, not decimals: a regressor's unit may be tiny
    if task.target == "labels" and output == "scores":
        (told,) = task.decode(found, [item])
        return {"labels": list(told.labels), output: numbers}
    if task.target == "numbers":
        return {output: numbers}
    return ({"label": task.labels[int(found.argmax())]} if output == "scores" else {}) | {output: numbers}
