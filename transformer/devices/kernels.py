"""Which kernel computes attention in the updates of a run: the fastest of those that agree with our own.

No accelerator has confirmed any kernel of a library since they get segments in place of a mask array. On a machine
with one, this decides, and prints what agrees and how long it takes:

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
"""Of the rows that are timed."""

Shapes = Sequence[tuple[int, int, int]]
"""Rows, source tokens and target tokens of each shape of a run's batches."""


class Choice(NamedTuple):
    """A kernel, why it was chosen, and a line for each kernel that was refused."""

    kernel: Kernel
    reason: str
    refused: tuple[str, ...] = ()


def candidates(config: Config) -> tuple[Kernel, ...]:
    """The kernels of libraries that are for this backend, in bfloat16, with undivided heads.

    Heads that the tensor axis divides are divided by XLA, which cannot partition a kernel that it did not compile.
    """
    if resolve_precision(config.model.precision) != "bfloat16" or config.devices.tensor > 1:
        return ()
    return tuple(cast(Kernel, name) for name in KERNELS if jax.default_backend() in PLATFORMS[name])


def choose(config: Config, shapes: Shapes) -> Choice | None:
    """The kernel that `model.attention_kernel` stands for in updates on such batches; None where there is no choice.

    InputError where a kernel is asked for by name that does not serve them, or does not agree with our own attention.
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
    """Rows of the smallest and of the largest shape, with the heads of the run."""
    lengths = sorted({(source, target) for _, source, target in shapes}, key=math.prod)
    heads, width = config.model.heads, config.model.width // config.model.heads
    return [build_trial(Size(heads, width, *pair)) for pair in dict.fromkeys((lengths[0], lengths[-1]))]


def refusal(name: str, trials: Sequence[Trial]) -> str | None:
    """Why the kernel of this name is not used, in one line that names it; None if it agrees with our own attention."""
    faults = (disagreement(KERNELS[name], trial) for trial in trials)
    return next((f"{name} is refused: {fault}" for fault in faults if fault), None)


def fastest(kernels: Sequence[Kernel], config: Config, shapes: Shapes) -> Choice:
    """The fastest of our own attention and of those of these kernels that agree with it."""
    trials = build_trials(config, shapes)
    refused = {name: line for name in kernels if (line := refusal(name, trials))}
    agreed = [name for name in kernels if name not in refused]
    if not agreed:
        return Choice("xla", "no other kernel agrees with it", tuple(refused.values()))
    rows = timed_rows(config, shapes)
    seconds: dict[Kernel, float] = {name: kernel_seconds(KERNELS.get(name, xla), *rows) for name in (*agreed, "xla")}
    return Choice(*least(seconds), tuple(refused.values()))


def least(seconds: Mapping[Kernel, float]) -> tuple[Kernel, str]:
    """The kernel of fewest seconds, and what each takes."""
    by_time = sorted(seconds, key=seconds.__getitem__)
    return by_time[0], ", ".join(f"{1e3 * seconds[name]:.2f} ms by {name}" for name in by_time)


def timed_rows(config: Config, shapes: Shapes) -> tuple[Side, Side]:
    """Packed rows of the shape that is most work, as many as a device takes at a time."""
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
    """Seconds of the three kinds of attention and their gradients: the median, after the first run, which compiles."""
    program, taken = results_and_gradients(kernel), []
    for _ in range(1 + REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(program(source, target))
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])
