"""Reads lines from a pipe or a terminal as they arrive: a typed line is answered before the end of input."""

import os
import select
import time

BLOCK = 1 << 16  # bytes read at once
QUIET = 0.05  # seconds: lines that arrive closer together are taken together ...
LONGEST_WAIT = 1.0  # ... but the first of them waits no longer than this


class PipeReader:
    """The lines of an open file descriptor. It reads ahead, so nothing else may read from the descriptor."""

    def __init__(self, descriptor: int):
        self._descriptor, self._buffer, self._is_over = descriptor, bytearray(), False
        self._searched = 0  # bytes of the buffer that have no line break

    @property
    def is_terminal(self) -> bool:
        """Whether the descriptor is that of a terminal."""
        return os.isatty(self._descriptor)

    def readline(self, limit: int) -> bytes:
        """The next line with its line break, or its first `limit` bytes; b"" at the end. Waits until it arrives."""
        while not (size := self._line_size()) and len(self._buffer) < limit and not self._is_over:
            self._fill()
        size = min(size or len(self._buffer), limit)
        line = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._searched = 0
        return line

    def has_line(self, until: float) -> bool:
        """Whether the next line, or the end, has arrived, or arrives within QUIET seconds and before a time."""
        while not (self._is_over or self._line_size()):
            seconds = max(0.0, min(QUIET, until - time.monotonic()))
            if not select.select([self._descriptor], [], [], seconds)[0]:
                return False
            self._fill()
        return True

    def _line_size(self) -> int:
        """The size of the first line in the buffer with its line break, or 0 if the buffer has no line break."""
        size = self._buffer.find(b"\n", self._searched) + 1
        self._searched = 0 if size else len(self._buffer)
        return size

    def _fill(self) -> None:
        """Reads what has arrived, after waiting for something."""
        block = os.read(self._descriptor, BLOCK)
        self._buffer += block
        self._is_over = not block
