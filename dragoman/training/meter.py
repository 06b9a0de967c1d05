"""Sums the metrics of updates for the log, without making the device wait."""

import contextlib
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from data.batch import Batch
from data.errors import InputError
from dragoman.training.compilations import Compilations
from transformer.config import Config
from transformer.devices.flops import TERA, known_peak, update_flops
from transformer.model import BatchSize
from transformer.training.step import Metrics

IN_FLIGHT, IN_FLIGHT_ON_CPU = 16, 2
"""Updates that a device may still have to compute when the next one is given to it.

Enough to keep it busy. JAX allows many more, but all of them must end before a request to stop can be obeyed.
"""


def shape_of(batch: Batch) -> tuple[int, ...]:
    """The rows, source length and target length of a batch."""
    return (*batch.source.shape, batch.target_inputs.shape[1])


def check_finite(metrics: Metrics, step: int) -> None:
    """InputError if the loss or the gradient norm is not finite."""
    for name in ("loss", "gradient_norm"):
        if not np.isfinite(getattr(metrics, name)):
            raise InputError(
                f"{name} is {getattr(metrics, name)} at step {step}: training has diverged; nothing of it was saved; "
                "lower training.learning_rate or raise training.warmup_steps"
            )


def peak_memory() -> int:
    """Peak memory in bytes so far: of the fullest device, or of this process if devices do not report it."""
    devices = [device.memory_stats() or {} for device in jax.local_devices()]
    peaks = [statistics["peak_bytes_in_use"] for statistics in devices if "peak_bytes_in_use" in statistics]
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(peaks, default=resident if sys.platform == "darwin" else resident * 1024)


class Meter:
    """Sums the metrics of updates between two lines of the log, and reads them from the device only for a line.

    `shapes` is the number of different batch shapes, and `devices` the number of devices that share an update.
    """

    def __init__(
        self, config: Config, target_vocabulary: int, *, shapes: int, devices: int, warn: Callable[[str], None]
    ) -> None:
        self.config, self.target_vocabulary, self.devices = config, target_vocabulary, devices
        self.peak = config.devices.peak_tflops or known_peak(jax.devices()[0].device_kind)
        self.compilations = Compilations("train_step", shapes, warn=warn)
        self.pending: list[tuple[Metrics, int, int]] = []  # with the lengths of source and target rows
        self.seconds, self.start, self.compiled = 0.0, time.perf_counter(), 0.0
        self.seconds_per_update = 0.0  # of the updates in the last record
        self.waited = 0.0  # of these seconds, those in which the device had nothing to compute

    def listening(self) -> contextlib.AbstractContextManager[None]:
        """A context around all updates that counts compilations."""
        return self.compilations.listening()

    def is_new(self, batch: Batch) -> bool:
        """Whether no update of this batch's shape has been computed, so that the next one compiles its program."""
        return shape_of(batch) not in self.compilations.seen

    @contextlib.contextmanager
    def update(self, batch: Batch) -> Iterator[None]:
        """A context around one update that excludes compilation from training time. Afterwards, `add` its metrics."""
        if self.is_new(batch):  # otherwise earlier updates would run during the compilation and seem faster
            self.pause()
            self.resume()
        with self.compilations.call(shape_of(batch)):
            yield

    def next_batch(self, batches: Iterator[Batch]) -> Batch:
        """The next batch. The device waits for it if all updates so far are done when it arrives.

        The time of the last update is then counted as waiting too: nothing tells when it was done.
        """
        start = time.perf_counter()
        batch = next(batches)
        if not self.pending or all(number.is_ready() for number in jax.tree.leaves(self.pending[-1][0])):
            self.waited += time.perf_counter() - start
        return batch

    def add(self, metrics: Metrics, batch: Batch) -> None:
        """Keeps the metrics of an update, still on the device. Waits while too many are unfinished."""
        self.pending.append((metrics, batch.source.shape[1], batch.target_inputs.shape[1]))
        allowed = IN_FLIGHT_ON_CPU if jax.default_backend() == "cpu" else IN_FLIGHT
        if len(self.pending) > allowed:
            jax.block_until_ready(self.pending[-1 - allowed][0])

    def pause(self) -> None:
        """Waits for all updates so far, then stops the clock, because validation is not training time."""
        jax.block_until_ready([metrics for metrics, *_ in self.pending])
        self.seconds += time.perf_counter() - self.start

    def resume(self) -> None:
        """Starts the clock again."""
        self.start = time.perf_counter()

    def record(self, step: int) -> dict[str, Any]:
        """The record for metrics.jsonl of all updates since the last record."""
        rows = [jax.tree.map(float, one) for one in jax.device_get([metrics for metrics, *_ in self.pending])]
        for number, row in enumerate(rows):
            check_finite(row, step - len(rows) + 1 + number)
        self.pause()
        compiling, self.compiled = self.compilations.seconds - self.compiled, self.compilations.seconds
        teraflops = self.flops(rows) / TERA / self.devices / (self.seconds - compiling)
        seconds, self.seconds, self.pending = self.seconds - compiling, 0.0, []
        self.seconds_per_update = seconds / len(rows)
        waited, self.waited = self.waited, 0.0
        self.resume()
        tokens, padded = sum(row.tokens for row in rows), sum(row.padded_tokens for row in rows)
        return {
            "step": step,
            "time": time.time(),
            "loss": sum(row.loss * row.tokens for row in rows) / tokens,
            **{name: sum(row.extra[name] * row.tokens for row in rows) / tokens for name in rows[-1].extra},
            "learning_rate": rows[-1].learning_rate,
            "gradient_norm": rows[-1].gradient_norm,
            "target_tokens_per_second": tokens / seconds,
            "padding": 1 - tokens / padded,
            "waiting_for_data": min(waited / seconds, 1.0),
            "device_teraflops": teraflops,
            **({"utilisation": teraflops / self.peak} if self.peak else {}),
            "compile_seconds": compiling,
            "peak_memory": peak_memory(),
        }

    def summary(self) -> str:
        """One line on compilation time and peak memory so far."""
        compilations = self.compilations
        return (
            f"{len(compilations.seen)} batch shapes, compiled in {compilations.seconds:.1f} s; "
            f"peak memory {peak_memory() / 2**30:.1f} GiB"
        )

    def flops(self, rows: list[Metrics]) -> float:
        """Floating-point operations of the pending updates, whose metrics are `rows`."""
        sizes = [
            BatchSize(row.source_tokens, row.tokens, source_length, target_length)
            for row, (_, source_length, target_length) in zip(rows, self.pending, strict=True)
        ]
        return sum(update_flops(self.config, self.target_vocabulary, size) for size in sizes)
