"""An image network of KerasHub as a `Backbone`: its own scaling as the first layer, its resolutions as blocks."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfvertical import stages
from tfvertical.backbones import _blocks, _vocabulary
from tfvertical.backbones._image_model import with_scaling
from tfvertical.backbones._image_preprocessor import KerasImagePreprocessor
from tfvertical.contracts import Backbone, SourceInfo
from tfvertical.errors import PresetError, nearest

if TYPE_CHECKING:
    import keras


def image_shape(folder: Path) -> tuple[int, int, int] | None:
    """The picture shape that a preset folder's converter resizes to, if it says so."""
    options = _vocabulary.read_json(folder / "image_converter.json").get("config", {})
    size = options.get("image_size")
    return (int(size[0]), int(size[1]), 3) if size else None


def load(hub: keras.Model, folder: Path, source: SourceInfo, options: Mapping[str, Any]) -> Backbone:
    """The network in `folder`, from pixels 0…255 to its feature map.

    Raises:
        PresetError: it takes no pictures, or ends in no feature map.
    """
    for option in options:
        raise PresetError(f"Image backbones take no option {option!r}.", nearest=nearest(option, ["weights"]))
    shape = hub.input_shape if isinstance(hub.input_shape, tuple) else ()
    if len(shape) != 4 or None in shape[1:] or shape[-1] != 3:
        raise PresetError(
            f"{source.preset} takes neither texts nor pictures of one size.",
            expected="inputs token_ids and padding_mask, or pictures (batch, height, width, 3)",
            received=str(hub.input_shape),
        )
    if len(getattr(hub, "output_shape", ())) != 4:
        raise PresetError(
            f"{source.preset} does not end in a feature map.",
            expected="(batch, rows, columns, channels)",
            received=str(hub.output_shape),
        )
    scale, offset, crop, resample = _rules(folder)
    model = with_scaling(hub, scale, offset)
    blocks = resolution_blocks(model)
    _blocks.check(model, blocks)
    return Backbone(model, KerasImagePreprocessor(shape[1:3], crop=crop, resample=resample), blocks, source)


def _rules(folder: Path) -> tuple[Any, Any, str, str]:
    """Scale, offset, crop and resampling of the preset's own converter; what is in KerasHub's defaults elsewhere."""
    import keras_hub

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            converter = keras_hub.layers.ImageConverter.from_preset(str(folder.absolute()))
    except Exception:  # a preset without one takes pixels as they are
        return 1.0, 0.0, "center", "bilinear"
    crop = "center" if converter.crop_to_aspect_ratio else "pad" if converter.pad_to_aspect_ratio else "squash"
    resample = converter.interpolation if converter.interpolation in ("bicubic", "bilinear") else "bilinear"
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    return scale, offset, crop, resample


def resolution_blocks(model: keras.Model) -> tuple[str, ...]:
    """One pattern per resolution of the feature maps, from the picture down: the stages of a convolutional network.

    What has no resolution of its own (squeeze-and-excite) belongs with what stands before it.
    """
    address = {id(variable): path for path, variable in stages.addresses({model.name: model}).items()}
    blocks: list[list[str]] = []
    current = None
    for layer in model.layers:
        shape = tuple(layer.output.shape) if hasattr(layer.output, "shape") else ()
        height = shape[1] if len(shape) == 4 and shape[1] != 1 else current
        if not layer.weights:
            continue
        if height != current and (current is None or (height or 0) < current):
            blocks.append([])
            current = height
        names = dict.fromkeys(address[id(variable)].split("/")[1] for variable in layer.weights)
        blocks[-1].extend(names)
    return tuple(f"(?:{'|'.join(map(re.escape, dict.fromkeys(block)))})/" for block in blocks)
