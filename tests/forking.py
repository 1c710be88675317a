"""Processes that need not import TensorFlow first, which takes longer than what most tests have them do.

Servers import it once, without computing anything, and fork themselves for each process that a test asks for. What is
asked looks like `subprocess.Popen` with `sys.executable`, text pipes and `-m` or `-c`. There are three that take turns:
forks of one hash strings alike, and what depends on the order of a set would be the same in two workers, or in a worker
and in the one that goes on for it.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import runpy
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PRELOADED = ("tensorflow", "keras", "keras_hub", "tfvertical.jobs", "tfvertical.training", "tests.core.tiny")
SERVERS = 3
_turns: list[subprocess.Popen[str]] = []


class Forked:
    """A process that was forked, with what tests use of `subprocess.Popen`.

    Args:
        arguments: what would stand behind `python`: `-m MODULE …` or `-c CODE …`.
        cwd: where it runs; None for here.
        env: its environment; None for this process' own.
    """

    def __init__(self, arguments: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None):
        self._folder = Path(tempfile.mkdtemp(prefix="forked-"))
        atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        asked = {
            "arguments": list(arguments),
            "cwd": str(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "folder": str(self._folder),
        }
        self.returncode: int | None = None
        self.pid, self._server = _ask(asked)

    def poll(self) -> int | None:
        """The exit status, or None while it runs; the negative number of the signal that ended it."""
        if self.returncode is None and (self._folder / "status").is_file():
            self.returncode = os.waitstatus_to_exitcode(int((self._folder / "status").read_text()))
        return self.returncode

    def wait(self, timeout: float = 600.0) -> int:
        """The exit status once it has ended; `subprocess.TimeoutExpired` if it does not in time."""
        until = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            if self._server.poll() is not None and self.poll() is None:
                self.kill()
                raise RuntimeError("The server that forks is gone.")
            time.sleep(0.01)
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float = 600.0) -> tuple[str, str]:
        """What it printed and what it said on the error stream, once it has ended; it is killed if it does not."""
        try:
            self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        out, error = ((self._folder / name).read_text(errors="replace") for name in ("out", "error"))
        return out, error

    def send_signal(self, number: int) -> None:
        """To the process, if it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _ask(asked: Mapping[str, Any]) -> tuple[int, subprocess.Popen[str]]:
    """The new process' number, and the server that forked it."""
    while len(_turns) < SERVERS:
        _turns.append(_server())
    server = _turns.pop(0)
    assert server.stdin and server.stdout
    server.stdin.write(json.dumps(asked) + "\n")
    server.stdin.flush()
    line = server.stdout.readline()
    if not line:
        raise RuntimeError("The server ended before it forked; its error stands above.")
    _turns.append(server)
    return int(line), server


def _server() -> subprocess.Popen[str]:
    command, root = [sys.executable, "-m", "tests.forking"], Path(__file__).parent.parent
    started = subprocess.Popen(command, cwd=root, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def end() -> None:
        assert started.stdin
        with contextlib.suppress(BrokenPipeError):
            started.stdin.close()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()

    atexit.register(end)
    return started


def serve() -> None:
    """Fork for each line, and write down how each child ended. Returns in the child that runs something."""
    import importlib

    for name in PRELOADED:
        importlib.import_module(name)
    from tensorflow.python.eager import context

    assert not context.context()._initialized, "a fork of a process that has computed would hang"
    running: dict[int, Path] = {}
    asked = None
    try:
        asked = _listen(running)
    finally:
        if asked is None:  # in the server itself: nobody asks any more, or something broke
            for pid in running:
                os.kill(pid, signal.SIGKILL)
    if asked is not None:
        _become(asked)


def _listen(running: dict[int, Path]) -> dict[str, Any] | None:
    """What a child is to run, in that child; None in the server, once nobody can ask any more."""
    stream = os.fdopen(os.dup(0), "rb", buffering=0)
    rest = b""
    while True:
        ready, _, _ = select.select([stream], [], [], 0.01)
        for pid, folder in list(running.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del running[pid]
                with contextlib.suppress(FileNotFoundError):  # whoever asked has ended, too
                    (folder / "partly").write_text(str(status))
                    (folder / "partly").rename(folder / "status")
        if not ready:
            continue
        read = os.read(stream.fileno(), 1 << 20)
        if not read:
            return None
        *lines, rest = (rest + read).split(b"\n")
        for line in lines:
            asked: dict[str, Any] = json.loads(line)
            pid = os.fork()
            if not pid:
                stream.close()
                return asked
            running[pid] = Path(asked["folder"])
            print(pid, flush=True)


def _become(asked: Mapping[str, Any]) -> None:
    """What a fresh interpreter with these arguments would do."""
    for number, name in ((1, "out"), (2, "error")):
        opened = os.open(os.path.join(asked["folder"], name), os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.path[0] = asked["cwd"]
    sys.modules["numpy"].random.seed()  # Python seeds its own generator anew in a fork
    kind, what, *more = asked["arguments"]
    sys.argv = [kind, *more]
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    serve()
