"""FlatBuffers tables read by slot, without generated code; every count is checked against the buffer's size."""

from __future__ import annotations

from typing import Any

from tfvertical.errors import BundleError


class Budget:
    """How many things may be read from a file, whatever its offsets say.

    Raises:
        BundleError: from `spend`: more than that.
    """

    def __init__(self, things: int = 1_000_000):
        self._left = self._things = things

    def spend(self, things: int) -> None:
        """Count some more."""
        self._left -= things
        if self._left < 0:
            raise BundleError(
                "The file is damaged, or made to take all memory.", expected=f"at most {self._things:,} parts"
            )


def text(raw: bytes, budget: Budget) -> str:
    """A string of a file; a long one counts as several things, since many offsets may point to it."""
    budget.spend(len(raw) // 16)
    return raw.decode("utf-8")


class Reader:
    """One table of a buffer.

    Args:
        buffer: the whole of it.
        position: where the table stands; the root where None.
        budget: how much may be read in all; of its own where None. Offsets may all point to one table, so that a small
            file can hold any number of them.

    Raises:
        BundleError: from any method: the buffer is cut short, damaged, or holds more than a person would write.
    """

    def __init__(self, buffer: bytes, position: int | None = None, budget: Budget | None = None):
        import flatbuffers
        from flatbuffers import encode, number_types

        self.buffer, self.budget = buffer, budget or Budget()
        self.budget.spend(1)
        try:
            at = encode.Get(number_types.UOffsetTFlags.packer_type, buffer, 0) if position is None else position
            self._table = flatbuffers.table.Table(buffer, at)
            self._offset(0)
        except Exception as error:  # struct.error, IndexError, TypeError …: FlatBuffers checks nothing
            raise _damaged(error) from error

    def string(self, slot: int) -> str:
        """A string; empty if it is not there."""
        return self._guarded(lambda at: text(self._table.String(at + self._table.Pos), self.budget), slot, "")

    def byte(self, slot: int) -> int:
        """A small number; 0 if it is not there."""
        from flatbuffers import number_types

        return self._guarded(lambda at: self._table.Get(number_types.Int8Flags, at + self._table.Pos), slot, 0)

    def unsigned(self, slot: int) -> int:
        """A 32-bit number; 0 if it is not there."""
        from flatbuffers import number_types

        return self._guarded(lambda at: self._table.Get(number_types.Uint32Flags, at + self._table.Pos), slot, 0)

    def number(self, slot: int) -> float:
        """A 32-bit float; 0 if it is not there."""
        from flatbuffers import number_types

        return self._guarded(lambda at: self._table.Get(number_types.Float32Flags, at + self._table.Pos), slot, 0.0)

    def table(self, slot: int) -> Reader | None:
        """A table, also that of a union; None if it is not there."""
        return self._guarded(lambda at: self._at(self._table.Indirect(at + self._table.Pos)), slot, None)

    def tables(self, slot: int) -> list[Reader]:
        """A vector of tables; empty if it is not there."""

        def read(at: int) -> list[Reader]:
            start = self._table.Vector(at)
            places = [start + 4 * index for index in range(self._count(at))]
            return [self._at(self._table.Indirect(place)) for place in places]

        return self._guarded(read, slot, [])

    def floats(self, slot: int) -> list[float]:
        """A vector of 32-bit floats; empty if it is not there."""
        from flatbuffers import number_types

        def read(at: int) -> list[float]:
            start = self._table.Vector(at)
            return [self._table.Get(number_types.Float32Flags, start + 4 * index) for index in range(self._count(at))]

        return self._guarded(read, slot, [])

    def _at(self, position: int) -> Reader:
        return Reader(self.buffer, position, self.budget)

    def _count(self, at: int) -> int:
        count = int(self._table.VectorLen(at))
        if not 0 <= 4 * count <= len(self.buffer):
            raise ValueError(f"{count} elements in {len(self.buffer)} bytes")
        self.budget.spend(count)
        return count

    def _offset(self, slot: int) -> int:
        return int(self._table.Offset(4 + 2 * slot))

    def _guarded(self, read: Any, slot: int, missing: Any) -> Any:
        try:
            at = self._offset(slot)
            return read(at) if at else missing
        except BundleError:
            raise
        except Exception as error:
            raise _damaged(error) from error


def _damaged(error: Exception) -> BundleError:
    return BundleError("The file is cut short or damaged.", received=f"{type(error).__name__}: {error}"[:200])
