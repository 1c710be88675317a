"""Split a functional model where frozen ends: everything before is run once, training sees only what comes after.

The frontier is found by data flow: the last tensors that no learning variable and no random operation has touched.
The model is replayed, never rewired, so that it stays saveable and exportable; prefix and suffix hold its own layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tfvertical import nodes, stages
from tfvertical.errors import ConfigError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Split:
    """A model in two parts that share its weights.

    Args:
        prefix: the model's inputs to the frontier's tensors; holds nothing that learns. None if nothing is frozen.
        suffix: those tensors to the model's outputs; what is trained.
    """

    prefix: keras.Model | None
    suffix: keras.Model


def learns(operation: Any) -> bool:
    """Whether an operation holds a variable that is set to learn, or augments at random.

    Augmentation holds no weight, yet its outputs must differ from epoch to epoch. Dropout may lie in the prefix: what
    is frozen runs in inference mode.
    """
    return bool(getattr(operation, "trainable_variables", ())) or augments(operation)


def augments(operation: Any) -> bool:
    """Whether an operation is one of Keras' random augmentation layers, of a class made of one, or holds one."""
    import keras

    layers = stages.layers(operation) if isinstance(operation, keras.layers.Layer) else []
    return any(
        hasattr(layer, "generator") and any(".preprocessing." in base.__module__ for base in type(layer).__mro__)
        for layer in layers
    )


def split(model: keras.Model, moves: Callable[[Any], bool] = learns) -> Split:
    """Split `model` at its frontier.

    Args:
        model: functional; nested functional models are looked into.
        moves: whether an operation belongs to what learns; by default, whether it holds a trainable variable.

    Returns:
        Prefix and suffix: `suffix(prefix(x))` equals `model(x)` exactly, in inference mode. What goes from one to the
        other is a dictionary of tensors called `cut_0`, `cut_1`, ….

    Raises:
        ConfigError: the model is not functional, or overrides `call`.

    Example:
        >>> import keras
        >>> x = keras.Input((4,))
        >>> model = keras.Model(x, keras.layers.Dense(2, name="top")(keras.layers.Dense(3, trainable=False)(x)))
        >>> [layer.name for layer in split(model).suffix.layers]
        ['cut_0', 'top']
    """
    import keras
    from keras.src.backend import get_keras_mask

    calls, inputs, outputs = replay(model)
    touched: set[int] = set()
    cut: dict[int, Any] = {}
    for operation, args, kwargs, output in calls:
        arriving = _tensors((args, kwargs))
        if moves(operation) or any(id(tensor) in touched for tensor in arriving):
            touched.update(id(tensor) for tensor in _tensors(output))
            cut.update({id(tensor): tensor for tensor in arriving if id(tensor) not in touched})
    cut.update({id(tensor): tensor for tensor in _tensors(outputs) if id(tensor) not in touched})
    frontier = list(cut.values())
    if all(any(tensor is source for source in _tensors(inputs)) for tensor in frontier):
        return Split(None, model)
    named = {f"cut_{at}": tensor for at, tensor in enumerate(frontier)}
    # Keras' implicit mask is among the arguments of the calls that use it, so it crosses as a tensor of its own;
    # carried along as well, it would only make the suffix warn that it drops it.
    bare = {name: t if get_keras_mask(t) is None else keras.ops.copy(t) for name, t in named.items()}
    prefix = keras.Model(inputs, bare, name=f"{model.name}_prefix")
    return Split(prefix, _suffix(model.name, calls, outputs, named, touched))


def _suffix(name: str, calls: list[Any], outputs: Any, frontier: Mapping[str, Any], touched: set[int]) -> keras.Model:
    """Call the touched operations again, on fresh inputs in the frontier's place."""
    import keras

    starts = {
        name: keras.Input(batch_shape=(None, *tensor.shape[1:]), dtype=tensor.dtype, name=name)
        for name, tensor in frontier.items()
    }
    new = {id(tensor): starts[name] for name, tensor in frontier.items()}

    def replaced(value: Any) -> Any:
        return new.get(id(value), value)

    for operation, args, kwargs, output in calls:
        if any(id(tensor) in touched for tensor in _tensors(output)):
            args, kwargs = keras.tree.map_structure(replaced, (args, kwargs))
            again = nodes.called(operation, *args, **kwargs)
            new.update(zip(map(id, _tensors(output)), _tensors(again), strict=True))
    return keras.Model(starts, keras.tree.map_structure(replaced, outputs), name=f"{name}_suffix")


