"""The `sweep:` section of a run file: which trials it asks for, and every mistake in it at once."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tfvertical import config
from tfvertical.errors import ConfigError
from tfvertical.plain import plain
from tfvertical.runfiles import runfile
from tfvertical.runfiles.runfile import Document, Mistake, Place, place_of
from tfvertical.runfiles.together import PARTS

MOST = 1_000
ROOMS = ("task", "training", "adaptation")
FIXED = {
    "task.name": "it decides how the data are read, which trials share",
    "task.labels": "it decides how the data are read, which trials share",
    "training.monitor": "trials are compared by it",
    "training.strategy": "trials train on one device, and the best one too",
}


@dataclass(frozen=True)
class Grid:
    """What a sweep tries.

    Args:
        keys: the dotted keys, in the file's order.
        trials: key -> value for each trial: the product of all lists.
    """

    keys: tuple[str, ...]
    trials: tuple[Mapping[str, Any], ...]


def fixed(key: str) -> str | None:
    """Why a key cannot differ between trials; None where it can.

    Example:
        >>> fixed("training.monitor"), fixed("training.epochs")
        ('trials are compared by it', None)
    """
    return next((why for name, why in FIXED.items() if _overlap(name, key)), None)


def settings(options: Mapping[str, Any]) -> list[str]:
    """Options as `--set` takes them: JSON is YAML too.

    Raises:
        ConfigError: a value that a run file could not hold.

    Example:
        >>> settings({"training.epochs": 3, "task.hidden": [64]})
        ['training.epochs=3', 'task.hidden=[64]']
    """
    found = []
    for key, value in options.items():
        try:
            found.append(f"{key}={json.dumps(plain(value), ensure_ascii=False)}")
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{key} cannot be {value!r}: {error}.", expected="what a run file may hold: numbers, texts, lists"
            ) from error
    return found


def load(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Grid:
    """Read and check a run file with its sweep; reads no data, loads no weight.

    Args:
        path: the YAML file.
        overrides: as for `tfvertical.config.load`; not for keys that are swept.

    Raises:
        ConfigError: all mistakes, each with its line, in the file and in every value that is to be tried.
    """
    return check(runfile.override(runfile.read(path), overrides), Path(path).resolve().parent)


def check(document: Document, folder: Path) -> Grid:
    """The trials that a document asks for; paths are taken from `folder`.

    Raises:
        ConfigError: as for `load`.

    Example:
        >>> check(runfile.parse("sweep: {training.epochs: 3}", "run.yaml"), Path())
        Traceback (most recent call last):
        tfvertical.errors.ConfigError: run.yaml has 3 mistakes. Nothing was read or loaded.
          line 1, sweep.training.epochs: expected a list of values, received int '3'.
          line 1, task: is missing, and must be given.
          line 1, data: is missing, and must be given.
    """
    content = document.value if isinstance(document.value, dict) else {}
    asked = content.get("sweep")
    if not isinstance(asked, dict) or not asked:
        raise ConfigError(
            f"{document.name} has no sweep: section with keys and lists of values.",
            fix="sweep: {training.learning_rate: [1e-3, 5e-3]}; or `tfvertical train` for one training",
        )
    lists, mistakes = _lists(asked, document)
    base = replace(document, value={name: value for name, value in content.items() if name != "sweep"}, mistakes=())
    checked = _Checked(base, folder, lists)
    if _size(lists) <= MOST:
        checked.values()
        if not (mistakes or checked.found):
            checked.combinations()
    found = dict.fromkeys([*document.mistakes, *mistakes, *checked.found, *_validation(base)])
    if found:
        raise ConfigError(config.listing(document, list(found)))
    return Grid(tuple(lists), tuple(_product(lists)))


def _lists(asked: Mapping[str, Any], document: Document) -> tuple[dict[str, list[Any]], list[Mistake]]:
    """The lists that can be tried, and what is wrong with the others."""
    lists: dict[str, list[Any]] = {}
    mistakes = []
    for key, values in asked.items():
        what = _wrong(key, values, lists)
        if what is None and document.at.get(place_of(key), "").startswith("--set"):
            what = "is swept, and set by --set as well: leave out one of them."
        if what is None:
            lists[key] = values
        else:
            mistakes.append(Mistake(("sweep", key), what))
    if _size(lists) > MOST:
        mistakes.append(Mistake(("sweep",), f"asks for {_size(lists):,} trials, expected at most {MOST:,}."))
    return lists, mistakes


def _wrong(key: str, values: Any, before: Mapping[str, Any]) -> str | None:
    room, dot, _ = key.partition(".")
    if room not in ROOMS or (not dot and room != "adaptation"):
        close = config.near(room, ROOMS)
        return f"cannot be swept, expected adaptation or a key below task., training. or adaptation. {close}"
    if (why := fixed(key)) is not None:
        return f"cannot be swept: {why}."
    if not isinstance(values, list):
        return f"expected a list of values, received {config.described(values)}."
    if not values:
        return "the list is empty; expected at least one value."
    if len({json.dumps(value, sort_keys=True) for value in values}) < len(values):
        return "the list holds a value twice."
    other = next((one for one in before if _overlap(one, key)), None)
    return None if other is None else f"overlaps with {other}, which is swept too."


@dataclass
class _Checked:
    """Tries every value in the file, and notes the mistakes where the sweep says the value."""

    base: Document
    folder: Path
    lists: Mapping[str, list[Any]]
    found: list[Mistake] = field(default_factory=list)

    def values(self) -> None:
        """Each value with the first ones of all other keys, so that a mistake is said once and on its line."""
        first = {key: values[0] for key, values in self.lists.items()}
        document = runfile.override(self.base, settings(first))
        rest = [*document.mistakes, *config.check(document.value, self.folder, known=document.mistakes)]
        self.found += [mistake for mistake in rest if not any(_meets(mistake.place, place_of(key)) for key in first)]
        for key, values in self.lists.items():
            # one section is enough, and a tenth of the time, where the others are right
            only = key.partition(".")[0] if not rest else None
            for index, value in enumerate(values):
                self._note(first | {key: value}, (key, index), only)

    def combinations(self) -> None:
        """What values of one section are together and none is by itself."""
        first = {key: values[0] for key, values in self.lists.items()}
        for room in ROOMS:
            own = {key: values for key, values in self.lists.items() if key.partition(".")[0] == room}
            for options in _product(own) if len(own) > 1 else ():
                self._note(first | options, None, room)

    def _note(self, options: Mapping[str, Any], varied: tuple[str, int] | None, only: str | None) -> None:
        document = runfile.override(self.base, settings(options))
        found = config.check(document.value, self.folder, only, document.mistakes)
        for mistake in [*document.mistakes, *found]:
            place = self._blamed(mistake.place, options, varied)
            if place is not None and Mistake(place, mistake.what) not in self.found:
                self.found.append(Mistake(place, mistake.what))

    def _blamed(self, place: Place, options: Mapping[str, Any], varied: tuple[str, int] | None) -> Place | None:
        """Where the file says what is wrong; None where another value's turn says it."""
        for key in options:
            own = place_of(key)
            if place[: len(own)] == own:
                return None if varied and varied[0] != key else ("sweep", key, *_item(varied))
            if own[: len(place)] == place and varied and varied[0] == key:
                return ("sweep", key, *_item(varied))
        return place


def _meets(place: Place, own: Place) -> bool:
    """Whether a mistake at `place` is about the value at `own`, which is told in that value's turn."""
    shorter = min(len(place), len(own))
    return shorter > 0 and place[:shorter] == own[:shorter]


def _item(varied: tuple[str, int] | None) -> tuple[int, ...]:
    return () if varied is None else (varied[1],)


def _validation(base: Document) -> list[Mistake]:
    """A sweep chooses by validation data, never by test data."""
    data = base.value.get("data")
    if not isinstance(data, dict):
        return []  # a mistake already
    split = data.get("split")
    fractions = split.get("fractions") if isinstance(split, dict) else None
    parts = () if split is None else fractions or PARTS
    if data.get("validation") is not None or (isinstance(parts, dict | tuple) and "validation" in parts):
        return []
    what = "a sweep compares trials on validation data, and there are none. Give data.validation or data.split."
    return [Mistake(("data",), what)]


def _overlap(one: str, other: str) -> bool:
    """Whether they are the same key, or one is a part of the other."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _size(lists: Mapping[str, list[Any]]) -> int:
    size = 1
    for values in lists.values():
        size *= len(values)
    return size


def _product(lists: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
