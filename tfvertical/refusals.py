"""What cannot be trained is said before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from tfvertical import remat, replicas
from tfvertical.contracts import Adaptation, Encoded, Task
from tfvertical.errors import ConfigError, DataError, nearest
from tfvertical.settings import Settings, monitored
from tfvertical.stages import Stage


def refuse_data(train: Encoded, validation: Encoded | None, settings: Settings, monitor: str) -> None:
    """See whether there is what the run needs.

    Raises:
        DataError: no examples, or examples without labels.
        ConfigError: the settings need validation data and there are none.
    """
    for name, encoded in (("training", train), ("validation", validation)):
        if encoded is None:
            continue
        if not len(encoded):
            raise DataError(f"There are no {name} examples.", expected="at least one")
        if encoded.labels is None:
            raise DataError(f"The {name} examples have no labels.", fix="load them with label=…")
    if validation is None and settings.early_stopping and monitor.startswith("val_"):
        raise ConfigError(
            f"Early stopping on {monitor!r} needs validation data.",
            fix="give some, or monitor a quantity of the training data (`loss`)",
        )


def refuse_monitor(monitor: str, quantities: Sequence[str]) -> None:
    """See whether epochs have what they are to be judged by.

    Args:
        monitor: its name.
        quantities: the names of the task's metrics.

    Raises:
        ConfigError: they have not.
    """
    known = monitored(quantities)
    if monitor not in known:
        raise ConfigError(
            f"There is no {monitor!r} to monitor.",
            expected="one of " + ", ".join(known),
            nearest=nearest(monitor, known),
        )


def refuse_callbacks(callbacks: Sequence[keras.callbacks.Callback], checkpointed: bool) -> None:
    """See whether Keras' callbacks can do in a run what they are for: some fail only hours in, or leave a broken file.

    Args:
        callbacks: all of them.
        checkpointed: whether the run's position is kept.

    Raises:
        ConfigError: one cannot.
    """
    of_keras = keras.callbacks
    for callback in callbacks:
        name = type(callback).__name__
        if isinstance(callback, of_keras.ReduceLROnPlateau | of_keras.LearningRateScheduler):
            raise ConfigError(
                f"{name} sets the optimizer's learning rate, which follows the run's own schedule.",
                fix="leave it out: `schedule=` and `learning_rate=` say how the rate goes over the run, and each stage "
                "of an adaptation has rates of its own, which multiply it",
            )
        if isinstance(callback, of_keras.ModelCheckpoint) and not callback.save_weights_only:
            raise ConfigError(
                f"{name} would save the whole model of a stage, which Keras could not load again: it is a part of the "
                "task's model, compiled for the stage.",
                fix="save_weights_only=True (and a path that ends in .weights.h5); or `checkpoint=` of fit to go on "
                "after a kill, and `task.save` for the whole afterwards",
            )
        if checkpointed and isinstance(callback, of_keras.EarlyStopping) and callback.restore_best_weights:
            raise ConfigError(
                f"{name}(restore_best_weights=True) keeps weights that a run with `checkpoint=` cannot take up again.",
                fix="leave it out: fit itself goes back to the best epoch (`restore_best`, `monitor`), and ends a "
                "stage by `early_stopping=`",
            )


def refuse(
    task: Task,
    plan: Sequence[Stage],
    adaptation: Adaptation,
    settings: Settings,
    strategy: tf.distribute.Strategy | None,
) -> None:
    """See whether task, plan and strategy do what is asked for.

    Raises:
        ConfigError: one of them does not.
    """
    if settings.jit_compile and strategy is not None and not replicas.on_tpu(strategy):
        raise ConfigError(
            "XLA does not compile the steps of several replicas: they sum their gradients in the middle.",
            fix="leave jit_compile out, or train on one device",
        )
    task.objective(settings.label_smoothing, settings.focal)  # which some tasks have no use for
    if settings.rematerialize:
        remat.check(task.model)
    if adaptation.patch(task) is not None:
        raise ConfigError(f"{type(adaptation).__name__} inserts weights, which is not possible yet.")
    if settings.accumulate > 1 and strategy is not None and any(stage.batch_norm for stage in plan):
        raise ConfigError(
            "On several replicas, BatchNormalization that learns cannot take its statistics over parts of a batch.",
            fix="leave accumulate out, or keep BatchNormalization frozen",
        )
