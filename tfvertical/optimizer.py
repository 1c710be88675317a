"""AdamW with a rate per variable, and the schedule of a run.

Rates multiply updates: under Adam, which divides by the gradient's own size, scaling gradients would change nothing.
Keras offers no per-variable rate that survives a checkpoint, clips each replica's gradient before they are summed, and
forgets which variables had no decay, so these three stand here together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvertical import onepass, tables

CALM = 2_000
LARGE = 2**14  # numbers of a variable from which on one pass over memory spares more than calling XLA takes
FLOAT16_SCALE = 2.0**15


@dataclass(frozen=True)
class _Pace:
    """How one variable moves in one step: its rate, what the moments keep, the step's number, and what decay takes."""

    rate: Any
    keep_m: Any
    keep_v: Any
    step: Any
    fade: Any


@keras.saving.register_keras_serializable("tfvertical")
class StagedAdamW(keras.optimizers.Optimizer):
    """AdamW (Loshchilov and Hutter 2019) in which each variable has its rate, its decay and its own first step.

    Args:
        learning_rate: a number or a `keras.optimizers.schedules.LearningRateSchedule`.
        rates: multiplier of the whole update, decay included, per variable in the order of `trainable_variables`.
        decays: whether weight decay applies, per variable.
        starts: the step at which each began to learn, for Adam's bias correction.
        decay: decoupled weight decay.
        clip_norm: largest norm of all gradients together, after they are summed over replicas; None for no clipping.
            A step whose gradients are not finite moves nothing, and is counted.
        beta_1, beta_2, epsilon: as in Adam.
        loss_scale: what the loss is multiplied with at first, so that gradients in float16 do not vanish; it is halved
            when they overflow, and doubled after `CALM` steps without (Micikevicius et al. 2018). None for no scaling.
        average: decay of an exponential moving average of each variable (Polyak and Juditsky 1992); None for none. In a
            variable's n-th step it is n / (n + 9) at most: the average soon forgets where it began.
        rows: per variable, the rows that may move, as `tables.packed` writes them; None for all. Moments are kept of
            them only, and all others stay as they are, weight decay included. Gradients have to be zero there.

    Attributes:
        skipped: how many steps have moved nothing, a variable; overflows of a loss that is scaled do not count.
        one_pass: whether XLA makes one pass over memory of a large variable's step; read while a step is traced.
    """

    one_pass = False

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        rates: Sequence[float] = (),
        decays: Sequence[bool] = (),
        starts: Sequence[int] = (),
        decay: float = 0.01,
        clip_norm: float | None = 1.0,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        loss_scale: float | None = None,
        average: float | None = None,
        rows: Sequence[str | None] = (),
        name: str = "staged_adamw",
        **kwargs: Any,
    ):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.rates, self.decays, self.starts = tuple(rates), tuple(decays), tuple(starts)
        self.decay, self.clip_norm = decay, clip_norm
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self.loss_scale, self.average = loss_scale, average
        self.rows = tuple(rows)

    def build(self, variables: Sequence[Any]) -> None:
        """Make the moments; as many variables as rates, decays and starts are expected."""
        if self.built:
            return
        for name in ("rates", "decays", "starts", *(["rows"] if self.rows else [])):
            if len(getattr(self, name)) != len(variables):
                raise ValueError(f"{len(variables)} variables learn, but there are {len(getattr(self, name))} {name}.")
        super().build(variables)
        given = self.rows or (None,) * len(variables)
        self._rows = tuple(None if rows is None else tables.unpacked(rows) for rows in given)
        self._momentums, self._velocities = [], []
        for variable, rows in zip(variables, self._rows, strict=True):
            self._momentums.append(self._moment(variable, rows, "momentum"))
            self._velocities.append(self._moment(variable, rows, "velocity"))
        self.skipped = self.add_variable((), initializer="zeros", dtype="int32", name="skipped")
        if self.loss_scale is not None:
            begin = keras.initializers.Constant(self.loss_scale)
            self._scale = self.add_variable((), initializer=begin, dtype="float32", name="loss_scale")
            self._calm = self.add_variable((), initializer="zeros", dtype="int32", name="calm_steps")
        self._averages = []
        if self.average is not None:
            (self._averages,) = self.add_optimizer_variables(variables, ["average"])
            for average, variable in zip(self._averages, variables, strict=True):
                average.assign(variable)

    def _moment(self, variable: Any, rows: np.ndarray | None, name: str) -> Any:
        """Zeros, as many as numbers of the variable may move."""
        if rows is None:
            return self.add_variable_from_reference(variable, name=name)
        with self._distribution_strategy.extended.colocate_vars_with(variable.value):
            shape = (len(rows), *variable.shape[1:])
            return self.add_variable(shape, initializer="zeros", dtype=variable.dtype, name=f"{variable.name}_{name}")

    def scale_loss(self, loss: Any) -> Any:
        """The loss that gradients are taken of."""
        return loss if self.loss_scale is None else loss * tf.cast(self._scale.value, loss.dtype)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One variable's step: moments, bias correction from its own start, decay, then its rate.

        A rate that is no number says that nothing may move; the gradient is zero then.
        """
        at = self._get_variable_index(variable)
        m, v = self._momentums[at], self._velocities[at]
        moves = tf.math.is_finite(learning_rate)
        if at == self._first:
            self.assign_add(self.skipped, tf.where(self._rescaled(moves), 0, 1))
        rate = tf.cast(tf.where(moves, learning_rate, 0.0), variable.dtype) * self.rates[at]
        pace = _Pace(
            rate,
            tf.where(moves, self.beta_1, 1.0),
            tf.where(moves, self.beta_2, 1.0),
            tf.cast(self.iterations + 1 - self.starts[at], variable.dtype),
            rate * self.decay if self.decays[at] and self.decay else None,
        )
        gradient, rows = tf.cast(gradient, variable.dtype), self._rows[at]
        if self._passed_once(at, variable):
            self._move_at_once(variable, m, v, gradient, pace)
        elif rows is None:
            self._move(variable, m, v, gradient, pace)
        else:
            self._move_rows(rows, variable, m, v, gradient, pace)
        if self.average is not None:
            kept = tf.where(moves, tf.minimum(self.average, pace.step / (pace.step + 9)), 1.0)
            self.assign(self._averages[at], self._averages[at].value * kept + variable * (1 - kept))

    def _move(self, variable: Any, m: Any, v: Any, gradient: Any, pace: _Pace) -> None:
        """Decay, then Adam's step, of a whole variable."""
        if pace.fade is not None:
            self.assign_sub(variable, variable * pace.fade)
        tf.raw_ops.ResourceApplyAdam(  # one pass over memory instead of twenty: an embedding table is the whole cost
            var=variable.handle,
            m=m.value.handle,
            v=v.value.handle,
            beta1_power=tf.pow(self.beta_1, pace.step),
            beta2_power=tf.pow(self.beta_2, pace.step),
            lr=pace.rate,
            beta1=pace.keep_m,
            beta2=pace.keep_v,
            epsilon=self.epsilon,
            grad=gradient,
        )

    def _passed_once(self, at: int, variable: Any) -> bool:
        """Whether a variable's gradient comes unscaled, and goes through one pass."""
        return self.one_pass and self._rows[at] is None and variable.shape.num_elements() >= LARGE

    def _move_at_once(self, variable: Any, m: Any, v: Any, gradient: Any, pace: _Pace) -> None:
        """The same by XLA, with the gradient's scale: memory is read and written half as often."""
        unbiased = tf.sqrt(1 - tf.pow(self.beta_2, pace.step)) / (1 - tf.pow(self.beta_1, pace.step))
        fade = 0.0 if pace.fade is None else pace.fade
        numbers = (self._scaled, pace.rate * unbiased, fade, pace.keep_m, pace.keep_v, self.epsilon)
        onepass.adam(variable, m.value, v.value, gradient, tf.stack([tf.cast(each, tf.float32) for each in numbers]))

    def _move_rows(self, rows: np.ndarray, variable: Any, m: Any, v: Any, gradient: Any, pace: _Pace) -> None:
        """The same of some rows, `gradient` being theirs."""
        first = m.value + (gradient - m.value) * (1 - pace.keep_m)
        second = v.value + (tf.square(gradient) - v.value) * (1 - pace.keep_v)
        self.assign(m, first)
        self.assign(v, second)
        unbiased = tf.sqrt(1 - tf.pow(self.beta_2, pace.step)) / (1 - tf.pow(self.beta_1, pace.step))
        moved = pace.rate * unbiased * first / (tf.sqrt(second) + self.epsilon)
        if pace.fade is not None:
            moved += tf.gather(variable, rows) * pace.fade
        tf.raw_ops.ResourceScatterSub(resource=variable.handle, indices=tf.constant(rows), updates=moved)

    def _rescaled(self, moves: tf.Tensor) -> tf.Tensor:
        """Adjust the loss' scale to a step that moves, or does not; whether that was all there was to it."""
        if self.loss_scale is None:
            return moves
        scale, calm = tf.identity(self._scale.value), self._calm.value + 1
        self.assign(self._scale, tf.where(moves, tf.where(calm >= CALM, scale * 2, scale), tf.maximum(scale / 2, 1.0)))
        self.assign(self._calm, tf.where(tf.logical_and(moves, calm < CALM), calm, 0))
        return tf.logical_or(moves, scale > 1)

    def _backend_update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> None:
        """Sum over replicas, then clip, then update: Keras clips first, which differs as soon as there are two."""
        self._first = self._get_variable_index(trainable_variables[0])  # Keras leaves out what has no gradient
        values = [getattr(variable, "value", variable) for variable in trainable_variables]
        places = [self._get_variable_index(variable) for variable in trainable_variables]
        dense = [
            tables.summed(gradient, self._rows[at]) for gradient, at in zip(grads, places, strict=True)
        ]  # a row that occurs twice must be summed first
        pairs = self._all_reduce_sum_gradients(list(zip(dense, values, strict=True)))
        undo = 1.0 if self.loss_scale is None else 1.0 / self._scale.value
        norm = tf.linalg.global_norm([gradient for gradient, _ in pairs]) * undo
        finite = tf.math.is_finite(norm)
        scale = tf.ones_like(norm) if self.clip_norm is None else tf.minimum(self.clip_norm / norm, 1.0)
        self._scaled = scale = tf.where(finite, scale * undo, 0.0)
        pairs = [
            (gradient, value)
            if self._passed_once(at, value)
            else (tf.math.multiply_no_nan(gradient, tf.cast(scale, gradient.dtype)), value)
            for at, (gradient, value) in zip(places, pairs, strict=True)
        ]
        learning_rate = tf.where(finite, learning_rate, math.nan)
        tf.__internal__.distribute.interim.maybe_merge_call(
            self._distributed_tf_update_step, self._distribution_strategy, pairs, learning_rate
        )

    def settle(self, variables: Sequence[Any]) -> None:
        """Let whole variables be read without a copy again, which TensorFlow makes once single rows were moved.

        Args:
            variables: what it was built with.
        """
        for variable, rows in zip(variables, self._rows, strict=True):
            if rows is not None and isinstance(variable.value, tf.Variable):
                tf.raw_ops.DisableCopyOnRead(resource=variable.value.handle)

    def carry_over(self, previous: StagedAdamW, before: Sequence[Any], now: Sequence[Any]) -> None:
        """Take the step count, and the moments of every variable that goes on learning, from the stage before.

        Args:
            previous: its optimizer.
            before: the variables that `previous` was built with.
            now: the variables that this one is built with.
        """
        self.iterations.assign(previous.iterations)
        places = {id(variable): at for at, variable in enumerate(before)}
        for at, variable in enumerate(now):
            if (old := places.get(id(variable))) is not None:
                self._momentums[at].assign(previous._momentums[old])
                self._velocities[at].assign(previous._velocities[old])

    def swap_averages(self, variables: Sequence[Any]) -> None:
        """Let variables and their averages change places; called again, they stand where they stood."""
        for average, variable in zip(self._averages, variables, strict=True):
            held = variable.numpy()
            variable.assign(average)
            average.assign(held)

    def get_config(self) -> dict[str, Any]:
        """Plain values; `from_config` undoes it."""
        names = (
            "rates",
            "decays",
            "starts",
            "decay",
            "clip_norm",
            "beta_1",
            "beta_2",
            "epsilon",
            "loss_scale",
            "average",
            "rows",
        )
        config = {key: value for key, value in super().get_config().items() if key in ("name", "learning_rate")}
        return config | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable("tfvertical")
class RunSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Warm-up, then decay, over a whole run.

    Args:
        peak: the highest rate; a variable, where another run is to use the same graphs at another rate.
        steps: steps of the run.
        warmup: share of them in which the rate rises linearly from 0.
        shape: `cosine` or `linear` (both end at 0), or `constant`.
        offset: the step at which it begins.
    """

    def __init__(
        self, peak: float | tf.Variable, steps: int, warmup: float = 0.1, shape: str = "cosine", offset: int = 0
    ):
        self.peak, self.steps, self.warmup, self.shape, self.offset = peak, steps, warmup, shape, offset

    def __call__(self, step: Any) -> Any:
        """The rate at `step`, float32."""
        at = tf.cast(step, tf.float32) - float(self.offset)
        rising = float(max(1, int(self.warmup * self.steps)))  # whole steps: part of one would overshoot the peak
        rest = tf.clip_by_value((at - rising) / max(1.0, self.steps - rising), 0.0, 1.0)
        falling = {
            "cosine": 0.5 * (1 + tf.cos(math.pi * rest)),
            "linear": 1 - rest,
            "constant": tf.ones_like(rest),
        }[self.shape]
        return self.peak * tf.where(at < rising, (at + 1) / rising, falling)

    def get_config(self) -> dict[str, Any]:
        """Plain values."""
        plain = {name: getattr(self, name) for name in ("steps", "warmup", "shape", "offset")}
        return {"peak": float(self.peak), **plain}


def decays(addresses: Sequence[str], variables: Sequence[Any]) -> list[bool]:
    """Whether weight decay applies: to matrices and kernels, not to biases and normalization weights.

    These are told apart by rank (one-dimensional), which holds for attention biases too, whose name is `bias`.
    """
    return [
        len(variable.shape) > 1 and not address.endswith("/bias")
        for address, variable in zip(addresses, variables, strict=True)
    ]
