"""Run by tests: what fails in Keras' own `fit` under a strategy, and is why this package takes its steps itself.

The argument names the case; prints `works` or the kind of error.
"""

from __future__ import annotations

import json
import os
import sys

CASES = {
    "keras#20585": "fit under MultiWorkerMirroredStrategy",
    "keras#20582": "gradient accumulation under MirroredStrategy",
}


def main(case: str, index: int, addresses: list[str]) -> None:
    if case == "keras#20585":
        task = {"type": "worker", "index": index}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
    import keras
    import numpy as np
    import tensorflow as tf

    if case == "keras#20585":
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    else:
        device = tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [device] * 2)
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        steps = 2 if case == "keras#20582" else None
        model.compile(keras.optimizers.Adam(gradient_accumulation_steps=steps), "mse")
    try:
        model.fit(np.ones((8, 4), "float32"), np.ones((8, 2), "float32"), batch_size=4, verbose=0)
    except Exception as error:  # whatever it is, it is theirs
        print(type(error).__name__, flush=True)
        os._exit(0)  # the other worker would be waited for
    print("works", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]))
