"""Processes that compute a function of many arguments, in order.

They are started as fresh programs that import nothing of the caller's main module, and end when the caller does,
however it ends: the other end of their connection is then closed. Signals are left to the caller, who may have to save.
"""

import os
import queue
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from data.errors import InputError

LEFT_TO_THE_CALLER = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP),  # terminals and launchers send them to all processes
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU),  # as clusters do before a job's time is over
)

PROGRAM = """
import sys
sys.path[:] = {path!r}
from data.tokens.workers import serve
serve({descriptor})
"""


class Workers:
    """A function computed by `count` processes, or by this one if `count` is 0. Close it when done."""

    def __init__(self, function: Callable[[Any], Any], count: int):
        self._function, self._count = function, count
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._workers: list[Worker] = []
        self._threads: ThreadPoolExecutor | None = None

    def submit(self, arguments: Sequence[Any]) -> list[Future[Any]]:
        """The future results for these arguments. Without processes, they are computed now."""
        if not self._count:
            return [_done(self._function(argument)) for argument in arguments]
        if self._threads is None:
            self._workers = [Worker(self._function) for _ in range(self._count)]
            for worker in self._workers:
                self._idle.put(worker)
            self._threads = ThreadPoolExecutor(self._count, "workers")
        return [self._threads.submit(self._call, argument) for argument in arguments]

    def _call(self, argument: Any) -> Any:
        worker = self._idle.get()
        try:
            return worker(argument)
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """Ends the processes."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
            self._threads = None
        for worker in self._workers:
            worker.close()


def _done(result: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(result)
    return future


class Worker:
    """One process. It is sent the function first, and then one argument after another."""

    def __init__(self, function: Callable[[Any], Any]):
        mine, other = socket.socketpair()
        with other:
            program = PROGRAM.format(path=sys.path, descriptor=other.fileno())
            self._process = subprocess.Popen([sys.executable, "-c", program], pass_fds=[other.fileno()])
        self._connection = Connection(mine.detach())
        self._send(function)

    def _send(self, value: Any) -> None:
        try:
            self._connection.send(value)
        except OSError:
            raise self._ended() from None

    def __call__(self, argument: Any) -> Any:
        """The function's result for the argument. Raises what the function raised."""
        self._send(argument)
        try:
            result, error = self._connection.recv()
        except (EOFError, OSError):
            raise self._ended() from None
        if error is not None:
            raise error
        return result

    def _ended(self) -> InputError:
        return InputError(
            f"a process that prepares data ended by itself (status {self._process.wait()}): if memory was short, set "
            "data.workers to fewer, or to 0"
        )

    def close(self) -> None:
        """Ends the process."""
        self._connection.close()
        self._process.wait()


def serve(descriptor: int) -> None:
    """Receives a function, and then arguments, for each of which it sends (result, None) or (None, error)."""
    for number in LEFT_TO_THE_CALLER:
        signal.signal(number, signal.SIG_IGN)
    connection = Connection(descriptor)
    try:
        function = connection.recv()
        while True:
            argument = connection.recv()
            try:
                answer: tuple[Any, Exception | None] = (function(argument), None)
            except Exception as error:
                answer = (None, error)
            connection.send(answer)
    except (EOFError, OSError):
        os._exit(0)
