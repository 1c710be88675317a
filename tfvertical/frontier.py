"""Split a functional model where frozen ends: everything before is run once, training sees only what comes after.

The frontier is found by data flow: the last tensors that no learning variable and no random operation has touched.
The model is replayed, never rewired, so that it stays saveable and exportable; prefix and suffix hold its own layers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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

    Augmentation holds no weight, yet its outputs must differ from epoch to epoch. Dropout may lie in the prefix: what is
    frozen runs in inference mode.
    """
    return bool(getattr(operation, "trainable_variables", ())) or _augments(operation)


def _augments(operation: Any) -> bool:
    return ".preprocessing." in type(operation).__module__ and hasattr(operation, "generator")


def split(model: keras.Model, moves: Callable[[Any], bool] = learns) -> Split:
    """Split `model` at its frontier.

    Args:
        model: functional; nested functional models are looked into.
        moves: whether an operation belongs to what learns; by default, whether it holds a trainable variable.

    Returns:
        Prefix and suffix: `suffix(prefix(x))` equals `model(x)` exactly, in inference mode. Inputs of the suffix are
        called `cut_0`, `cut_1`, ….

    Example:
        >>> import keras
        >>> x = keras.Input((4,))
        >>> model = keras.Model(x, keras.layers.Dense(2, name="top")(keras.layers.Dense(3, trainable=False)(x)))
        >>> [layer.name for layer in split(model).suffix.layers]
        ['cut_0', 'top']
    """
    import keras

    calls, inputs, outputs = _replay(model)
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
    prefix = keras.Model(inputs, frontier, name=f"{model.name}_prefix")
    return Split(prefix, _suffix(model.name, calls, outputs, frontier, touched))


def _suffix(name: str, calls: list[Any], outputs: Any, frontier: list[Any], touched: set[int]) -> keras.Model:
    """Call the touched operations again, on fresh inputs in the frontier's place."""
    import keras

    new = {
        id(tensor): keras.Input(batch_shape=(None, *tensor.shape[1:]), dtype=tensor.dtype, name=f"cut_{at}")
        for at, tensor in enumerate(frontier)
    }
    starts = list(new.values())

    def replaced(value: Any) -> Any:
        return new.get(id(value), value)

    for operation, args, kwargs, output in calls:
        if any(id(tensor) in touched for tensor in _tensors(output)):
            args, kwargs = keras.tree.map_structure(replaced, (args, kwargs))
            again = operation(*args, **kwargs)
            new.update(zip(map(id, _tensors(output)), _tensors(again), strict=True))
    return keras.Model(starts, keras.tree.map_structure(replaced, outputs), name=f"{name}_suffix")


def _replay(model: keras.Model) -> tuple[list[Any], Any, Any]:
    """The model's calls in order, `(operation, args, kwargs, output)`, with its new inputs and outputs."""
    import keras

    calls: list[Any] = []

    def walk(part: keras.Model, inputs: Any = None) -> keras.Model:
        def record(operation: Any, *args: Any, **kwargs: Any) -> Any:
            if _is_plain_functional(operation):
                return walk(operation, args[0]).output
            output = operation(*args, **kwargs)
            calls.append((operation, args, kwargs, output))
            return output

        return keras.models.clone_model(
            part, input_tensors=inputs, clone_function=lambda layer: layer, call_function=record
        )

    replay = walk(model)
    return calls, replay.input, replay.output


def _is_plain_functional(operation: Any) -> bool:
    """A nested model that may be looked into: one whose call is its graph's and nothing else."""
    from keras.src.models.functional import Functional

    return isinstance(operation, Functional) and type(operation).call is Functional.call


def _tensors(structure: Any) -> list[Any]:
    import keras

    return [leaf for leaf in keras.tree.flatten(structure) if isinstance(leaf, keras.KerasTensor)]
