"""SIGTERM and SIGINT, heard while a run goes on: they end it at once, or behind the step at hand."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from tfvertical.errors import Interrupted

NAMES = ("SIGTERM", "SIGINT")  # the signals that are heard


class Ends(BaseException):
    """Thrown where a signal finds the program; never leaves this package.

    No `Exception`: of those Keras makes others, with the arguments of a layer's call, and other code passes over them.

    Args:
        name: of the signal.
    """

    def __init__(self, name: str):
        super().__init__(name)
        self.name = name


class Listener:
    """Hears signals within `listening()`.

    Attributes:
        asked: name of the first signal that came; None for none.
        waits: whether a first signal is left to whoever looks at `asked`; a second one never is.
        thrown: whether `Ends` was thrown: an exception of another kind may be what has become of it, and in a `__del__`
            nothing becomes of it at all.
    """

    def __init__(self) -> None:
        self.asked: str | None = None
        self.waits = self.thrown = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Hear signals while the block runs; only a main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def heard(number: int, frame: Any) -> None:
            again, self.asked = self.asked is not None, self.asked or signal.Signals(number).name
            if again or not self.waits:
                self.thrown = True
                raise Ends(self.asked)

        before = {number: signal.signal(number, heard) for number in map(signal.Signals.__getitem__, NAMES)}
        try:
            yield
        finally:
            for number, handler in before.items():
                if handler is not None:  # one that was not set from Python cannot be
                    signal.signal(number, handler)


@contextlib.contextmanager
def interrupted(folder: Callable[[], str]) -> Iterator[Listener]:
    """Hear signals, and let the first one end the block by `Interrupted`, whatever else has become of it.

    Args:
        folder: gives the one that holds the run's position; empty for none.

    Raises:
        Interrupted: a signal came.
    """
    heard = Listener()
    try:
        with heard.listening():
            yield heard
    except BaseException as error:
        if not heard.thrown or heard.asked is None:
            raise
        raise Interrupted(heard.asked, folder()) from error
