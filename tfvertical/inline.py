"""A frozen prefix inside the training step: in inference mode, without gradients, for inputs that cannot be kept."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable("tfvertical")
class InferenceOnly(keras.layers.Layer):
    """Calls a model with `training=False`, whatever is said outside."""

    def __init__(self, part: keras.Model, **kwargs: Any):
        super().__init__(trainable=False, **kwargs)
        self.part = part

    def call(self, inputs: Any) -> Any:
        """The part's outputs."""
        return self.part(inputs, training=False)

    def compute_output_spec(self, inputs: Any) -> Any:
        """The part's own symbolic outputs."""
        return keras.tree.map_structure(lambda t: keras.KerasTensor(t.shape, t.dtype), self.part.output)


def inline(prefix: keras.Model, suffix: keras.Model) -> keras.Model:
    """One model of both whose prefix always runs in inference mode, with no gradient kept."""
    inputs = keras.tree.map_structure(
        lambda t: keras.Input(batch_shape=(None, *t.shape[1:]), dtype=t.dtype, name=t.name), prefix.input
    )
    return keras.Model(inputs, suffix(InferenceOnly(prefix, name="prefix")(inputs)), name="inline")
