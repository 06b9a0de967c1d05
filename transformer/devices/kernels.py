"""Which kernel computes attention on a GPU: the one that is faster on the batches of a run, found by timing both."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from data.errors import InputError
from transformer.config import Config
from transformer.model.attention import KeysValues, attend
from transformer.model.dense import resolve_precision
from transformer.model.kernels import Kernel
from transformer.model.masks import CausalMask, SegmentMask

REPEATS = 20
REFUSALS = (NotImplementedError, RuntimeError, ValueError)
"""What cuDNN raises for sizes or machines that it does not serve; JAX's errors at run time are RuntimeErrors."""

Shapes = Sequence[tuple[int, int, int]]
"""Rows, source tokens and target tokens of each shape of a run's batches."""


class Choice(NamedTuple):
    """A kernel, and why; whether it is XLA's because cuDNN does not serve."""

    kernel: Kernel
    reason: str
    is_refused: bool = False


def can_be_cudnn(config: Config) -> bool:
    """Whether there is something to choose: cuDNN computes attention on GPUs, in bfloat16, of undivided heads."""
    is_bfloat16 = resolve_precision(config.model.precision) == "bfloat16"
    return is_bfloat16 and jax.default_backend() == "gpu" and config.devices.tensor == 1


def choose(config: Config, shapes: Shapes) -> Choice | None:
    """The kernel that `model.attention_kernel` stands for in training on such batches; None where there is no choice.

    InputError where cuDNN is asked for and does not serve them.
    """
    if config.model.attention_kernel == "cudnn" and not can_be_cudnn(config):
        raise InputError(
            'model.attention_kernel is "cudnn", which computes attention on GPUs only, in bfloat16, with '
            'devices.tensor 1: set it to "auto"'
        )
    if config.model.attention_kernel == "xla" or not can_be_cudnn(config):
        return None
    choice = faster(partial(attention_seconds, config, shapes))
    if config.model.attention_kernel == "auto":
        return choice
    if choice.is_refused:
        raise InputError(f'model.attention_kernel is "cudnn", but {choice.reason}: set it to "auto"')
    return None


def faster(seconds: Callable[[Kernel], float]) -> Choice:
    """The kernel of fewer seconds. What cuDNN refuses to compute is left to XLA."""
    by_xla = seconds("xla")
    try:
        by_cudnn = seconds("cudnn")
    except REFUSALS as error:
        reason = str(error).partition("\n")[0]
        return Choice("xla", f"cuDNN refuses: {reason}", is_refused=True)
    times = f"{1e3 * by_cudnn:.2f} ms by cuDNN, {1e3 * by_xla:.2f} ms by XLA"
    return Choice("cudnn" if by_cudnn < by_xla else "xla", times)


def attention_seconds(config: Config, shapes: Shapes, kernel: Kernel) -> float:
    """Seconds of the three kinds of attention and their gradients on batches of these shapes.

    Medians, added up over the shapes; of one layer, and of the rows that a device takes at a time.
    """
    devices = config.devices
    row_devices = (devices.data or max(jax.device_count() // (devices.fsdp * devices.tensor), 1)) * devices.fsdp
    parts = row_devices * config.training.accumulation
    return math.fsum(
        _seconds(config, math.ceil(rows / parts), source, target, kernel) for rows, source, target in shapes
    )


def _seconds(config: Config, rows: int, source_length: int, target_length: int, kernel: Kernel) -> float:
    """The median of one shape, after the first run, which compiles."""
    heads, width = config.model.heads, config.model.width // config.model.heads

    def loss(features, segments):
        (source, target), (source_segments, target_segments) = features, segments
        attended = [
            attend(query, KeysValues(key.swapaxes(2, 3), key), mask, kernel=kernel)
            for query, key, mask in (
                (source, source, SegmentMask(source_segments, source_segments)),
                (target, target, CausalMask(target_segments)),
                (target, source, SegmentMask(target_segments, source_segments)),
            )
        ]
        return sum(jnp.sum(x, dtype=jnp.float32) for x in attended)

    lengths = source_length, target_length
    features = [jnp.ones((rows, heads, length, width), jnp.bfloat16) for length in lengths]
    segments = [jnp.ones((rows, length), jnp.int32) for length in lengths]
    step, taken = jax.jit(jax.grad(loss)), []
    for _ in range(1 + REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(step(features, segments))
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])
