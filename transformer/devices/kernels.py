"""The choice of the kernel for attention in a run's updates: the first that agrees with our own attention.

On a machine with a GPU, this command tests the kernels, and prints which agree and how long each takes:

    JAX_PLATFORMS=cuda python -m pytest tests/transformer/devices/test_kernels.py -k this_machine -s
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import jax

from data.errors import InputError
from transformer.config import Config
from transformer.devices.agreement import (
    Size,
    Trial,
    build_trial,
    disagreement,
)
from transformer.model.dense import resolve_precision
from transformer.model.kernels import KERNELS, PLATFORMS, Kernel

Shapes = Sequence[tuple[int, int, int]]
"""Rows, source tokens and target tokens of each shape of a run's batches."""


class Choice(NamedTuple):
    """The chosen kernel, the reason for it, and a line for each kernel that was refused."""

    kernel: Kernel
    reason: str
    refused: tuple[str, ...] = ()


def candidate_kernels(config: Config) -> tuple[Kernel, ...]:
    """The kernels that can run here: those for this backend, in bfloat16, with devices.tensor 1.

    With a larger tensor axis, XLA divides the heads, and it cannot partition a kernel that it did not compile. No
    kernel has the mask of a decoder-only model, whose rows hold sources and then targets.
    """
    if config.model.assembly == "decoder_only":
        return ()
    if resolve_precision(config.model.precision) != "bfloat16" or config.devices.tensor > 1:
        return ()
    return tuple(cast(Kernel, name) for name in KERNELS if jax.default_backend() in PLATFORMS[name])


def choose_kernel(config: Config, shapes: Shapes) -> Choice | None:
    """The kernel that `model.attention_kernel` "auto" selects for these batches; None if there is nothing to select.

    Raises InputError if a kernel is requested by name that cannot run here or does not agree with our own attention.
    """
    named, kernels = config.model.attention_kernel, candidate_kernels(config)
    if named == "auto":
        return first_that_agrees(kernels, build_trials(config, shapes)) if kernels else None
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


def first_that_agrees(kernels: Sequence[str], trials: Sequence[Trial]) -> Choice:
    """The first of the kernels that agrees with our own attention, or else our own."""
    refused: list[str] = []
    for name in kernels:
        if (line := refusal(name, trials)) is None:
            return Choice(cast(Kernel, name), "it agrees with xla on rows like the run's", tuple(refused))
        refused.append(line)
    return Choice("xla", "no other kernel agrees with it", tuple(refused))
