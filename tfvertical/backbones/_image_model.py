"""One shape for every image backbone: `images` 0…255 in, scaling as the first layer, the feature map out, blocks named."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def with_scaling(backbone: keras.Model, scale: float | Sequence[float], offset: float | Sequence[float]) -> keras.Model:
    """The layers of `backbone` behind a Rescaling layer, as one flat functional model `image`.

    Flat, because a stage may begin anywhere in it; the layers are the given ones, not copies.

    Args:
        backbone: a functional model of one picture input with a fixed size.
        scale: pixels are multiplied by it; one number or one a channel.
        offset: and then it is added.
    """
    import keras

    images = keras.Input(backbone.input_shape[1:], name="images", dtype="float32")
    scaled = keras.layers.Rescaling(scale, offset=offset, name="scaling")(images)

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = keras.tree.map_structure(lambda value: scaled if value is images else value, (args, kwargs))
        return operation(*args, **kwargs)

    # `clone_model` walks the graph, and is the public way to; subclasses it would have to rebuild, a plain view not.
    view = keras.Model(backbone.inputs, backbone.outputs)
    clone = keras.models.clone_model(
        view, input_tensors=[images], clone_function=lambda layer: layer, call_function=call
    )
    return keras.Model(images, clone.outputs[0], name="image")


def versions(*packages: str) -> dict[str, str]:
    """Of each installed package, its version."""
    return {package: importlib.metadata.version(package) for package in ("tensorflow", "keras", *packages)}
