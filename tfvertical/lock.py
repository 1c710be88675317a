"""One folder, one writer: a lock that says every few seconds that its owner lives."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from types import TracebackType
from typing import Any

from tfvertical.errors import CheckpointError
from tfvertical.places import Place, place

BEAT = 3.0  # seconds between two signs of life
PATIENCE = 4 * BEAT  # without one for so long, a lock is stale; no clocks are compared, only whether it changes

_FILE = "writer.json"


class Lock:
    """Held within a `with` block; a lock whose owner no longer lives is taken over.

    Args:
        folder: what is locked, by the file `writer.json` in it; a path, an address, or a place.

    Example:
        >>> import tempfile
        >>> with Lock(tempfile.mkdtemp()) as lock:
        ...     lock.place.names()
        ['writer.json']
    """

    def __init__(self, folder: str | os.PathLike[str] | Place):
        self.place = folder if isinstance(folder, Place) else place(folder)
        self._me = {"host": socket.gethostname(), "space": _space(), "pid": os.getpid(), "token": uuid.uuid4().hex}
        self._beats = 0
        self._other: dict[str, Any] | None = None
        self._taken_by: dict[str, Any] | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Lock:
        """
        Raises:
            CheckpointError: another process writes there.
        """
        self._wait_until_free()
        self._beat()
        time.sleep(self.place.settles)  # two that found it stale at once both write; the last one has it
        if (self._read() or {}).get("token") != self._me["token"]:
            self._refuse(self._read() or {})
        self._thread = threading.Thread(target=self._keep_beating, name="lock", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        with contextlib.suppress(OSError):  # one that stays is stale in a moment
            if (self._read() or {}).get("token") == self._me["token"]:
                self.place.remove(_FILE)

    def check(self) -> None:
        """
        Raises:
            CheckpointError: another process took the lock over while this one gave no sign of life (it was suspended,
                or its disk stood still).
        """
        if self._taken_by is not None:
            self._refuse(self._taken_by)

    def _wait_until_free(self) -> None:
        """Return once the lock is free, or its owner has given no sign of life for long enough."""
        first = self._read()
        if first is None:
            return
        here = first.get("host") == self._me["host"] and first.get("space", self._me["space"]) == self._me["space"]
        if here and not _lives(first.get("pid")):
            return
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            time.sleep(BEAT / 10)
            now = self._read()
            if now is None:
                return
            if now != first:
                self._refuse(now)

    def _refuse(self, owner: dict[str, Any]) -> None:
        raise CheckpointError(
            f"Another process writes to {self.place}.",
            received=f"process {owner.get('pid')} on {owner.get('host')}",
            fix="wait for it or end it, or choose another folder",
        )

    def _read(self) -> dict[str, Any] | None:
        """What the lock says; None where there is none. A torn one counts as held by somebody unknown."""
        try:
            found = json.loads(self.place.read(_FILE, 4096))
        except FileNotFoundError:
            return None
        except CheckpointError:  # a bucket that does not answer holds no lock
            raise
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _beat(self) -> None:
        self._beats += 1
        self.place.write(_FILE, json.dumps({**self._me, "beats": self._beats}).encode())

    def _keep_beating(self) -> None:
        while not self._ended.wait(BEAT):
            with contextlib.suppress(OSError, CheckpointError):  # a full disk is told by what is saved
                self._look_and_beat()

    def _look_and_beat(self) -> None:
        """A sign of life, unless the lock is another's who gives some: that is seen at the second look."""
        before, self._other = self._other, self._read()
        foreign = self._other is not None and self._other.get("token", self._me["token"]) != self._me["token"]
        if not foreign or self._other == before:
            self._other = self._taken_by = None
            self._beat()
        elif before is not None:
            self._taken_by = self._other


def _space() -> str:
    """Whose process numbers these are: containers of one host name may count for themselves."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _lives(pid: Any) -> bool:
    """Whether this machine has such a process; what is no number is taken to live."""
    if not isinstance(pid, int) or pid <= 0:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
