"""Keras' callbacks in a run of several `fit`s."""

from __future__ import annotations

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
