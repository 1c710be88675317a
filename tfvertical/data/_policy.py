"""What becomes of rows that cannot be used: the policy, and the account of it."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tfvertical import files
from tfvertical.contracts import DataReport, DataWarning, Rejected, Row
from tfvertical.errors import ConfigError, DataError

Policy = Literal["raise", "skip", "quarantine"]
_CLIP = 10_000  # characters of an item that the quarantine file keeps
_SHOWN = 10
_UNKNOWN = re.compile(r"^the label '(.*)' is unknown")


def check_policy(policy: str, quarantine: str | os.PathLike[str] | None) -> None:
    """Raise ConfigError unless the two fit together."""
    if policy not in ("raise", "skip", "quarantine"):
        raise ConfigError(f"There is no policy {policy!r} for bad rows.", expected="'raise', 'skip' or 'quarantine'")
    if (policy == "quarantine") != (quarantine is not None):
        raise ConfigError(
            f"policy={policy!r} with quarantine={quarantine!r}.",
            expected="policy='quarantine' and quarantine='rejected.jsonl' together",
        )


def files_of(path: str | os.PathLike[str], parts: Collection[str]) -> dict[str, Path]:
    """The quarantine file, or folder, of each part. Of several, each has its own: the last would replace the others."""
    path = Path(path)
    if len(parts) < 2:
        return dict.fromkeys(parts, path)
    if path.suffix and not os.path.isdir(path):
        return {part: path.with_name(f"{path.stem}.{part}{path.suffix}") for part in parts}
    return {part: path / f"{part}.rejected.jsonl" for part in parts}


def refuse_sources(targets: Iterable[str | os.PathLike[str]], sources: Iterable[Any]) -> None:
    """Raise ConfigError where a quarantine file is one of the sources, which it would replace."""
    paths = [source for source in sources if isinstance(source, str | os.PathLike) and os.path.isfile(source)]
    for target in targets:
        if os.path.isfile(target) and any(os.path.samefile(target, path) for path in paths):
            raise ConfigError(
                f"The quarantine file {os.fspath(target)!r} would replace a source of the data.",
                expected="a file of its own",
                fix="name another, such as rejected.jsonl",
            )


def refuse(name: str, rejected: Sequence[Rejected], read: int) -> DataError:
    """The error that lists the first bad rows, how many there are, and what to do."""
    lines = [f"  {_line(one)}" for one in rejected[:_SHOWN]]
    if len(rejected) > _SHOWN:
        lines.append(f"  … and {len(rejected) - _SHOWN:,} more")
    some = f"{len(rejected):,} of {read:,} rows" if len(rejected) < read else f"none of the {read:,} rows"
    what = f"{name}: {some} can{'not' if len(rejected) < read else ''} be used:\n" + "\n".join(lines) + "\n"
    fix = "correct them" + (
        "" if len(rejected) == read else ", or say policy='skip', or policy='quarantine' to set them aside"
    )
    reasons = " ".join(one.reason for one in rejected[:1000])
    if "is not utf-8" in reasons:
        fix += "; a file that is not UTF-8 may be read with encoding='latin-1' or 'cp1252'"
    if "a quote is opened" in reasons:
        fix += "; where quotes are plain characters, say quotes=False"
    unknown = sorted({found for one in rejected[:1000] for found in _UNKNOWN.findall(one.reason)})
    if unknown and all(label.isdecimal() for label in unknown):  # meant as positions, which only typed numbers are
        numbers = ", ".join(map(repr, unknown[:5])) + (", …" if len(unknown) > 5 else "")
        fix += f"; written as text, numbers are names and no positions: list {numbers} as labels, or write the names"
    return DataError(what, fix=fix)


def refuse_warnings(name: str, warnings: Sequence[DataWarning]) -> None:
    """With `strict`, raise the DataError for warnings; files that a desktop left behind do not count."""
    counted = [warning for warning in warnings if warning.kind != "ignored_files"]
    if counted:
        lines = [f"  {w.kind}: {w.message} {', '.join(w.ids[:5])}" for w in counted]
        raise DataError(
            f"{name}, read strictly:\n" + "\n".join(lines) + "\n", fix="correct the rows, or say strict=False"
        )


def write_quarantine(path: str | os.PathLike[str], rows: Sequence[tuple[Row, Rejected]], name: str) -> Path:
    """Write the rejected rows with reasons as JSON lines, whole or not at all; an older file there is replaced.

    Args:
        path: the file; or, without an ending, a folder, which gets `<name>.rejected.jsonl`.
        rows: what was read, and why it was rejected.
        name: the data's name.
    """
    target = Path(path)
    if os.path.isdir(target) or not target.suffix:
        safe = "".join(character if character.isalnum() or character in "._-" else "_" for character in name)
        target = target / f"{safe}.rejected.jsonl"
    files.write_text(target, "".join(json.dumps(_entry(*row), ensure_ascii=False) + "\n" for row in rows))
    return target


def _entry(row: Row, rejected: Rejected) -> dict[str, Any]:
    entry = {"id": rejected.id, "reason": rejected.reason, "column": rejected.column}
    for field in ("input", "label"):
        entry[field] = _plain(getattr(row, field))
    others = {field: getattr(row, field) for field in ("second", "spans")}
    return entry | {field: _plain(value) for field, value in others.items() if value is not None}


def _plain(value: Any) -> Any:
    """`value` as JSON has it: numbers and short texts as they are, the rest described."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, bytes):
        return value[:_CLIP].decode(errors="replace")
    if isinstance(value, np.ndarray):
        return f"array {value.dtype} {value.shape}"
    return str(value)[:_CLIP].encode(errors="replace").decode()


def describe(report: DataReport, *, show: bool = True) -> str:
    """The account in a few lines, for people: read, kept, rejected by reason, and warnings.

    Args:
        report: of a reading.
        show: False leaves numbers and columns only: reasons and messages quote cells, and ids may name pictures.

    Example:
        >>> print(describe(DataReport("a.csv", 3, 2, (Rejected("a.csv:3", "the text is empty"),))))
        a.csv: read 3, kept 2, rejected 1
          rejected 1: the text is empty (a.csv:3)
    """
    lines = [f"{report.name}: read {report.read:,}, kept {report.kept:,}, rejected {len(report.rejected):,}"]
    return "\n".join([*lines, *(_reasons(report) if show else _counts(report))])


def _reasons(report: DataReport) -> Iterator[str]:
    first: dict[str, Rejected] = {}
    counts: Counter[str] = Counter()
    for one in report.rejected:
        like = re.sub(r"'.*'|0x\w+|\d[\d,]*", "#", one.reason)  # reasons that differ in numbers and names only are one
        first.setdefault(like, one)
        counts[like] += 1
    for like, count in counts.most_common(_SHOWN):
        some = f"{first[like].id}, …" if count > 1 else first[like].id
        yield f"  rejected {count:,}: {first[like].reason} ({some})"
    for warning in report.warnings:
        some = ", ".join(warning.ids[:3]) + (", …" if warning.count > 3 else "")
        yield f"  {warning.kind}: {warning.message}" + (f" ({some})" if some else "")


def _counts(report: DataReport) -> Iterator[str]:
    for column, count in Counter(one.column for one in report.rejected).most_common():
        yield f"  rejected {count:,}" + (f" (column {column!r})" if column else "")
    for warning in report.warnings:
        yield f"  {warning.kind}: {warning.count:,}"


def _line(one: Rejected) -> str:
    return f"{one.id}: {one.reason}" + (f" (column {one.column!r})" if one.column else "")
