"""Exports of a bundle, which stand beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical import bundle, data
from tfvertical._console import quiet
from tfvertical.contracts import Examples
from tfvertical.data._policy import files_of
from tfvertical.errors import ConfigError
from tfvertical.export import CALIBRATION, check_packages, folder_name, refuse_idle
from tfvertical.files import refuse_filled
from tfvertical.jobs import trained
from tfvertical.jobs.declared import kind_of, target_of
from tfvertical.jobs.training import Say
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
    reading: Mapping[str, Any] | None = None,
    say: Say = print,
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
        reading: other keywords of `data.load`, in the place of those that the bundle was trained with.
        say: is told how many rows of `source` and `calibration` could not be used, where the policy leaves them out.
        **options: of `tfvertical.export`, or the format's own.

    Raises:
        ConfigError: an option that does not suit the bundle, or that would do nothing.
    """
    own = {key: value for key, value in options.items() if key != "max_drop"}
    exporter = Registry("export").build({"name": format, "precision": precision, **own})  # mistakes are told first
    check_packages(exporter)
    name = bundle.description(path)[0]
    chosen = exporter.chosen(kind_of(name), target_of(name))
    if chosen != "float32" and source is None:
        raise ConfigError(f"What precision {chosen!r} loses is only known on real examples.", fix="--data FILE")
    refuse_idle(precision, calibration=calibration is not None, max_drop=options.get("max_drop") is not None)
    if source is None and calibration is None:
        _refuse_unread({"--text": text, "--label": label, "--data-option": reading})
    seal = bundle.verify(path).hash
    refuse_filled(Path(path) / "exports" / folder_name(exporter, chosen), overwrite=overwrite)
    found: dict[str, Any] = {}
    wanted = (("examples", source), ("calibration", calibration if chosen == "int8" else None))
    sources = {key: each for key, each in wanted if each is not None}
    for key, each in sources.items():
        own_reading = dict(reading or {})
        if own_reading.get("quarantine") is not None:
            own_reading["quarantine"] = files_of(own_reading["quarantine"], sources)[key]
        found[key] = trained.rows(path, each, text=text, label=label, reading=own_reading)
        if found[key].report.rejected:
            say(data.describe(found[key].report, show=False))  # a bundle does not say whether cells may be shown
    if chosen == "int8" and "examples" in found and "calibration" not in found:
        found = _set_aside(found["examples"])
    task = trained.loaded(path)
    with quiet():
        written: Path = task.export(
            path, format, precision=chosen, overwrite=overwrite, bundle_hash=seal, **found, **options
        )
    return written


def _refuse_unread(given: Mapping[str, Any]) -> None:
    if lost := [name for name, value in given.items() if value]:
        raise ConfigError(
            f"{' and '.join(lost)} would do nothing: no data are read.", fix="give --data FILE too, or leave it out"
        )


def _set_aside(examples: Examples) -> dict[str, Any]:
    """A part for calibration, at most half, and the rest to measure on: ranges fit best what they were taken from."""
    order = np.random.default_rng(0).permutation(len(examples))
    count = min(CALIBRATION, len(examples) // 2)
    return {"calibration": examples.take(order[:count]), "examples": examples.take(np.sort(order[count:]))}
