"""One versioned stream of what happens in a run, a JSON object a line, for progress, trackers and reports."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

VERSION = 1


class Events:
    """Where a run says what it does.

    Args:
        path: `events.jsonl` to append to; None keeps the events in memory only.

    Example:
        >>> events = Events()
        >>> events.emit("stage_started", stage="head")
        >>> events.seen[0]["kind"]
        'stage_started'
    """

    def __init__(self, path: str | os.PathLike[str] | None = None):
        self.path = None if path is None else Path(path)
        self.seen: list[dict[str, Any]] = []

    def emit(self, kind: str, **fields: Any) -> None:
        """Record an event; fields are JSON values. One write a line, so that a kill cannot tear one."""
        event = {"version": VERSION, "time": round(time.time(), 3), "kind": kind, **fields}
        self.seen.append(event)
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab") as file:
                file.write((json.dumps(event, ensure_ascii=False) + "\n").encode())

    def take_up(self, earlier: list[dict[str, Any]]) -> None:
        """Go on with what an interrupted process has seen; what this one has said so far was only said again."""
        self.seen = list(earlier)
