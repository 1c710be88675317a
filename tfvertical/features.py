"""Run a frozen prefix once over all examples and keep what it gives: in memory, and on disk for the next run.

Outputs of variable length are kept without their padding. Where they would not fit, or the inputs change from epoch to
epoch, the prefix runs inside the training step instead: without gradients, in inference mode.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from tfvertical import identity, installed, kernels, precision, stages
from tfvertical.batches import Forward, outputs
from tfvertical.columns import Dense, Ragged
from tfvertical.contracts import Column, Encoded
from tfvertical.errors import ClusterError, StoreError, TfverticalError, TrainingError
from tfvertical.outputs import InMemory, Written, numpy_dtype, own_forward, run, specs_of
from tfvertical.settings import Settings
from tfvertical.sharing import Sharing
from tfvertical.store import Spec, Store, Writer, key

log = logging.getLogger(__name__)

FORMAT = "3"  # goes up when the same model and data give other numbers, or lie differently
WORTH_SECONDS = 2.0  # what took less to compute is not written to disk
PIECE = 256 * 2**20  # bytes of outputs that several processes compute before they are written
RECENT_BYTES = 256 * 2**20  # outputs that stay in memory after a run, for the next one in this process
SAME = 1e-3  # an example's outputs in another batch may differ by this share of the largest
SAME_LOW = 0.05  # and by this where a layer computes in half precision: padding has it sum, and round, in another order


@dataclass(frozen=True)
class Keeping:
    """Where outputs may be kept, and how.

    Args:
        memory: bytes in memory; what takes more is read from disk batch by batch.
        store: the folder on disk; None for memory only.
        dtype: `float32`, or `float16` or `bfloat16` for half the bytes.
        policy: the dtype policy that the prefix computes by.
        about: what lists of kept outputs show (`preset`, `data_name`).
    """

    memory: int
    store: Store | None = None
    dtype: str = "float32"
    policy: str = "float32"
    about: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings, about: Mapping[str, str]) -> Keeping:
        """What a run's settings say."""
        store = Store(limit=settings.cache_disk) if settings.cache_disk else None
        return cls(settings.cache_bytes, store, settings.cache_dtype, about=about)


@dataclass(frozen=True)
class Found:
    """Outputs of a prefix over all examples.

    Args:
        encoded: the examples as the suffix takes them: `cut_0`, `cut_1`, … in place of the model's inputs.
        source: `computed`, `memory` (an earlier run of this process) or `disk`.
        seconds: that it took.
        error: largest difference that storing in half precision made, as a share of the largest value; 0 in float32.
    """

    encoded: Encoded
    source: str
    seconds: float
    error: float = 0.0


_recent: OrderedDict[str, dict[str, Column]] = OrderedDict()


def cost(prefix: keras.Model, encoded: Sequence[Encoded], dtype: str = "float32") -> int:
    """Bytes that the prefix's outputs over all examples would take."""
    total = 0
    for spec in specs_of(prefix, dtype):
        each = math.prod(spec.shape) * numpy_dtype(spec.dtype).itemsize
        for part in encoded:
            total += each * (int(part.lengths.sum()) if spec.ragged and part.lengths is not None else len(part))
    return total


def fits(size: int, settings: Settings) -> bool:
    """Whether outputs of that many bytes can be kept, in memory or on disk."""
    return size <= max(settings.cache_bytes, settings.cache_disk)


def cacheable(prefix: keras.Model) -> bool:
    """Whether every output can be kept by example: one shape for all, or a length in the first axis and nowhere else,
    of a dtype that the store has.

    A table of positions by positions cannot: its padding stands in two axes.
    """
    try:
        specs_of(prefix, "float32")
    except StoreError:
        return False
    return True


def compute(
    prefix: keras.Model,
    encoded: Encoded,
    keeping: Keeping | None = None,
    sharing: Sharing | None = None,
    forward: Forward | None = None,
) -> Found:
    """The prefix's outputs over all examples: found where they are kept already, or computed and kept.

    Args:
        prefix: from `frontier.split`.
        encoded: examples as the whole model takes them.
        keeping: where to look and to keep; None for this call's own memory.
        sharing: with the other processes that make this call, of which each computes its share. None where there are
            none.
        forward: what computes the prefix on several devices; None for its own graph.

    Raises:
        StoreError: they fit neither into memory nor onto the disk, or not into memory and have no identity; or a
            number does not fit the dtype.
        TrainingError: the prefix gives an example other outputs in another batch, so that nothing can be kept.
    """
    keeping, began = keeping or Keeping(2**62), time.perf_counter()
    parts = _together(sharing, lambda: _parts(prefix, encoded, keeping))
    name = key(parts) if parts else ""
    known = _known(name, keeping)
    if sharing is not None and not sharing.everywhere(known is not None):
        known = None
    if known is not None:
        columns, source = known
        return Found(_as_encoded(columns, encoded), source, time.perf_counter() - began)
    _together(sharing, lambda: _check_repeatable(prefix, encoded))
    specs = specs_of(prefix, keeping.dtype)
    if cost(prefix, [encoded], keeping.dtype) <= keeping.memory:
        kept = [InMemory(spec, encoded) for spec in specs]
        rows = None if sharing is None else sharing.of(encoded)
        with precision.lowered(prefix, keeping.policy):
            error = _together(sharing, lambda: run(prefix, encoded, specs, kept, rows, forward))
        if sharing is not None:
            error = sharing.joined([part.values for part in kept], error)
        columns = {spec.name: part.column() for spec, part in zip(specs, kept, strict=True)}
        if name and keeping.store and time.perf_counter() - began > WORTH_SECONDS:
            _write(keeping, name, parts, specs, columns, encoded)
        _remember(name, columns)
    else:
        columns, error = _streamed(prefix, encoded, keeping, specs, (name, parts), forward, sharing)
    return Found(_as_encoded(columns, encoded), "computed", time.perf_counter() - began, error)


