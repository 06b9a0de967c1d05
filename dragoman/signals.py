"""Graceful stopping: a signal sets a flag, which loops check at points where stopping loses nothing."""

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dragoman.messages import tell
from transformer.devices.processes import gather

ALWAYS = (signal.SIGTERM, signal.SIGINT)
UNLESS_IGNORED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
"""What a lost terminal sends, and what clusters send before a job's time is over. `nohup` ignores SIGHUP."""

APART = 2.0
"""Seconds between two signals that count as two requests: `timeout` and terminals may send one request twice."""


def never() -> bool:
    """False: for work that nobody asks to stop."""
    return False


class Interrupted(Exception):
    """Raised after a request to stop, at a point where stopping loses nothing."""


class StopRequest:
    """A context in which a signal to stop only sets `requested`. The old handlers are restored at its end.

    with StopRequest() as stop:
        while not stop.requested: ...
    return stop.exit_status

    A second signal of the same kind ends the process at once. Python runs signal handlers only between calls of
    compiled code, which may take minutes, so a thread watches for signals as well.
    """

    def __init__(self) -> None:
        self.signal_number = 0
        self._is_interrupting = self._is_ending_at_once = False
        self._previous: dict[signal.Signals, Any] = {}
        self._pipe = (-1, -1)
        self._previous_pipe = -1

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

    @contextlib.contextmanager
    def ending_at_once(self) -> Iterator[None]:
        """A context in which a signal, even an earlier one, ends the process: while there is nothing to save yet."""
        before, self._is_ending_at_once = self._is_ending_at_once, True
        try:
            if self.requested:
                end(self.signal_number, "nothing was left to save")
            yield
        finally:
            self._is_ending_at_once = before

    def __enter__(self) -> "StopRequest":
        self._pipe = os.pipe()
        os.set_blocking(self._pipe[1], False)
        self._previous_pipe = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(self._pipe[0],), name="signals", daemon=True).start()
        heeded = [n for n in UNLESS_IGNORED if signal.getsignal(n) is not signal.SIG_IGN]
        self._previous = {number: signal.signal(number, self._note) for number in (*ALWAYS, *heeded)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_pipe)
        os.close(self._pipe[1])  # which ends the thread

    def _note(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        self.signal_number = self.signal_number or number
        if self._is_interrupting:
            self._is_interrupting = False  # once is enough
            raise Interrupted

    def _watch(self, pipe: int) -> None:
        """Ends the process at once where nothing can be lost, or after a second signal; until the pipe is closed."""
        arrived: dict[int, float] = {}
        is_told = False
        while True:
            if not select.select([pipe], [], [], APART if arrived and not is_told else None)[0]:
                is_told = True
                name = signal.Signals(max(arrived, key=lambda number: arrived[number])).name
                tell(f"{name}: stopping as soon as nothing is lost by it; a second {name} ends the program at once")
                continue
            if not (received := os.read(pipe, 1)):
                os.close(pipe)
                return
            if (number := received[0]) not in self._previous:
                continue
            if self._is_ending_at_once:
                end(number, "nothing was left to save")
            if time.monotonic() - arrived.setdefault(number, time.monotonic()) >= APART:
                end(number, "what was not saved yet is lost")


def end(number: int, consequence: str) -> NoReturn:
    """Ends the process at once, whatever its other threads are doing, with a line and the status of the signal."""
    with contextlib.suppress(OSError):
        os.write(2, f"\nstopped by {signal.Signals(number).name}: {consequence}; run the same command again\n".encode())
    os._exit(128 + number)


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
