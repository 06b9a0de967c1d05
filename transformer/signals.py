"""Stopping politely: SIGTERM and SIGINT set a flag that the loops look at."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(Exception):
    """A program was asked to stop, and did so where nothing is lost by it."""


class StopRequest:
    """Within it SIGTERM and SIGINT only set `requested`, however often they come; the old handlers return at its end.

    with StopRequest() as stop:
        while not stop.requested: ...
    return stop.exit_status
    """

    def __init__(self) -> None:
        self.signal_number = 0
        self._is_interrupting = False
        self._previous: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self.signal_number > 0

    @property
    def exit_status(self) -> int:
        """143 after SIGTERM, 130 after SIGINT, 0 without either: 128 and the number of the first signal."""
        return 128 + self.signal_number if self.requested else 0

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """Within it a signal, or one that came before, raises Interrupted: for waiting on a pipe, maybe for ever."""
        self._is_interrupting = True
        try:
            if self.requested:
                raise Interrupted
            yield
        finally:
            self._is_interrupting = False

    def __enter__(self) -> "StopRequest":
        self._previous = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        """The handler."""
        self.signal_number = self.signal_number or number
        if self._is_interrupting:
            self._is_interrupting = False  # once is enough
            raise Interrupted
