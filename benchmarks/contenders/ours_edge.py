"""tfvertical's files for phones: float against lower precision, the predictor's start, and MediaPipe's answers."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.contenders.clock import figures

INTEGERS = "integers.txt"  # what became of a file in full integers
REPEATS = 1_000  # what `seconds` counts: inferences, one after the other


def prepare(work: dict[str, Any]) -> dict[str, Any]:
    """A head on the frozen backbone, exported in every precision that is compared, with the test inputs beside."""
    import numpy as np

    import tfvertical as tv
    from benchmarks.contenders import ours
    from tfvertical.contracts import Examples
    from tfvertical.export._inputs import fixed_inputs

    folder = Path(work["folder"])
    text = "lite0" not in work
    task = ours.text_task(work) if text else ours.image_task(work)
    every = ours.examples(work, "train")
    order = np.random.default_rng(0).permutation(len(every))
    held = min(300, len(every) // 2)  # what the gate is held against: neither trained on nor tested on
    judged, train = every.take(order[:held]), every.take(order[held:])
    if work["smoke"]:
        judged = train = every  # too few to set some aside, and nobody reads the figures
    task.fit(train, adaptation=tv.Frozen(), verbose=0, **vars(ours._settings(work)))
    task.export(folder)
    for precision in ("float16", "dynamic") if text else ("float16", "int8"):
        ranges = train if precision == "int8" else None
        task.export(folder, precision=precision, examples=judged, calibration=ranges)
    if text and not work["smoke"]:
        (folder / INTEGERS).write_text(_in_integers(task, folder, judged, train), encoding="utf-8")
    inputs = [fixed_inputs(task, item, work.get("length")) for item in work["test"]["items"]]
    stacked = {name: np.concatenate([each[name] for each in inputs]) for name in inputs[0]}
    np.savez(folder / "inputs.npz", **stacked)
    kernel, bias = (variable.numpy() for variable in task.components["head"].trainable_variables)
    np.savez(folder / "head.npz", kernel=kernel, bias=bias)
    asked = _texts(work) if text else _pictures(work)
    np.save(folder / "keras.npy", task.scores(Examples(asked, None, [str(at) for at in range(len(asked))])))
    return figures(0.0, ours.accuracy(task, work))


def _in_integers(task: Any, folder: Path, judged: Any, train: Any) -> str:
    """What the gate makes of a transformer in full integers, which is not its default."""
    import json

    from tfvertical.errors import ExportError

    try:
        made = task.export(folder, precision="int8", examples=judged, calibration=train)
    except ExportError as error:
        return "refused. " + " ".join(str(error).split())
    found = json.loads((made / "parity.json").read_text(encoding="utf-8"))
    stay = len(found["float_operators"])
    return f"{stay} operators stay in float, agreement {found['agreement']:.4f}, drop {found['drop']:.4f}"


def float32(work: dict[str, Any]) -> dict[str, Any]:
    """The float file, one thread."""
    return _run(work, "float32")


def float16(work: dict[str, Any]) -> dict[str, Any]:
    """Weights in float16."""
    return _run(work, "float16")


def dynamic(work: dict[str, Any]) -> dict[str, Any]:
    """Dynamic range."""
    return _run(work, "dynamic")


def int8(work: dict[str, Any]) -> dict[str, Any]:
    """Full integer."""
    return _run(work, "int8")


def _run(work: dict[str, Any], precision: str) -> dict[str, Any]:
    """`seconds` for a thousand inputs at the median, accuracy over all test inputs, and the file's `bytes`."""
    import numpy as np

    from tfvertical.runtime import LiteRT

    path = Path(work["folder"]) / "exports" / f"litert-{precision}" / "model.tflite"
    run = LiteRT(path, threads=1)
    with np.load(Path(work["folder"]) / "inputs.npz") as file:
        inputs = {name: file[name] for name in file.files}
    taken, right = [], 0
    for at, label in enumerate(work["test"]["labels"]):
        one = {name: value[at : at + 1] for name, value in inputs.items()}
        began = time.perf_counter()
        scores = run(one)["scores"][0]
        taken.append(time.perf_counter() - began)
        right += int(scores.argmax()) == label
    seconds = float(np.median(taken)) * REPEATS
    return figures(seconds, right / len(taken), bytes=float(path.stat().st_size))


def start(work: dict[str, Any]) -> dict[str, Any]:
    """From the import to the first answer, and the memory that is resident then."""
    began = time.perf_counter()
    from tfvertical.runtime import Predictor

    imported = time.perf_counter() - began
    Predictor(Path(work["folder"]) / "exports" / "litert-dynamic").predict(["The card never arrived."])
    seconds = time.perf_counter() - began
    unit = 1 if sys.platform == "darwin" else 1024
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return figures(seconds, 1.0, resident=float(resident), imported=imported)


