"""Keras' own callbacks in a run of several `fit`s, which may be taken up again.

Keras calls `on_train_begin` in every stage, and in every process that a run goes on in; most of its callbacks begin
anew there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from tfvertical.errors import ConfigError


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
