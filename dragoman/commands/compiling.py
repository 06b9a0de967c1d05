"""Says that a program is being compiled, if that takes long enough for a person to wonder."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from dragoman.messages import tell
from dragoman.training.compilations import COMPILED, listener

LOWERED = "/jax/core/compile/jaxpr_to_mlir_module_duration"  # then the compiler begins
UNNOTICED = 2.0  # seconds; programs from the cache load faster


@contextlib.contextmanager
def announcing_compilation(text: str, *, after: float = UNNOTICED) -> Iterator[None]:
    """A context that prints `text` on standard error, once, while the compiler is at work for `after` seconds."""
    timers: list[threading.Timer] = []
    is_told = threading.Event()

    def announce() -> None:
        if not is_told.is_set():
            is_told.set()
            tell(text)

    def listen(event: str, duration_secs: float, **about: Any) -> None:
        del duration_secs, about
        if event == LOWERED and not is_told.is_set():
            timers.append(threading.Timer(after, announce))
            timers[-1].daemon = True
            timers[-1].start()
        elif event == COMPILED:
            while timers:
                timers.pop().cancel()

    try:
        with listener(listen):
            yield
    finally:
        while timers:
            timers.pop().cancel()
