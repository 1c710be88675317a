"""Names to classes, by folder: a module is found by its file name and imported when it is first asked for.

A registered class stands in a file named after it (`GradualUnfreezing` in `gradual_unfreezing.py`), so that adding one
touches one new file and no table. Files whose names begin with an underscore are not registered.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfvertical.errors import ConfigError, nearest
from tfvertical.plain import plain


def _fold(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _as_class(module: str) -> str:
    return "".join(word.capitalize() for word in module.split("_"))


class Registry:
    """The classes of one folder of this package.

    Args:
        room: folder below `tfvertical/`, for example `"adaptations"`.

    Example:
        >>> Registry("adaptations").get("gradual_unfreezing").__name__
        'GradualUnfreezing'
    """

    def __init__(self, room: str):
        self.room = room
        self._folder = Path(__file__).parent / room

    def modules(self) -> list[str]:
        """The file names, sorted; nothing is imported."""
        found = (module.name for module in pkgutil.iter_modules([str(self._folder)]))
        return sorted(name for name in found if not name.startswith("_"))

    def module(self, name: str) -> str:
        """The file name of the class called `name`, in either spelling (`GradualUnfreezing`, `gradual_unfreezing`).

        Nothing is imported.

        Raises:
            ConfigError: there is no such name; the message has the nearest ones, in the spelling that was used.
        """
        wanted = {_fold(module): module for module in self.modules()}.get(_fold(name))
        if wanted is None:
            known = [_as_class(module) for module in self.modules()] if name[:1].isupper() else self.modules()
            raise ConfigError(
                f"There is no {self.room.rstrip('s')} called {name!r}.",
                expected="one of " + ", ".join(known),
                nearest=nearest(name, known),
            )
        return wanted

    def get(self, name: str) -> type[Any]:
        """The class called `name`, in either spelling.

        Raises:
            ConfigError: there is no such name; the message has the nearest ones.
        """
        wanted = self.module(name)
        module = importlib.import_module(f"tfvertical.{self.room}.{wanted}")
        for key, value in vars(module).items():
            if isinstance(value, type) and value.__module__ == module.__name__ and _fold(key) == _fold(wanted):
                return value
        raise ConfigError(f"tfvertical/{self.room}/{wanted}.py defines no class named after the file.")

    def build(self, config: Mapping[str, Any] | str) -> Any:
        """An object from `{"name": …, **fields}` (or just a name, for the defaults); the reverse of `to_config`."""
        fields = {"name": config} if isinstance(config, str) else dict(config)
        if "name" not in fields:
            raise ConfigError(
                f"{self.room.rstrip('s').capitalize()} without a name: {fields}.",
                expected="name: one of " + ", ".join(self.modules()),
            )
        cls = self.get(fields.pop("name"))
        known = [field.name for field in dataclasses.fields(cls)]
        for key in fields:
            if key not in known:
                raise ConfigError(
                    f"{cls.__name__} has no option {key!r}.",
                    expected="one of " + ", ".join(known),
                    nearest=nearest(key, known),
                )
        return cls(**fields)


def to_config(obj: Any) -> dict[str, Any]:
    """A registered dataclass as plain JSON values: `{"name": class name, **fields}`.

    Raises:
        ConfigError: it is no dataclass object, so it could not be written down.
    """
    if not dataclasses.is_dataclass(obj) or isinstance(obj, type):
        raise ConfigError(f"{obj!r} is no object of a dataclass.", fix="make its class a frozen dataclass, and call it")
    return {"name": type(obj).__name__, **plain(_fields(obj))}


def _fields(obj: Any) -> dict[str, Any]:
    return {field.name: _plain(getattr(obj, field.name)) for field in dataclasses.fields(obj)}


def _plain(value: Any) -> Any:
    """A field's value; objects of dataclasses inside as mappings: one that has a name (a stage) keeps it."""
    if isinstance(value, list | tuple):
        return type(value)(_plain(each) for each in value)
    if isinstance(value, Mapping):
        return dict(value)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    return {"name": type(value).__name__} | _fields(value)
