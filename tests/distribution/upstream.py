"""Run by tests: what fails in Keras' own `fit` under a strategy, and is why this package takes its steps itself.

The argument names the case; prints `works`, or the function of Keras' trainer or optimizer that raised.
"""

from __future__ import annotations

import json
import os
import sys
import traceback

CASES = {  # issue and function -> what fails in it
    "keras#20585 _maybe_symbolic_build": "fit under MultiWorkerMirroredStrategy: it reduces a tuple",
    "keras#20585 reduce_per_replica": "the same, once the model is built: it takes a mean over the axis of a scalar",
    "keras#20582 _all_reduce_sum_gradients": "gradient accumulation under MirroredStrategy",
}


def main(case: str, index: int, addresses: list[str]) -> None:
    several = case.startswith("keras#20585")
    if several:
        task = {"type": "worker", "index": index}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
    import keras
    import numpy as np
    import tensorflow as tf

    if several:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    else:
        device = tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [device] * 2)
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    keras.config.disable_traceback_filtering()
    with strategy.scope():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        steps = None if several else 2
        model.compile(keras.optimizers.Adam(gradient_accumulation_steps=steps), "mse")
    if case.endswith(" reduce_per_replica"):
        model._maybe_symbolic_build = lambda **given: None
    try:
        model.fit(np.ones((8, 4), "float32"), np.ones((8, 2), "float32"), batch_size=4, verbose=0)
    except Exception as error:  # where it comes from is told, and judged by the test
        frames = traceback.extract_tb(error.__traceback__)
        print(",".join(frame.name for frame in frames if f"{os.sep}keras{os.sep}" in frame.filename), flush=True)
        os._exit(0)  # the other worker would be waited for
    print("works", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]))
