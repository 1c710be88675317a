"""The processes that train together: what TF_CONFIG says of them, and that all are there before TensorFlow waits.

TensorFlow's own start waits for every worker without a word, and lets workers train that were given different runs. So
they meet first, at the first worker's address: each says who it is and what it is about to do, in one line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tfvertical.errors import ClusterError

FORM = '{"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}'
TIMEOUT = 300.0  # seconds that a worker is waited for
_LONGEST = 2**20  # bytes of a greeting
_PAUSE = 0.2
_GRACE = 5.0  # of two that wait equally long the first worker gives up first: it knows who is missing
_LOCAL = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Cluster:
    """Processes that train together.

    Args:
        workers: `host:port` of each, the first of which saves and reports.
        index: which one this process is.
        kind: what TF_CONFIG calls it (`worker`, `chief`, `ps`).
        others: addresses of tasks that are not workers, by kind.
    """

    workers: tuple[str, ...]
    index: int
    kind: str = "worker"
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def first(self) -> bool:
        """Whether this process saves and reports."""
        return self.index == 0

    @property
    def here(self) -> str:
        """Its own address."""
        return self.workers[self.index]


def parse(written: str) -> Cluster:
    """What TF_CONFIG says.

    Args:
        written: its JSON.

    Raises:
        ClusterError: it cannot be used; says why.

    Example:
        >>> parse('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}').here
        'b:1'
    """
    try:
        config = json.loads(written)
        kind, index = config["task"]["type"], config["task"]["index"]
        cluster = {str(name): tuple(addresses) for name, addresses in config["cluster"].items() if _list(addresses)}
        if isinstance(index, bool) or not str(index).isdecimal():
            raise ValueError(f"task index {index!r}")
        index = int(index)
        if index >= len(cluster[kind]):
            raise ValueError(f"task index {index}, where the cluster lists {len(cluster[kind])}")
        for address in (address for addresses in cluster.values() for address in addresses):
            _parted(address)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ClusterError(
            f"TF_CONFIG cannot be used: {type(error).__name__}: {error}"[:300],
            fix=f"write it as {FORM}, or unset it to train on this machine alone",
        ) from error
    trains = (*cluster.get("chief", ()), *cluster.get("worker", ()))
    at = index + len(cluster.get("chief", ())) if kind == "worker" else index
    mine = ("chief", "worker") if kind in ("chief", "worker") else (kind,)
    others = {name: addresses for name, addresses in cluster.items() if name not in mine}
    return Cluster(trains if "worker" in mine else cluster[kind], at, kind, others)


def _list(addresses: Any) -> bool:
    if not isinstance(addresses, list):
        raise TypeError("each kind of task needs a list of addresses")
    return bool(addresses)


def _parted(address: Any) -> tuple[str, int]:
    host, colon, port = str(address).rpartition(":")
    if not isinstance(address, str) or not colon or not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError(f"address {address!r} is no host:port")
    return host.strip("[]"), int(port)


def meet(cluster: Cluster, about: Mapping[str, str] | None = None, timeout: float = TIMEOUT) -> None:
    """Wait until every worker is there and is about to do the same.

    Args:
        cluster: who is expected.
        about: what has to be the same everywhere: name -> value.
        timeout: seconds to wait for the last of them.

    Raises:
        ClusterError: a worker did not come, is about to do something else, or a port is taken.
    """
    until, mine = time.monotonic() + timeout, dict(about or {})
    if len(cluster.workers) < 2:
        return
    if cluster.first:
        _gather(cluster, mine, until, timeout)
    else:
        _check_free(cluster)
        _greet(cluster, mine, until, timeout)


def _gather(cluster: Cluster, mine: Mapping[str, str], until: float, timeout: float) -> None:
    """The first worker's part: listen until all have said who they are and are still there, then let all go."""
    come: dict[int, tuple[socket.socket, Mapping[str, Any]]] = {}
    with _listening(cluster) as listener, contextlib.ExitStack() as stack:
        while True:
            come = {at: found for at, found in come.items() if not _gone(found[0])}
            missing = [address for at, address in enumerate(cluster.workers) if at and at not in come]
            if not missing:
                break
            left = until - time.monotonic()
            if left <= 0:
                _tell(come, f"gave up: {', '.join(missing)} did not come")
                raise ClusterError(
                    f"After {timeout:g} s, {len(missing)} of {len(cluster.workers)} workers are missing: "
                    f"{', '.join(missing)}.",
                    fix=f"start them with the same TF_CONFIG but for their index, able to reach {cluster.here}",
                )
            listener.settimeout(min(left, 1.0))  # who has come may leave again meanwhile
            with contextlib.suppress(OSError):  # nobody, or a stranger who hung up
                connection, _ = listener.accept()
                stack.enter_context(connection)
                _welcome(cluster, connection, come, min(left, 10.0))
        different = _differences(mine, {cluster.workers[at]: said.get("about") for at, (_, said) in come.items()})
        if different:
            _tell(come, different)
            raise ClusterError(f"Workers are about to do different things. {different}", fix="give all the same run")
        _tell(come, "")


