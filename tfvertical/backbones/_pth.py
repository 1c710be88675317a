"""PyTorch's old, non-zip `.pth` files as NumPy arrays, read without unpickling and without torch.

A `.pth` is a pickle, and unpickling runs whatever the file says. Here the few pickle instructions that a table of
tensors consists of are interpreted one by one; every other instruction, name or persistent object is refused.
"""

from __future__ import annotations

import io
import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from tfvertical.errors import PresetError

_MAGIC: Final = 0x1950A86A20F9469CFC6C
_PROTOCOL: Final = 1001
_MOST_BYTES: Final = 1 << 30
_MOST_OPCODES: Final = 1_000_000
_DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "torch FloatStorage": np.dtype("<f4"),
    "torch DoubleStorage": np.dtype("<f8"),
    "torch HalfStorage": np.dtype("<f2"),
    "torch LongStorage": np.dtype("<i8"),
    "torch IntStorage": np.dtype("<i4"),
    "torch ByteStorage": np.dtype("u1"),
}
_MARK: Final = object()


@dataclass(frozen=True)
class _Global:
    """A name in the file; it stands for itself and is never imported."""

    name: str


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype[Any]
    count: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def read_pth(content: bytes, name: str = "checkpoint") -> dict[str, np.ndarray]:
    """The tensors of a state dict saved by `torch.save` before version 1.6 (or without its zip format).

    Args:
        content: the whole file, at most 1 GiB.
        name: what messages call it.

    Returns:
        Tensor name -> array, in the order of the file.

    Raises:
        PresetError: it is no such file, is cut off, or asks for anything but tensors.
    """
    if len(content) > _MOST_BYTES:
        raise _refused(name, f"{len(content)} bytes", expected=f"at most {_MOST_BYTES}")
    try:
        return _read(io.BytesIO(content))
    except _Refusal as refusal:
        raise _refused(name, str(refusal)) from None
    except Exception as error:  # what a reader of damaged instructions stumbles over is not foreseeable
        raise _refused(name, f"a broken file ({type(error).__name__}: {error})") from error


class _Refusal(Exception):
    pass


def _refused(name: str, received: str, expected: str = "a state dict in PyTorch's old format") -> PresetError:
    return PresetError(f"{name} cannot be read.", expected=expected, received=received, fix="fetch the file again")


def _read(file: io.BytesIO) -> dict[str, np.ndarray]:
    if _value(file) != _MAGIC or _value(file) != _PROTOCOL:
        raise _Refusal("no PyTorch file of the old format")
    if not _value(file).get("little_endian"):
        raise _Refusal("a file of a big-endian machine")
    table, keys = _value(file), _value(file)
    if not isinstance(table, dict) or not all(
        isinstance(key, str) and isinstance(value, _Tensor) for key, value in table.items()
    ):
        raise _Refusal("something other than a table of tensors")
    storages = {tensor.storage.key: tensor.storage for tensor in table.values()}
    if not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(storages):
        raise _Refusal("a list of storages that does not fit the tensors")
    data = {key: _storage(file, storages[key]) for key in keys}
    if file.read(1):
        raise _Refusal("bytes after the last tensor")
    return {key: _array(tensor, data[tensor.storage.key]) for key, tensor in table.items()}


def _storage(file: io.BytesIO, storage: _Storage) -> np.ndarray:
    count = int.from_bytes(file.read(8), "little", signed=True)
    if count != storage.count:
        raise _Refusal(f"storage {storage.key} of {count} numbers where {storage.count} were announced")
    raw = file.read(count * storage.dtype.itemsize)
    if len(raw) != count * storage.dtype.itemsize:
        raise _Refusal("a file that was cut off")
    return np.frombuffer(raw, storage.dtype)


def _array(tensor: _Tensor, data: np.ndarray) -> np.ndarray:
    """The tensor's own numbers: within its storage, and never more of them than the storage holds."""
    numbers = (tensor.offset, *tensor.size, *tensor.stride)
    if len(tensor.size) != len(tensor.stride) or any(type(n) is not int or n < 0 for n in numbers):
        raise _Refusal("a tensor whose size and stride are not whole numbers")
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.size, tensor.stride, strict=True))
    count = math.prod(list[int](tensor.size))
    if count > data.size or (count and last >= data.size):
        raise _Refusal(f"a tensor of size {tensor.size} in a storage of {data.size} numbers")
    steps = [step * data.itemsize for step in tensor.stride]
    return np.lib.stride_tricks.as_strided(data[tensor.offset :], tensor.size, steps, writeable=False).copy()


def _rebuild(arguments: tuple[Any, ...]) -> _Tensor:
    storage, offset, size, stride = arguments[:4]
    if not isinstance(storage, _Storage):
        raise _Refusal("a tensor without a storage")
    return _Tensor(storage, offset, tuple(size), tuple(stride))


