"""Split a functional model where frozen ends: everything before is run once, training sees only what comes after.

The frontier is found by data flow: the last tensors that no learning variable and no random operation has touched.
The model is replayed, never rewired, so that it stays saveable and exportable; prefix and suffix hold its own layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

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
    """Whether an operation is one of Keras' random augmentation layers."""
    return ".preprocessing." in type(operation).__module__ and hasattr(operation, "generator")


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
            again = operation(*args, **kwargs)
            new.update(zip(map(id, _tensors(output)), _tensors(again), strict=True))
    return keras.Model(starts, keras.tree.map_structure(replaced, outputs), name=f"{name}_suffix")


def first_not_finite(model: keras.Model, inputs: Mapping[str, Any]) -> tuple[str, Any] | None:
    """Run a functional model operation by operation and say where numbers first are not finite.

    Args:
        model: functional.
        inputs: its inputs by name, `(batch, …)`.

    Returns:
        The operation's name, or that of the input, and a bool array `(batch,)` of the examples concerned; None where
        everything is finite.
    """
    import keras

    calls, symbols, _ = replay(model)
    values = {id(symbol): inputs[symbol.name] for symbol in _tensors(symbols)}
    for symbol in _tensors(symbols):
        if (bad := _not_finite(values[id(symbol)])) is not None:
            return symbol.name, bad
    for operation, args, kwargs, output in calls:
        args, kwargs = keras.tree.map_structure(lambda leaf: values.get(id(leaf), leaf), (args, kwargs))
        found = keras.tree.flatten(operation(*args, **kwargs))
        for value in found:
            if (bad := _not_finite(value)) is not None:
                return operation.name, bad
        values.update(zip(map(id, _tensors(output)), found, strict=True))
    return None


def _not_finite(value: Any) -> np.ndarray | None:
    array = np.asarray(value)
    if array.dtype.kind not in "fV":
        return None
    bad: np.ndarray = np.logical_not(np.isfinite(array.astype(np.float32)).reshape(len(array), -1).all(axis=1))
    return bad if bad.any() else None


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
        output = operation(*args, **kwargs)
        calls.append((operation, args, kwargs, output))
        return output

    inputs = keras.tree.map_structure(
        lambda tensor: keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name), whole.input
    )
    return calls, inputs, whole._run_through_graph(inputs, operation_fn=lambda layer: layer, call_fn=record)


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
