"""What reading advises, for those who do not call `load` themselves: its fixes name keywords that only `load` takes."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
from collections.abc import Callable, Iterable
from typing import Any

from tfvertical.data._load import keywords
from tfvertical.errors import ConfigError, DataError

OF_TASK = ("kind", "target", "labels", "name")  # keywords that come from a task
ELSEWHERE = (*OF_TASK, "text", "label", "group", "time", "weight")  # those too that have a flag, or are for splits
_NAMED = re.compile(r"\b([a-z_]+)=('(?:[^'\\]|\\.)*'|\[[^\]]*\]|\w+|…)")
_UNLABELLED = re.compile(r"(?:^|; )label=None[^;]*")  # who trains or measures needs labels


def as_call(error: DataError, value: Any, *, kind: str, target: str, count: int) -> DataError:
    """The error of a task that read by itself, with the call to read with what the fix names first.

    Args:
        error: of `load`.
        value: what was read.
        kind: of the task, as for `load`.
        target: of the task.
        count: of its labels.

    Example:
        >>> error = DataError("a.csv has no column 'text'.", fix="name it with text='…'")
        >>> print(as_call(error, "a.csv", kind="text", target="label", count=2))  # doctest: +NORMALIZE_WHITESPACE
        a.csv has no column 'text'. Fix: name it with text='…'; only tv.data.load takes that: give
        tv.data.load('a.csv', text='…', label='…', labels=task.labels) in the place of 'a.csv'
    """

    def advised(fix: str) -> str:
        known = set(keywords()) - set(OF_TASK)
        named = [(name, written) for name, written in _NAMED.findall(fix) if name in known]
        if not named:
            return fix
        given = dict(named[:1])
        if {"text", "label"} & dict(named).keys():
            several = {"text": kind == "pair", "label": target == "numbers" and count > 1}
            columns = {name: "['…', '…']" if lists else "'…'" for name, lists in several.items()}
            given = {name: written for name, written in given.items() if name not in columns} | columns
        elif target == "numbers":  # they are called as their columns
            given["label"] = "list(task.labels)"
        given |= {} if kind == "text" else {"kind": repr(kind)}
        given |= {} if target == "label" else {"target": repr(target)}
        shown = repr(os.fspath(value)) if isinstance(value, str | os.PathLike) else "…"
        call = ", ".join([shown, *(f"{name}={written}" for name, written in given.items()), "labels=task.labels"])
        place = "the data" if shown == "…" else shown
        return f"{fix}; only tv.data.load takes that: give tv.data.load({call}) in the place of {place}"

    return _with_fix(error, advised)


def as_flags(error: DataError) -> DataError:
    """The error of a command that reads for a bundle, with the command's flags in the place of keywords.

    Example:
        >>> print(as_flags(DataError("2 of 9 rows.", fix="correct them, or say policy='skip'")))
        2 of 9 rows. Fix: correct them, or say --data-option policy=skip
    """
    return _with_fix(error, lambda fix: _NAMED.sub(_flag, fix))


def as_columns(error: DataError) -> DataError:
    """The error of a command whose only flags are `--text` and `--label`: what other keywords would help is left out.

    Example:
        >>> print(as_columns(DataError("2 of 9 rows.", fix="correct them, or say policy='skip'")))
        2 of 9 rows. Fix: correct them
    """
    others = set(keywords()) - {"text", "label"}

    def advised(fix: str) -> str:
        parts = [part.removeprefix("or ") for part in re.split(r"; |, (?=or )", fix)]
        return _NAMED.sub(_flag, "; or ".join(part for part in parts if not others & _names(part)))

    return _with_fix(error, advised)


def as_settings(error: DataError) -> DataError:
    """The error of a run, with the keys of its file in the place of keywords.

    Example:
        >>> print(as_settings(DataError("2 of 9 rows.", fix="correct them, or say policy='skip'")))
        2 of 9 rows. Fix: correct them, or say `data.policy: skip` (--set data.policy=skip)
    """
    known = set(keywords()) - set(OF_TASK)

    def setting(found: re.Match[str]) -> str:
        name, written = found[1], _yaml(_value(found[2]))
        if name == "labels":
            return "`task.labels: […]`"
        if name not in known or found[2] == "[…]":  # of a call, where there are no columns
            return found[0]
        return f"`data.{name}: {written}`" + (
            "" if "…" in written else f" (--set {shlex.quote(f'data.{name}={written}')})"
        )

    return _with_fix(error, lambda fix: _NAMED.sub(setting, fix))


def refuse_reading(options: Iterable[str], known: Iterable[str], what: str) -> None:
    """Raise ConfigError for a keyword that is none of `known` and one of `load`, whose nearest would mislead.

    Args:
        options: keywords of a function that may read by itself.
        known: its own.
        what: what it calls them.
    """
    own = set(known)
    for name in options:
        if name not in own and name in keywords():
            fix = f"it is an option of tv.data.load: give tv.data.load(…, {name}=…) in the place of the data"
            raise ConfigError(f"There is no {what} {name!r}.", fix=fix)


def _flag(found: re.Match[str]) -> str:
    name, value = found[1], _value(found[2])
    if name == "label" and isinstance(value, list | tuple):
        return found[0]  # the flag takes one column
    if name in ("text", "label"):
        return f"--{name} {shlex.quote(','.join(value) if isinstance(value, list | tuple) else str(value))}"
    known = name in keywords() and name not in ELSEWHERE
    return f"--data-option {shlex.quote(f'{name}={_yaml(value)}')}" if known else found[0]


def _names(fix: str) -> set[str]:
    return {name for name, _ in _NAMED.findall(fix)}


def _with_fix(error: DataError, change: Callable[[str], str]) -> DataError:
    """The same error with what `change` makes of its fix, which may name no reading without labels."""
    before, mark, fix = str(error).rpartition("Fix: ")
    fix = change(_UNLABELLED.sub("", fix).removeprefix("; ")) if mark else ""
    return DataError(f"{before}{mark}{fix}" if fix else before.rstrip() or str(error))


def _value(written: str) -> Any:
    """What Python's spelling of a value stands for; itself where it only stands for any (`…`)."""
    try:
        return ast.literal_eval(written)
    except (SyntaxError, ValueError):
        return written


def _yaml(value: Any) -> str:
    """A value as run files spell it."""
    plain = isinstance(value, str) and re.fullmatch(r"[\w./…-]+", value)
    return str(value) if plain else json.dumps(value, ensure_ascii=False)
