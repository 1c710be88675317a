"""Backbones of the model hubs: KerasHub's presets by name, `kaggle://…` and `hf://…`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, final

from tfvertical.backbones import _folder, _hub_files
from tfvertical.backbones.package_index import PRESETS as OFFLINE
from tfvertical.contracts import Backbone, BackboneSource
from tfvertical.errors import PresetError, nearest

# The architectures whose presets are listed: encoders of texts, and networks that end in a feature map.
_TEXT = ("Albert", "Bert", "DebertaV3", "DistilBert", "Electra", "FNet", "Roberta", "XLMRoberta")
_IMAGE = ("CSPNet", "DenseNet", "EfficientNet", "HGNetV2", "MobileNet", "ResNet", "VGG", "Xception")


def hub_presets() -> list[tuple[str, str, bool]]:
    """Of KerasHub's presets those of supported architectures: `(name, "text" or "image", in the hub's cache)`."""
    import keras_hub

    found = []
    for kind, architectures in (("text", _TEXT), ("image", _IMAGE)):
        for architecture in architectures:
            presets = getattr(keras_hub.models, f"{architecture}Backbone").presets
            found += [(name, kind, _hub_files.cached(entry["kaggle_handle"])) for name, entry in presets.items()]
    return found


@final
class KerasHub(BackboneSource):
    """A preset that a model hub serves. The hub's own client fetches it, into the hub's own cache.

    Example:
        >>> KerasHub.accepts("bert_base_en"), KerasHub.accepts("hf://google/electra-base"), KerasHub.accepts("./folder")
        (True, True, False)
    """

    @classmethod
    def accepts(cls, name: str) -> bool:
        """Whether `name` is a hub's address or could be a preset's plain name."""
        return "://" in name or re.fullmatch(r"[\w.\-]+", name) is not None

    def check(self, name: str) -> None:
        """Raise PresetError where KerasHub has no such preset or the address has the wrong form; asks no hub."""
        self.handle(name)

    def handle(self, name: str) -> str:
        """The hub's address of a preset: `kaggle://…` or `hf://…`. Raises PresetError."""
        scheme, separator, rest = name.partition("://")
        if not separator:
            import keras_hub

            presets = keras_hub.models.Backbone.presets
            if name not in presets:
                raise PresetError(
                    f"There is no preset {name!r}.",
                    nearest=nearest(name, [*OFFLINE, *presets]),
                    fix="`tfvertical presets list --hub` shows them; a folder is written with a slash (./folder)",
                )
            return str(presets[name]["kaggle_handle"])
        forms = {"kaggle": (4, 5, "kaggle://owner/model/keras/variant"), "hf": (1, 2, "hf://owner/model")}
        if scheme not in forms:
            raise PresetError(f"{name!r}: there is no hub {scheme!r}.", expected="kaggle://… or hf://…")
        least, most, form = forms[scheme]
        parts = rest.split("/")
        if not least <= len(parts) <= most or not all(re.fullmatch(r"\w[\w.\-]*", part) for part in parts):
            raise PresetError(f"{name!r} is no address of a preset.", expected=form)
        return name

    def fetch(self, name: str) -> Path:
        """The folder with the preset's files, downloaded if need be. Raises PresetError."""
        return _hub_files.fetch(self.handle(name), name)

    def path(self, name: str) -> Path | None:
        """Where the files stand, or None where they have not been fetched."""
        return _hub_files.place(self.handle(name))

    def load(self, name: str, *, weights: bool = True, **options: Any) -> Backbone:
        """The backbone. `length`: most tokens of a text."""
        return _folder.load(self.fetch(name), preset=name, kind="keras_hub", weights=weights, **options)
