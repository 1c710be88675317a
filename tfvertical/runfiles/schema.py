"""What a function or a dataclass takes, read from its own signature, so that a run file's rules are written once.

Types are checked strictly (`epochs: "3"` and `epochs: true` are mistakes), ranges by `kinds` and by the dataclasses.
A signature can be read from a file's text (`declared`), since importing a task would load TensorFlow.
"""

from __future__ import annotations

import ast
import collections.abc
import dataclasses
import functools
import inspect
import json
import sys
import typing
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError, create_model
from pydantic.fields import FieldInfo

from tfvertical import kinds
from tfvertical.errors import TfverticalError, nearest
from tfvertical.runfiles.runfile import Mistake, Place

_ROOT = Path(kinds.__file__).parent.parent
_EXPECTED = {
    "bool": "true or false",
    "dict": "a mapping",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "model": "a mapping",
    "model_attributes": "a mapping",
    "none_required": "null",
    "string": "text (in quotes where it looks like a number)",
    "tuple": "a list",
    "finite_number": "a finite number",
}


def declared(path: Path, owner: str, function: str) -> inspect.Signature:
    """The signature of the method `owner.function` of the file at `path`, inherited ones too, without importing it.

    Args:
        path: a Python file of ours.
        owner: the class, in any spelling of case and underscores.
        function: its method; the first parameter (`cls`, `self`) is left out.
    """
    found = _member(path, owner, lambda line: isinstance(line, ast.FunctionDef) and line.name == function)
    if not isinstance(found, ast.FunctionDef):
        raise LookupError(f"{path} defines no {owner}.{function}")
    return _signature(found.args)


@functools.cache
def constant(path: Path, owner: str, name: str) -> Any:
    """What the class `owner` in the file at `path` sets its annotated attribute `name` to, or inherits, without
    importing it.

    Example:
        >>> constant(Path(kinds.__file__).parent / "tasks" / "text_classifier.py", "text_classifier", "kind")
        'text'
    """

    def sets(line: ast.stmt) -> bool:
        if not isinstance(line, ast.AnnAssign) or line.value is None:  # a contract only declares it
            return False
        return isinstance(line.target, ast.Name) and line.target.id == name

    found = _member(path, owner, sets)
    if not isinstance(found, ast.AnnAssign) or found.value is None:
        raise LookupError(f"{path} gives {owner} no {name}")
    return ast.literal_eval(found.value)


def _member(path: Path, owner: str, wanted: Callable[[ast.stmt], bool]) -> ast.stmt | None:
    """A line of a class as Python would find it: its own, or of a base that its file imports from this package."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    homes = {
        name.name: _ROOT.joinpath(*line.module.split(".")).with_suffix(".py")
        for line in module.body
        if isinstance(line, ast.ImportFrom) and line.module and line.module.startswith("tfvertical.")
        for name in line.names
    }
    for cls in module.body:
        if isinstance(cls, ast.ClassDef) and cls.name.lower() == owner.replace("_", "").lower():
            own = next(filter(wanted, cls.body), None)
            bases = [base.id for base in cls.bases if isinstance(base, ast.Name) and base.id in homes]
            return own or next(filter(None, (_member(homes[base], base, wanted) for base in bases)), None)
    return None


def _signature(arguments: ast.arguments) -> inspect.Signature:
    named, only = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    positional = arguments.args[1:]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    defaults += [*arguments.defaults, *arguments.kw_defaults]
    how = [named] * len(positional) + [only] * len(arguments.kwonlyargs)
    found = zip([*positional, *arguments.kwonlyargs], defaults, how, strict=True)
    return inspect.Signature(
        [
            inspect.Parameter(
                argument.arg,
                kind,
                default=inspect.Parameter.empty if default is None else ast.literal_eval(default),
                annotation="Any" if argument.annotation is None else ast.unparse(argument.annotation),
            )
            for argument, default, kind in found
        ]
    )


def options(target: Callable[..., Any] | inspect.Signature) -> dict[str, inspect.Parameter]:
    """The keywords that `target` takes, by name; not `*args` and `**kwargs`."""
    signature = target if isinstance(target, inspect.Signature) else inspect.signature(target)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: parameter for name, parameter in signature.parameters.items() if parameter.kind in named}


def check(
    target: Callable[..., Any] | inspect.Signature,
    values: Any,
    place: Place,
    *,
    given: Collection[str] = (),
    extra: Mapping[str, Any] | None = None,
    habits: Mapping[str, str] | None = None,
) -> list[Mistake]:
    """What is wrong with `values` as keywords of `target`: unknown, missing, of a wrong type or out of range.

    Args:
        target: a dataclass, a function, or what `declared` found; only a dataclass is ever called.
        values: what the run file says, normally a mapping.
        place: where it says so.
        given: names of `target` that are not the file's to give.
        extra: more keys that may stand there, with their types.
        habits: keys that are often said and stand for something else, with what is told of them.

    Example:
        >>> from tfvertical.settings import Settings
        >>> for mistake in check(Settings, {"epoch": 3, "warmup": 2.0}, ("training",)):
        ...     print(mistake.place, mistake.what)
        ('training', 'epoch') unknown key. Nearest: 'epochs'.
        ('training', 'warmup') Training settings: warmup is 2.0, expected 0…1.
    """
    if values is None:
        values = {}
    model = _model(target, given, extra or {})
    found = _typed(model, values, place)
    told = {(*place, key): f"unknown key: {meant}." for key, meant in (habits or {}).items()}
    found = [Mistake(each.place, told.get(each.place, each.what)) for each in found]
    if isinstance(target, type) and dataclasses.is_dataclass(target) and isinstance(values, dict):
        fields = {key: value for key, value in values.items() if key in options(target) and key not in (extra or {})}
        wrong = {mistake.place[len(place)] for mistake in found if len(mistake.place) > len(place)}
        found += _ranges(target, {key: value for key, value in fields.items() if key not in wrong}, place)
    return found


def build(cls: type, values: Mapping[str, Any]) -> Any:
    """The dataclass `cls` from checked values: lists become tuples where its fields are tuples.

    Example:
        >>> from tfvertical.augment import Augment
        >>> build(Augment, {"crop": [0.5, 1.0]}).crop
        (0.5, 1.0)
    """
    model = _model(cls, (), {}).model_validate_json(json.dumps(values), strict=True)
    return cls(**{name: getattr(model, name) for name in values})


def _ranges(target: Callable[..., Any], fields: Mapping[str, Any], place: Place) -> list[Mistake]:
    """Each value alone, so that every one out of range gets its own line; then all together."""
    found = []
    for key, value in fields.items():
        try:
            target(**{key: value})
        except TfverticalError as error:
            found.append(Mistake((*place, key), str(error)))
        except TypeError:  # another field has no default: only all together can be tried
            pass
    if not found:
        try:
            target(**fields)
        except TfverticalError as error:
            found.append(Mistake(place, str(error)))
        except TypeError:
            pass  # a missing key, which is a mistake already
    return found


def _typed(model: type[BaseModel], values: Any, place: Place) -> list[Mistake]:
    """Unknown, missing and wrongly typed keys; by way of JSON, where a list may be a tuple and nothing else bends."""
    try:
        model.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        found: dict[Place, list[Any]] = {}
        for detail in error.errors(include_url=False):
            key = _place_in(values, detail["loc"])
            found.setdefault(key, []).append(detail)
        # of a union, the member that failed further inside is the one that was meant
        deepest = [key for key in found if not any(key == other[: len(key)] != other for other in found)]
        return [Mistake((*place, *key), _words(found[key], model, key)) for key in deepest]
    return []


def _place_in(values: Any, location: tuple[str | int, ...]) -> Place:
    """Pydantic's location without the names of union members, which are no keys of the file."""
    place: list[str | int] = []
    for step in location:
        keys = values if isinstance(values, dict) else range(len(values)) if isinstance(values, list) else ()
        if step in keys:
            values = values[step]
        elif place:
            continue  # a first step that is not there is a missing key
        place.append(step)
    return tuple(place)


