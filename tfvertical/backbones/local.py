"""Backbones from a folder of yours: a KerasHub preset or a Hugging Face model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, final

from tfvertical.backbones import _folder
from tfvertical.contracts import Backbone, BackboneSource


@final
class Local(BackboneSource):
    """A path to a directory: what `backbone.save_to_preset(folder)` wrote, or a downloaded Hugging Face model.

    Example:
        >>> Local.accepts("./models/bert"), Local.accepts("bert_base_en")
        (True, False)
    """

    @classmethod
    def accepts(cls, name: str) -> bool:
        """Whether `name` looks like a path, or is a folder."""
        if "://" in name or not name:
            return False
        return name.startswith(("~", ".")) or os.sep in name or Path(name).is_dir()

    def check(self, name: str) -> None:
        """Raise PresetError where the folder is missing or holds no model."""
        self.fetch(name)

    def fetch(self, name: str) -> Path:
        """The folder itself. Raises PresetError where there is none."""
        folder = Path(name).expanduser()
        _folder.checked(folder, weights=False)
        return folder

    def path(self, name: str) -> Path | None:
        """Where the folder stands, or None."""
        folder = Path(name).expanduser()
        return folder.absolute() if folder.is_dir() else None

    def load(self, name: str, *, weights: bool = True, **options: Any) -> Backbone:
        """The backbone in the folder. `length`: most tokens of a text."""
        return _folder.load(self.fetch(name), preset=name, kind="local", weights=weights, **options)
