"""A terminal without noise: TensorFlow's start-up lines are held back, results go to stdout and the rest to stderr."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator

from tfvertical.backend import check_backend, prefer_tensorflow
from tfvertical.errors import ConfigError

# What TensorFlow and LiteRT say of themselves, before or beside their own log levels.
_NOISE = re.compile(
    r"^(?:[IW]\d{4} |E\d{4} .*(?:cuInit|cuda)|WARNING: All log messages before absl"
    r"|.*(?:oneDNN|cpu_feature_guard|AVX|layout failed)"
    r"|To enable the following instructions|INFO: Created TensorFlow Lite)"
)


def say(text: str = "") -> None:
    """A line for the person, on stderr, so that stdout holds results only."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def termination() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that what it has begun to write is taken away again."""

    def heard(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, heard)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def agreed(question: str) -> bool:
    """Whether the person answers yes; no answer is asked of a script.

    Raises:
        ConfigError: nobody is there to answer.
    """
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} Nobody is there to answer.", fix="say --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def load_tensorflow() -> None:
    """Import TensorFlow and let it look for devices, without its start-up lines; anything else it says is shown.

    Raises:
        ConfigError: Keras' backend is another one.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    prefer_tensorflow()
    check_backend()
    if "tensorflow" in sys.modules:
        return
    with quiet():
        import tensorflow as tf

        tf.config.list_physical_devices("GPU")
        tf.get_logger().setLevel("ERROR")


@contextlib.contextmanager
def plain_warnings() -> Iterator[None]:
    """Show warnings as a line for the person, without the place in our code that they come from."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"Warning: {message}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold TensorFlow's noise back while the block runs.

    It collects what is written to the stderr *descriptor* (C++ knows no other), and shows it after the
    block without the noise.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        real = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            os.close(real)
            held.seek(0)
            for line in held.read().decode(errors="replace").splitlines():
                if line.strip() and not _NOISE.match(line):
                    say(line)
