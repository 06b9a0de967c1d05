"""Whether a search fits in memory: known before it runs, from the compiled program."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax

from data.errors import InputError
from dragoman.training.memory import GIB, device_kind, device_memory, rejecting_out_of_memory
from transformer.decoding import SearchPlan


def advice(plan: SearchPlan) -> str:
    """What to lower so that a search needs less memory."""
    return f"lower decoding.beam, which is {plan.decoding.beam}, or decoding.rows, which is {plan.slots}"


@contextmanager
def within_memory(plan: SearchPlan) -> Iterator[None]:
    """A context that raises InputError if a search runs out of memory."""
    with rejecting_out_of_memory("the search", advice(plan)):
        yield


def check_fits(plan: SearchPlan, program: jax.stages.Compiled) -> None:
    """InputError if a program needs more memory than a device has free. The parameters are there already."""
    found: Any = program.memory_analysis()
    needed, free = found.temp_size_in_bytes + found.output_size_in_bytes, device_memory()
    if needed > free:
        raise InputError(
            f"{device_kind()}: the search needs {needed / GIB:.1f} GiB on each device, and {free / GIB:.1f} are free: "
            f"{advice(plan)}"
        )
