"""A functional model as JSON and back, with an allow-list in both directions and a limit on what may be allocated.

Keras' own safe mode refuses lambdas. It still builds whatever a file asks for: layers that unpickle or open other
files, classes that any imported package registered, and a kernel of any size. So the JSON is walked first, and
variables are counted before they are made.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tfvertical import stages
from tfvertical.errors import BundleError
from tfvertical.files import parse_json

if TYPE_CHECKING:
    import keras

_PACKAGES = frozenset({"keras", "keras_hub", "keras_nlp", "keras_cv", "tfvertical"})
_VALUES = frozenset(
    {"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__", "__tuple__"}
)
# Layers that run foreign code, unpickle, or open files that the configuration names.
_REFUSED = frozenset(
    {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"}
    | {"TextVectorization", "StringLookup", "IntegerLookup"}
)
_LEAST_ROOM = 2**20  # bytes granted beyond the weights: the seeds of dropout, rounding


def to_json(model: keras.Model) -> bytes:
    """The model's layers and connections, without weights, optimizer or loss.

    Raises:
        BundleError: a layer is one that `from_json` would refuse.
    """
    import keras

    config = {
        "module": type(model).__module__,
        "class_name": type(model).__name__,
        "registered_name": keras.saving.get_registered_name(type(model)),
        "config": _without_compilation(keras.saving.serialize_keras_object(model.get_config())),
    }
    refuse_foreign(config, f"Model {model.name!r}")
    try:
        return (json.dumps(config, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise BundleError(f"Model {model.name!r} cannot be written as JSON: {error}.") from error


def from_json(content: bytes, where: str, *, room: int) -> keras.Model:
    """Build the model with weights yet to be assigned.

    Args:
        content: what `to_json` returned.
        where: what messages call it.
        room: bytes that its variables may take in all; the size of the weights that will go into them.

    Raises:
        BundleError: not readable, a layer that is not on the allow-list, or more variables than weights.
    """
    import keras

    config = parse_json(content, where)
    _register_ours(refuse_foreign(config, where))
    try:
        with _limited(room + _LEAST_ROOM, where):
            with warnings.catch_warnings():
                # such layers are built below
                warnings.filterwarnings("ignore", r"`build\(\)` was called on layer", UserWarning)
                model = keras.saving.deserialize_keras_object(config, safe_mode=True)
            if isinstance(model, keras.Model):
                _build_inner(model)
    except BundleError:
        raise
    except Exception as error:  # Keras raises all kinds, over what may be any kind of damage
        raise BundleError(
            f"{where}: Keras cannot build this model.", received=f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(model, keras.Model):
        raise BundleError(f"{where} holds no model.", received=type(model).__name__)
    return model


def _build_inner(model: keras.Model) -> None:
    """Build layers that others hold: Keras takes a layer that comes from a file for built, though what is in it is not,
    if it has no `build` of its own (the relative positions of KerasHub's DeBERTa).
    """
    import keras
    import tensorflow as tf

    plain = [layer for layer in stages.layers(model) if type(layer).build is keras.layers.Layer.build]
    if not all(inner.built for layer in plain for inner in stages.layers(layer)):
        given = keras.tree.map_structure(lambda each: tf.TensorSpec(each.shape, each.dtype), model.input)
        tf.function(lambda inputs: model(inputs), autograph=False).get_concrete_function(given)


def refuse_foreign(config: Any, where: str) -> set[str]:
    """Walk a Keras configuration and refuse every class or function that is not on the allow-list.

    Returns:
        The modules that its classes come from.

    Raises:
        BundleError: with the name at fault.
    """
    waiting, modules = [config], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "class_name" in value and "config" in value:
                _refuse_object(value, where)
                modules.add(str(value.get("module")))
            waiting.extend(value.values())
        elif isinstance(value, (list, tuple)):
            waiting.extend(value)
    return modules


def _register_ours(modules: set[str]) -> None:
    """Import this package's own layers, since Keras finds a registered class only once its file has been imported."""
    for module in sorted(modules):
        if re.fullmatch(r"tfvertical(\.\w+)+", module):
            with contextlib.suppress(ImportError):  # Keras then says which class it could not find
                importlib.import_module(module)


def _refuse_object(value: dict[str, Any], where: str) -> None:
    name, module, registered = str(value["class_name"]), value.get("module"), value.get("registered_name")
    if name in _VALUES:
        return
    words = [str(word) for word in (name, registered, value["config"] if name == "function" else "") if word]
    root = str(module or "").split(".")[0]
    owner = next((word.split(">")[0] for word in words if ">" in word), root)
    known = root in _PACKAGES or (name == "function" and root == "builtins")
    short = {word.split(">")[-1] for word in words}
    # Keras joins module and name: of `keras` and `layers.Lambda` it makes what `keras.layers` and `Lambda` are
    dotted = not all(map(str.isidentifier, short))
    where_from = "\n".join([str(module), *words]).lower()
    reads_files = any(part in where_from for part in ("tokenizer", "preprocessor"))
    refused = dotted or bool(short & _REFUSED) or reads_files or name.startswith("__")
    if not known or owner not in _PACKAGES | {"builtins"} or refused:
        called = words[-1] if name == "function" else name
        raise BundleError(
            f"{where} uses {module or 'no module'}.{called}, which is not allowed in a bundle.",
            expected="layers of Keras, KerasHub, KerasCV or tfvertical that run no code of their own",
            fix="replace the layer by built-in ones, or keep the model as Keras code beside its weights",
        )


def _without_compilation(value: Any) -> Any:
    """The configuration without optimizers and losses: they belong to a run, not to the model."""
    if isinstance(value, dict):
        is_object = "class_name" in value
        return {k: _without_compilation(v) for k, v in value.items() if not (is_object and k == "compile_config")}
    return [_without_compilation(v) for v in value] if isinstance(value, (list, tuple)) else value


@contextlib.contextmanager
def _limited(room: int, where: str) -> Iterator[None]:
    """Refuse variables of more than `room` bytes in all, before they are allocated.

    The shape is learned by tracing the initializer, which allocates nothing. Large variables then start at zero: their
    weights are about to be assigned, and drawing random numbers for them would take most of the loading time.
    """
    import tensorflow as tf

    used = 0

    def create(make: Any, **options: Any) -> Any:
        nonlocal used
        initial = options.get("initial_value")
        if callable(initial):
            with tf.__internal__.FuncGraph("shape").as_default():
                traced = initial()
            size = math.prod(traced.shape.as_list()) * traced.dtype.size
            used += size
            if used > room:
                raise BundleError(
                    f"{where} asks for more weights than the bundle holds.", expected=f"at most {room} bytes"
                )
            if size > 2**16:
                options["initial_value"] = lambda: tf.zeros(traced.shape, traced.dtype)
        return make(**options)

    with tf.variable_creator_scope(create):
        yield
