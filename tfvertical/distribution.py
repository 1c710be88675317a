"""Which devices train, by name: one, several of this machine, several machines, a TPU.

TensorFlow's strategies are taken as they are. What is done here is to find out what there is, to say what it means for
a run, to refuse what cannot work before anything hangs, and to make a strategy once: a second MirroredStrategy in one
process lets the replicas' sums mismatch, and a notebook's cell is run again and again.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tfvertical import cluster
from tfvertical.cluster import Cluster
from tfvertical.errors import ClusterError, ConfigError, nearest

Strategy = Literal["auto", "one_device", "mirrored", "multi_worker", "tpu", "parameter_server"]
STRATEGIES: tuple[str, ...] = get_args(Strategy)
TPU_VARIABLES = ("TPU_NAME", "COLAB_TPU_ADDR")


@dataclass(frozen=True)
class Distribution:
    """Where a run trains.

    Args:
        name: one of `STRATEGIES`, never `auto`.
        strategy: TensorFlow's own; None for one device.
        devices: names of the devices that this process trains on.
        why: what it was chosen by, in a few words.
        workers: the processes that train together; None for one.

    Example:
        >>> resolve("one_device").describe(batch_size=32, examples=100)
        'Trains on one device (asked for): batches of 32, 4 steps an epoch.'
    """

    name: str
    strategy: Any = None
    devices: tuple[str, ...] = ()
    why: str = ""
    workers: Cluster | None = None

    @property
    def replicas(self) -> int:
        """How many copies of the model learn."""
        return 1 if self.strategy is None else int(self.strategy.num_replicas_in_sync)

    @property
    def first(self) -> bool:
        """Whether this process saves and reports."""
        return self.workers is None or self.workers.first

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Where the task has to be made; training is begun outside.

        Example:
            >>> with resolve("one_device").scope():
            ...     pass
        """
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()

    def describe(self, batch_size: int, examples: int) -> str:
        """What it means for a run, in a line or two.

        Args:
            batch_size: examples a step, over all replicas.
            examples: to train on.
        """
        steps = f"{math.ceil(examples / batch_size):,} steps an epoch"
        if self.strategy is None:
            return f"Trains on one device ({self.why}): batches of {batch_size}, {steps}."
        each = f"{batch_size // self.replicas} to " * (batch_size % self.replicas > 0)
        each += str(math.ceil(batch_size / self.replicas))
        where = "" if self.workers is None else f" of {len(self.workers.workers)} processes, here {self.workers.here}"
        count = f"{self.replicas} replica{'s' * (self.replicas > 1)}"
        idle = max(0, self.replicas - batch_size)
        waste = f" {idle} of them have nothing to do: take batches of {self.replicas} or more." if idle else ""
        return (
            f"Trains on {count}{where} ({self.name}, {self.why}): batches of {batch_size}, {each} a replica, {steps}. "
            "The learning rate is that of one device, since the batch is; with a larger batch, raise it as much."
            + waste
        )


def resolve(
    name: str = "auto",
    *,
    environment: Mapping[str, str] | None = None,
    about: Mapping[str, str] | None = None,
    timeout: float = cluster.TIMEOUT,
) -> Distribution:
    """The strategy of that name on what this machine has.

    Args:
        name: `auto`, `one_device`, `mirrored`, `multi_worker`, `tpu` or `parameter_server`.
        environment: where TF_CONFIG and TPU_NAME are looked for; None for this process' own.
        about: what has to be the same in all workers: name -> value.
        timeout: seconds that a worker is waited for.

    Raises:
        ClusterError: what was asked for is not there, workers disagree, or one does not come.
        ConfigError: no such strategy.

    Example:
        >>> with resolve("auto").scope():  # doctest: +SKIP
        ...     task = TextClassifier.from_preset("minilm_l6_v2", labels=labels)
        >>> task.fit(train)  # doctest: +SKIP
    """
    if name not in STRATEGIES:
        raise ConfigError(
            f"There is no strategy {name!r}.", expected=", ".join(STRATEGIES), nearest=nearest(name, STRATEGIES)
        )
    environment = os.environ if environment is None else environment
    if name != "auto":
        return _MAKERS[name](environment, "asked for", about, timeout)
    written = environment.get("TF_CONFIG")
    if written and _trains_together(cluster.parse(written)):
        return _multi_worker(environment, "TF_CONFIG lists several workers", about, timeout)
    if (address := _tpu_name(environment)) is not None:
        return _tpu(environment, f"there is a TPU, {address or 'local'}", about, timeout)
    if len(gpus := _devices("GPU")) > 1:
        return _mirrored(environment, f"there are {len(gpus)} GPUs", about, timeout)
    return Distribution("one_device", devices=tuple(gpus), why=f"there is {'a GPU' if gpus else 'no GPU'}")


def saves() -> bool:
    """Whether this process saves and reports: of several workers that were resolved here, only the first does."""
    return all(cluster.parse(key[1]).first for key in _made if key[0] == "multi_worker")


def several(name: str) -> bool:
    """Whether a strategy of that name would join several workers here."""
    if name != "auto":
        return name == "multi_worker"
    written = os.environ.get("TF_CONFIG")
    return written is not None and written != "" and _trains_together(cluster.parse(written))


def _trains_together(found: Cluster) -> bool:
    if found.kind not in ("chief", "worker"):
        raise ClusterError(
            f"TF_CONFIG makes this process a {found.kind!r}, which does not train.",
            fix="start only the workers, or choose training.strategy: one_device",
        )
    return len(found.workers) > 1


