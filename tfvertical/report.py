"""What an evaluation found: plain numbers, and the pages that show them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from tfvertical import files
from tfvertical.errors import BundleError

SCHEMA = 1
IN_UNITS = ("mae", "rmse", "median_absolute_error", "bias", "width")  # metrics that are no shares
FILES = ("report.json", "report.md", "report.html", "model_card.md")

Numbers = Mapping[str, float | None]
Table = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Report:
    """The account of one evaluation. Every field is plain JSON; what is undefined is None.

    Args:
        rows: how many examples were scored.
        labels: label names, by id.
        metrics: name -> number. Of labels: `accuracy`, `balanced_accuracy`, `macro_f1`, `weighted_f1`, `log_loss`
            (nats), `expected_calibration_error`, `macro_roc_auc`, `macro_average_precision`. Of entities: `f1`,
            `precision`, `recall` and `macro_f1`, strictly counted; `overlap_f1` and its two parts; `token_f1` and its
            two parts, of the words inside entities; `word_accuracy`. Of numbers: those of
            `evaluating.numbers.summary`, of several only what is in no unit; `coverage` and `width` of their bounds; of
            ordinal scores `accuracy`, `within_one`, `quadratic_kappa`.
        intervals: name -> 95 % bootstrap interval, of the first four.
        per_class: a row per label: `label`, `precision`, `recall`, `f1`, `f1_low`, `f1_high`, `support`, `roc_auc`,
            `average_precision`. Of entities also how many are `right`, `found`, `overlap_right`, `overlap_covered`, and
            of their words `token_right`, `token_found`, `token_marked`. Of numbers: `label`, `unit`, `low` and `high`
            of the true ones, the metrics, `mae_low`, `mae_high`.
        confusion: `[true][predicted]` counts.
        reliability: the filled bins: `low`, `high`, `count`, `confidence`, `accuracy`.
        curves: `roc` and `pr`: `label`, `area`, `x`, `y`; all classes together first, then the weakest.
        before: `evaluation.compare` with the scores before adaptation, or None.
        baselines: name -> `evaluation.compare`.
        without_overlap: `overlap`, `rows`, `metrics`, `intervals` without the rows that were trained on, or None.
        errors: the worst errors, see `accounts.worst_errors`.
        error_kinds: of entities: `kind` of error, `count`, `types` (label -> count), and how many `marked` and `found`
            entities are told of there first.
        points: of numbers, for each `label` the `true` and the `found` ones of some rows.
        data: what was read, kept, rejected, warned of, cut.
        model: the task and where its backbone came from.
        history: name -> a number per epoch, None where it was not finite.
        notes: sentences a reader must know.
        bootstrap: `resamples` and `seed`.
        examples_shown: whether texts and pictures were allowed in.
        exports: the files made from the bundle, see `export._summary.rows`; none in the report inside the bundle.
        kind: what was predicted, the task's `target`: `label`, one for each row; `labels`, any number of them;
            `entities`, in each text; `numbers`, for each row; `answers`, in each context.

    Example:
        >>> report = Report(rows=2, labels=("no", "yes"), metrics={"accuracy": 0.5})
        >>> report.metrics["accuracy"]
        0.5
    """

    rows: int
    labels: Sequence[str]
    metrics: Numbers
    intervals: Mapping[str, Sequence[float]] = field(default_factory=dict)
    per_class: Table = ()
    confusion: Sequence[Sequence[int]] = ()
    reliability: Table = ()
    curves: Mapping[str, Table] = field(default_factory=dict)
    before: Mapping[str, Any] | None = None
    baselines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    without_overlap: Mapping[str, Any] | None = None
    errors: Table = ()
    error_kinds: Table = ()
    points: Table = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    history: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    bootstrap: Mapping[str, int] = field(default_factory=dict)
    examples_shown: bool = True
    exports: Table = ()
    kind: str = "label"

    def confused_pairs(self, most: int = 15) -> list[dict[str, Any]]:
        """The most frequent confusions: `true`, `predicted`, `count`, `share` of the true label's rows."""
        pairs = [
            (count, i, j) for i, row in enumerate(self.confusion) for j, count in enumerate(row) if count and i != j
        ]
        return [
            {
                "true": self.labels[i],
                "predicted": self.labels[j],
                "count": count,
                "share": count / sum(self.confusion[i]),
            }
            for count, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2]))[:most]
        ]

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values; `Report.load` reads them back."""
        return {"schema_version": SCHEMA} | {f.name: getattr(self, f.name) for f in fields(self)}

    def save(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write `report.json`, `report.md`, `report.html` (one page, nothing outside it) and `model_card.md`.

        Args:
            folder: where they shall stand; appears whole or not at all.
            overwrite: replace what stands there.

        Raises:
            BundleError: the folder is not empty, no space, no permission.
        """
        from tfvertical.reporting import html, markdown

        pages = {
            "report.md": markdown.report(self),
            "report.html": html.page(self),
            "model_card.md": markdown.model_card(self),
        }
        folder = Path(folder).expanduser()
        with files.new_folder(folder, overwrite=overwrite) as new:
            files.write_json(new / "report.json", self.to_json())
            for name, text in pages.items():
                files.write_text(new / name, text)
        return folder

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Report:
        """Read a saved report.

        Args:
            path: its folder, or its `report.json`.

        Raises:
            BundleError: there is none, or it is not one of ours.
        """
        file = Path(path).expanduser()
        file = file / "report.json" if file.is_dir() else file
        try:
            return cls.read(file.read_bytes(), str(file))
        except FileNotFoundError as error:
            raise BundleError(f"There is no report at {file}.", fix="name the folder that report.save wrote") from error

    @classmethod
    def read(cls, written: bytes, file: str) -> Report:
        """What `report.json` holds.

        Args:
            written: its bytes.
            file: what messages call it.

        Raises:
            BundleError: it is not one of ours.
        """
        try:
            content = json.loads(written)
        except ValueError as error:
            raise BundleError(f"{file} is not JSON.", received=str(error), fix="evaluate again and save") from error
        version = content.pop("schema_version", None) if isinstance(content, dict) else None
        if version != SCHEMA:
            raise BundleError(
                f"{file} is not a report this version reads.",
                expected=f"schema_version {SCHEMA}",
                received=f"schema_version {version}",
                fix="evaluate again, or install the version that wrote it",
            )
        names = {f.name for f in fields(cls)}
        needed = names - {"error_kinds", "points", "exports", "kind"}  # which 0.1.0's lack
        if not needed <= set(content) <= names:
            odd = sorted((needed - set(content)) | (set(content) - names))
            raise BundleError(f"{file} is not a whole report.", received=f"missing or unknown: {', '.join(odd)}")
        return cls(**content | {"labels": tuple(content["labels"])})

    def __str__(self) -> str:
        from tfvertical.reporting import terminal

        return terminal.table(self)

    def _repr_html_(self) -> str:
        """The whole page, framed, where a notebook shows the report."""
        from html import escape

        from tfvertical.reporting import html

        page = escape(html.page(self), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:640px;border:0" sandbox></iframe>'
