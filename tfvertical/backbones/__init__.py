"""Pretrained backbones by name: one file a source, one call for all of them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tfvertical.backbones._around import around
from tfvertical.errors import PresetError
from tfvertical.registry import Registry

if TYPE_CHECKING:
    from tfvertical.contracts import Backbone, BackboneSource, Preprocessor

__all__ = ["Preset", "around", "check", "fetch", "load", "path", "preprocessor", "presets"]

# Names of this package's own presets are theirs wherever the process stands; KerasHub takes any plain name.
_FIRST, _LAST = "package_index", "keras_hub"
PREPROCESSORS = {
    "WordPiecePreprocessor": "_text_preprocessor",
    "HubTextPreprocessor": "_text_preprocessor_hub",
    "KerasImagePreprocessor": "_image_preprocessor",
}


class Preset(NamedTuple):
    """A line of `presets()`: its name, `text` or `image`, the source it comes from, and whether it works offline."""

    name: str
    kind: str
    where: str
    cached: bool


def load(name: str | os.PathLike[str], weights: bool = True, **options: Any) -> Backbone:
    """A pretrained backbone with its preprocessor and its blocks.

    Args:
        name: `minilm_l6_v2` or `efficientnet_lite0` (these need no model hub); a KerasHub preset (`bert_base_en`,
            `kaggle://…`, `hf://…`); a KerasCV one (`keras_cv:efficientnetv2_b0`); or a path to a folder, also a `Path`.
        weights: False leaves the random initial weights.
        options: what the source takes; for texts `length`, most tokens of a sequence, special ones included.

    Raises:
        PresetError: there is no such preset, no hub can be reached, or what came is damaged.

    Example:
        >>> backbone = load("minilm_l6_v2")  # doctest: +SKIP
        >>> backbone.blocks[-1]  # doctest: +SKIP
        'transformer_layer_5/'
    """
    written = _written(name)
    return _source(written).load(written, weights=weights, **options)


def check(name: str) -> None:
    """Raise PresetError where `name` cannot be right (a typing error, a missing folder); loads and fetches nothing."""
    source = _source(name)
    if hasattr(source, "check"):
        source.check(name)


def fetch(name: str) -> Path:
    """Fetch the preset's files, and return the folder (or file) they stand in.

    Raises:
        PresetError: no such preset, or nothing can be reached.
    """
    source = _source(name)
    if not hasattr(source, "fetch"):
        raise PresetError(f"{name!r} is not something to fetch.", fix="see `tfvertical presets list`")
    return Path(source.fetch(name))


def path(name: str) -> Path | None:
    """Where the preset's files stand, or None where they have not been fetched yet."""
    source = _source(name)
    found = source.path(name) if hasattr(source, "path") else None
    return None if found is None else Path(found)


def presets(hub: bool = True) -> list[Preset]:
    """The presets that can be named: those that need no hub first, then, with `hub`, KerasHub's own."""
    from tfvertical import packages
    from tfvertical.backbones.package_index import PRESETS

    found = [Preset(name, kind, "package index", packages.cached(p)) for name, (kind, p, _) in PRESETS.items()]
    if hub:
        from tfvertical.backbones.keras_hub import hub_presets

        found += [Preset(name, kind, "KerasHub", cached) for name, kind, cached in hub_presets()]
    return found


def preprocessor(config: Mapping[str, Any], assets: Mapping[str, bytes]) -> Preprocessor:
    """The preprocessor whose `{"class": class name, **config()}` and `assets()` these are; needs no preset.

    Raises:
        PresetError: an unknown class.
    """
    fields = dict(config)
    name = fields.pop("class", None)
    if name not in PREPROCESSORS:
        raise PresetError(f"There is no preprocessor {name!r}.", expected="one of " + ", ".join(PREPROCESSORS))
    module = importlib.import_module(f"tfvertical.backbones.{PREPROCESSORS[name]}")
    return getattr(module, name).from_config(fields, assets)


def restores(preprocessor: Preprocessor) -> bool:
    """Whether `preprocessor(config, assets)` would make this one again: its class is one of this package's."""
    name = type(preprocessor).__name__
    return type(preprocessor).__module__ == f"tfvertical.backbones.{PREPROCESSORS.get(name)}"


def _written(name: Any) -> str:
    """The name, or a path as text that is taken for a path, which `Path("./bert")` alone would not be.

    Raises:
        PresetError: it is neither, such as a model.
    """
    if isinstance(name, str):
        return name
    if isinstance(name, os.PathLike):
        path = os.fspath(name)
        return path if path.startswith("~") else os.path.join(os.curdir, path)
    raise PresetError(
        "A preset is a name or a folder's path.",
        received=type(name).__name__,
        fix="of a KerasHub backbone and its tokenizer, save_to_preset('./mine') and name './mine'; "
        "for a functional model of your own, TASK(tv.backbones.around(model, preprocessor), labels)",
    )


def _source(name: str) -> BackboneSource:
    """The first source that accepts `name`: presets of the package index, then folders and others, KerasHub last."""
    registry = Registry("backbones")
    for module in sorted(registry.modules(), key=lambda module: (module != _FIRST, module == _LAST, module)):
        source = registry.get(module)
        if source.accepts(name):
            return source()
    raise PresetError(
        f"{name!r} is no name of a preset.",
        expected="minilm_l6_v2, efficientnet_lite0, a KerasHub preset, kaggle://…, hf://…, keras_cv:…, or a folder",
    )
