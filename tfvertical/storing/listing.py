"""What is kept, told to a person, and found again by the beginning of its key."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tfvertical.errors import StoreError, nearest
from tfvertical.storing.folder import Entry

SHORT = 12  # digits of a key that are shown; enough to tell millions of entries apart


def table(entries: Sequence[Entry]) -> list[str]:
    """A heading and a line for each entry; columns stand below each other.

    Example:
        >>> for line in table([Entry("ab" * 32, 1_234_567, 0.0, 0.0, {"preset": "minilm_l6_v2"}, 10003)]):
        ...     print(line)
        KEY             SIZE    ROWS  LAST USED  WHAT
        abababababab  1.2 MB  10,003  never      minilm_l6_v2
    """
    lines = [("KEY", "SIZE", "ROWS", "LAST USED", "WHAT")]
    for entry in entries:
        used = "never" if not entry.used else time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        lines.append((entry.key[:SHORT], size(entry.bytes), f"{entry.rows:,}", used, what(entry)))
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return [
        f"{key:<{widths[0]}}  {amount:>{widths[1]}}  {rows:>{widths[2]}}  {used:<{widths[3]}}  {said}".rstrip()
        for key, amount, rows, used, said in lines
    ]


def what(entry: Entry) -> str:
    """Preset and data, as far as they were noted; or why the entry cannot be used."""
    if entry.damaged is not None:
        return "damaged: " + _plain(entry.damaged)
    noted = (entry.parts.get("preset"), entry.parts.get("data_name", entry.parts.get("data")))
    return ", ".join(_plain(part) for part in noted if part) or "-"


def size(count: int) -> str:
    """Bytes in the unit that reads best.

    Example:
        >>> size(999), size(1_234_567), size(5_600_000_000)
        ('999 B', '1.2 MB', '5.6 GB')
    """
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} TB"


def chosen(entries: Sequence[Entry], prefixes: Sequence[str]) -> list[Entry]:
    """The entries whose keys begin so, each once.

    Raises:
        StoreError: a prefix fits no entry, or several.
    """
    found: dict[str, Entry] = {}
    for prefix in prefixes:
        fitting = [entry for entry in entries if prefix and entry.key.startswith(prefix.lower())]
        shown = [entry.key[: max(SHORT, len(prefix))] for entry in entries]
        if not fitting:
            raise StoreError(
                f"No key begins with {prefix!r:.100}.",
                nearest=nearest(prefix, shown) or shown[:3],
                fix="`tfvertical cache list` shows all",
            )
        if len(fitting) > 1:
            raise StoreError(
                f"{len(fitting)} keys begin with {prefix!r}.",
                nearest=[entry.key[:SHORT] for entry in fitting[:5]],
                fix="give more of the key",
            )
        found[fitting[0].key] = fitting[0]
    return list(found.values())


def unused(entries: Sequence[Entry], seconds: float | None) -> list[Entry]:
    """Those that were not used for so long; all where None."""
    return [entry for entry in entries if seconds is None or entry.used < time.time() - seconds]


def _plain(text: str) -> str:
    """One short line without control characters, which a terminal would obey."""
    line = "".join(letter if letter.isprintable() else "?" for letter in text)
    return line if len(line) <= 60 else line[:59] + "…"
