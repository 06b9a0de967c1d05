"""Compilation as it happens: how long it takes, and an alarm when it happens again."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax

COMPILED = "/jax/core/compile/backend_compile_duration"


class Compilations:
    """The compilations of a function that is compiled once for each of a known number of batch shapes.

    Warns, once a shape, when a call compiles although its shape, or as many shapes as there should be, had been seen.
    """

    def __init__(self, name: str, shapes: int, *, warn: Callable[[str], None]):
        self.name, self.shapes, self.warn = name, shapes, warn
        self.seen: set[tuple[int, ...]] = set()
        self.told: set[tuple[int, ...]] = set()
        self.count, self.seconds = 0, 0.0

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Hears of compilations in this process; JAX tells of programs found in its cache on disk, too."""

        def listen(event: str, duration_secs: float, **about: Any) -> None:
            del duration_secs, about
            self.count += event == COMPILED

        jax.monitoring.register_event_duration_secs_listener(listen)
        try:
            yield
        finally:
            jax.monitoring.unregister_event_duration_listener(listen)

    @contextlib.contextmanager
    def call(self, shape: tuple[int, ...]) -> Iterator[None]:
        """Around a call of the function: a call that compiles counts as compilation, all of it."""
        count, start = self.count, time.perf_counter()
        yield
        if self.count > count:
            seconds = time.perf_counter() - start
            self.seconds += seconds
            self.check(shape, seconds)
        self.seen.add(shape)

    def check(self, shape: tuple[int, ...], seconds: float) -> None:
        """Warns of a compilation that the known shapes do not explain."""
        is_expected = shape not in self.seen and len(self.seen) < self.shapes
        if not is_expected and shape not in self.told:
            self.told.add(shape)
            reason = "was compiled before" if shape in self.seen else f"is none of the {self.shapes} known shapes"
            self.warn(f"{self.name} compiled again for {seconds:.1f} s: batch shape {shape} {reason}")
