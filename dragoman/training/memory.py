"""Device memory: how much an update needs, the largest update that fits, and what to do when memory runs out."""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

from data.errors import InputError
from data.memory import available_memory
from transformer.config import Config
from transformer.devices import STRATEGIES
from transformer.devices.processes import gather
from transformer.model import ASSEMBLIES, abstract

RESERVE = 0.1
"""The fraction of a device's memory that "auto" leaves free, for the search during validation and as a margin."""

CERTAIN = 0.25
"""The fraction of a device's memory up to which a rough estimate of an update decides that it fits."""

GIB = 2**30

ADVICE = "set a shorter data.row_length, a smaller model, devices.fsdp, or model.rematerialize on a GPU or TPU"


class OutOfMemory(Exception):
    """A device does not have enough free memory for a computation."""


@contextlib.contextmanager
def raising_out_of_memory() -> Iterator[None]:
    """A context that turns JAX's out-of-memory error into OutOfMemory."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise OutOfMemory(str(error)) from None


@contextlib.contextmanager
def rejecting_out_of_memory(what: str, advice: str) -> Iterator[None]:
    """A context that raises InputError if work that cannot be divided runs out of memory."""
    try:
        with raising_out_of_memory():
            yield
    except OutOfMemory:
        raise InputError(f"{device_kind()}: out of memory in {what}: {advice}") from None


def device_kind() -> str:
    """The name of the kind of device, such as "NVIDIA H100"."""
    return jax.devices()[0].device_kind


def device_memory() -> int:
    """Bytes of memory for each device: that of the GPU or TPU, or an equal part of the available RAM for CPUs."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    return statistics.get("bytes_limit") or available_memory() // jax.local_device_count()


def planned_memory(program: jax.stages.Compiled) -> int:
    """The bytes that a compiled program needs on each device, including arguments and results."""
    found: Any = program.memory_analysis()
    size = found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes
    return size - found.alias_size_in_bytes  # results that overwrite arguments


class Fit(NamedTuple):
    """An update that fits: its target tokens, the bytes it needs on each device, and the bytes that a device has."""

    tokens: int
    needed: int
    available: int


def largest_update(config: Config, *, source_vocabulary: int, target_vocabulary: int, available: int) -> Fit:
    """The largest update, up to training.batch_tokens_limit, that leaves RESERVE of a device's `available` bytes free.

    Candidates have rows of length data.row_length, for which attention needs the most memory. The largest candidate is
    compiled first. Each following one has half the rows of the one before, down to one row for each device in each part
    of training.accumulation.
    """
    graph, parameters = abstract(config.model, source_vocabulary, target_vocabulary)
    strategy = STRATEGIES[config.devices.strategy](graph, config)
    fewest, length = strategy.row_devices * config.training.accumulation, config.data.row_length
    limit = config.training.batch_tokens_limit
    if fewest * length > limit:
        raise InputError(
            f"training.batch_tokens_limit is {limit}, too few for a row of data.row_length {length} for each of "
            f"{strategy.row_devices} devices in each of training.accumulation {config.training.accumulation} parts: "
            f"set at least {fewest * length}"
        )
    rows = fewest * 2 ** ((limit // (fewest * length)).bit_length() - 1)
    while rows >= fewest:
        with contextlib.suppress(OutOfMemory), raising_out_of_memory():  # some compilers reject what does not fit
            needed = planned_memory(strategy.compile(parameters, rows, length))
            if needed <= (1 - RESERVE) * available:
                return Fit(rows * length, needed, available)
        rows //= 2
    raise InputError(
        f"{device_kind()}: an update of one row of data.row_length {length} for each device does not fit its "
        f"{available / GIB:.2f} GiB: {ADVICE}"
    )


def check_update(config: Config, *, source_vocabulary: int, target_vocabulary: int, available: int) -> None:
    """InputError if an update cannot fit the `available` bytes of a device; it says how large an update would.

    A small update passes by a rough estimate. Otherwise the update is compiled; one that is far too large is compiled
    with fewer rows, from which the memory of all rows follows, because it grows in proportion to them.
    """
    graph, parameters = abstract(config.model, source_vocabulary, target_vocabulary)
    strategy = STRATEGIES[config.devices.strategy](graph, config)
    fewest, length = strategy.row_devices * config.training.accumulation, config.data.row_length
    tokens = batch_tokens(config)
    rows = max(1, tokens // length // fewest) * fewest
    rough = rough_activations(config) * (rows // fewest) * length
    if rough <= CERTAIN * available:
        return
    fewer = max(1, min(rows // fewest, int(rows // fewest * available / rough))) * fewest
    try:
        with raising_out_of_memory():
            measured = planned_memory(strategy.compile(parameters, fewer, length))
    except OutOfMemory:
        measured = available + 1
    fixed = min(measured, 16 * sum(leaf.size for leaf in jax.tree.leaves(parameters)) // config.devices.fsdp)
    needed = fixed + (measured - fixed) * rows // fewer
    if needed <= available:
        return
    fitting = int(((1 - RESERVE) * available - fixed) * rows / max(1, needed - fixed)) // fewest * fewest
    raise InputError(
        f"training.batch_tokens is {tokens}: an update needs about {needed / GIB:.1f} GiB on each device, and "
        f"{device_kind()} has {available / GIB:.1f} GiB free: {what_to_set(config, rows=rows, fitting=fitting)}"
    )


def what_to_set(config: Config, *, rows: int, fitting: int) -> str:
    """What to set if only `fitting` of the `rows` rows of an update fit."""
    if fitting < 1:
        return ADVICE
    parts = config.training.accumulation * -(-rows // fitting)
    return (
        f"set training.batch_tokens to {fitting * config.data.row_length} or less, or training.accumulation to {parts} "
        "or more for the same update in more parts"
    )


def rough_activations(config: Config) -> int:
    """Roughly the bytes that an update keeps for each token of a row, on each side, for its gradients."""
    of_one_copy = ASSEMBLIES[config.model.assembly].rough_activations(config.model, config.data.row_length)
    return 4 * config.training.copies * of_one_copy


def batch_tokens(config: Config) -> int:
    """Target tokens of an update, once "auto" has been resolved."""
    assert isinstance(config.training.batch_tokens, int)
    return config.training.batch_tokens


def smallest_memory() -> int:
    """The smallest `device_memory` of any process."""
    return min(gather(device_memory()))


def more_parts(parts: int, *, rows: int, processes: int) -> int:
    """Twice as many parts, for an update of `rows` rows per device that ran out of memory.

    InputError if a part already has only one row. InputError also in a job of several processes: they do not run out
    of memory at the same moment, so they cannot agree to continue.
    """
    if parts >= rows:
        raise InputError(f"{device_kind()}: out of memory in an update of one row a device at a time: {ADVICE}")
    if processes > 1:
        raise InputError(f"{device_kind()}: out of memory in an update: set training.accumulation to {2 * parts}")
    return 2 * parts