def operators(work: dict[str, Any]) -> dict[str, Any]:
    """How many of the exported files' operators are Flex or custom ones, of how many files."""
    from tfvertical.runtime.contents import contents

    files = sorted(Path(work["folder"]).glob("exports/*/model.tflite"))
    return figures(0.0, 1.0, custom=float(sum(len(contents(file).custom) for file in files)), files=float(len(files)))


def _texts(work: dict[str, Any]) -> list[str]:
    hard = ["", " ", "🚨❤️ 👩‍👧", "a" * 10_000, "the card " * 1_112, "Café naïve Straße", "tab\tand\x00nul"]
    return [*hard, *work["test"]["items"]][:500]


def _pictures(work: dict[str, Any]) -> list[Any]:
    import numpy as np

    draw = np.random.default_rng(0)
    hard = [np.full((1, 1, 3), 200, np.uint8), draw.integers(0, 256, (4_000, 4_000, 3)).astype(np.uint8)]
    return [*hard, *map(Path, [*work["test"]["items"], *work["train"]["items"]])][:500]


def mediapipe_texts(work: dict[str, Any]) -> dict[str, Any]:
    """How many of 500 texts MediaPipe scores as Keras does, given what the normalizer makes of them."""
    from mediapipe.tasks.python import BaseOptions, text

    from tfvertical.codecs.text import Normalizer
    from tfvertical.runtime import Predictor

    folder, items = Path(work["folder"]) / "exports" / "litert-float32", _texts(work)
    options = text.TextClassifierOptions(base_options=BaseOptions(model_asset_path=str(folder / "model.tflite")))
    predictor, normalize = Predictor(folder), Normalizer(True, True)
    with text.TextClassifier.create_from_options(options) as classifier:
        answers = [classifier.classify(normalize(item)).classifications[0].categories for item in items]
        plain = [classifier.classify(item).classifications[0].categories for item in items]
    return _agreeing(work, predictor.labels, items, answers, plain)


def mediapipe_pictures(work: dict[str, Any]) -> dict[str, Any]:
    """The same of pictures, cut and resized as in training."""
    import mediapipe
    import numpy as np
    from mediapipe.tasks.python import BaseOptions, vision

    from tfvertical.codecs.pixels import decode
    from tfvertical.runtime import Predictor

    folder = Path(work["folder"]) / "exports" / "litert-float32"
    predictor, items = Predictor(folder), _pictures(work)
    options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=str(folder / "model.tflite")))
    answers, plain = [], []
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for item in items:
            (pixels,) = predictor.prepare(item).values()
            whole = item if isinstance(item, np.ndarray) else decode(item, 2**26)
            for found, data in ((answers, pixels[0].astype(np.uint8)), (plain, whole)):
                image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(data))
                found.append(classifier.classify(image).classifications[0].categories)
    return _agreeing(work, predictor.labels, items, answers, plain)


def _agreeing(
    work: dict[str, Any], labels: tuple[str, ...], items: list[Any], answers: list[Any], plain: list[Any]
) -> dict[str, Any]:
    """The share of items whose scores differ from Keras' by at most 1e-5, as `quality`; the median and largest
    difference.

    `plain` are the answers to items that nobody has prepared: their share, and that of equal labels.
    """
    import numpy as np

    expected = np.load(Path(work["folder"]) / "keras.npy")
    found, unprepared = (
        np.array([_apart(labels, *pair) for pair in zip(expected, each, strict=True)]) for each in (answers, plain)
    )
    best = [max(categories, key=lambda each: each.score).category_name for categories in plain]
    for item, apart, as_it_comes in zip(items, found, unprepared, strict=True):
        if apart > 1e-5 or (as_it_comes > 1e-5 and isinstance(item, str)):
            print(f"apart by {apart:.1e}, as it comes {as_it_comes:.1e}: {ascii(item)[:80]}", file=sys.stderr)
    return figures(
        0.0,
        float(np.mean(found <= 1e-5)),
        items=float(len(items)),
        median=float(np.median(found)),
        worst=float(found.max()),
        plain=float(np.mean(unprepared <= 1e-5)),
        plain_labels=float(np.mean([labels[at] == name for at, name in zip(expected.argmax(1), best, strict=True)])),
    )


def _apart(labels: tuple[str, ...], scores: Any, categories: Any) -> float:
    answer = {each.category_name: each.score for each in categories}
    if set(answer) != set(labels):
        return 2.0  # larger than any difference of scores
    return max(abs(answer[name] - float(score)) for name, score in zip(labels, scores, strict=True))
