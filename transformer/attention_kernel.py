"""Which kernel computes attention on a GPU: the one that is faster on the batches of a run, found by timing both."""

import statistics
import time
from collections.abc import Callable, Sequence
from math import ceil
from typing import NamedTuple

import jax
import jax.numpy as jnp

from transformer.attention import Kernel, attend, causal_mask, segment_mask
from transformer.config import Config
from transformer.dense import resolve_precision

REPEATS = 20
REFUSALS = (NotImplementedError, RuntimeError, ValueError)
"""What cuDNN raises for sizes or machines that it does not serve; JAX's errors at run time are RuntimeErrors."""


class Choice(NamedTuple):
    """The faster kernel, and a line that says why."""

    kernel: Kernel
    reason: str


def is_undecided(config: Config) -> bool:
    """Whether there is something to time: cuDNN computes attention on GPUs, in bfloat16."""
    is_open = config.model.attention_kernel == "auto" and resolve_precision(config.model.precision) == "bfloat16"
    return is_open and jax.default_backend() == "gpu"


def faster(seconds: Callable[[Kernel], float]) -> Choice:
    """The kernel of fewer seconds. One that cuDNN refuses to compute is XLA's."""
    by_xla = seconds("xla")
    try:
        by_cudnn = seconds("cudnn")
    except REFUSALS as error:
        return Choice("xla", f"XLA, as cuDNN refuses: {str(error).partition(chr(10))[0]}")
    times = f"{1e3 * by_cudnn:.2f} ms by cuDNN, {1e3 * by_xla:.2f} ms by XLA"
    return Choice("cudnn", f"cuDNN: {times}") if by_cudnn < by_xla else Choice("xla", f"XLA: {times}")


def attention_seconds(config: Config, shapes: Sequence[tuple[int, int, int]], kernel: Kernel) -> float:
    """Seconds of the three kinds of attention and their gradients on batches of (rows, source, target) tokens.

    Medians, added up over the shapes; of one layer, and of the rows that one device takes at a time.
    """
    parts = max(jax.device_count() // config.devices.tensor, 1) * config.training.accumulation
    return sum(_seconds(config, ceil(rows / parts), source, target, kernel) for rows, source, target in shapes)


def _seconds(config: Config, rows: int, source_length: int, target_length: int, kernel: Kernel) -> float:
    """The median of one shape."""
    heads = max(config.model.heads // config.devices.tensor, 1)
    segments = [jnp.ones((rows, length), jnp.int32) for length in (source_length, target_length)]
    source, target = (
        jax.random.normal(jax.random.key(0), (rows, heads, length, config.model.width // config.model.heads))
        for length in (source_length, target_length)
    )

    def loss(source, target):
        masks = segment_mask(segments[0], segments[0]), causal_mask(segments[1]), segment_mask(segments[1], segments[0])
        source, target = source.astype(jnp.bfloat16), target.astype(jnp.bfloat16)
        pairs = (source, source), (target, target), (target, source)
        attended = [
            attend(query, key, key, mask, precision="bfloat16", kernel=kernel)
            for (query, key), mask in zip(pairs, masks, strict=True)
        ]
        return sum(jnp.sum(x.astype(jnp.float32)) for x in attended)

    step = jax.jit(jax.grad(loss, (0, 1)))
    taken = []
    for _ in range(1 + REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(step(source, target))
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])
