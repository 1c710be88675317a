"""One shape for every image backbone: `images` 0…255 in, scaling first, the feature map out, blocks named."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfvertical import installed, stages
from tfvertical.backbones._image_blocks import image_blocks
from tfvertical.backbones._image_preprocessor import KerasImagePreprocessor
from tfvertical.contracts import Backbone, SourceInfo
from tfvertical.errors import PresetError

if TYPE_CHECKING:
    import keras

Numbers = float | Sequence[float]


def image_backbone(
    network: keras.Model,
    preprocessor: KerasImagePreprocessor,
    source: SourceInfo,
    scale: Numbers = 1.0,
    offset: Numbers = 0.0,
    blocks: Sequence[str] | None = None,
) -> Backbone:
    """Any functional image network as a `Backbone`: one of KerasHub's, of KerasCV's, or a user's own.

    Args:
        network: one picture input, scaled as it wants it; out a feature map, or tokens `(batch, tokens, width)`.
        preprocessor: its `size` is what the model will take.
        source: where the weights came from.
        scale, offset: from 0…255 to what the network wants: multiplied, then added; one number or one a channel.
        blocks: patterns of the blocks; found from the names where they are not given.

    Raises:
        PresetError: the network takes or gives something else.
    """
    model = with_scaling(network, preprocessor.size, scale, offset)
    return Backbone(model, preprocessor, image_blocks(model) if blocks is None else tuple(blocks), source)


def with_scaling(network: keras.Model, size: tuple[int, int], scale: Numbers, offset: Numbers) -> keras.Model:
    """The layers of `network` behind a Rescaling layer, as one functional model `image`.

    Flat, so that no layer's name is hidden in another's; the layers are the given ones, not copies. A network whose
    layers cannot be read back one by one (KerasHub's ViT) stays in one piece, which can.
    """
    import keras

    _check_input(network, size)
    images = keras.Input((*size, 3), name="images", dtype="float32")
    scaled = keras.layers.Rescaling(scale, offset=offset, name="scaling")(images)
    if not _restorable(network):
        return keras.Model(images, _as_map(network(scaled)), name="image")

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = keras.tree.map_structure(lambda value: scaled if value is images else value, (args, kwargs))
        return operation(*args, **kwargs)

    # `clone_model` walks the graph, and is the public way to; subclasses it would have to rebuild, a plain view not.
    view = keras.Model(network.inputs, network.outputs)
    clone = keras.models.clone_model(
        view, input_tensors=[images], clone_function=lambda layer: layer, call_function=call
    )
    return keras.Model(images, _as_map(clone.outputs[-1]), name="image")


def random_source(preset: str, network: keras.Model, *libraries: str) -> SourceInfo:
    """The source of a network with random weights."""
    return SourceInfo(preset, "random", versions(*libraries), weights_sha256(network))


def weights_sha256(model: keras.Model) -> str:
    """SHA-256 over the addresses and numbers of all weights: equal for equal weights, in every process."""
    sha = hashlib.sha256()
    for address, variable in sorted(stages.addresses({"image": model}).items()):
        sha.update(address.encode() + b"\0" + variable.numpy().tobytes())
    return sha.hexdigest()


def versions(*packages: str) -> dict[str, str]:
    """Of TensorFlow, Keras and each package its version."""
    return installed.versions("tensorflow", "keras", *packages)


def _restorable(network: keras.Model) -> bool:
    """Whether a layer of each kind comes back from its own configuration."""
    for layer in {type(layer): layer for layer in network.layers}.values():
        try:
            type(layer).from_config(layer.get_config())
        except Exception:  # whatever a constructor raises over arguments that it does not know
            return False
    return True


def _check_input(network: keras.Model, size: tuple[int, int]) -> None:
    shapes = [tuple(tensor.shape[1:]) for tensor in network.inputs]
    fits = len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][2] == 3
    if not fits or any(has not in (None, wanted) for has, wanted in zip(shapes[0], size, strict=False)):
        raise PresetError(
            f"{type(network).__name__} {network.name!r} does not take pictures of {size[0]} x {size[1]} pixels.",
            expected=f"one input of {(*size, 3)}",
            received=", ".join(map(str, shapes)),
            fix="choose the size it was built for, or build it for this one",
        )


def _as_map(output: keras.KerasTensor) -> keras.KerasTensor:
    """`(batch, rows, columns, channels)`; of tokens in a square those of the patches, otherwise all in one row."""
    import keras

    if len(output.shape) == 4:
        return output
    if len(output.shape) != 3 or None in output.shape[1:]:
        raise PresetError("The network gives no feature map.", received=f"a tensor of shape {tuple(output.shape)}")
    count, width = output.shape[1:]
    for extra in (0, 1):  # a class token may stand in front
        side = round((count - extra) ** 0.5)
        if side * side == count - extra:
            tokens = output[:, extra:] if extra else output
            return keras.layers.Reshape((side, side, width), name="map")(tokens)
    return keras.layers.Reshape((1, count, width), name="map")(output)
