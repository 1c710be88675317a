"""Every system call of a save: killed at it, or told by it that the disk is full, what stands there afterwards?

`strace` counts the calls and spoils one of them, so that nothing of Python stands between the fault and the save.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfvertical.checkpoint import Checkpoint
from tfvertical.errors import CheckpointError

# calls that a disk answers; at others a process can only be killed
OF_FILES = frozenset(
    [
        "openat",
        "open",
        "close",
        "read",
        "write",
        "pwrite64",
        "lseek",
        "fsync",
        "fdatasync",
        "rename",
        "renameat",
        "renameat2",
        "mkdir",
        "mkdirat",
        "unlink",
        "unlinkat",
        "rmdir",
        "stat",
        "lstat",
        "newfstatat",
        "fstat",
        "statx",
        "getdents64",
        "ftruncate",
        "copy_file_range",
        "sendfile",
        "chmod",
        "fchmod",
        "ioctl",
        "flock",
    ]
)
FAULTS = {"killed": "signal=KILL", "the disk full": "error=ENOSPC", "an I/O error": "error=EIO"}
PATIENCE = 60.0  # seconds for a process to come as far as it should


class Outcome(NamedTuple):
    """Of one fault at every call."""

    fault: str
    trials: int
    whole: int  # had the position before, or the new one, and could be saved to again
    spoilt: int  # trials in which the save noticed


def there() -> bool:
    """Whether `strace` is installed and may trace."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False).returncode == 0


def outcomes(folder: Path, most: int | None = None) -> list[Outcome]:
    """What each fault does at each call of a save.

    Args:
        folder: for the positions.
        most: calls to try, evenly chosen; None for all.
    """
    counted = _counted(folder / "counted")
    found = []
    for fault, how in FAULTS.items():
        calls = [
            (name, number)
            for name, count in sorted(counted.items())
            if how.startswith("signal") or name in OF_FILES
            for number in range(1, count + 1)
        ]
        chosen = calls if most is None else calls[:: max(1, len(calls) // most)]
        results = [_trial(folder / "tried", name, number, how) for name, number in chosen]
        found.append(Outcome(fault, len(chosen), sum(whole for whole, _ in results), sum(hurt for _, hurt in results)))
    return found


def arrays(seed: int) -> dict[str, np.ndarray]:
    """What is saved: enough to be written in several calls."""
    return {f"weight/{at}": np.random.default_rng([seed, at]).normal(size=20_000) for at in range(4)}


def _counted(place: Path) -> Counter[str]:
    """The calls that a save makes, by name."""
    with _saving(place, ["-e", "trace=all"]) as log:
        pass
    return Counter(found[1] for line in log.read_text().splitlines() if (found := re.match(r"(?:\d+ +)?(\w+)\(", line)))


def _trial(place: Path, name: str, number: int, how: str) -> tuple[bool, bool]:
    """Whether what stands there is whole, and whether the save ended otherwise than it should."""
    with _saving(place, ["-e", f"trace={name}", "-e", f"inject={name}:{how}:when={number}"]) as log:
        hurt = log.with_suffix(".ended").read_text() != "0"
    kept = Checkpoint(place)
    position = kept.load()
    whole = position is not None and all(
        np.array_equal(array, arrays(position.about["epoch"])[name]) for name, array in position.arrays.items()
    )
    try:
        kept.save(arrays(2), {"epoch": 2})
    except CheckpointError:
        return False, hurt
    again = kept.load()
    return whole and again is not None and again.about["epoch"] == 2, hurt


@contextlib.contextmanager
def _saving(place: Path, options: list[str]) -> Iterator[Path]:
    """A second save in a process of its own, traced; its log, and beside it how it ended."""
    shutil.rmtree(place, ignore_errors=True)
    Checkpoint(place).save(arrays(0), {"epoch": 0})
    log = place.parent / "calls.log"
    saving = subprocess.Popen([sys.executable, "-m", "benchmarks.syscalls", str(place)])
    try:
        os.waitid(os.P_PID, saving.pid, os.WSTOPPED | os.WNOWAIT)
        tracing = subprocess.Popen(["strace", "-f", "-qq", "-o", str(log), *options, "-p", str(saving.pid)])
        began = time.monotonic()
        while "TracerPid:\t0\n" in Path(f"/proc/{saving.pid}/status").read_text():
            if time.monotonic() - began > PATIENCE or tracing.poll() is not None:
                raise SystemExit("strace could not attach")
            time.sleep(0.002)
        saving.send_signal(signal.SIGCONT)
        saving.wait(PATIENCE)
        tracing.wait(PATIENCE)
    finally:
        saving.kill()
    log.with_suffix(".ended").write_text(str(saving.returncode))
    yield log


def main(place: str) -> int:
    """Save once more, when told to go on."""
    kept, content = Checkpoint(place), arrays(1)
    os.kill(os.getpid(), signal.SIGSTOP)
    try:
        kept.save(content, {"epoch": 1})
    except CheckpointError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
