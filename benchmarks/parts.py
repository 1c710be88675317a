"""What a long benchmark found, kept part by part: one that is cut goes on, and each part may have a day of its own."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine, show
from tfvertical.files import write_text


class Parts:
    """Parts of a benchmark in a file.

    Args:
        path: of the file, which need not exist.
        names: of all parts, in the order in which they are told.
    """

    def __init__(self, path: Path, names: Sequence[str]):
        self.path, self.names = path, names
        self.kept: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        self._here = {"date": datetime.date.today().isoformat(), "commit": show.commit()}
        self._here |= {"machine": machine.processor()}

    def get(self, name: str) -> dict[str, Any] | None:
        """What was found in a part; None where it was never run."""
        found: dict[str, Any] | None = self.kept.get(name, {}).get("found")
        return found

    def begun(self, name: str) -> dict[str, Any]:
        """What there is of a part that was cut: nothing where it is of another commit or processor."""
        was = self.kept.get(name, {})
        same = all(was.get(key) == self._here[key] for key in ("commit", "machine"))
        return dict(was["found"]) if same else {}

    def put(self, name: str, found: dict[str, Any]) -> None:
        """Keep it, in the place of what there was of this part."""
        self.kept[name] = self._here | {"found": found}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.path, json.dumps(self.kept, indent=1, ensure_ascii=False) + "\n")

    def joined(self, key: str) -> str:
        """The dates, commits or machines of all parts."""
        return ", ".join(dict.fromkeys(self.kept[name][key] for name in self.names if name in self.kept))
