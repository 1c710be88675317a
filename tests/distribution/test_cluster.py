"""What TF_CONFIG says, and the meeting of workers: everybody there, everybody about to do the same, or a clear word."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.distribution.starting import addresses
from tfvertical import cluster
from tfvertical.cluster import Cluster
from tfvertical.errors import ClusterError


def config(**changed) -> str:
    content = {"cluster": {"worker": ["a:1", "b:2", "c:3"]}, "task": {"type": "worker", "index": 1}}
    return json.dumps(content | changed)


def test_a_chief_comes_before_the_workers():
    both = {"cluster": {"chief": ["a:1"], "worker": ["b:2", "c:3"], "evaluator": ["d:4"]}}
    chief = cluster.parse(config(**both, task={"type": "chief", "index": 0}))
    second = cluster.parse(config(**both))
    assert (chief.first, chief.here) == (True, "a:1")
    assert (second.index, second.here, second.workers) == (2, "c:3", ("a:1", "b:2", "c:3"))
    assert second.others == {"evaluator": ("d:4",)}


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        (config(task={}), "KeyError"),
        (config(task={"type": "worker", "index": 3}), "cluster lists 3"),
        (config(task={"type": "worker", "index": -1}), "task index -1"),
        (config(task={"type": "worker", "index": True}), "task index True"),
        (config(cluster={"worker": "a:1"}), "list of addresses"),
        (config(cluster={"worker": ["a:1", "b"]}), "'b' is no host:port"),
        (config(cluster={"worker": ["a:1", "b:70000"]}), "'b:70000'"),
        (config(cluster={"worker": ["a:1", 7]}), "7 is no host:port"),
    ],
)
def test_what_cannot_be_used_is_said(written, named):
    with pytest.raises(ClusterError, match="TF_CONFIG cannot be used") as caught:
        cluster.parse(written)
    assert named in str(caught.value)
    assert "unset it" in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@given(st.fixed_dictionaries({"cluster": json_values, "task": json_values}) | json_values)
def test_anything_else_is_refused_or_understood(content):
    try:
        found = cluster.parse(json.dumps(content))
    except ClusterError:
        return
    assert found.here in found.workers


def meeting(count: int, about: list[dict[str, str]], timeout: float = 20.0) -> list[str]:
    """What each of the workers is told; empty where it may go on."""
    where = Cluster(tuple(addresses(count)), 0)

    def told(at: int) -> str:
        try:
            cluster.meet(replace(where, index=at), about[at], timeout)
        except ClusterError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(told, range(len(about))))


def test_workers_that_agree_go_on():
    assert meeting(3, [{"run": "one"}] * 3) == ["", "", ""]


def test_all_are_told_of_a_worker_that_is_about_to_do_something_else():
    found = meeting(3, [{"run": "one"}, {"run": "one"}, {"run": "two"}])
    assert "run: 'two' at 127.0.0.1:" in found[0]
    assert "'one' at the first worker" in found[0]
    assert all("The first worker refuses: run: 'two'" in each for each in found[1:])


def test_a_worker_that_does_not_come_is_named_and_nobody_waits_for_ever():
    began = time.monotonic()
    found = meeting(3, [{}, {}], timeout=1.5)
    assert time.monotonic() - began < 10
    assert "1 of 3 workers are missing: 127.0.0.1:" in found[0]
    assert "gave up" in found[1]


def test_a_first_worker_that_does_not_come_is_named():
    where = Cluster(tuple(addresses(2)), 1)
    with pytest.raises(ClusterError, match=f"does not answer at {where.workers[0]}"):
        cluster.meet(where, {}, 1.0)


@pytest.mark.parametrize("index", [0, 1])
def test_a_port_in_use_is_named(index):
    where = Cluster(tuple(addresses(2)), index)
    host, _, port = where.here.rpartition(":")
    with (
        socket.create_server((host, int(port))),
        pytest.raises(ClusterError, match=f"cannot listen at {where.here}") as caught,
    ):
        cluster.meet(where, {}, 1.0)
    assert "another port" in str(caught.value)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\n", b"x" * 100_000, b"[[1]]\n", b'{"index": 9}\n', b"\xff\n"])
def test_strangers_at_the_door_are_no_workers(sent):
    where = Cluster(tuple(addresses(2)), 0)
    host, _, port = where.here.rpartition(":")
    done = threading.Event()

    def stranger() -> None:
        while not done.is_set():
            try:
                with socket.create_connection((host, int(port)), timeout=1) as connection:
                    connection.sendall(sent)
                    break
            except OSError:
                time.sleep(0.05)

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(cluster.meet, where, {"run": "one"}, 20.0)
        pool.submit(stranger).result()
        other = pool.submit(cluster.meet, replace(where, index=1), {"run": "one"}, 20.0)
        first.result()
        other.result()
        done.set()


def test_one_process_alone_meets_nobody():
    cluster.meet(Cluster(("127.0.0.1:1",), 0), {}, 0.0)


def test_a_worker_that_leaves_before_all_have_come_is_waited_for_again():
    where = Cluster(tuple(addresses(3)), 0)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(cluster.meet, where, {}, 20.0)
        left = pool.submit(cluster.meet, replace(where, index=1), {}, 1.0)
        with pytest.raises(ClusterError, match="is there, but other workers are missing"):
            left.result()
        second = pool.submit(cluster.meet, replace(where, index=2), {}, 20.0)
        time.sleep(1.0)
        assert not first.done() and not second.done(), "nobody goes on without the one that left"
        again = pool.submit(cluster.meet, replace(where, index=1), {}, 20.0)
        for each in (first, second, again):
            each.result()


def test_two_processes_of_one_index_are_told():
    where = Cluster(tuple(addresses(3)), 0)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(cluster.meet, where, {}, 3.0)
        second = pool.submit(cluster.meet, replace(where, index=2), {}, 3.0)
        time.sleep(0.5)
        with pytest.raises(ClusterError, match="two processes have the same index"):
            cluster.meet(replace(where, index=2), {}, 3.0)
        for each in (first, second):
            with pytest.raises(ClusterError):
                each.result()


def test_a_probe_that_resets_its_connection_ends_nothing():
    where = Cluster(tuple(addresses(2)), 0)
    host, _, port = where.here.rpartition(":")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cluster.meet, where, {}, 20.0)
        for _ in range(3):
            time.sleep(0.2)
            with socket.create_connection((host, int(port)), timeout=5) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                probe.sendall(b"{}\n")
        other = pool.submit(cluster.meet, replace(where, index=1), {}, 20.0)
        first.result()
        other.result()


def test_what_differs_between_run_files_is_told_by_its_key():
    from tfvertical.jobs.training import flat

    one, two = (flat({"training": {"epochs": epochs}, "data": {"text": "message"}}) for epochs in (3, 5))
    found = meeting(2, [one, two])
    assert "training.epochs: '5' at 127.0.0.1:" in found[0] and "'3' at the first worker" in found[0]
    assert "data.text" not in found[0]
