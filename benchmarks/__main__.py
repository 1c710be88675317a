"""Run every benchmark, or the named ones, and renew their sections of RESULTS.md: `make bench`.

    python -m benchmarks                            # all
    python -m benchmarks gradual var_len --rounds 1
    python -m benchmarks gradual --rounds 2 --more  # two rounds beside those that were kept of this processor
    python -m benchmarks gradual --again            # nothing is run: its section, with the qualities known by now

Sections that are not run stay as they are, each with its own date and commit.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine, measured, picture, show
from tfvertical.files import write_text

NAMES = (
    "quality",
    "cold_probe_text",
    "warm_head",
    "sweep",
    "gradual",
    "var_len",
    "full_ft",
    "cold_probe_image",
    "ner",
    "tags",
    "answers",
    "numbers",
    "growth",
    "edge",
    "faults",
    "distribution",
)
RESULTS = Path(__file__).parent / "RESULTS.md"


def main(arguments: list[str] | None = None) -> int:
    """Run the named benchmarks, or all; 1 if a contender failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--rounds", default="5", help="of each race")
    parser.add_argument("--whole", action="store_true", help="run long peers to their end and keep their quality")
    parser.add_argument("--more", action="store_true", help="add a race's rounds to those that were kept")
    parser.add_argument(
        "--again", action="store_true", help="draw the sections of the named races, or of all, from what was kept"
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="CONTENDER", help="keys of contenders of one race")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}")
    well = True
    if options.again:
        return again(options.names or [name for name in NAMES if measured.every(name)])
    asked = ["--rounds", options.rounds, *(["--whole"] if options.whole else [])]
    asked += ["--only", *options.only] if options.only else []
    for name in options.names or NAMES:
        section, good = run(name, asked, options.more)
        well = well and good
        renew(name, section, "\n\n".join([machine.describe(), *machine.versions()]))
        print(f"Renewed: {name} in {RESULTS.name}", flush=True)
    return 0 if well else 1


def run(name: str, arguments: list[str], more: bool = False) -> tuple[str, bool]:
    """One benchmark's section, and whether it ended well."""
    module = importlib.import_module(f"benchmarks.{name}")
    if name == "quality":
        return module.main(), True
    if name in ("tags", "answers", "numbers", "growth", "edge", "faults", "distribution"):
        return module.main(arguments)
    return show.main(module.RACE, arguments, keeping=True, more=more)


def again(names: Sequence[str]) -> int:
    """Draw sections anew from what was measured; 1 if of one nothing was kept."""
    races = {name: importlib.import_module(f"benchmarks.{name}").RACE for name in names if measured.every(name)}
    kept = [name for name, race in races.items() if show.kept(race)]
    for name in kept:
        renew(name, show.again(races[name]), None)
    for name in set(names) - set(kept):
        print(f"{name}: no race was kept; run it", file=sys.stderr)
    return 0 if len(kept) == len(names) else 1


def renew(name: str, section: str, head: str | None) -> None:
    """Put a section into RESULTS.md, and draw the picture; `head` None keeps machine and versions as they stand."""
    old = RESULTS.read_text(encoding="utf-8") if RESULTS.is_file() else ""
    new = renewed(old, name, section, head)
    write_text(RESULTS, new)
    picture.draw(picture.ratios(new), picture.PICTURE)


def renewed(old: str, name: str, section: str, head: str | None) -> str:
    """RESULTS.md with one section put in or replaced, all in the order of `NAMES`.

    Args:
        old: the file as it is.
        name: of the benchmark.
        section: beginning with `## NAME`.
        head: machine and versions, which take the place of the old ones; None to keep those.
    """
    parts = re.split(r"^(?=## )", old, flags=re.MULTILINE)
    kept = {part.split()[1]: part.strip() for part in parts if part.startswith("## ")}
    kept[name] = section.strip()
    ordered = sorted(kept, key=lambda each: NAMES.index(each) if each in NAMES else len(NAMES))
    if head is None:
        head = parts[0].removeprefix("# Results").strip()
    return "\n\n".join(["# Results", head, *(kept[each] for each in ordered)]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
