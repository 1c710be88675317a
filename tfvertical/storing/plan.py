"""What an entry will be, settled and checked before a byte of it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tfvertical.errors import StoreError
from tfvertical.storing import layout as layouts
from tfvertical.storing import record
from tfvertical.storing.layout import Layout, Spec


@dataclass(frozen=True)
class Plan:
    """What will be written.

    Args:
        layout: the arrays.
        lengths: int64 `(rows,)`, or None where no array is ragged.
        bytes: what the whole entry will take on disk.
    """

    layout: Layout
    lengths: np.ndarray | None
    bytes: int


def plan(
    key: str, parts: Mapping[str, str], specs: Sequence[Spec], rows: int, lengths: np.ndarray | None, limit: int
) -> Plan:
    """The plan of an entry; arguments as for `Store.write`.

    Raises:
        StoreError: an argument cannot be, or the entry is larger than `limit` bytes.
    """
    check_parts(parts)
    checked = _lengths(specs, rows, lengths)
    layout = Layout(tuple(specs), rows, 0 if checked is None else int(checked.sum()))
    layout = replace(layout, shard_bytes=max(layouts.SHARD, layout.array_bytes // layouts.FILES))
    size = layout.bytes
    if size <= limit:  # or else its files may be too many to name
        size = record.planned_bytes(key, parts, layout)
    if size > limit:
        raise StoreError(
            "These outputs are larger than all that may be kept.",
            expected=f"at most {limit:,} bytes",
            received=f"{size:,} bytes",
            fix="raise the limit, or store in a narrower dtype (float16, bfloat16)",
        )
    return Plan(layout, checked, size)


def check_parts(parts: Mapping[str, str]) -> None:
    """Raise StoreError where a part has no name or is no text."""
    for name, value in parts.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise StoreError(
                "What an entry depends on is told in words.", expected="str: str", received=f"{name!r}: {value!r:.80}"
            )


def _lengths(specs: Sequence[Spec], rows: int, lengths: np.ndarray | None) -> np.ndarray | None:
    """The lengths as int64, or None where no array is ragged."""
    if not any(spec.ragged for spec in specs):
        return None
    found = np.asarray(lengths)
    fits = found.shape == (rows,) and (found.dtype.kind in "iu" or not rows)
    if not fits or not bool(((found >= 0) & (found < layouts.MOST)).all()):
        raise StoreError(
            "Ragged arrays need the length of every row.",
            expected=f"{rows} whole numbers of 0 or more",
            received="none" if lengths is None else f"{found.dtype} of shape {found.shape}",
        )
    return found.astype(np.int64)
