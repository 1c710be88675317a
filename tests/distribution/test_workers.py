"""Real processes that train together over loopback: equal to one device, and clear about who is gone."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from tests.distribution.starting import addresses, ended, start, together, until_saved
from tfvertical.checkpoint import Checkpoint

STOPS = 30.0  # seconds after which the others of one that is gone have ended
ENDS = 10.0  # after which a run that is asked to end has
SLOW = {"every": 0.0, "pause": 0.5}  # a position after each step, and the next one some time later


def test_workers_agree_to_the_bit_and_with_one_device(root):
    count, kind, how = 3, "image", "full"  # others: `benchmarks.distribution`
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


def test_workers_share_what_does_not_fit_into_memory(root, tmp_path, monkeypatch):
    """Each for a disk of its own, and none finds what another run has left."""
    asked = {"kind": "text", "how": "gradual", "settings": {"cache_bytes": 1000}}
    monkeypatch.setenv("TFVERTICAL_HOME", str(tmp_path / "alone"))
    alone = ended(start(0, [], root, **asked))
    where, running = addresses(2), []
    for at in range(2):
        monkeypatch.setenv("TFVERTICAL_HOME", str(tmp_path / str(at)))
        running.append(start(at, where, root, **asked))
    found = [ended(process) for process in running]
    assert found[0]["digest"] == found[1]["digest"]
    for name, values in alone["weights"].items():
        np.testing.assert_allclose(found[0]["weights"][name], values, rtol=0, atol=1e-5, err_msg=name)
    for home in ("alone", "0", "1"):
        assert list((tmp_path / home).rglob("entry.json")), "kept on disk"


def test_all_workers_end_after_an_epoch_where_a_callback_of_one_ends_it(root):
    one, other = together(root, 2, kind="image", how="full", epochs=4, stops=[1])
    assert len(one["history"]["loss"]) == 1 and one["history"] == other["history"]
    assert one["digest"] == other["digest"]


# what draws at random, remembers, and is narrower than float32
SETTINGS = {"early_stopping": 3, "precision": "mixed_bfloat16"}
BROKEN: dict[str, Any] = {"kind": "text", "how": "full", "epochs": 6, "dropout": 0.2, "settings": SETTINGS}


@pytest.fixture(scope="module")
def whole(root) -> dict[str, Any]:
    """What a run gives that nothing interrupts."""
    one, other = together(root, 2, **BROKEN)
    assert one["digest"] == other["digest"] and one["history"] == other["history"]
    plain = together(root, 2, **BROKEN | {"dropout": 0.0})[0]
    assert plain["digest"] != one["digest"], "dropout drops nothing"
    return one


def test_the_others_stop_when_one_is_killed_and_a_relaunch_ends_as_if_it_had_not_been(root, tmp_path, whole):
    where, kept, killed = addresses(2), tmp_path / "run", 0  # the other one: the benchmark's short form
    running = [start(at, where, root, checkpoint=str(kept), **SLOW, **BROKEN) for at in range(2)]
    until_saved(kept, running)
    running[killed].kill()
    at = time.monotonic()
    _, error = running[1 - killed].communicate(timeout=STOPS)
    assert time.monotonic() - at < STOPS
    assert running[1 - killed].returncode != 0
    assert "ClusterError: Another worker is gone" in error
    running[killed].communicate()
    for each in together(root, 2, checkpoint=str(kept), **BROKEN):
        assert each["digest"] == whole["digest"]
        assert each["history"] == whole["history"]


def test_workers_end_together_when_asked_and_a_relaunch_goes_on_within_the_epoch(root, tmp_path, whole):
    where, kept = addresses(2), tmp_path / "run"
    running = [start(at, where, root, checkpoint=str(kept), **SLOW, **BROKEN) for at in range(2)]
    until_saved(kept, running)
    for each in running:  # one of them alone: the benchmark's short form
        each.terminate()
    asked = time.monotonic()
    for each in running:
        _, error = each.communicate(timeout=STOPS)
        raised = [line for line in error.splitlines() if line.startswith("tfvertical.errors.")]
        assert raised[-1].startswith("tfvertical.errors.Interrupted: The run was asked to end (SIGTERM)"), raised
    assert time.monotonic() - asked < ENDS
    position = Checkpoint(kept).load()
    assert position is not None and position.about["steps"] > 0
    for each in together(root, 2, checkpoint=str(kept), **BROKEN):
        assert each["digest"] == whole["digest"] and each["history"] == whole["history"]