def _together(sharing: Sharing | None, action: Callable[[], Any]) -> Any:
    """What an action gives; where it fails in one process, it has failed in all: they must go on alike.

    Raises:
        ClusterError: another process failed by what ends a run.
        StoreError: another process failed by what a run can go on without.
        TfverticalError: this one failed.
    """
    if sharing is None:
        return action()
    found, fault = None, None
    try:
        found = action()
    except TfverticalError as error:
        fault = error
    ends = fault is not None and not isinstance(fault, StoreError | TrainingError)
    failed, ended = sharing.anywhere([fault is not None, ends])
    if not failed:
        return found
    if ended and not ends:
        raise ClusterError(
            "Another worker cannot compute its share of what is frozen, and ends.", fix="see what it says"
        ) from fault
    raise fault or StoreError("Another worker cannot keep what is frozen; see what it says.")


def _known(name: str, keeping: Keeping) -> tuple[dict[str, Column], str] | None:
    """What is kept under a name, and where."""
    if name in _recent and _bytes(_recent[name]) <= keeping.memory:
        _recent.move_to_end(name)
        return dict(_recent[name]), "memory"
    if name and keeping.store and (columns := keeping.store.open(name, keeping.memory)) is not None:
        _remember(name, columns)
        return columns, "disk"
    return None


def held(encoded: Encoded) -> int:
    """Bytes of memory that the examples' columns take; what is read from disk takes none."""
    return _bytes(encoded.columns)


def release(encoded: Encoded) -> None:
    """Let go of what `compute` kept. tf.data holds on to the generators it was given for the life of the process, and
    they to their examples, so that forgetting `encoded` is not enough."""
    if isinstance(encoded.columns, dict):
        encoded.columns.clear()


def forget() -> None:
    """Let go of what stays in memory for the next run of this process."""
    _recent.clear()


def _parts(prefix: keras.Model, encoded: Encoded, keeping: Keeping) -> dict[str, str]:
    """What the outputs depend on; empty where that cannot be told."""
    model = identity.of_model(prefix)
    if model is None:
        return {}
    packages = installed.versions("tensorflow", "keras", "keras-hub", "keras-cv", "tfvertical")
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    versions += ", oneDNN" if kernels.onednn() else ""  # it rounds otherwise
    return {
        "format": FORMAT,
        "model": model,
        "data": identity.of_inputs(encoded),
        "dtype": keeping.dtype,
        "policy": keeping.policy,
        "versions": versions,
    }


def _as_encoded(columns: dict[str, Column], encoded: Encoded) -> Encoded:
    return Encoded(columns, encoded.lengths, encoded.rows, encoded.labels, encoded.weights, units=encoded.units)


def _remember(name: str, columns: Mapping[str, Column]) -> None:
    """Keep small outputs for the next run of this process: a sweep, another head, a notebook's cell run again.

    What is read from disk is not kept: it would hold its files open, and the room of entries that are removed.
    """
    in_memory = all(isinstance(column, Dense | Ragged) for column in columns.values())
    if not name or not in_memory or _bytes(columns) > RECENT_BYTES:
        return
    _recent[name] = dict(columns)
    while sum(map(_bytes, _recent.values())) > RECENT_BYTES:
        _recent.popitem(last=False)


def _bytes(columns: Mapping[str, Column]) -> int:
    return sum(
        column.array.nbytes if isinstance(column, Dense) else column.values.nbytes if isinstance(column, Ragged) else 0
        for column in columns.values()
    )


