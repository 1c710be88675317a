"""FlatBuffers tables of any schema, from plain values: what a generated writer would do, without its generated code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Byte:
    """An 8-bit number: an enumeration, or which kind of table a union holds."""

    value: int


@dataclass(frozen=True)
class Unsigned:
    """A 32-bit number."""

    value: int


@dataclass(frozen=True)
class Float:
    """A 32-bit float."""

    value: float


@dataclass(frozen=True)
class Table:
    """Args:
    slots: slot -> a string, `Byte`, `Unsigned`, `Float`, `Table`, or a sequence of tables, of strings or of floats.
        None is left out.
    """

    slots: Mapping[int, Any] = field(default_factory=dict)


def written(root: Table, identifier: bytes) -> bytes:
    """The buffer that holds `root`.

    Args:
        root: the outermost table.
        identifier: of the schema, four bytes.

    Example:
        >>> written(Table({0: "cards"}), b"M001")[4:8]
        b'M001'
    """
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(_table(builder, root), identifier)
    return bytes(builder.Output())


def _table(builder: Any, table: Table) -> int:
    present = {slot: value for slot, value in table.slots.items() if value is not None}
    offsets = {slot: _reference(builder, value) for slot, value in present.items() if not _is_scalar(value)}
    builder.StartObject(max(present, default=-1) + 1)
    for slot, value in present.items():
        if isinstance(value, Byte):
            builder.PrependInt8Slot(slot, value.value, 0)
        elif isinstance(value, Unsigned):
            builder.PrependUint32Slot(slot, value.value, 0)
        elif isinstance(value, Float):
            builder.PrependFloat32Slot(slot, value.value, 0.0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, offsets[slot], 0)
    return int(builder.EndObject())


def _is_scalar(value: Any) -> bool:
    return isinstance(value, Byte | Unsigned | Float)


def _reference(builder: Any, value: Any) -> int:
    if isinstance(value, str):
        return int(builder.CreateString(value))
    return _table(builder, value) if isinstance(value, Table) else _vector(builder, value)


def _vector(builder: Any, values: Sequence[Any]) -> int:
    floats = all(isinstance(value, float) for value in values)
    offsets = [] if floats else [_reference(builder, value) for value in values]
    builder.StartVector(4, len(values), 4)
    for value in reversed(values if floats else offsets):
        (builder.PrependFloat32 if floats else builder.PrependUOffsetTRelative)(value)
    return int(builder.EndVector())
