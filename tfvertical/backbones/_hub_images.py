"""KerasHub's image backbones: what their converter says about pictures, as our own preprocessor and a first layer."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tfvertical.backbones._image_model import Numbers, image_backbone
from tfvertical.backbones._image_preprocessor import KerasImagePreprocessor
from tfvertical.contracts import Backbone, SourceInfo
from tfvertical.errors import ConfigError, nearest

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

OPTIONS: Final = ("size", "crop", "margin", "resample", "max_pixels")


def load(network: keras.Model, folder: Path, source: SourceInfo, options: Mapping[str, Any]) -> Backbone:
    """A KerasHub image backbone, as it was read from `folder`.

    Args:
        network: the backbone.
        folder: the preset, in which its image converter is looked for.
        source: where the weights came from.
        options: `size`, `crop`, `margin`, `resample`, `max_pixels`: fields of the preprocessor to have otherwise.
    """
    preprocessor, scale, offset = from_converter(_converter(folder), network)
    return image_backbone(network, with_options(preprocessor, options), source, scale, offset)


def with_options(preprocessor: KerasImagePreprocessor, options: Mapping[str, Any]) -> KerasImagePreprocessor:
    """The preprocessor with some fields changed.

    Raises:
        ConfigError: there is no such option, or its value is wrong.
    """
    for option in options:
        if option not in OPTIONS:
            raise ConfigError(
                f"Image backbones have no option {option!r}.",
                expected="one of " + ", ".join(OPTIONS),
                nearest=nearest(option, OPTIONS),
            )
    fields = dict(options)
    if "size" in fields:
        size = fields["size"]
        fields["size"] = (size, size) if isinstance(size, int) else tuple(size)
    return dataclasses.replace(preprocessor, **fields)


def from_converter(converter: Any | None, network: keras.Model) -> tuple[KerasImagePreprocessor, Numbers, Numbers]:
    """Preprocessor, scale and offset of a `keras_hub.layers.ImageConverter`; None where a preset has none.

    KerasHub shrinks pictures without antialiasing unless told otherwise; ours always antialiases.
    """
    built_for = tuple(network.inputs[0].shape[1:3])
    if converter is None:
        size = built_for if None not in built_for else (224, 224)
        log.warning("%s says nothing about its pictures: they are scaled to 0…1.", network.name)
        return KerasImagePreprocessor(size), 1 / 255, 0.0
    size = built_for if None not in built_for else (converter.image_size or (224, 224))
    crop = "center" if converter.crop_to_aspect_ratio else "pad" if converter.pad_to_aspect_ratio else "squash"
    resample = "bicubic" if converter.interpolation == "bicubic" else "bilinear"
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    return KerasImagePreprocessor(tuple(size), crop, resample=resample), _plain(scale), _plain(offset)


def _plain(numbers: Any) -> Numbers:
    return [float(n) for n in numbers] if hasattr(numbers, "__len__") else float(numbers)


def _converter(folder: Path) -> Any | None:
    import keras_hub

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return keras_hub.layers.ImageConverter.from_preset(str(folder.absolute()))
    except Exception as error:  # as with the weights, anything may come out of a folder
        log.info("No image converter in %s: %s", folder, error)
        return None
