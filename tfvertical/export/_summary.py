"""One table of all exports that stand beside a bundle: size, what was lost, how long an answer takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfvertical.files import parse_json

NAME = "README.md"
_HEAD = """# Exports

Measured when each was written, on the machine that wrote it; `parity.json` in each folder has all of it.

| export | size | compared on | same label | largest difference | quality | drop | 1 thread, p50 / p95 | 2 threads |
|---|---|---|---|---|---|---|---|---|
"""


def table(folder: Path) -> str:
    """Markdown of the exports in `folder`, by name; one whose `parity.json` cannot be read is only named."""
    return _HEAD + "".join(_line(each) for each in sorted(folder.iterdir()) if each.is_dir() and each.name[0] != ".")


def _line(folder: Path) -> str:
    path = folder / "parity.json"
    try:
        cells = _cells(parse_json(path.read_bytes(), str(path)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # BundleError is an OSError
        cells = ["–"] * 8
    return "| " + " | ".join([folder.name, *cells]) + " |\n"


def _cells(told: Mapping[str, Any]) -> list[str]:
    drop, precision = told.get("drop"), told["precision"]
    measured = (each for each in told.values() if isinstance(each, Mapping) and {"float32", precision} <= set(each))
    quality = next(measured, None)  # whatever the task is measured by
    several = told.get("by_length") or {"": told.get("milliseconds") or {}}
    times = {
        threads: [
            f"{found[threads]['p50']:.1f} / {found[threads]['p95']:.1f} ms" + (f" ({length} tokens)" if length else "")
            for length, found in several.items()
            if threads in found
        ]
        for threads in ("1", "2")
    }
    return [
        f"{told['bytes'] / 1e6:.1f} MB",
        f"{told['n']:,} {'built-in' if told['examples'] == 'built-in' else 'given'}",
        f"{told['agreement']:.1%}",
        f"{told['max_difference']:.1e}",
        "–" if quality is None else f"{quality['float32']:.4f} → {quality[precision]:.4f}",
        "–" if drop is None else f"{drop:+.4f}",
        *("<br>".join(each) or "–" for each in times.values()),
    ]