def _check_repeatable(prefix: keras.Model, encoded: Encoded) -> None:
    """An example must come out as it does alone: a layer that looks at its batch, or draws at random, is found here."""
    rows = np.arange(min(8, len(encoded)))
    if len(rows) < 2:
        return
    low = any(layer.compute_dtype in ("bfloat16", "float16") for layer in stages.layers(prefix))
    same = SAME_LOW if low else SAME
    whole, part = (outputs(prefix, encoded, some) for some in (rows, rows[: len(rows) // 2]))
    for one, other in zip(whole, part, strict=True):
        cut = tuple(slice(0, size) for size in other.shape)
        real = np.isfinite(one[cut]) & np.isfinite(other)
        first, second = (each.astype("float32") if each.dtype.kind in "bV" else each for each in (one[cut], other))
        largest = float(np.abs(first[real]).max(initial=0.0)) or 1.0
        if float(np.abs(first - second)[real].max(initial=0.0)) > same * largest:
            raise TrainingError(
                f"{prefix.name!r} gives an example other outputs in another batch: they cannot be kept.",
                fix="a layer in it draws at random or looks at its whole batch; let it learn, or set cache=False",
            )


def _write(
    keeping: Keeping,
    name: str,
    parts: Mapping[str, str],
    specs: Sequence[Spec],
    columns: Mapping[str, Any],
    encoded: Encoded,
) -> None:
    """Keep what is in memory on disk too; a disk that does not take it is no reason to stop."""
    try:
        with _writing(keeping, name, parts, specs, encoded) as writer:
            for at in range(0, len(encoded), 256):
                rows = np.arange(at, min(at + 256, len(encoded)))
                for spec in specs:
                    writer.put(spec.name, rows, columns[spec.name].take(rows, None))
    except StoreError as error:
        log.warning("Outputs of the frozen part stay in memory only. %s", error)


def _streamed(
    prefix: keras.Model,
    encoded: Encoded,
    keeping: Keeping,
    specs: Sequence[Spec],
    named: tuple[str, Mapping[str, str]],
    forward: Forward | None,
    sharing: Sharing | None,
) -> tuple[dict[str, Column], float]:
    """Outputs larger than memory: written as they are computed, and read from disk from then on.

    Several processes go piece by piece: each computes its share, and all write the whole, each to its own disk, or as
    many copies to the one that they share until the last is written.
    """
    name, parts = named
    if not name:
        raise StoreError(
            "Outputs of the frozen part do not fit into memory, and cannot be told from others on disk: it has a layer "
            "that cannot be written down.",
            fix="raise cache_bytes, or give layers of your own a get_config",
        )
    if keeping.store is None:
        raise StoreError(
            "Outputs of the frozen part fit neither into memory nor onto disk.", fix="raise cache_bytes or cache_disk"
        )
    with contextlib.ExitStack() as entry, precision.lowered(prefix, keeping.policy):
        writing = _writing(keeping, name, parts, specs, encoded)
        writer = _together(sharing, lambda: entry.enter_context(writing))
        if sharing is None:
            error = run(prefix, encoded, specs, [Written(writer, spec.name) for spec in specs], forward=forward)
        else:
            alone = None if forward else own_forward(prefix, len(encoded))  # made once: it is traced
            error = max(
                _piece(prefix, encoded, specs, writer, rows, (forward, alone), sharing)
                for rows in _pieces(encoded, specs)
            )
        _together(sharing, entry.close)
    store = keeping.store

    def opened() -> dict[str, Column]:
        columns = store.open(name, keeping.memory)
        if columns is None:
            raise StoreError(
                f"What was just written to {store.folder} cannot be read.",
                fix="set TFVERTICAL_HOME to a folder on a sound disk",
            )
        return columns

    return _together(sharing, opened), error


def _pieces(encoded: Encoded, specs: Sequence[Spec]) -> list[np.ndarray]:
    """The examples by their lengths, int64, in pieces whose outputs take some `PIECE` bytes; alike in all processes."""
    order = np.arange(len(encoded)) if encoded.lengths is None else np.argsort(encoded.lengths, kind="stable")
    size = np.zeros(len(encoded))
    for spec in specs:
        each = math.prod(spec.shape) * numpy_dtype(spec.dtype).itemsize
        size += each * (encoded.lengths if spec.ragged and encoded.lengths is not None else 1)
    number = (np.cumsum(size[order]) // PIECE).astype(int)
    return np.split(order, np.flatnonzero(np.diff(number)) + 1)


def _piece(
    prefix: keras.Model,
    encoded: Encoded,
    specs: Sequence[Spec],
    writer: Writer,
    rows: np.ndarray,
    computed_by: tuple[Forward | None, Forward | None],
    sharing: Sharing,
) -> float:
    """Some examples' outputs, computed by all processes, and written by each; the largest error of rounding."""
    kept, own = [InMemory(spec, encoded, rows) for spec in specs], rows[sharing.at :: sharing.count]
    error = _together(sharing, lambda: run(prefix, encoded, specs, kept, own, *computed_by))
    error = sharing.joined([part.values for part in kept], error)

    def write() -> None:
        for at in range(0, len(rows), 32):
            places = np.arange(at, min(at + 32, len(rows)))
            for spec, part in zip(specs, kept, strict=True):
                writer.put(spec.name, rows[places], part.column().take(places, None))

    _together(sharing, write)
    return error


@contextlib.contextmanager
def _writing(
    keeping: Keeping, name: str, parts: Mapping[str, str], specs: Sequence[Spec], encoded: Encoded
) -> Iterator[Writer]:
    lengths = encoded.lengths if any(spec.ragged for spec in specs) else None
    if keeping.store is None:
        raise StoreError("There is no folder to keep outputs in.")
    with keeping.store.write(name, {**parts, **keeping.about}, specs, len(encoded), lengths) as writer:
        yield writer
