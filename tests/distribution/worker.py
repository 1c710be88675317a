"""Run by tests: one worker of several, each a process of its own. Prints history and a digest of the weights as JSON.

Called with a JSON object: `index`, `addresses` (none: train alone), `kind`, `how`, `epochs`, `checkpoint`, `every`,
seconds between two saves, `pause`, seconds that each batch takes longer, `dropout`, `stops`, workers that end the run
after an epoch, and `settings`, others of the run.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from typing import Any


def main(asked: dict[str, Any]) -> dict[str, Any]:
    if asked["addresses"]:
        task = {"type": "worker", "index": asked["index"]}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": asked["addresses"]}, "task": task})
    import keras

    import tfvertical as tv
    from tests.core import tiny
    from tfvertical import distribution, training
    from tfvertical.settings import Settings

    where = distribution.resolve("auto", about={"how": asked["how"]}, timeout=60)
    with where.scope():
        task = tiny.make_task(asked["kind"], body_dropout=asked["dropout"], dropout=asked["dropout"])
    train, held_out = (task.encode(tiny.make_examples(asked["kind"], count, seed)) for count, seed in ((37, 0), (7, 1)))
    how = {
        "frozen": tv.Frozen(),
        "full": tv.FullFineTuning(),
        "gradual": tv.GradualUnfreezing(blocks=1),
        "discriminative": tv.Discriminative(),
    }[asked["how"]]
    slowly = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: time.sleep(asked["pause"]))
    stopping = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(stopping.model, "stop_training", True)
    )
    history = training.run(
        task,
        train,
        held_out,
        how,
        Settings(**{"epochs": asked["epochs"], "batch_size": 8, "precision": "float32"} | asked["settings"]),
        callbacks=[slowly, *[stopping] * (asked["index"] in asked["stops"])],
        verbose=0,
        checkpoint=asked["checkpoint"],
        checkpoint_every=asked["every"],
    )
    weights = {name: value.tolist() for name, value in tiny.values(task.model).items()}
    digest = hashlib.sha256(json.dumps(weights, sort_keys=True).encode()).hexdigest()
    return {"history": history.history, "digest": digest, "weights": weights, "said": where.describe(8, 37)}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))), flush=True)
