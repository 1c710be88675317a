"""What a frozen model part is, as a hash: its operations, how they are connected, and every weight."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvertical import code_identity, frontier
from tfvertical.contracts import Encoded

UNNAMED = ("name", "build_config")  # options that do not count


def of_graph(model: keras.Model) -> str | None:
    """`of_model` without the weights, and whether they learn, which is another thing in each stage of a run."""
    return of_model(model, weighed=False)


def of_model(model: keras.Model, weighed: bool = True) -> str | None:
    """SHA-256 of a functional model, equal in every process; None where an operation cannot be written down.

    Names that Keras made up do not count; order, connections, options, arrays among the arguments, the code of layers
    and functions that no library has, and (where `weighed`) weights do.

    Example:
        >>> inputs = keras.Input((2,))
        >>> ones = [keras.layers.Dense(1, kernel_initializer="ones") for _ in range(2)]
        >>> of_model(keras.Model(inputs, ones[0](inputs))) == of_model(keras.Model(inputs, ones[1](inputs)))
        True
    """
    without = UNNAMED if weighed else (*UNNAMED, "trainable")
    calls, inputs, outputs = frontier.read(model)
    numbers: dict[int, int] = {}

    def numbered(leaf: Any) -> Any:
        if isinstance(leaf, keras.KerasTensor):
            return {
                "tensor": numbers.setdefault(id(leaf), len(numbers)),
                "shape": list(leaf.shape),
                "dtype": leaf.dtype,
            }
        return code_identity.leaf(leaf)

    written: list[Any] = [[tensor.name, numbered(tensor)] for tensor in keras.tree.flatten(inputs)]
    weights: dict[int, Any] = {}
    try:
        for operation, args, kwargs, output in calls:
            kind = f"{type(operation).__module__}.{type(operation).__name__}"
            arriving = keras.tree.map_structure(numbered, [list(args), dict(kwargs)])
            leaving = [numbered(tensor) for tensor in keras.tree.flatten(output)]
            code = code_identity.of_operation(operation)
            written.append([kind, _anonymous(operation.get_config(), without), code, arriving, leaving])
            weights |= {id(variable): variable for variable in getattr(operation, "weights", ())}
        written.append([numbered(tensor) for tensor in keras.tree.flatten(outputs)])
        digest = hashlib.sha256(json.dumps(written, sort_keys=True).encode())
    except (TypeError, ValueError, AttributeError, NotImplementedError, RecursionError):
        return None  # a layer without a configuration, or one whose code cannot be told
    for each in of_variables(list(weights.values())) if weighed else ():
        digest.update(each)
    return digest.hexdigest()


def of_variables(variables: Sequence[Any]) -> list[bytes]:
    """SHA-256 of each variable: type, shape, and contents.

    Example:
        >>> len(of_variables([keras.Variable([1.0, 2.0])])[0])
        32
    """
    with ThreadPoolExecutor() as pool:  # hashing lets go of Python's lock
        return list(pool.map(_of_variable, variables))


def _of_variable(variable: Any) -> bytes:
    digest = hashlib.sha256(f"{variable.dtype}{tuple(variable.shape)}".encode())
    with tf.device("CPU:0"):
        tensor = tf.identity(tf.convert_to_tensor(variable))
    # Lent by TensorFlow where it can: copying takes as long as hashing.
    array = tensor.numpy() if tensor.dtype == tf.bfloat16 else np.asarray(memoryview(tensor))
    digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.digest()


def of_inputs(encoded: Encoded) -> str:
    """SHA-256 of the model inputs of all examples; labels and weights do not count."""
    columns = {name: column.digest() for name, column in encoded.columns.items()}
    return hashlib.sha256(json.dumps(columns, sort_keys=True).encode()).hexdigest()


def of_examples(encoded: Encoded) -> str:
    """SHA-256 of inputs, labels and weights of all examples."""
    digest = hashlib.sha256(of_inputs(encoded).encode())
    for found in (encoded.labels, encoded.weights):
        if found is None or isinstance(found, np.ndarray):
            digest.update(b"-" if found is None else np.ascontiguousarray(found).tobytes())
        else:
            digest.update(found.digest().encode())
    return digest.hexdigest()


def _anonymous(config: Any, without: Sequence[str] = UNNAMED) -> Any:
    """A layer's options without names, which count up over the life of a process."""
    if isinstance(config, Mapping):
        return {str(key): _anonymous(value, without) for key, value in config.items() if key not in without}
    if isinstance(config, list | tuple):
        return [_anonymous(value, without) for value in config]
    return config
