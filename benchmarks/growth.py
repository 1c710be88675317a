"""How does cost grow with examples, epochs and unfrozen blocks, and does memory stay bounded?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import processes, race, show, work

SETTINGS = {"length": 64, "rate": 1e-3, "decay": 0.01, "dropout": 0.1, "clip": 1.0, "whole": True}
QUESTION = "MiniLM on texts with banking77's lengths; `before` is everything that passes before the first epoch."
BOUND = 4 * 2**30  # bytes that the largest run may take
BLOCKS = 6


def main(arguments: Sequence[str] | None = None) -> tuple[str, bool]:
    """Three tables and the closing line; the section of RESULTS.md, and whether every run ended well."""
    options = race.options(arguments, QUESTION)
    options.rounds = 1
    tables = {"examples": _examples, "epochs": _epochs, "blocks": _blocks}
    lines, peaks = [QUESTION, ""], []
    for name, runs in tables.items():
        if options.only and name not in options.only:
            continue
        rows, found = _measure(name, runs(options.smoke))
        lines += [*rows, ""]
        peaks += found
    ratios, within = [BOUND / peak for peak in peaks], sum(peak <= BOUND for peak in peaks)
    lines += [
        "The ratio is 4 GiB divided by the peak memory of the largest run.",
        "",
        f"growth: ratio={min(ratios, default=0):.2f}  range={min(ratios, default=0):.2f}–{max(ratios, default=0):.2f}  "
        f"quality={within}/{len(peaks)}  target=1.00",
    ]
    print("\n".join(lines), flush=True)
    return show.section("growth", lines, options), not any("| failed: " in line for line in lines)


def _measure(name: str, runs: Sequence[tuple[int, str, dict[str, Any]]]) -> tuple[list[str], list[int]]:
    """A table of runs `(value, contender, work)`, and the peak of memory of each."""
    lines = [f"| {name} | before | epochs | in all | peak memory |", "|---|---|---|---|---|"]
    peaks = []
    for value, call, made in runs:
        try:
            found = processes.run(call, made)
        except processes.Failed as error:
            lines.append(f"| {value:,} | – | – | failed: {error} | – |")
            continue
        before, epochs = found["rows"]["before"], found["rows"]["epochs"]
        memory = f"{found['peak_bytes'] / 2**20:,.0f} MiB"
        lines.append(f"| {value:,} | {before:.1f} s | {epochs:.1f} s | {found['seconds']:.1f} s | {memory} |")
        print(lines[-1], file=sys.stderr, flush=True)
        peaks.append(found["peak_bytes"])
    return lines, peaks


def _examples(smoke: bool) -> list[tuple[int, str, dict[str, Any]]]:
    """A head for 10 epochs on ever more synthetic texts."""
    counts = (64, 128) if smoke else (1_000, 10_000, 100_000)
    return [(count, "ours_growth:head", work.drawn(count) | SETTINGS | {"epochs": 10}) for count in counts]


def _epochs(smoke: bool) -> list[tuple[int, str, dict[str, Any]]]:
    """A head for ever more epochs on the real texts."""
    made = work.banking77(smoke) | SETTINGS
    return [(epochs, "ours_growth:head", made | {"epochs": epochs}) for epochs in ((1, 2) if smoke else (1, 3, 10, 30))]


def _blocks(smoke: bool) -> list[tuple[int, str, dict[str, Any]]]:
    """One epoch of ever more blocks on 2,000 synthetic texts."""
    made = work.drawn(64 if smoke else 2_000) | SETTINGS | {"epochs": 1, "rate": 2e-4}
    counts = (0, 1) if smoke else range(BLOCKS + 1)
    return [(blocks, "ours_growth:blocks", made | {"blocks": blocks}) for blocks in counts]


if __name__ == "__main__":
    sys.exit(0 if main()[1] else 1)
