"""Keras' own callbacks in a run of several `fit`s, which may be taken up again: what they remember and write.

Keras calls `on_train_begin` in every stage, and in every process that a run goes on in; most of its callbacks begin
anew there.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from tfvertical.errors import ConfigError

# what they count and compare while they run; nothing of how they were made, which the same call says again
REMEMBERED = ("best", "best_epoch", "wait", "stopped_epoch", "_batches_seen_since_last_saving", "_last_batch_seen")


def listed(callbacks: Any) -> list[keras.callbacks.Callback]:
    """What `fit` was given as callbacks, as a list: one alone, a `CallbackList`, a list, or None.

    Raises:
        ConfigError: something in it is no callback.

    Example:
        >>> [type(each).__name__ for each in listed(keras.callbacks.EarlyStopping())]
        ['EarlyStopping']
    """
    found: list[keras.callbacks.Callback] = []
    for each in keras.tree.flatten([] if callbacks is None else callbacks):
        if isinstance(each, keras.callbacks.CallbackList):
            found += each.callbacks
        elif isinstance(each, keras.callbacks.Callback):
            found.append(each)
        else:
            raise ConfigError(
                "One of `callbacks` is no callback.",
                expected="objects of classes derived from keras.callbacks.Callback",
                received=repr(each),
                fix="call the class: EarlyStopping()" if isinstance(each, type) else None,
            )
    return found


@contextlib.contextmanager
def appending(callbacks: Sequence[keras.callbacks.Callback], on: bool) -> Iterator[None]:
    """Within it, where `on`, each CSVLogger goes on with its file instead of emptying it; as it was made afterwards."""
    loggers = [each for each in callbacks if on and isinstance(each, keras.callbacks.CSVLogger)]
    before = [(each.append, each.append_header) for each in loggers]
    for each in loggers:
        each.append = True
    try:
        yield
    finally:
        for each, (append, header) in zip(loggers, before, strict=True):
            each.append, each.append_header = append, header


def remembered(callbacks: Sequence[keras.callbacks.Callback]) -> list[dict[str, Any]]:
    """What Keras' own callbacks remember, as JSON values, in their order: `{"name": …, "state": {attribute: value}}`.

    Example:
        >>> remembered([keras.callbacks.EarlyStopping(patience=2), keras.callbacks.TerminateOnNaN()])
        [{'name': "EarlyStopping('val_loss')", 'state': {'best': None, 'wait': 0, 'stopped_epoch': 0}}]
    """
    return [{"name": _name(each), "state": _state(each)} for each in _own(callbacks)]


def fitting(callbacks: Sequence[keras.callbacks.Callback], saved: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What `remembered` gave when a run was interrupted, if it is of these callbacks; else nothing, and a warning."""
    then, now = [each["name"] for each in saved], [_name(each) for each in _own(callbacks)]
    if then == now:
        return list(saved)
    warnings.warn(
        f"Keras' callbacks are others than when the run was interrupted ({_told(then)} then, {_told(now)} now): "
        "what they had counted and compared is not taken up. Give the same ones in the same order to go on exactly.",
        stacklevel=2,
    )
    return []


def restore(callbacks: Sequence[keras.callbacks.Callback], saved: Sequence[Mapping[str, Any]]) -> None:
    """Put back what `fitting` gave."""
    for callback, each in zip(_own(callbacks), saved, strict=False):  # nothing is saved where a stage begins
        for name, value in each["state"].items():
            setattr(callback, name, _number(value))


def _own(callbacks: Sequence[keras.callbacks.Callback]) -> list[keras.callbacks.Callback]:
    """Those of Keras that remember anything; what a class of somebody else's means by its attributes is not known."""
    return [each for each in callbacks if type(each).__module__.startswith("keras.") and _state(each)]


def _state(callback: keras.callbacks.Callback) -> dict[str, Any]:
    known = vars(callback)
    return {name: _word(known[name]) for name in REMEMBERED if name in known}


def _word(value: Any) -> Any:
    """A float to its last bit, an infinite one too, as text; anything else as it is."""
    return value if value is None or isinstance(value, int) else float(value).hex()


def _number(value: Any) -> Any:
    return float.fromhex(value) if isinstance(value, str) else value


def _name(callback: keras.callbacks.Callback) -> str:
    monitored = getattr(callback, "monitor", None)
    return f"{type(callback).__name__}({'' if monitored is None else repr(monitored)})"


def _told(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
