"""What code of one's own computes, in a form that can be hashed.

An own layer is the same class with the same options after its `call` was edited, and a `Lambda` of a function bears
that function's name alone. So what they run is written down from what is loaded, not from a file that may have been
edited since. What a library defines is its name; its version stands beside it where that matters.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import inspect
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvertical import stages

_KNOWN = {"keras", "keras_hub", "keras_cv", "tensorflow", "tfvertical", "numpy"} | set(sys.stdlib_module_names)
_LOOKED_UP = ("LOAD_GLOBAL", "LOAD_NAME")
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")


def of_operation(operation: Any) -> list[Any]:
    """What an operation and all layers in it run that no library has, as plain values; empty for Keras' own layers.

    Raises:
        ValueError: it cannot be told.

    Example:
        >>> of_operation(keras.layers.Dense(2, "gelu"))
        []
    """
    parts = stages.layers(operation) if isinstance(operation, keras.layers.Layer) else [operation]
    writer = _Writer(parts)
    found = []
    for part in parts:
        found += [writer.value(kind) for kind in type(part).__mro__ if not _known(kind.__module__)]
        # Of what a layer holds, options are in its configuration and weights are hashed by themselves.
        held = (_unwrapped(each) for each in _leaves(vars(part)))
        found += [writer.value(each) for each in held if _is_own_code(each, parts)]
    return found


def leaf(value: Any) -> Any:
    """An argument of a call, as a plain value: its content, not what `str` shows of it.

    Raises:
        ValueError: it cannot be told.
    """
    return _Writer([]).value(value)


class _Writer:
    """Writes values down; what was written once is referred to by its number, since functions call each other."""

    def __init__(self, parts: list[Any]):
        self.seen: dict[int, tuple[int, Any]] = {}  # holds what it has seen, so that no other gets its id
        for part in parts:
            self._number(part)

    def value(self, value: Any) -> Any:
        if value is None or isinstance(value, str | bool | int | float):
            return value
        if isinstance(value, bytes | complex | range | types.EllipsisType | np.dtype | tf.DType):
            return [type(value).__name__, repr(value)]
        if isinstance(value, slice):
            return ["slice", *(self.value(each) for each in (value.start, value.stop, value.step))]
        if isinstance(value, list | tuple):
            return [self.value(each) for each in value]
        if isinstance(value, set | frozenset):  # in an order that differs from process to process
            return sorted((self.value(each) for each in value), key=repr)
        if isinstance(value, Mapping):
            return [[self.value(key), self.value(each)] for key, each in value.items()]
        if id(value) in self.seen:
            return ["seen", self.seen[id(value)][0]]
        if _is_named(value) and _known(_module(value)):
            return f"{_module(value)}.{_name(value)}"
        if isinstance(value, types.ModuleType) and _known(value.__name__):
            return value.__name__
        self._number(value)
        if isinstance(value, types.CodeType):
            return self._code(value, {})
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.MethodType):
            return [self.value(value.__func__), self.value(value.__self__)]
        if isinstance(value, functools.partial):
            return [self.value(each) for each in (value.func, value.args, value.keywords)]
        if isinstance(value, property):
            return [self.value(each) for each in (value.fget, value.fset)]
        if hasattr(value, "__wrapped__"):  # a class method, a `tf.function`
            return [_name(type(value)), self.value(value.__wrapped__)]
        if isinstance(value, type):
            return self._class(value)
        if hasattr(value, "__array__") and not isinstance(value, keras.KerasTensor):
            return _array(value)
        if _known(type(value).__module__) or isinstance(value, keras.layers.Layer):
            raise ValueError(f"nobody can tell what a {type(value).__name__} holds")
        return [self.value(type(value)), self.value(vars(value))]

    def _number(self, value: Any) -> None:
        self.seen[id(value)] = (len(self.seen), value)

    def _class(self, kind: type) -> list[Any]:
        own = [
            [name, self.value(value)]
            for name, value in vars(kind).items()
            if name != "_abc_impl" and (not name.startswith("__") or isinstance(value, types.FunctionType))
            if not isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType)
        ]
        return [_name(kind), own, [self.value(base) for base in kind.__bases__]]

    def _function(self, function: types.FunctionType) -> list[Any]:
        wrapped = getattr(function, "__wrapped__", None)
        if _known(function.__globals__.get("__name__", "")):
            name = f"{function.__globals__['__name__']}.{function.__qualname__}"
            return [name, self.value(wrapped)]
        held = [cell.cell_contents for cell in function.__closure__ or ()]
        defaults = [function.__defaults__, function.__kwdefaults__]
        return [self._code(function.__code__, function.__globals__), self.value(held), self.value(defaults)]

    def _code(self, code: types.CodeType, names: Mapping[str, Any]) -> list[Any]:
        constants = [
            self._code(each, names) if isinstance(each, types.CodeType) else self.value(each) for each in code.co_consts
        ]
        looked_up = [self.value(each) for each in _looked_up(code, names)]
        return [code.co_code.hex(), constants, list(code.co_names), list(code.co_varnames), looked_up]


def _looked_up(code: types.CodeType, names: Mapping[str, Any]) -> Iterator[Any]:
    """What code finds outside of itself: global names, and what it takes out of modules."""
    found: Any = None
    for instruction in dis.get_instructions(code):
        if instruction.opname == "EXTENDED_ARG":
            continue
        if isinstance(found, types.ModuleType) and instruction.opname in _ATTRIBUTES:
            found = getattr(found, instruction.argval, None)
            continue
        if found is not None:
            yield found
        found = None
        if instruction.opname in _LOOKED_UP:
            found = names.get(instruction.argval)  # else a builtin, or a name that is not there yet
        elif instruction.opname == "IMPORT_NAME" and not _known(instruction.argval):
            raise ValueError(f"nobody can tell what {instruction.argval!r} holds when it is imported")


def _unwrapped(value: Any) -> Any:
    """What Keras and TensorFlow have wrapped: a layer's `build`, a `tf.function`."""
    return inspect.unwrap(value) if callable(value) else value


def _is_own_code(value: Any, parts: list[Any]) -> bool:
    """Whether something that a layer holds is a function that no library has, or an object of such a class."""
    if isinstance(value, types.MethodType):
        return all(value.__self__ is not part for part in parts)  # else it is one of its class
    if isinstance(value, types.FunctionType):
        return not _known(value.__globals__.get("__name__", ""))
    if isinstance(value, keras.layers.Layer | keras.Variable | keras.KerasTensor):
        return False
    return isinstance(value, functools.partial) or not _known(
        _module(value if isinstance(value, type) else type(value))
    )


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(each)
    else:
        yield value


def _is_named(value: Any) -> bool:
    """Whether its module and its name say what it is: a class, or a function that is not written in Python."""
    python = isinstance(value, types.FunctionType | types.MethodType)
    return not python and callable(value) and (hasattr(value, "__qualname__") or hasattr(value, "__name__"))


def _array(value: Any) -> list[Any]:
    array = np.asarray(value)
    if array.dtype.hasobject:
        raise ValueError("nobody can tell what an array of objects holds")
    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return ["array", str(array.dtype), list(array.shape), hashlib.sha256(content.data).hexdigest()]


def _known(module: str | None) -> bool:
    return (module or "builtins").partition(".")[0] in _KNOWN


def _module(value: Any) -> str:
    return getattr(value, "__module__", None) or "builtins"


def _name(value: Any) -> str:
    return str(getattr(value, "__qualname__", None) or value.__name__)