def _words(details: list[Any], model: type[BaseModel], key: Place) -> str:
    """One mistake in words; a union gives several details, one for each of its types."""
    kind = details[0]["type"]
    if kind == "extra_forbidden":
        known = list(model.model_fields)
        close = nearest(str(key[-1]), known)
        return "unknown key. " + (nearest_of(close) if close else "Known: " + ", ".join(known) + ".")
    if kind == "missing":
        return "is missing, and must be given."
    expected, received = list(dict.fromkeys(_expected(detail) for detail in details)), details[0]["input"]
    text = f"expected {' or '.join(expected)}, received {json.dumps(received, ensure_ascii=False)}."
    if kind == "literal_error" and isinstance(received, str):
        choices = [word.strip("'") for word in expected[0].replace(" or ", ", ").split(", ")]
        text += f" {nearest_of(close)}" if (close := nearest(received, choices)) else ""
    return text


def _expected(detail: Mapping[str, Any]) -> str:
    context, kind = detail.get("ctx", {}), detail["type"]
    known = _EXPECTED.get(kind) or _EXPECTED.get(kind.rsplit("_", 1)[0])
    return context.get("expected") or _bound(context) or known or str(detail["msg"])


def _bound(context: Mapping[str, Any]) -> str | None:
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    found = [f"{words[key]} {context[key]:g}" for key in words if key in context]
    return " and ".join(found) or None


def nearest_of(close: list[str]) -> str:
    """The end of a mistake: what there is that is called nearly so."""
    return "Nearest: " + ", ".join(repr(name) for name in close) + "."


def _model(
    target: Callable[..., Any] | inspect.Signature, given: Collection[str], extra: Mapping[str, Any]
) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for name, parameter in options(target).items():
        if name not in given:
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[name] = (type_of(target, parameter.annotation), FieldInfo(default=default))
    fields |= {name: (kind, None) for name, kind in extra.items()}
    config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=())
    return create_model("Options", __config__=config, **fields)


def type_of(target: Callable[..., Any] | inspect.Signature, annotation: Any) -> Any:
    """The annotation as a type that can be checked; Any where it names what only a type checker knows."""
    if annotation is inspect.Parameter.empty:
        return Any
    if isinstance(annotation, str):
        own = {} if isinstance(target, inspect.Signature) else vars(sys.modules[target.__module__])
        try:
            names = vars(typing) | vars(collections.abc) | vars(kinds) | own
            holder = type("Holder", (), {"__annotations__": {"option": annotation}})
            annotation = typing.get_type_hints(holder, globalns=names, include_extras=True)["option"]
        except NameError:
            return Any
    try:
        TypeAdapter(annotation)
    except PydanticSchemaGenerationError:
        return Any
    return annotation
