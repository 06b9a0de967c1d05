"""The choice of the kernel for attention in a run's updates: the fastest of those that agree with our own attention.

No accelerator has confirmed yet that any library's kernel agrees when it gets segments rather than a mask array. On a
machine with an accelerator, this command tests them, and prints which agree and how long each takes:

    JAX_PLATFORMS=cuda python -m pytest tests/transformer/devices/test_kernels.py -k this_machine -s
"""

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from data.errors import InputError
from transformer.config import Config
from transformer.devices.agreement import (
    Side,
    Size,
    Trial,
    build_trial,
    disagreement,
    results_and_gradients,
    row_segments,
    xla,
)
from transformer.model.dense import resolve_precision
from transformer.model.kernels import KERNELS, PLATFORMS, Kernel, KernelFunction

REPEATS = 20
TOKENS_A_SENTENCE = 16
"""Sentence length in the rows that are timed."""

Shapes = Sequence[tuple[int, int, int]]
"""Rows, source tokens and target tokens of each shape of a run's batches."""


class Choice(NamedTuple):
    """The chosen kernel, the reason for it, and a line for each kernel that was refused."""

    kernel: Kernel
    reason: str
    refused: tuple[str, ...] = ()


def candidates(config: Config) -> tuple[Kernel, ...]:
    """The library kernels that can run here: those for this backend, in bfloat16, with devices.tensor 1.

    With a larger tensor axis, XLA divides the heads, and it cannot partition a kernel that it did not compile. No
    kernel has the mask of a decoder-only model, whose rows hold sources and then targets.
    """
    if config.model.assembly == "decoder_only":
        return ()
    if resolve_precision(config.model.precision) != "bfloat16" or config.devices.tensor > 1:
        return ()
    return tuple(cast(Kernel, name) for name in KERNELS if jax.default_backend() in PLATFORMS[name])


def choose(config: Config, shapes: Shapes) -> Choice | None:
    """The kernel that `model.attention_kernel` "auto" selects for these batches; None if there is nothing to select.

    Raises InputError if a kernel is requested by name that cannot run here or does not agree with our own attention.
    """
    named, kernels = config.model.attention_kernel, candidates(config)
    if named == "auto":
        return fastest(kernels, config, shapes) if kernels else None
    if named == "xla":
        return None
    if named not in kernels:
        machines = " and ".join(f"{platform.upper()}s" for platform in PLATFORMS[named])
        raise InputError(
            f'model.attention_kernel is "{named}", which computes attention on {machines} only, in bfloat16, with '
            'devices.tensor 1: set it to "auto"'
        )
    if fault := refusal(named, build_trials(config, shapes)):
        raise InputError(f'model.attention_kernel is "{named}", but {fault}: set it to "xla"')
    return None


def build_trials(config: Config, shapes: Shapes) -> list[Trial]:
    """Trials with the smallest and the largest shapes of rows, and with the heads of the run."""
    lengths = sorted({(source, target) for _, source, target in shapes}, key=math.prod)
    heads, width = config.model.heads, config.model.width // config.model.heads
    return [build_trial(Size(heads, width, *pair)) for pair in dict.fromkeys((lengths[0], lengths[-1]))]


def refusal(name: str, trials: Sequence[Trial]) -> str | None:
    """The reason not to use this kernel, in one line that names it; None if it agrees with our own attention."""
    faults = (disagreement(KERNELS[name], trial) for trial in trials)
    return next((f"{name} is refused: {fault}" for fault in faults if fault), None)


def fastest(kernels: Sequence[Kernel], config: Config, shapes: Shapes) -> Choice:
    """The fastest of our own attention and those of the kernels that agree with it."""
    trials = build_trials(config, shapes)
    refused = {name: line for name in kernels if (line := refusal(name, trials))}
    agreed = [name for name in kernels if name not in refused]
    if not agreed:
        return Choice("xla", "no other kernel agrees with it", tuple(refused.values()))
    rows = timed_rows(config, shapes)
    seconds: dict[Kernel, float] = {name: kernel_seconds(KERNELS.get(name, xla), *rows) for name in (*agreed, "xla")}
    return Choice(*least(seconds), tuple(refused.values()))


def least(seconds: Mapping[Kernel, float]) -> tuple[Kernel, str]:
    """The kernel that takes the least time, with the times of all as the reason."""
    by_time = sorted(seconds, key=seconds.__getitem__)
    return by_time[0], ", ".join(f"{1e3 * seconds[name]:.2f} ms by {name}" for name in by_time)


def timed_rows(config: Config, shapes: Shapes) -> tuple[Side, Side]:
    """Packed rows of the shape with the most work, as many as a device computes at a time."""
    devices = config.devices
    row_devices = (devices.data or max(jax.device_count() // (devices.fsdp * devices.tensor), 1)) * devices.fsdp
    work = [(rows * (source**2 + target**2 + source * target), rows, source, target) for rows, source, target in shapes]
    _, rows, source, target = max(work)
    rows = math.ceil(rows / (row_devices * config.training.accumulation))
    sentences = max(min(source, target) // TOKENS_A_SENTENCE, 1)

    def side(length: int) -> Side:
        segments = np.tile(row_segments(length, sentences, 0.95), (rows, 1))
        shape = (rows, config.model.heads, length, config.model.width // config.model.heads)
        ones = jnp.ones(shape, jnp.bfloat16)
        return Side(jnp.asarray(segments), ones, ones, ones, ones)

    return side(source), side(target)


def kernel_seconds(kernel: KernelFunction, source: Side, target: Side) -> float:
    """Median seconds for the three kinds of attention and their gradients, without the first run, which compiles."""
    program, taken = results_and_gradients(kernel), []
    for _ in range(1 + REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(program(source, target))
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])
