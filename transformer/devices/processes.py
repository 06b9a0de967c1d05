"""Several processes as one job: how they find each other, what they tell each other, and how they stop together.

Each runs the same program on devices of its own; an array over all devices is computed by all of them at the same time,
so what decides the course of a run must be the same in each. Process 0 alone writes and prints.
"""

import importlib.util
import json
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from data.errors import InputError

MARKS = ("SLURM_STEP_NODELIST", "OMPI_MCA_orte_hnp_uri", "JOB_COMPLETION_INDEX")
"""Environment variables of a job's processes: srun, Open MPI, an indexed job of Kubernetes."""

LEAVING = 60
"""Seconds that a process at its end waits for the others. When they do not come, it has failed alone, and all end."""


def connect(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Joins the job this process is part of; call it before anything is computed.

    `coordinator` is HOST:PORT of process 0. Where nothing is given, JAX finds the other processes of a job of SLURM,
    Open MPI, Kubernetes or a TPU pod, if this is one. One process alone needs no job.
    """
    given = (coordinator, processes, process)
    if processes == 1 or (given == (None, None, None) and not is_in_job()):
        return
    if None in given and given != (None, None, None):
        raise InputError("--coordinator HOST:PORT, --processes N and --process I go together: give all three")
    # JAX would else take SIGTERM for itself, and leave it to us to ask whether one has come.
    jax.config.update("jax_enable_preemption_service", False)
    detection = None if coordinator is None else "deactivate"
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            cluster_detection_method=detection,
            shutdown_timeout_seconds=LEAVING,
        )
    except (ValueError, RuntimeError) as error:
        if coordinator is None and "coordinator_address should be defined" in str(error):
            return  # a TPU of its own
        raise InputError(
            f"the processes of this job cannot be joined: {str(error).partition(chr(10))[0]}: give --coordinator, "
            "--processes and --process, or --processes 1 to run alone"
        ) from None


def is_in_job() -> bool:
    """Whether this may be one of several processes. JAX would hide all devices but one from a single one of SLURM."""
    has_mark = any(mark in os.environ for mark in MARKS) or importlib.util.find_spec("libtpu") is not None
    return has_mark and os.environ.get("SLURM_NTASKS") != "1"


def place_in_job(coordinator: str | None, processes: int | None, process: int | None) -> tuple[int, int]:
    """Which process of how many this is, as `connect` finds it, in a job that is left at once.

    For work that is divided beforehand: no process waits for another any more, and none ends because another did.
    Only the devices of this process, `jax.local_devices()`, can compute from then on.
    """
    connect(coordinator, processes, process)
    place = jax.process_index(), jax.process_count()
    jax.distributed.shutdown()
    return place


def gather(value: Any) -> list[Any]:
    """The values that the processes call it with, in their order. A value is what JSON can hold; each waits for all."""
    if jax.process_count() == 1:
        return [value]
    content = np.frombuffer(json.dumps(value).encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.array([len(content)], np.int32))[:, 0]
    contents = multihost_utils.process_allgather(np.pad(content, (0, int(sizes.max()) - len(content))))
    return [json.loads(row[:size].tobytes()) for row, size in zip(contents, sizes, strict=True)]


def on_first(action: Callable[[], Any]) -> Any:
    """What an action of process 0 returns, in every process; its InputError, too, is raised in every one."""
    if jax.process_count() == 1:
        return action()
    result, error = None, None
    if jax.process_index() == 0:
        try:
            result = action()
        except InputError as refused:
            error = str(refused)
    result, error = gather([result, error])[0]
    if error is not None:
        raise InputError(error)
    return result


def check_same(value: Any, what: str) -> None:
    """InputError in every process unless all call it with the same value."""
    values = gather(value)
    for number, other in enumerate(values):
        if other != values[0]:
            raise InputError(f"process {number} was started with another {what} than process 0: give all the same")