@contextlib.contextmanager
def together(strategy: Any) -> Iterator[None]:
    """`replicas.together`, where there is a strategy: TensorFlow is not loaded for one device."""
    if strategy is None:
        yield
        return
    from tfvertical import replicas

    with replicas.together(strategy):
        yield


Maker = Callable[[Mapping[str, str], str, "Mapping[str, str] | None", float], Distribution]
_made: dict[Any, Any] = {}  # strategies of this process, by what they were made of


def _one_device(environment: Mapping[str, str], why: str, about: Any, timeout: float) -> Distribution:
    return Distribution("one_device", why=why)


def _mirrored(environment: Mapping[str, str], why: str, about: Any, timeout: float) -> Distribution:
    import tensorflow as tf

    kind = "GPU" if len(_devices("GPU")) > 1 else "CPU"
    devices = _devices(kind)
    if len(devices) < 2:
        raise ClusterError(
            "A mirrored strategy needs several devices of a kind.",
            received=f"{len(_devices('GPU'))} GPUs and {len(_devices('CPU'))} logical CPUs",
            fix="take one_device (or auto), or make logical devices with tf.config.set_logical_device_configuration",
        )
    strategy = _once(("mirrored", devices), lambda: tf.distribute.MirroredStrategy(list(devices)))
    return Distribution("mirrored", strategy, devices, why)


def _multi_worker(
    environment: Mapping[str, str], why: str, about: Mapping[str, str] | None, timeout: float
) -> Distribution:
    import tensorflow as tf

    written = environment.get("TF_CONFIG")
    if not written:
        raise ClusterError("Several workers were asked for, and TF_CONFIG is not set.", fix=f"set it to {cluster.FORM}")
    workers = cluster.parse(written)
    if workers.kind not in ("worker", "chief"):
        raise ClusterError(f"TF_CONFIG makes this process a {workers.kind!r}, which does not train.")

    def make() -> Any:
        if _has_run():  # found out now, since after the meeting the others would wait for this one
            raise _too_late()
        if written != os.environ.get("TF_CONFIG"):
            raise ClusterError("TensorFlow reads TF_CONFIG from this process' environment.", fix="set it there")
        cluster.meet(workers, about, timeout)
        return tf.distribute.MultiWorkerMirroredStrategy()

    strategy = _once(("multi_worker", written), make)
    return Distribution("multi_worker", strategy, tuple(_devices("GPU") or _devices("CPU")), why, workers)


def _tpu(environment: Mapping[str, str], why: str, about: Any, timeout: float) -> Distribution:
    import tensorflow as tf

    address = _tpu_name(environment)
    if address is None:
        raise ClusterError(
            "A TPU was asked for, and there is none.",
            received=f"no {' or '.join(TPU_VARIABLES)}, and no TPU among TensorFlow's devices ({tf.__version__})",
            fix="choose a TPU runtime, and see what `tfvertical doctor` says of its TensorFlow",
        )

    def make() -> Any:
        try:
            resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=address)  # which may ask the network
            tf.config.experimental_connect_to_cluster(resolver)
            tf.tpu.experimental.initialize_tpu_system(resolver)
        except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
            raise ClusterError(
                f"The TPU {address or 'of this machine'} does not start: {type(error).__name__}: {str(error)[:300]}",
                fix="restart the runtime; `tfvertical doctor` says what stands in the way. Without a TPU: unset "
                f"{' and '.join(TPU_VARIABLES)}, or choose one_device",
            ) from error
        return tf.distribute.TPUStrategy(resolver)

    strategy = _once(("tpu", address), make)
    return Distribution("tpu", strategy, tuple(_devices("TPU")), why)


def _parameter_server(environment: Mapping[str, str], why: str, about: Any, timeout: float) -> Distribution:
    raise ClusterError(
        "Parameter servers are not offered: Keras 3 has no `fit` for them, and its optimizers no sharded variables.",
        fix="take multi_worker, in which every worker holds the whole model",
    )


_MAKERS: dict[str, Maker] = {
    "one_device": _one_device,
    "mirrored": _mirrored,
    "multi_worker": _multi_worker,
    "tpu": _tpu,
    "parameter_server": _parameter_server,
}


def _once(key: Any, make: Callable[[], Any]) -> Any:
    if key not in _made:
        _made[key] = make()
    return _made[key]


def _has_run() -> bool:
    """Whether TensorFlow has begun to compute in this process: from then on it refuses to change its threads."""
    import tensorflow as tf

    threads = tf.config.threading.get_inter_op_parallelism_threads()
    try:
        tf.config.threading.set_inter_op_parallelism_threads(threads + 1)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        return True
    return False


def _too_late() -> ClusterError:
    return ClusterError(
        "TensorFlow has computed something in this process already; several workers cannot be joined any more.",
        fix="restart the process (in a notebook: the kernel), and resolve the strategy first",
    )


def _devices(kind: str) -> tuple[str, ...]:
    import tensorflow as tf

    return tuple(device.name.removeprefix("/device:") for device in tf.config.list_logical_devices(kind))


def _tpu_name(environment: Mapping[str, str]) -> str | None:
    """What a TPU is called: the empty string for this machine's own; None where there is none."""
    for variable in TPU_VARIABLES:
        if name := environment.get(variable):
            bare = variable == "COLAB_TPU_ADDR" and "://" not in name  # else it would be taken for a TPU's name
            return f"grpc://{name}" if bare else name
    import tensorflow as tf

    return "local" if tf.config.list_physical_devices("TPU") else None
