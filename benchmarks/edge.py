"""Files for phones: how much smaller and faster is lower precision, how fast is a start, does MediaPipe agree?"""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import processes, show, work
from benchmarks.contenders.ours_edge import INTEGERS
from benchmarks.race import Contender, Outcome, Race, Row

TEXT = {"length": 64, "epochs": 10, "rate": 5e-3, "decay": 0.1, "dropout": 0.3, "clip": None, "whole": True}
IMAGE = {"epochs": 10, "rate": 2e-3, "decay": 0.1, "dropout": 0.2, "clip": None, "whole": True}


def _built(made: dict[str, Any], smoke: bool) -> dict[str, Any]:
    """A trained head's exports in a folder that lasts as long as this process."""
    folder = Path(tempfile.mkdtemp(prefix="edge_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made |= {"folder": str(folder)} | ({"epochs": 30} if smoke else {})  # sure of its few rows, or the gate refuses
    processes.run("ours_edge:prepare", made)
    return made


def _once(build: Callable[[bool], dict[str, Any]]) -> Callable[[bool], dict[str, Any]]:
    """Two races share one building."""
    made: dict[bool, dict[str, Any]] = {}

    def built(smoke: bool) -> dict[str, Any]:
        if smoke not in made:
            made[smoke] = build(smoke)
        return made[smoke]

    return built


texts = _once(lambda smoke: _built(work.banking77(smoke) | TEXT, smoke))
pictures = _once(lambda smoke: _built(work.clothing(smoke) | IMAGE, smoke))


# of one kind each: at most so much
STARTS = {"imported": (0.3, 1, "s until it is imported"), "seconds": (1.0, 1, "s until the first answer")}
STARTS |= {"resident": (150.0, 2**20, "MiB resident after it")}
_missed: list[str] = []  # what the notes below the tables found not to be as it must


def _starts(outcomes: Any) -> list[str]:
    lines = []
    for name, (most, unit, words) in STARTS.items():
        found = [each.measures[name] / unit for each in outcomes["ours"] if name in each.measures]
        if found:
            lines.append(f"{max(found):.3g} {words}, the most of all rounds (at most {most:g}).")
            _missed.extend(lines[-1:] * (max(found) > most))
    return lines


def _agreement(call: str, built: Callable[[bool], dict[str, Any]]) -> Callable[[Any], list[str]]:
    def notes(outcomes: Any) -> list[str]:
        measures = (found := Outcome.read(processes.run(call, built(False)))).measures
        said = f"{found.quality:.1%} of {measures['items']:.0f} inputs within 1e-5 of Keras' scores, "
        said += f"median {measures['median']:.1e}, worst {measures['worst']:.1e}"
        plain = f"{measures['plain']:.1%} within 1e-5, {measures['plain_labels']:.1%} with the same label"
        made = Outcome.read(processes.run("ours_edge:operators", built(False))).measures
        lines = [
            f"MediaPipe Tasks on the float32 file: {said} (target 99 %).",
            f"Inputs as they come, without the normalizer or the resizing that the export brings along: {plain}.",
            f"Flex or custom operators in the {made['files']:.0f} exported files: {made['custom']:.0f} (target 0).",
        ]
        if (integers := Path(built(False)["folder"]) / INTEGERS).is_file():
            lines.append(f"Full integer, where it is asked for: {integers.read_text(encoding='utf-8')}")
        _missed.extend(lines[:1] * (found.quality is None or found.quality < 0.99) + lines[2:3] * (made["custom"] > 0))
        return lines

    return notes


RACES = (
    Race(
        "edge_text",
        "MiniLM, 77 classes, length 64, one thread: seconds for 1,000 texts, and the file's bytes.",
        {
            "ours": Contender("dynamic range", "ours_edge:dynamic"),
            "float32": Contender("float32", "ours_edge:float32"),
            "float16": Contender("float16", "ours_edge:float16"),
            "onnx": Contender("onnxruntime, dynamic int8", "onnx:dynamic", True),
        },
        (
            Row("float32", 3, tolerance=0.005),
            Row("onnx", 1.4, tolerance=0.005),
            Row("float32", 1 / 0.27, tolerance=0.005, measure="bytes"),
        ),
        texts,
        _agreement("ours_edge:mediapipe_texts", texts),
    ),
    Race(
        "edge_image",
        "EfficientNet-Lite0, 10 classes, one thread: seconds for 1,000 pictures, and the file's bytes.",
        {
            "ours": Contender("full integer", "ours_edge:int8"),
            "float32": Contender("float32", "ours_edge:float32"),
            "float16": Contender("float16", "ours_edge:float16"),
        },
        (
            Row("float32", 2, tolerance=0.01),
            Row("float32", 1 / 0.30, tolerance=0.01, measure="bytes"),
        ),
        pictures,
        _agreement("ours_edge:mediapipe_pictures", pictures),
    ),
    Race(
        "edge_start",
        "From the import to the first answer in a new process, files in the page cache.",
        {
            "ours": Contender("tfvertical.runtime.Predictor, dynamic range", "ours_edge:start"),
            "pipeline": Contender("transformers pipeline", "hf_pipeline:start", True),
        },
        (Row("pipeline", 5, tolerance=0.0),),
        texts,
        _starts,
    ),
)


def main(arguments: Sequence[str] | None = None) -> tuple[str, bool]:
    """Run the three races: their sections of RESULTS.md as one, and whether all contenders ran well and all is as it
    must be.
    """
    _missed.clear()
    found = [show.main(race, arguments) for race in RACES]
    parts = [section.split("\n", 2) for section, _ in found]
    lines = ["## edge", *(f"\n### {head.removeprefix('## ')}\n{rest}" for head, _, rest in parts)]
    return "\n".join(lines), all(good for _, good in found) and not _missed


if __name__ == "__main__":
    sys.exit(0 if main()[1] else 1)