def _persistent(identity: Any) -> _Storage:
    kind, storage, key, _, count, view = identity
    if kind != "storage" or view is not None or not isinstance(storage, _Global) or storage.name not in _DTYPES:
        raise _Refusal("a persistent object that is no storage of numbers")
    if type(count) is not int or count < 0 or not isinstance(key, str):
        raise _Refusal("a storage without a key or a size")
    return _Storage(key, _DTYPES[storage.name], count)


_CALLS: Final[dict[str, Callable[[tuple[Any, ...]], Any]]] = {
    "collections OrderedDict": lambda arguments: {} if arguments == () else _deny("a filled OrderedDict"),
    "torch._utils _rebuild_tensor_v2": _rebuild,
}


def _deny(what: str) -> Any:
    raise _Refusal(what)


@dataclass
class _Machine:
    """The state of one pickle while it is read."""

    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def to_mark(self) -> list[Any]:
        above = next((i for i, value in enumerate(reversed(self.stack)) if value is _MARK), None)
        if above is None:
            raise _Refusal("a pickle that takes more than it has")
        at = len(self.stack) - 1 - above
        taken = self.stack[at + 1 :]
        del self.stack[at:]
        return taken

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        names = items[::2]  # strings only: hashing a nest of tuples that hold each other twice takes for ever
        if type(target) is not dict or len(items) % 2 or not all(isinstance(name, str) for name in names):
            raise _Refusal("items for something that is no table")
        target.update(zip(names, items[1::2], strict=True))

    def extend(self, values: list[Any]) -> None:
        self.stack[-1].extend(values)

    def call(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, _Global) or function.name not in _CALLS:
            raise _Refusal("a call of something that may not be called")
        return _CALLS[function.name](arguments)


def _global(name: str) -> _Global:
    if name not in _CALLS and name not in _DTYPES:
        raise _Refusal(f"the name {name!r}, which has no business in a table of tensors")
    return _Global(name)


def _pop(machine: _Machine, count: int) -> tuple[Any, ...]:
    taken = tuple(machine.stack[-count:])
    if len(taken) != count or any(value is _MARK for value in taken):
        raise _Refusal("a pickle that takes more than it has")
    del machine.stack[-count:]
    return taken


# Each instruction: (machine, argument) -> nothing. `BUILD` is the metadata that torch hangs on a state dict: dropped.
_INSTRUCTIONS: Final[dict[str, Callable[[_Machine, Any], Any]]] = {
    "PROTO": lambda m, a: None,
    "MARK": lambda m, a: m.stack.append(_MARK),
    **dict.fromkeys(
        ("BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINUNICODE"), lambda m, a: m.stack.append(a)
    ),
    "NONE": lambda m, a: m.stack.append(None),
    "NEWTRUE": lambda m, a: m.stack.append(True),
    "NEWFALSE": lambda m, a: m.stack.append(False),
    "EMPTY_DICT": lambda m, a: m.stack.append({}),
    "EMPTY_LIST": lambda m, a: m.stack.append([]),
    "EMPTY_TUPLE": lambda m, a: m.stack.append(()),
    "TUPLE": lambda m, a: m.stack.append(tuple(m.to_mark())),
    "TUPLE1": lambda m, a: m.stack.append(_pop(m, 1)),
    "TUPLE2": lambda m, a: m.stack.append(_pop(m, 2)),
    "TUPLE3": lambda m, a: m.stack.append(_pop(m, 3)),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), lambda m, a: m.memo.__setitem__(a, m.stack[-1])),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda m, a: m.stack.append(m.memo[a])),
    "APPEND": lambda m, a: m.stack[-2].append(_pop(m, 1)[0]),
    "APPENDS": lambda m, a: m.extend(m.to_mark()),
    "SETITEM": lambda m, a: m.set_items(list(_pop(m, 2))),
    "SETITEMS": lambda m, a: m.set_items(m.to_mark()),
    "GLOBAL": lambda m, a: m.stack.append(_global(a)),
    "BINPERSID": lambda m, a: m.stack.append(_persistent(_pop(m, 1)[0])),
    "REDUCE": lambda m, a: m.stack.append(m.call(*_pop(m, 2))),
    "BUILD": lambda m, a: _pop(m, 1),
}


def _value(file: io.BytesIO) -> Any:
    """What the next pickle in the file says."""
    machine = _Machine()
    for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if opcode.name == "STOP":
            return machine.stack.pop()
        if opcode.name not in _INSTRUCTIONS:
            raise _Refusal(f"the pickle instruction {opcode.name}")
        if number > _MOST_OPCODES:
            raise _Refusal("an endless pickle")
        _INSTRUCTIONS[opcode.name](machine, argument)
    raise _Refusal("a pickle without an end")
