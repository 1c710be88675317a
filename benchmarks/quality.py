"""How good do the models get? The example run files, three seeds each, every choice made on validation data.

    python -m benchmarks.quality                 # all rows
    python -m benchmarks.quality clothing_head   # some
    python -m benchmarks.quality --seeds 0       # a quick look

A row is a run file under `examples/` with overrides. Rate, epochs, dropout and decay were chosen on held-out training
data (`docs/results.md` says how); the test split is scored once per seed.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from tfvertical import config, jobs

EXAMPLES = Path(__file__).parent.parent / "examples"


@dataclass(frozen=True)
class Row:
    """A run and what it has to reach.

    Args:
        job: what the table calls it.
        file: the run file under `examples/`.
        overrides: `key=value`, as `--set` takes them.
        target: least mean test accuracy.
    """

    job: str
    file: str
    overrides: tuple[str, ...]
    target: float


ROWS = {
    "banking77_head": Row("MiniLM frozen + linear head, banking77", "banking77_head.yaml", (), 0.929),
    "banking77": Row("MiniLM, gradual unfreezing of all blocks, banking77", "banking77.yaml", (), 0.937),
    "clothing_head": Row("EfficientNet-Lite0 frozen + linear head, clothing", "clothing_head.yaml", (), 0.860),
    "clothing": Row("EfficientNet-Lite0, gradual unfreezing with augmentation, clothing", "clothing.yaml", (), 0.925),
}


SMOKE = ("adaptation={name: Frozen}", "training.epochs=1")
SMOKE_SHARE = 10  # of the rows, one in this many


def main(names: tuple[str, ...] = (), seeds: tuple[int, ...] = (0, 1, 2), smoke: bool = False) -> str:
    """Run the named rows, or all; print and return a Markdown table and the closing line.

    Args:
        names: keys of `ROWS`.
        seeds: one run each.
        smoke: a tiny part of the work, to see that it runs; its figures mean nothing.
    """
    lines = [
        "## quality",
        "",
        "| job | test accuracy, mean | range | target | macro F1 | seconds a run |",
        "|---|---|---|---|---|---|",
    ]
    reached = []
    for name in names or tuple(ROWS):
        row = ROWS[name]
        measured = [_run(row, seed, smoke) for seed in seeds]
        accuracy = [each[0] for each in measured]
        mean, low, high = statistics.mean(accuracy), min(accuracy), max(accuracy)
        reached.append((mean, row.target, high - low))
        f1, seconds = (statistics.mean(each[at] for each in measured) for at in (1, 2))
        lines.append(f"| {row.job} | {mean:.4f} | {low:.4f}–{high:.4f} | {row.target:.3f} | {f1:.4f} | {seconds:.0f} |")
        print(lines[-1], flush=True)
    worst = min(reached, key=lambda each: each[0] / each[1])
    lines += [
        "",
        f"quality: ratio={worst[0] / worst[1]:.4f}  range={worst[2]:.4f}  "
        f"quality={sum(mean >= target for mean, target, _ in reached)}/{len(reached)}  target=1.0000",
    ]
    print("\n".join(lines))
    return "\n".join(lines)


def _run(row: Row, seed: int, smoke: bool) -> tuple[float, float, float]:
    """Test accuracy, macro F1 and seconds of one seed."""
    overrides = [*row.overrides, *(SMOKE if smoke else ()), f"training.seed={seed}", f"task.seed={seed}"]
    run = replace(config.load(EXAMPLES / row.file, overrides), export=())
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        if smoke:
            few = {name: _some(Path(source), Path(folder)) for name, source in run.data.sources.items()}
            run = replace(run, data=replace(run.data, sources=few))
        report = jobs.train(run, Path(folder) / "model", say=lambda line: None)
    if report is None:
        raise SystemExit(f"{row.file} names no test data")
    print(f"  seed {seed}: accuracy {report.metrics['accuracy']:.4f}", flush=True)
    return report.metrics["accuracy"], report.metrics["macro_f1"], time.perf_counter() - began


def _some(source: Path, folder: Path) -> str:
    """A copy of a CSV or of a folder of pictures with every tenth row."""
    if source.is_dir():
        for at, path in enumerate(sorted(source.glob("*/*"))):
            if at % SMOKE_SHARE == 0:
                copy = folder / source.name / path.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)
        return str(folder / source.name)
    with open(source, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    with open(folder / source.name, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([rows[0], *rows[1::SMOKE_SHARE]])
    return str(folder / source.name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help=", ".join(ROWS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--smoke", action="store_true", help="a tiny part of the work; the figures mean nothing")
    chosen = parser.parse_args()
    main(tuple(chosen.rows), tuple(chosen.seeds), chosen.smoke)
