"""States from which a model's layers draw at random: made anew for a run, kept in its positions, each replica's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def states(model: keras.Model) -> list[Any]:
    """Of everything in a model that draws."""
    return [each for each in model.variables if each.name == "seed_generator_state"]


def reseed(model: keras.Model, seed: int) -> None:
    """Give every random layer its state anew: a run must not depend on what ran before in this process."""
    weights = {id(variable) for variable in model.weights}
    for at, variable in enumerate(variable for variable in model.variables if id(variable) not in weights):
        state = np.random.default_rng([seed, at]).integers(0, 2**31, size=variable.shape)
        variable.assign(state.astype(str(variable.dtype)))


@contextlib.contextmanager
def apart(model: keras.Model, replica: Any) -> Iterator[None]:
    """For a step that a replica traces: it draws what no other replica draws, where all states are alike.

    Under a strategy each replica has a copy of the states, and nothing of its own in it: all of them would drop the
    same places of their examples. Behind the step the states are alike again, also where one replica has drawn more
    often than another, so that the first one's stand for all in a position that is saved.

    Args:
        model: what is trained.
        replica: its number among all replicas, int32, a tensor or not.
    """
    every = states(model)
    before = [tf.identity(each.value) for each in every]
    for each, state in zip(every, before, strict=True):
        each.assign(tf.random.experimental.stateless_fold_in(state, tf.cast(replica, state.dtype)))
    yield
    for each, state in zip(every, before, strict=True):
        each.assign(state + tf.constant([0, 1], state.dtype))
