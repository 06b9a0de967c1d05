"""What updates report, gathered for the log without making the device wait."""

import time
from typing import Any

import jax
import numpy as np

from data.errors import InputError
from transformer.training import Metrics


def check_finite(metrics: Metrics, step: int) -> None:
    """InputError when the loss or the gradient is no longer a number."""
    for name in ("loss", "gradient_norm"):
        if not np.isfinite(getattr(metrics, name)):
            raise InputError(
                f"{name} is {getattr(metrics, name)} at step {step}: training has diverged; nothing of it was saved; "
                "lower training.learning_rate or raise training.warmup_steps"
            )


class Meter:
    """Sums what updates report between two lines of the log; reads the device only when a line is due."""

    def __init__(self) -> None:
        self.pending: list[Metrics] = []
        self.seconds, self.start = 0.0, time.perf_counter()

    def add(self, metrics: Metrics) -> None:
        """Keeps an update's metrics, still on the device."""
        self.pending.append(metrics)

    def pause(self) -> None:
        """Stops the clock, when all updates so far are done: validation is not training time."""
        jax.block_until_ready(self.pending)
        self.seconds += time.perf_counter() - self.start

    def go_on(self) -> None:
        """Starts the clock again."""
        self.start = time.perf_counter()

    def record(self, step: int) -> dict[str, Any]:
        """The line for metrics.jsonl of the updates since the last one."""
        rows = [jax.tree.map(float, metrics) for metrics in jax.device_get(self.pending)]
        for number, row in enumerate(rows):
            check_finite(row, step - len(rows) + 1 + number)
        self.pause()
        seconds, self.seconds, self.pending = self.seconds, 0.0, []
        self.go_on()
        tokens, slots = sum(row.tokens for row in rows), sum(row.slots for row in rows)
        return {
            "step": step,
            "time": time.time(),
            "loss": sum(row.loss * row.tokens for row in rows) / tokens,
            "learning_rate": rows[-1].learning_rate,
            "gradient_norm": rows[-1].gradient_norm,
            "target_tokens_per_second": tokens / seconds,
            "padding": 1 - tokens / slots,
        }