def _welcome(
    cluster: Cluster,
    connection: socket.socket,
    come: dict[int, tuple[socket.socket, Mapping[str, Any]]],
    seconds: float,
) -> None:
    """Hear who it is, and keep or refuse them."""
    said = _received(connection, seconds)
    at = said.get("index")
    if said.get("workers") != list(cluster.workers):
        refused = "another TF_CONFIG: the lists of workers differ"
    elif not isinstance(at, int) or isinstance(at, bool) or not 0 < at < len(cluster.workers):
        refused = f"there is no worker {at!r}"
    elif at in come and not _gone(come[at][0]):
        refused = f"worker {at} is here already: two processes have the same index"
    else:
        come[at] = connection, said
        return
    _send(connection, {"refused": refused})


def _gone(connection: socket.socket) -> bool:
    """Whether the other end has hung up."""
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.setblocking(True)


def _greet(cluster: Cluster, mine: Mapping[str, str], until: float, timeout: float) -> None:
    """Another worker's part: find the first one, say who it is, and wait to be let go."""
    greeting = {"index": cluster.index, "workers": list(cluster.workers), "about": dict(mine)}
    heard = False
    while True:
        left = until - time.monotonic()
        if left <= 0:
            told = "is there, but other workers are missing" if heard else "does not answer"
            raise ClusterError(
                f"After {timeout:g} s, the first worker {told} at {cluster.workers[0]}.",
                fix="start all of them, with the same TF_CONFIG but for the index, able to reach that address",
            )
        try:
            with socket.create_connection(_parted(cluster.workers[0]), timeout=min(left, 10.0)) as connection:
                _send(connection, greeting)
                heard = True
                answer = _received(connection, left + _GRACE)
        except OSError:
            time.sleep(min(_PAUSE, max(left, 0.0)))
            continue
        if "refused" not in answer:
            time.sleep(_PAUSE)  # something else listens there, or the first worker was started again
            continue
        if answer["refused"]:
            raise ClusterError(f"The first worker refuses: {answer['refused']}.", fix="give all workers the same run")
        return


def _differences(mine: Mapping[str, str], theirs: Mapping[str, Any]) -> str:
    lines = []
    for address, about in theirs.items():
        about = about if isinstance(about, dict) else {}
        for name in sorted({*mine, *about}):
            if mine.get(name) != about.get(name):
                lines.append(f"{name}: {about.get(name)!r} at {address}, {mine.get(name)!r} at the first worker")
    more = [f"and {len(lines) - 5} more"] if len(lines) > 5 else []
    return "; ".join([*(line[:300] for line in lines[:5]), *more])


def _tell(come: Mapping[int, tuple[socket.socket, Any]], refused: str) -> None:
    for connection, _ in come.values():
        with contextlib.suppress(OSError):
            _send(connection, {"refused": refused})


def _listening(cluster: Cluster) -> socket.socket:
    host, port = _parted(cluster.here)
    try:
        return socket.create_server((host if host in _LOCAL else "", port))
    except OSError as error:
        raise _taken(cluster, error) from error


def _check_free(cluster: Cluster) -> None:
    """TensorFlow's own message about a port in use kills the process."""
    _listening(cluster).close()


def _taken(cluster: Cluster, error: OSError) -> ClusterError:
    return ClusterError(
        f"This worker cannot listen at {cluster.here}: {error.strerror or error}.",
        fix="end the process that listens there (an earlier run?), or write another port into every TF_CONFIG",
    )


def _send(connection: socket.socket, content: Mapping[str, Any]) -> None:
    connection.sendall(json.dumps(content).encode() + b"\n")


def _received(connection: socket.socket, seconds: float) -> dict[str, Any]:
    """One line of JSON; nothing where it does not come in time, is too long, or is something else."""
    until, received = time.monotonic() + seconds, b""
    while not received.endswith(b"\n") and len(received) <= _LONGEST:
        left = until - time.monotonic()
        if left <= 0:
            return {}
        connection.settimeout(left)
        try:
            part = connection.recv(4096)
        except OSError:
            return {}
        if not part:
            return {}
        received += part
    try:
        found = json.loads(received) if len(received) <= _LONGEST else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
