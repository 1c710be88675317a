"""Exports of a bundle, which stand beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tfvertical import bundle, data
from tfvertical._console import quiet
from tfvertical.contracts import Examples
from tfvertical.errors import ConfigError
from tfvertical.export import CALIBRATION, check_packages, folder_name
from tfvertical.files import refuse_filled
from tfvertical.jobs import trained
from tfvertical.jobs.declared import kind_of, target_of
from tfvertical.registry import Registry


def export(
    path: str | Path,
    *,
    format: str,
    precision: str = "float32",
    overwrite: bool = False,
    source: str | None = None,
    calibration: str | None = None,
    text: str | None = None,
    label: str | None = None,
    **options: Any,
) -> Path:
    """Export the bundle at `path` beside it, naming the bundle it was made from.

    Args:
        path: the bundle.
        format: a file name in `export/`.
        precision: of the format.
        overwrite: replace an export that stands there.
        source: labelled data to measure a lower precision on.
        calibration: training data for `int8`; None sets a part of `source` aside for it.
        text: column of the text; None for the one that the bundle was trained on.
        label: column of the label; None for the one that the bundle was trained on.
        **options: of `tfvertical.export`, or the format's own.
    """
    own = {key: value for key, value in options.items() if key != "max_drop"}
    exporter = Registry("export").build({"name": format, "precision": precision, **own})  # mistakes are told first
    check_packages(exporter)
    name, labels = bundle.description(path)
    kind, target = kind_of(name), target_of(name)
    chosen = exporter.chosen(kind, target)
    if chosen != "float32" and source is None:
        raise ConfigError(f"What precision {chosen!r} loses is only known on real examples.", fix="--data FILE")
    seal = bundle.verify(path).hash
    refuse_filled(Path(path) / "exports" / folder_name(exporter, chosen), overwrite=overwrite)
    found: dict[str, Any] = {}
    for key, each in (("examples", source), ("calibration", calibration)):
        if each is not None:
            columns = trained.columns(path, each, text=text, label=label)
            if target == "numbers":
                columns.setdefault("label", list(labels))
            found[key] = data.load(each, kind=kind, target=target, labels=labels, **columns)
    if chosen == "int8" and "examples" in found and "calibration" not in found:
        found = _set_aside(found["examples"])
    task = trained.loaded(path)
    with quiet():
        written: Path = task.export(
            path, format, precision=chosen, overwrite=overwrite, bundle_hash=seal, **found, **options
        )
    return written


def _set_aside(examples: Examples) -> dict[str, Any]:
    """A part for calibration, at most half, and the rest to measure on: ranges fit best what they were taken from."""
    order = np.random.default_rng(0).permutation(len(examples))
    count = min(CALIBRATION, len(examples) // 2)
    return {"calibration": examples.take(order[:count]), "examples": examples.take(np.sort(order[count:]))}
