"""A task whose model computes in bfloat16 or float16, again in float32: phones have no such operators."""

from __future__ import annotations

from typing import Any

from tfvertical import stages
from tfvertical.contracts import Task


def twin(task: Task) -> Task:
    """`task` itself where every layer computes in float32; else a copy that does, with the same weights.

    Mixed precision keeps weights in float32, so the copy is what was trained, without the rounding between layers.
    """
    import keras

    every = stages.layers(task.model)
    if all(getattr(layer, "compute_dtype", "float32") in ("float32", None) for layer in every):
        return task
    config = _replaced(keras.saving.serialize_keras_object(task.model.get_config()))
    model = type(task.model).from_config(config)
    copy = type(task).restore(model, task.config(), task.preprocessor.assets())
    values = {address: variable.numpy() for address, variable in stages.addresses(task.components).items()}
    for address, variable in stages.addresses(copy.components).items():
        variable.assign(values[address])
    return copy


def _replaced(value: Any) -> Any:
    """A Keras configuration with float32 in the place of every narrower policy, and no optimizer or loss."""
    if isinstance(value, dict):
        if value.get("class_name") == "DTypePolicy":
            narrow = "float16" in value["config"]["name"]  # as in bfloat16
            return {**value, "config": {"name": "float32"}} if narrow else value
        if value.get("class_name") == "__keras_tensor__" and "float16" in str(value["config"].get("dtype")):
            value = {**value, "config": {**value["config"], "dtype": "float32"}}
        return {key: _replaced(item) for key, item in value.items() if key != "compile_config"}
    if isinstance(value, (list, tuple)):
        return [_replaced(item) for item in value]
    return "float32" if value in ("mixed_bfloat16", "mixed_float16", "bfloat16", "float16") else value
