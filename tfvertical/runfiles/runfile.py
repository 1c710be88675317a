"""YAML as data that knows its lines: plain values only, bounded, every key once.

Words mean what they look like (YAML 1.2): only `true` and `false` are booleans, so that a label `no` stays a word, and
`1e-3` is a number.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tfvertical.errors import ConfigError, TfverticalError

MOST_BYTES = 1_000_000
MOST_DEPTH = 20

Place = tuple[str | int, ...]  # ("training", "epochs"), ("export", 0, "format")


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong with a run file.

    Args:
        place: the keys that lead to it.
        what: one or more sentences: what is wrong, what was expected, what comes nearest.
        at: overrides where the document says `place` stands (a second line of a key written twice).
    """

    place: Place
    what: str
    at: str | None = None


def said(action: Callable[[], Any], place: Place) -> list[Mistake]:
    """What `action` refuses, as a mistake."""
    try:
        action()
    except TfverticalError as error:
        return [Mistake(place, str(error))]
    return []


def named(values: Any, key: str) -> Any:
    """`Frozen` alone is short for `{name: Frozen}`."""
    return {key: values} if isinstance(values, str) else values


@dataclass(frozen=True)
class Document:
    """A parsed file.

    Args:
        name: what messages call it.
        value: mappings with text keys, lists, texts, numbers, booleans and None.
        at: place -> where it stands (`line 3`, `--set`).
        mistakes: what parsing itself found; validation adds to them.
    """

    name: str
    value: Any
    at: Mapping[Place, str] = field(default_factory=dict)
    mistakes: tuple[Mistake, ...] = ()

    def where(self, mistake: Mistake) -> str:
        """`line 3, training.epochs`, or the line of what would hold it if it is absent."""
        place = mistake.place
        path = ".".join(str(key) for key in place) or "the file"
        if mistake.at:
            return f"{mistake.at}, {path}"
        for length in range(len(place), -1, -1):
            if place[:length] in self.at:
                return f"{self.at[place[:length]]}, {path}"
        return path


class _Loader(yaml.SafeLoader):
    """Plain scalars by the core schema of YAML 1.2; no dates, no sexagesimal numbers, no merge keys, no aliases."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (yaml's own form)
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """One node, refused before anything is built if it is an alias (a "bomb") or nested too deeply."""
        mark = self.peek_event().start_mark
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not taken; write the value out", mark)
        if self.depth >= MOST_DEPTH:
            raise yaml.composer.ComposerError(None, None, f"nested more than {MOST_DEPTH} deep", mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9_]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


def read(path: str | os.PathLike[str]) -> Document:
    """The YAML file at `path`.

    Raises:
        ConfigError: no such file, not readable, larger than 1 MB, not UTF-8, or no YAML.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise ConfigError(f"There is no run file {path}.", fix="see examples/ for run files to copy")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"The run file {path} cannot be read: {error.strerror}.") from error
    if len(content) > MOST_BYTES:
        raise ConfigError(f"{path} is too large for a run file.", expected=f"at most {MOST_BYTES:,} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 (byte {error.start}).", fix="save it as UTF-8") from error
    return parse(text, str(path))


def parse(text: str, name: str = "run file") -> Document:
    """YAML text as a `Document`.

    Raises:
        ConfigError: it is no YAML, or nested deeper than 20.

    Example:
        >>> document = parse("training:\\n  epochs: 3\\n")
        >>> document.value["training"], document.at["training", "epochs"]
        ({'epochs': 3}, 'line 2')
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise ConfigError(f"{name}:{line} this is no YAML ({problem}).", fix="see examples/ for the form") from error
    at: dict[Place, str] = {}
    mistakes: list[Mistake] = []
    value = None if node is None else _plain(node, (), at, mistakes)
    return Document(name, value, at, tuple(mistakes))


def _plain(node: yaml.Node, place: Place, at: dict[Place, str], mistakes: list[Mistake]) -> Any:
    """The node's value; notes the line of every key and item, and keys written twice."""
    at.setdefault(place, f"line {node.start_mark.line + 1}")
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if kind not in ("map", "seq", "str", "int", "float", "bool", "null"):
        mistakes.append(Mistake(place, f"values of the kind {node.tag} are not taken."))
        return None
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*place, index), at, mistakes) for index, item in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return _scalar(node, place, mistakes)
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
        here = f"line {key_node.start_mark.line + 1}"
        if key in found:
            mistakes.append(Mistake((*place, key), f"written twice, first on {at[(*place, key)]}.", here))
            continue
        at[(*place, key)] = here
        found[key] = _plain(value_node, (*place, key), at, mistakes)
    return found


def _scalar(node: yaml.Node, place: Place, mistakes: list[Mistake]) -> Any:
    try:
        value = _Loader("").construct_object(node)
        str(value)  # a number with more digits than Python writes could not be told in a message
        return value
    except (yaml.YAMLError, ValueError) as error:
        mistakes.append(Mistake(place, f"cannot be read: {getattr(error, 'problem', None) or error}."))
    except LookupError:  # of a word that its tag (`!!bool`) does not fit
        mistakes.append(Mistake(place, f"cannot be read: {node.value!r} is no {node.tag.rpartition(':')[2]}."))
    return None


def override(document: Document, settings: Sequence[str], flag: str = "--set") -> Document:
    """The document with `key.key=value` written over it; values are YAML, and a list item's key is its number.

    Args:
        document: what is written over.
        settings: `key.key=value`.
        flag: of the command, by which they were given.

    Raises:
        ConfigError: a setting is not of the form `key=value`.

    Example:
        >>> override(parse("training: {epochs: 3}"), ["training.epochs=5"]).value
        {'training': {'epochs': 5}}
    """
    value, at, mistakes = document.value, dict(document.at), list(document.mistakes)
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path.strip():
            raise ConfigError(f"{flag} {setting}: this sets nothing.", expected="key=value, as in training.epochs=5")
        place = place_of(path.strip())
        parsed = parse(text, f"{flag} {path}")
        at = {where: line for where, line in at.items() if where[: len(place)] != place}
        at |= {(*place, *inner): f"{flag} {path}" for inner in parsed.at} | {place: f"{flag} {path}"}
        mistakes += [Mistake((*place, *found.place), found.what, f"{flag} {path}") for found in parsed.mistakes]
        try:
            value = _written(value, place, parsed.value)
        except (TypeError, IndexError):
            mistakes.append(Mistake(place, "leads nowhere: what stands above it is no mapping or has no such item."))
    return Document(document.name, value, at, tuple(mistakes))


def place_of(path: str) -> Place:
    """The place that `export.0.format` names.

    Example:
        >>> place_of("export.0.format")
        ('export', 0, 'format')
    """
    return tuple(int(key) if re.fullmatch("[0-9]{1,9}", key) else key for key in path.split("."))


def _written(into: Any, place: Place, value: Any) -> Any:
    """A copy of `into` with `value` at `place`; missing mappings are made, and one item more than a list has."""
    if not place:
        return value
    key, rest = place[0], place[1:]
    if isinstance(into, list) and isinstance(key, int):
        items = [*into, None] if key == len(into) else list(into)
        items[key] = _written(items[key], rest, value)
        return items
    if into is not None and not isinstance(into, dict):
        raise TypeError(f"{key} stands in no mapping")
    return {**(into or {}), str(key): _written((into or {}).get(str(key)), rest, value)}
