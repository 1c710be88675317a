"""Writes `examples/data/`: scikit-learn's table of 442 diabetes patients as texts, and its handwritten digits.

    python examples/make_data.py

The table (Efron, Hastie, Johnstone and Tibshirani 2004) has age, body mass index, blood pressure, six blood values and
how far the disease had progressed a year later; which sex its 1 and 2 stand for it does not say, so that is left out.
The digits are those of Alpaydin and Kaynak (1998).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_diabetes, load_digits

HERE = Path(__file__).parent / "data"
ASKED = {
    "age": "How old was the patient?",
    "bmi": "What was the body mass index?",
    "bp": "What was the blood pressure?",
    "s1": "How high was the total cholesterol?",
    "s6": "How high was the blood sugar?",
}
COUNT = 400  # digits
LEFT_OUT = 0.35  # of the values, in the texts that questions are asked about


def said(name: str, value: float) -> str:
    """One value of a patient, as a doctor writes it."""
    return {
        "age": f"{value:.0f} years old",
        "bmi": f"body mass index {value:.1f}",
        "bp": f"blood pressure {value:.0f}",
        "s1": f"total cholesterol {value:.0f}",
        "s2": f"LDL {value:.1f}",
        "s3": f"HDL {value:.0f}",
        "s4": f"ratio of total cholesterol to HDL {value:.1f}",
        "s5": f"log triglycerides {value:.2f}",
        "s6": f"blood sugar {value:.0f}",
    }[name]


def record(names: Sequence[str], row: np.ndarray, chosen: Sequence[str]) -> str:
    """Values of a patient as a sentence."""
    text = ", ".join(said(name, row[names.index(name)]) for name in names if name in chosen and name != "sex")
    return text[0].upper() + text[1:] + "."


def main() -> None:
    """Write every file."""
    HERE.mkdir(parents=True, exist_ok=True)
    table = load_diabetes(scaled=False)
    names, draw = list(table.feature_names), np.random.default_rng(0)
    rows, targets = table.data, table.target
    texts = [record(names, row, names) for row in rows]
    column = {name: rows[:, at] for at, name in enumerate(names)}
    write(
        "diabetes.csv",
        ["text", "progression"],
        [[text, f"{target:g}"] for text, target in zip(texts, targets, strict=True)],
    )
    conditions = {
        "obese": column["bmi"] >= 30,
        "high blood pressure": column["bp"] >= 100,
        "high cholesterol": column["s1"] >= 200,
        "high blood sugar": column["s6"] >= 100,
    }
    sets = ["|".join(name for name, applies in conditions.items() if applies[at]) for at in range(len(rows))]
    write("conditions.csv", ["text", "label"], zip(texts, sets, strict=True))
    statements, pairs = [], []
    for at, text in enumerate(texts):
        name = list(conditions)[int(draw.integers(len(conditions)))]
        statements.append(
            [
                text,
                f"The patient has {name}." if at % 2 else f"No sign of {name}.",
                "follows" if bool(conditions[name][at]) == bool(at % 2) else "does not follow",
            ]
        )
        other = int(draw.integers(len(rows)))
        pairs.append([text, texts[other], f"{column['age'][at] - column['age'][other]:g}"])
    write("statements.csv", ["record", "statement", "label"], statements)
    write("ages.csv", ["one", "other", "years"], pairs)
    questions(names, rows, draw)
    relations(names, rows)
    digits()


def relations(names: Sequence[str], rows: np.ndarray) -> None:
    """Texts about two patients in which two values are marked: are they of one patient?"""
    draw, told = np.random.default_rng(1), []
    for row in rows:
        other = rows[int(draw.integers(len(rows)))]
        text, places = "", []
        for begins, one in (("One patient: ", row), ("The other: ", other)):
            text += begins
            for at, name in enumerate(draw.permutation(["age", "bmi", "bp", "s3"])):
                value = said(name, one[names.index(name)])
                places.append((len(text), len(text) + len(value)))
                text += value + (". " if at == 3 else ", ")
        first, second = sorted(draw.choice(8, 2, replace=False).tolist())
        marks = [f"{start}:{end}" for start, end in (places[first], places[second])]
        told.append([text.strip(), *marks, "same patient" if first // 4 == second // 4 else "different patients"])
    write("relations.csv", ["text", "head", "tail", "label"], told)


def questions(names: Sequence[str], rows: np.ndarray, draw: np.random.Generator) -> None:
    """Questions about values of which some stand in the text and others do not, in the form of SQuAD 2.0."""
    paragraphs = []
    for at, row in enumerate(rows):
        chosen = [name for name in names if draw.random() > LEFT_OUT or name == "s5"]
        context, asked = record(names, row, chosen), []
        for name in draw.permutation(list(ASKED))[:2]:
            text = f"{row[names.index(name)]:.{1 if name == 'bmi' else 0}f}"
            answers = []
            if name in chosen:
                place = context.lower().index(said(name, row[names.index(name)]))
                answers = [{"text": text, "answer_start": context.index(text, place)}]
            asked.append(
                {"id": f"{at}-{name}", "question": ASKED[name], "answers": answers, "is_impossible": not answers}
            )
        paragraphs.append({"context": context, "qas": asked})
    content = {"version": "v2.0", "data": [{"title": "diabetes", "paragraphs": paragraphs}]}
    (HERE / "questions.json").write_text(json.dumps(content) + "\n")


def digits() -> None:
    """Handwritten digits as PNG, how dark each is, and what is true of it."""
    import pyarrow
    import pyarrow.parquet

    found = load_digits()
    pictures, darkness, marks = [], [], []
    for pixels, digit in zip(found.images[:COUNT], found.target[:COUNT], strict=True):
        file = io.BytesIO()
        big = Image.fromarray((255 - pixels * 255 / 16).astype(np.uint8)).resize((32, 32), Image.Resampling.BICUBIC)
        big.save(file, "PNG", optimize=True)
        pictures.append(file.getvalue())
        darkness.append(round(float(pixels.mean() / 16), 4))
        holds = {"odd": digit % 2 == 1, "large": digit > 4, "hole": digit in (0, 6, 8, 9)}
        marks.append([name for name, applies in holds.items() if applies])
    columns: dict[str, Any] = {"image": pictures, "darkness": darkness, "label": marks}
    pyarrow.parquet.write_table(pyarrow.table(columns), HERE / "digits.parquet", compression="zstd")


def write(name: str, header: Sequence[str], rows: Any) -> None:
    """A table."""
    with open(HERE / name, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
