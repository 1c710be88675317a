"""What all exports beside a bundle measured: size, what was lost, how long an answer takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfvertical.export._timing import PROCESS
from tfvertical.files import parse_json

NAME = "README.md"
COLUMNS = (
    "export",
    "size",
    "compared on",
    "same label",
    "largest difference",
    "quality",
    "drop",
    "1 thread, p50 / p95",
    "2 threads",
)
_HEAD = f"""# Exports

Measured when each was written, on the machine that wrote it; `parity.json` in each folder has all of it.

| {" | ".join(COLUMNS)} |
|{"---|" * len(COLUMNS)}
"""


def rows(folder: Path, bundle_hash: str | None = None) -> list[dict[str, Any]]:
    """The exports in `folder`, by name.

    Args:
        folder: `exports/`.
        bundle_hash: of the bundle beside them; None if that is not known.

    Returns:
        A row each: `name`; `stale`: made from another bundle; `bytes`; `n` examples, `given` or built-in, that it was
        compared on; `agreement`; `max_difference`; `quality` of Keras and of the file, or None; `drop`, or None;
        `milliseconds`: tokens (or nothing) -> threads (`process`: as many as it had) -> `p50`, `p95`. Of one whose
        `parity.json` cannot be read, only the first two.
    """
    if not folder.is_dir():
        return []
    return [_row(each, bundle_hash) for each in sorted(folder.iterdir()) if each.is_dir() and each.name[0] != "."]


def cells(row: Mapping[str, Any]) -> list[list[str]]:
    """A row as it is shown, a list of lines for each of `COLUMNS`."""
    name = row["name"] + " (of an earlier bundle)" * row["stale"]
    if "bytes" not in row:
        return [[name], *([["–"]] * (len(COLUMNS) - 1))]
    times = {
        threads: [
            f"{found[threads]['p50']:.1f} / {found[threads]['p95']:.1f} ms" + (f" ({length} tokens)" if length else "")
            for length, found in row["milliseconds"].items()
            if threads in found
        ]
        for threads in ("1", "2", PROCESS)
    }
    times["2"] += [f"{time} (the process' threads)" for time in times.pop(PROCESS)]
    quality, drop = row["quality"], row["drop"]
    return [
        [name],
        [f"{row['bytes'] / 1e6:.1f} MB"],
        [f"{row['n']:,} {'given' if row['given'] else 'built-in'}"],
        [f"{row['agreement']:.1%}"],
        [f"{row['max_difference']:.1e}"],
        ["–" if quality is None else "{:.4f} → {:.4f}".format(*quality)],
        ["–" if drop is None else f"{drop:+.4f}"],
        *(each or ["–"] for each in times.values()),
    ]


def table(folder: Path, bundle_hash: str | None = None) -> str:
    """Markdown of the exports in `folder`; arguments as for `rows`."""
    lines = (" | ".join("<br>".join(cell) for cell in cells(row)) for row in rows(folder, bundle_hash))
    return _HEAD + "".join(f"| {line} |\n" for line in lines)


def _row(folder: Path, bundle_hash: str | None) -> dict[str, Any]:
    path = folder / "parity.json"
    try:
        told = parse_json(path.read_bytes(), str(path))
        origin = told.get("bundle_hash")
        stale = origin is not None and bundle_hash is not None and origin != bundle_hash
        row = {"name": folder.name, "stale": stale} | _figures(told)
        cells(row)  # whatever stands there, it can be shown
        return row
    except (OSError, ValueError, LookupError, TypeError, AttributeError):  # BundleError is an OSError
        return {"name": folder.name, "stale": False}


def _figures(told: Mapping[str, Any]) -> dict[str, Any]:
    precision = told["precision"]
    both = (each for each in told.values() if isinstance(each, Mapping) and {"float32", precision} <= set(each))
    quality = next(both, None)  # whatever the task is measured by
    return {
        "bytes": int(told["bytes"]),
        "n": int(told["n"]),
        "given": told["examples"] != "built-in",
        "agreement": float(told["agreement"]),
        "max_difference": float(told["max_difference"]),
        "quality": None if quality is None else [quality["float32"], quality[precision]],
        "drop": told.get("drop"),
        "milliseconds": told.get("by_length") or {"": told.get("milliseconds") or {}},
    }