def first_not_finite(model: keras.Model, inputs: Mapping[str, Any]) -> tuple[str, Any] | None:
    """Run a functional model operation by operation and say where numbers first are not finite.

    An infinity may belong where it is: padding before a maximum is one. So the search begins at the first NaN, or else
    at an infinity that the model gives, or else at a positive one on the way, and goes back as long as an operation was
    given such numbers.

    Args:
        model: functional.
        inputs: its inputs by name, `(batch, …)`.

    Returns:
        The operation's name, or that of the input, and a bool array `(batch,)` of the examples concerned; None where
        everything is as it should be.
    """
    import keras

    calls, symbols, outputs = read(model)
    values = {id(symbol): inputs[symbol.name] for symbol in _tensors(symbols)}
    count = len(next(iter(values.values())))
    names: list[str] = []
    faults: dict[int, _Fault] = {}

    def look(name: str, tensors: list[Any], given: list[Any]) -> None:
        names.append(name)
        before = [faults[id(tensor)] for tensor in given if id(tensor) in faults]
        for tensor in tensors:
            if (fault := _fault(values[id(tensor)], count, len(names) - 1, before)) is not None:
                faults[id(tensor)] = fault

    for symbol in _tensors(symbols):
        look(symbol.name, [symbol], [])
    for operation, args, kwargs, output in calls:
        given = _tensors((args, kwargs))
        args, kwargs = keras.tree.map_structure(lambda leaf: values.get(id(leaf), leaf), (args, kwargs))
        found = keras.tree.flatten(operation(*args, **kwargs))
        values.update(zip(map(id, _tensors(output)), found, strict=True))
        look(operation.name, _tensors(output), given)
    ends = [faults[id(tensor)] for tensor in _tensors(outputs) if id(tensor) in faults]
    every = list(faults.values())
    for least, among in ((_NAN, every), (_INFINITE, ends), (_BELOW, ends), (_INFINITE, every)):
        for fault in among:
            if fault.level.max() >= least:
                return _first(fault, least, names)
    return None


_BELOW, _INFINITE, _NAN = 1, 2, 3  # -inf, which masks and pads; inf; NaN: the greater, the less it belongs anywhere


class _Fault(NamedTuple):
    """Of a tensor, by example: how bad its worst number is, 0 where all are finite; and the number of the input or
    operation at which that began."""

    level: np.ndarray
    source: np.ndarray


def _fault(value: Any, count: int, number: int, given: Sequence[_Fault]) -> _Fault | None:
    """What is not finite in a value that operation `number` made of what has these faults; None where nothing is."""
    array = np.asarray(value)
    if array.dtype.kind not in "fV":
        return None
    array = array.astype(np.float32) if array.dtype.kind == "V" else array
    array = array if array.ndim and len(array) == count else array[None]  # then it concerns all of them
    level = np.zeros(len(array), int)
    for kind, of_kind in ((_BELOW, np.isneginf), (_INFINITE, np.isposinf), (_NAN, np.isnan)):
        level[of_kind(array).any(axis=tuple(range(1, array.ndim)))] = kind
    if not level.any():
        return None
    worst, source = np.zeros(count, int), np.full(count, number)
    for fault in given:
        source = np.where(fault.level > worst, fault.source, source)
        worst = np.maximum(worst, fault.level)
    return _Fault(np.broadcast_to(level, count), source)


def _first(fault: _Fault, least: int, names: Sequence[str]) -> tuple[str, np.ndarray]:
    """The earliest name at which something began that is as bad as `least`, and the examples in which it did."""
    bad = fault.level >= least
    first = int(fault.source[bad].min())
    return names[first], bad & (fault.source == first)


def replay(model: keras.Model) -> tuple[list[Any], Any, Any]:
    """The model's calls in order, `(operation, args, kwargs, output)`, with its new inputs and outputs.

    `_run_through_graph` is what `keras.models.clone_model` uses; it is called directly, since cloning a nested model on
    tensors that are not inputs makes new nodes and loses the connection.

    Raises:
        ConfigError: the model is not functional, or overrides `call`.
    """
    import keras

    whole = _graph_of(model)
    if whole is None:
        raise ConfigError(
            f"{model.name!r} ({type(model).__name__}) is no functional model: nobody can see where frozen ends.",
            fix="build it from keras.Input to keras.Model, or train it as a whole",
        )
    calls: list[Any] = []

    def record(operation: Any, *args: Any, **kwargs: Any) -> Any:
        part = _graph_of(operation)
        if part is not None and args and _same_inputs(args[0], part.input):
            return part._run_through_graph(args[0], operation_fn=lambda layer: layer, call_fn=record)
        output = nodes.called(operation, *args, **kwargs)
        calls.append((operation, args, kwargs, output))
        return output

    inputs = keras.tree.map_structure(
        lambda tensor: keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name), whole.input
    )
    return calls, inputs, whole._run_through_graph(inputs, operation_fn=lambda layer: layer, call_fn=record)


def read(model: keras.Model) -> tuple[list[Any], Any, Any]:
    """As `replay`, for those who only look: nothing is left on the model's layers, and no model can be built of it."""
    with nodes.forgotten():
        return replay(model)


def _graph_of(operation: Any) -> Any:
    """The graph of a nested model whose call is its graph's and nothing else; None for any other operation."""
    import keras
    from keras.src.models.functional import Functional

    if isinstance(operation, keras.Sequential):
        return operation._functional
    return operation if isinstance(operation, Functional) and type(operation).call is Functional.call else None


def _same_inputs(arriving: Any, expected: Any) -> bool:
    """Whether a nested model takes what arrives as it is: others it would rearrange, cast or reshape first."""
    import keras

    try:
        keras.tree.assert_same_structure(arriving, expected)
    except (ValueError, TypeError):
        return False
    pairs = zip(keras.tree.flatten(arriving), keras.tree.flatten(expected), strict=True)
    return all(one.dtype == other.dtype and len(one.shape) == len(other.shape) for one, other in pairs)


def _tensors(structure: Any) -> list[Any]:
    import keras

    return [leaf for leaf in keras.tree.flatten(structure) if isinstance(leaf, keras.KerasTensor)]
