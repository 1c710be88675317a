"""KerasCV's backbones: `keras_cv:efficientnetv2_b0`, with weights from its hub, or built here with random ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from tfvertical.backbones._hub_images import with_options
from tfvertical.backbones._image_model import image_backbone, random_source, versions, weights_sha256
from tfvertical.backbones._image_preprocessor import KerasImagePreprocessor
from tfvertical.backbones._keras_cv_networks import NETWORKS, Network
from tfvertical.backbones.package_index import PackageIndex
from tfvertical.contracts import Backbone, BackboneSource, SourceInfo
from tfvertical.errors import PresetError, nearest

if TYPE_CHECKING:
    import keras


_PREFIX: Final = "keras_cv:"
_LITE0: Final = "efficientnet_lite0"  # the one whose weights come from the package index
_SCALE: Final = 1 / 255  # KerasCV's own rescaling, in all of these networks
_OFFLINE: Final = (
    "keras_cv:efficientnet_lite0 or efficientnet_lite0 need no hub; weights=False builds it with random ones"
)


@final
class KerasCV(BackboneSource):
    """`keras_cv:NAME`: a network of KerasCV by the name of its preset.

    Example:
        >>> KerasCV.accepts("keras_cv:resnet18")
        True
    """

    @classmethod
    def accepts(cls, name: str) -> bool:
        """Whether `name` begins with `keras_cv:`."""
        return name.startswith(_PREFIX)

    def check(self, name: str) -> None:
        """Raise PresetError unless there is such a network."""
        _known(name)

    def fetch(self, name: str) -> Path:
        """The folder with the files of `keras_cv:efficientnet_lite0`; the others are kept by KerasCV's own cache."""
        if _known(name) != _LITE0:
            raise PresetError(f"{name} is fetched by KerasCV itself, when it is loaded.", fix=_OFFLINE)
        return PackageIndex().fetch(_LITE0)

    def path(self, name: str) -> Path | None:
        """Where the files of `keras_cv:efficientnet_lite0` stand; None for the others, and before they are fetched."""
        if _known(name) != _LITE0:
            return None
        return PackageIndex().path(_LITE0)

    def load(self, name: str, *, weights: bool = True, **options: Any) -> Backbone:
        """The backbone.

        Args:
            name: `keras_cv:` and a name of `NETWORKS`, with or without `_imagenet`; or `keras_cv:efficientnet_lite0`.
            weights: the ImageNet weights, from KerasCV's hub; False builds the network with random ones, offline.
            options: `size`, `crop`, `margin`, `resample`, `max_pixels`; for Lite0 `drop_connect` too.

        Raises:
            PresetError: no such network, KerasCV publishes no weights for it, or its hub cannot be reached.
        """
        known = _known(name)
        if known == _LITE0:
            from tfvertical.backbones import _efficientnet_lite

            return _efficientnet_lite.load_keras_cv(weights=weights, **options)
        network = NETWORKS[known]
        start = KerasImagePreprocessor((network.size, network.size), crop="center", margin=32, resample="bicubic")
        preprocessor = with_options(start, options)
        if weights:
            model, preset = _from_hub(name, known, network, preprocessor.size)
            source = SourceInfo(f"{_PREFIX}{preset}", "keras_cv", versions("keras-cv"), weights_sha256(model))
        else:
            model = _class(network)(**network.arguments, include_rescaling=False, input_shape=(*preprocessor.size, 3))
            source = random_source(name, model, "keras-cv")
        return image_backbone(model, preprocessor, source, _SCALE)


def _known(name: str) -> str:
    """The name of the network, without prefix and without `_imagenet`. Raises PresetError where there is none."""
    wanted = name.removeprefix(_PREFIX)
    known = wanted.removesuffix("_imagenet")
    if known != _LITE0 and known not in NETWORKS:
        names = [_LITE0, *NETWORKS]
        raise PresetError(
            f"There is no KerasCV backbone {wanted!r}.",
            expected="one of " + ", ".join(names),
            nearest=[_PREFIX + found for found in nearest(known, names)],
        )
    return known


def _class(network: Network) -> Any:
    import keras_cv

    return getattr(keras_cv.models, network.cls)


def _from_hub(name: str, known: str, network: Network, size: tuple[int, int]) -> tuple[keras.Model, str]:
    """The network with its ImageNet weights, and the preset that they are of."""
    cls, preset = _class(network), f"{known}_imagenet"
    if preset not in cls.presets_with_weights:
        published = sorted(set(cls.presets_with_weights))
        raise PresetError(
            f"KerasCV publishes no weights for {known!r}.",
            nearest=[_PREFIX + found for found in nearest(preset, published)],
            fix=_OFFLINE,
        )
    try:
        return cls.from_preset(preset, load_weights=True, include_rescaling=False, input_shape=(*size, 3)), preset
    except Exception as error:  # the hub's client, h5py and Keras raise all kinds
        text = " ".join(str(error).split())[:300]
        raise PresetError(
            f"{name}: the weights could not be had from KerasCV's hub.",
            received=f"{type(error).__name__}: {text}",
            fix=_OFFLINE,
        ) from error
