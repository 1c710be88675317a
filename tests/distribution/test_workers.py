"""Real processes that train together over loopback: equal to one device, and clear about who is gone."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

STOPS = 30.0  # seconds after which the others have ended


def addresses(count: int) -> list[str]:
    """Free ports of this machine."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [f"127.0.0.1:{each.getsockname()[1]}" for each in held]
    for each in held:
        each.close()
    return found


def start(index: int, where: list[str], root: Path, **asked: Any) -> subprocess.Popen[str]:
    given = {"index": index, "addresses": where, "epochs": 2, "checkpoint": None, "pause": 0.0} | asked
    environment = {key: value for key, value in os.environ.items() if key != "TF_CONFIG"}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.distribution.worker", json.dumps(given)],
        cwd=root,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ended(process: subprocess.Popen[str], seconds: float = 180) -> dict[str, Any]:
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


@pytest.mark.parametrize(("count", "kind", "how"), [(2, "text", "gradual"), (3, "image", "full")])
def test_workers_agree_to_the_bit_and_with_one_device(root, count, kind, how):
    alone = ended(start(0, [], root, kind=kind, how=how))
    found = together(root, count, kind=kind, how=how)
    assert {each["digest"] for each in found} == {found[0]["digest"]}
    assert f"{count} replicas of {count} processes" in found[0]["said"]
    for name, values in alone["weights"].items():
        np.testing.assert_allclose(found[0]["weights"][name], values, rtol=0, atol=1e-5, err_msg=name)
    for each in found:
        assert each["history"] == found[0]["history"]
        for name, values in alone["history"].items():
            np.testing.assert_allclose(each["history"][name], values, rtol=1e-5, err_msg=name)


BROKEN = {"kind": "text", "how": "full", "epochs": 6}


@pytest.fixture(scope="module")
def whole(root) -> dict[str, Any]:
    """What a run gives that nothing interrupts."""
    return together(root, 2, **BROKEN)[0]


@pytest.mark.parametrize("killed", [0, 1])
def test_the_others_stop_when_one_is_killed_and_a_relaunch_ends_as_if_it_had_not_been(root, tmp_path, killed, whole):
    where, kept = addresses(2), tmp_path / "run"
    running = [start(at, where, root, checkpoint=str(kept), pause=1.0, **BROKEN) for at in range(2)]
    until = time.monotonic() + 90
    while not list(kept.glob("position-*")) and time.monotonic() < until:
        time.sleep(0.1)
    running[killed].kill()
    at = time.monotonic()
    _, error = running[1 - killed].communicate(timeout=STOPS)
    assert time.monotonic() - at < STOPS
    assert running[1 - killed].returncode != 0
    assert "ClusterError: Another worker is gone" in error
    running[killed].communicate()
    where = addresses(2)
    for each in [
        ended(process) for process in [start(at, where, root, checkpoint=str(kept), **BROKEN) for at in range(2)]
    ]:
        assert each["digest"] == whole["digest"]
        assert each["history"] == whole["history"]
