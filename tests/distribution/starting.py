"""Workers as processes: started together, ended together."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.forking import Forked

PORTS = range(20_000, 32_000)  # below those that Linux, as it comes, gives to whoever connects
_given = itertools.cycle(random.Random(os.getpid()).sample(PORTS, len(PORTS)))  # other processes try others first


def addresses(count: int) -> list[str]:
    """Free ports of this machine, that this process has not given lately."""
    found: list[str] = []
    for port in itertools.islice(_given, len(PORTS)):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(f"127.0.0.1:{port}")
        if len(found) == count:
            return found
    raise RuntimeError(f"fewer than {count} ports of {PORTS} are free")


def start(index: int, where: list[str], root: Path, **asked: Any) -> Forked:
    given = {"index": index, "addresses": where, "epochs": 2, "checkpoint": None, "every": 120.0, "pause": 0.0}
    given |= {"dropout": 0.0, "settings": {}, "stops": []} | asked
    environment = {key: value for key, value in os.environ.items() if key != "TF_CONFIG"}
    return Forked(["-m", "tests.distribution.worker", json.dumps(given)], root, environment)


def ended(process: Forked, seconds: float = 180) -> dict[str, Any]:
    try:
        out, error = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"still there after {seconds} s: {process.communicate()[1][-2000:]}") from None
    assert process.returncode == 0, error[-3000:]
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def together(root: Path, count: int, **asked: Any) -> list[dict[str, Any]]:
    where = addresses(count)
    return [ended(process) for process in [start(at, where, root, **asked) for at in range(count)]]


def until_saved(folder: Path, running: Sequence[Forked], seconds: float = 120) -> None:
    """Wait for the first position in a folder."""
    until = time.monotonic() + seconds
    while not list(folder.glob("position-*")):
        if time.monotonic() > until or any(process.poll() is not None for process in running):
            for process in running:
                process.kill()
            raise AssertionError("nothing was saved: " + running[0].communicate()[1][-2000:])
        time.sleep(0.1)
