"""Lets timm be imported where torchvision is not.

timm imports torchvision for its transforms and for feature extraction by graph. The torchvision that belongs to our
torch was built for CUDA's: beside the CPU's it cannot be imported, and where it is installed transformers breaks too.
What is measured of timm is its network, which uses nothing of torchvision, so empty classes stand in for it. Pictures
are decoded and resized with Pillow, as timm's transforms do.
"""

from __future__ import annotations

import enum
import importlib.abc
import importlib.machinery
import sys
from types import ModuleType
from typing import Any

KINDS = ("NEAREST", "NEAREST_EXACT", "BILINEAR", "BICUBIC", "BOX", "HAMMING", "LANCZOS")
Interpolation = enum.Enum("Interpolation", {kind: kind.lower() for kind in KINDS})  # type: ignore[misc]


class _Module(ModuleType):
    __path__: list[str] = []  # noqa: RUF012

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Interpolation if name == "InterpolationMode" else type(name, (), {})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `torchvision` and everything below it."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] != "torchvision":
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: Any) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def install() -> None:
    """Put the stand-in behind all real packages: a torchvision that is installed comes first."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
