"""The ratios of all races that have a target, as one picture: `docs/performance.svg`, drawn anew with every section."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tfvertical.files import write_text

PICTURE = Path(__file__).parent.parent / "docs" / "performance.svg"
REACHED, MISSED, TARGET = "#1b7a4b", "#b3401f", "#66707a"
_ROW = re.compile(
    r"\| (?P<against>[^|]+) \| (?P<measure>[^|]+) \| (?P<ratio>[\d.]+) \| (?P<low>[\d.]+)–(?P<high>[\d.]+) "
    r"\| (?P<target>[\d.]+) \| (?P<quality>[^|]*) \| (?P<reached>[^|]*) \|"
)
_PARTS = (("`", ""), ("tfvertical, ", "ours, "), ("Frozen(), ", ""))


@dataclass(frozen=True)
class Ratio:
    """One row of a table: median, range and target, and whether the qualities of both are known and near enough."""

    name: str
    against: str
    ratio: float
    low: float
    high: float
    target: float
    comparable: bool


def ratios(text: str) -> list[Ratio]:
    """The rows with a target in the tables of all races in RESULTS.md."""
    found = []
    for section in re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]:
        name = section.split()[1]
        for row in _ROW.finditer(section):
            against = row["against"]
            for old, new in _PARTS:
                against = against.replace(old, new)
            if row["measure"] != "seconds":
                against += f" ({row['measure']})"
            numbers = (float(row[key]) for key in ("ratio", "low", "high", "target"))
            found.append(Ratio(name, against, *numbers, comparable=row["quality"].startswith("held")))
    return found


def draw(found: Sequence[Ratio], path: Path) -> None:
    """Dots with ranges on a logarithmic axis, a bar at what is to be reached; hollow without comparable quality."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    places, names, at = [], [], 0.0
    for before, row in zip([None, *found], found, strict=False):
        at += 1.0 if before is not None and before.name == row.name else 1.7
        if before is None or before.name != row.name:
            names.append((at - 0.85, row.name))
        places.append(at)
    options = {"svg.fonttype": "none", "svg.hashsalt": "tfvertical", "font.family": "sans-serif", "font.size": 9}
    with matplotlib.rc_context(options):
        figure, axes = pyplot.subplots(figsize=(9.6, 0.24 * at + 0.9))
        for place, row in zip(places, found, strict=True):
            colour = REACHED if row.ratio >= row.target else MISSED
            axes.plot([row.low, row.high], [place, place], color=colour, linewidth=1.6, solid_capstyle="butt")
            face = colour if row.comparable else "white"
            axes.plot(row.ratio, place, "o", markersize=6, markerfacecolor=face, markeredgecolor=colour)
            axes.plot([row.target] * 2, [place - 0.36, place + 0.36], color=TARGET, linewidth=1.6)
            end = max(row.high, row.target)
            axes.annotate(f"{row.ratio:.3g}", (end, place), (6, -3), textcoords="offset points", color=colour)
        for place, name in names:
            axes.annotate(
                name, (0, place), (-8, -3), ("axes fraction", "data"), "offset points", ha="right", weight="bold"
            )
        axes.set_xscale("log")
        axes.set_xlim(min([0.7, *(0.9 * row.low for row in found)]), max([700, *(1.3 * row.high for row in found)]))
        axes.set_xticks([1, 2, 5, 10, 20, 50, 100, 200, 500], ["1", "2", "5", "10", "20", "50", "100", "200", "500"])
        axes.minorticks_off()
        axes.axvline(1, color="#d0d4d8", linewidth=1, zorder=0)
        axes.set_yticks(places, [row.against for row in found])
        axes.tick_params(left=False)
        axes.set_ylim(at + 0.8, 0.4)
        axes.set_xlabel("times as long as tfvertical takes; | to reach; hollow: a quality was not known, or too low")
        axes.spines[["top", "left", "right"]].set_visible(False)
        content = io.StringIO()
        figure.savefig(content, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
    write_text(path, "".join(f"{line.rstrip()}\n" for line in content.getvalue().splitlines()))
