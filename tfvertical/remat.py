"""Compute what blocks give again in the backward pass, instead of keeping it (Chen et al. 2016).

TensorFlow's `recompute_grad` runs a function a second time. Keras' Dropout would draw another mask then, and the
gradient would be that of another step: here a block's random states are read once, before it, and both runs draw from
them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common import global_state
from keras.src.backend.common.variables import AutocastScope

from tfvertical import stages
from tfvertical.errors import ConfigError

_CONTEXT = "current_call_ctx"  # Keras' own name


def blocks(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers that hold other layers and are no models: what is computed again as one."""
    found, inside = [], set[int]()
    for layer in stages.layers(model):
        if id(layer) in inside or isinstance(layer, keras.Model):
            continue
        held = list(layer._flatten_layers(include_self=False))
        if held and layer.weights:
            found.append(layer)
            inside |= set(map(id, held))
    return found


def check(model: keras.Model) -> None:
    """Say that there is nothing to compute again, before anything is trained.

    Raises:
        ConfigError: no layer of the model is a block.
    """
    if not blocks(model):
        raise ConfigError(
            f"Nothing in {model.name!r} can be rematerialized: none of its layers is a block of layers.",
            fix="leave rematerialize out, or take accumulate for less memory",
        )


@contextlib.contextmanager
def rematerialized(model: keras.Model, asked: bool) -> Iterator[None]:
    """For a context in which steps are traced: a model's blocks are computed again in their backward passes."""
    found = blocks(model) if asked else []
    for layer in found:
        layer.call = _again(layer)
    try:
        yield
    finally:
        for layer in found:
            del layer.call


def _again(layer: keras.layers.Layer) -> Any:
    """The layer's `call`, whose outputs are not kept for the backward pass."""
    plain, generators = layer.call, _generators(layer)

    def call(*args: Any, **kwargs: Any) -> Any:
        context = global_state.get_global_attribute(_CONTEXT)
        asked = kwargs.get("training")
        if not (getattr(context, "training", None) if asked is None else asked):
            return plain(*args, **kwargs)
        leaves = tf.nest.flatten((args, kwargs))
        places = [at for at, leaf in enumerate(leaves) if tf.is_tensor(leaf)]
        states = [tf.identity(generator.state.value) for generator in generators]
        drawn = [0] * len(generators)

        def run(*tensors: tf.Tensor) -> Any:
            given = list(leaves)
            for at, tensor in zip(places, tensors[len(states) :], strict=True):
                given[at] = tensor
            again_args, again_kwargs = tf.nest.pack_sequence_as((args, kwargs), given)
            with _drawing(generators, tensors[: len(states)], drawn), _called(layer, context):
                return plain(*again_args, **again_kwargs)

        found = tf.recompute_grad(run)(*states, *[leaves[at] for at in places])
        for generator, state, count in zip(generators, states, drawn, strict=True):
            generator.state.assign(state + tf.constant([0, count], state.dtype))
        return found

    return call


@contextlib.contextmanager
def _called(layer: keras.layers.Layer, context: Any) -> Iterator[None]:
    """What Keras sets up around a layer's call and takes down behind it: the second run comes later, in the tape.

    Without, a sublayer that is told nothing of `training` would not drop the second time, and weights would keep their
    own dtype. Keras offers no public way to do it.
    """
    before = global_state.get_global_attribute(_CONTEXT)
    global_state.set_global_attribute(_CONTEXT, context)
    try:
        with AutocastScope(layer.compute_dtype if layer.autocast else None):
            yield
    finally:
        global_state.set_global_attribute(_CONTEXT, before)


def _generators(layer: keras.layers.Layer) -> list[Any]:
    every = [layer, *layer._flatten_layers(include_self=False)]
    return [each.seed_generator for each in every if getattr(each, "seed_generator", None) is not None]


@contextlib.contextmanager
def _drawing(generators: Sequence[Any], states: Sequence[tf.Tensor], drawn: list[int]) -> Iterator[None]:
    """Seeds that follow from `states` alone; `drawn` has how many each generator gave."""

    def seeds(at: int) -> Any:
        count = 0

        def following(ordered: bool = True) -> tf.Tensor:
            nonlocal count
            count += 1
            drawn[at] = count
            return states[at] + tf.constant([0, count - 1], states[at].dtype)

        return following

    for at, generator in enumerate(generators):
        generator.next = seeds(at)
    try:
        yield
    finally:
        for generator in generators:
            del generator.next
