"""Graceful stopping: SIGTERM and SIGINT set a flag, which loops check at points where stopping loses nothing."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from transformer.devices.processes import gather

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(Exception):
    """Raised after a request to stop, at a point where stopping loses nothing."""


class StopRequest:
    """A context in which SIGTERM and SIGINT only set `requested`. The old handlers are restored at its end.

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
        """Whether a signal has arrived."""
        return self.signal_number > 0

    @property
    def exit_status(self) -> int:
        """128 plus the number of the first signal: 143 after SIGTERM, 130 after SIGINT; 0 if none arrived."""
        return 128 + self.signal_number if self.requested else 0

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """A context in which a signal, even an earlier one, raises Interrupted: for reads that may block forever."""
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
        """The signal handler."""
        self.signal_number = self.signal_number or number
        if self._is_interrupting:
            self._is_interrupting = False  # once is enough
            raise Interrupted


class SharedStop:
    """A request to stop that reaches one process and stops all processes of a job after the same update.

    A signal may reach one process or all of them, but never all at the same moment. Loops must therefore check
    `number`, the signal on which all processes agree, and never `StopRequest.requested`.
    """

    def __init__(self, request: StopRequest):
        self.request, self.number = request, 0
        self._pending: jax.Array | None = None
        mesh = Mesh(np.reshape(jax.devices(), (jax.process_count(), -1)), ("process", "device"))
        self._per_process = NamedSharding(mesh, PartitionSpec("process"))
        self._largest = jax.jit(jnp.max, out_shardings=NamedSharding(mesh, PartitionSpec()))

    @property
    def exit_status(self) -> int:
        """As `StopRequest.exit_status`, in every process."""
        return 128 + self.number if self.number else 0

    def look(self) -> None:
        """Update `number`, after each update. In a job, a signal takes effect one update later, without a wait."""
        if jax.process_count() == 1:
            self.number = self.request.signal_number
            return
        mine = np.array([self.request.signal_number], np.int32)
        before, self._pending = (
            self._pending,
            self._largest(jax.make_array_from_process_local_data(self._per_process, mine, (jax.process_count(),))),
        )
        self.number = self.number or (int(before) if before is not None else 0)

    def gather(self, work: Callable[[], Any]) -> list[Any]:
        """What `work` returns in each process. Raises Interrupted in every process if one raised it."""
        try:
            found, is_interrupted = work(), False
        except Interrupted:
            found, is_interrupted = None, True
        parts = gather([found, is_interrupted, self.request.signal_number])
        if any(part[1] for part in parts):
            self.number = max(part[2] for part in parts)
            raise Interrupted
        return [part[0] for part in parts]
