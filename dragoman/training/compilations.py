"""Measures compilation time, and warns when a function is compiled again."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax

COMPILED = "/jax/core/compile/backend_compile_duration"


@contextlib.contextmanager
def listener(listen: Callable[..., None]) -> Iterator[None]:
    """A context in which JAX calls `listen(event, seconds, **about)` for what it times, in whichever thread that is."""
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


class Compilations:
    """The compilations of a function that should be compiled once for each of a known number of batch shapes.

    Warns once for each shape that is compiled again, or that exceeds the known number of shapes.
    """

    def __init__(self, name: str, shapes: int, *, warn: Callable[[str], None]):
        self.name, self.shapes, self.warn = name, shapes, warn
        self.seen: set[tuple[int, ...]] = set()
        self.warned: set[tuple[int, ...]] = set()
        self.count, self.seconds = 0, 0.0

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """A context that counts compilations in this thread, including programs loaded from JAX's cache on disk."""
        thread = threading.get_ident()

        def listen(event: str, duration_secs: float, **about: Any) -> None:
            del duration_secs, about
            self.count += event == COMPILED and threading.get_ident() == thread

        with listener(listen):
            yield

    @contextlib.contextmanager
    def call(self, shape: tuple[int, ...]) -> Iterator[None]:
        """A context for one call of the function. If the call compiles, all its time counts as compilation."""
        count, start = self.count, time.perf_counter()
        yield
        if self.count > count:
            seconds = time.perf_counter() - start
            self.seconds += seconds
            self.check(shape, seconds)
        self.seen.add(shape)

    def check(self, shape: tuple[int, ...], seconds: float) -> None:
        """Warns about a compilation that the known number of shapes does not explain."""
        is_expected = shape not in self.seen and len(self.seen) < self.shapes
        if not is_expected and shape not in self.warned:
            self.warned.add(shape)
            reason = "was compiled before" if shape in self.seen else f"is none of the {self.shapes} known shapes"
            self.warn(f"{self.name} compiled again for {seconds:.1f} s: batch shape {shape} {reason}")
