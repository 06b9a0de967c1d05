"""Several processes as one job: how they connect, exchange values, and stop together.

Each process runs the same program on its own devices. All of them compute together on arrays that span all devices, so
any value that affects control flow must be equal in all processes. Only process 0 writes and prints.
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
"""Environment variables by which a process knows its job: srun, Open MPI, a Kubernetes indexed job."""

LEAVING = 60
"""Seconds that a process waits for the others when it exits. If they do not arrive in time, JAX aborts the job."""


def connect(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Joins the job that this process is part of. Call it before anything is computed.

    `coordinator` is HOST:PORT of process 0. Without arguments, JAX finds the other processes in a job of SLURM, Open
    MPI, Kubernetes or a TPU pod. A single process needs no job.
    """
    given = (coordinator, processes, process)
    if processes == 1 or (given == (None, None, None) and not is_in_job()):
        return
    if None in given and given != (None, None, None):
        raise InputError("--coordinator HOST:PORT, --processes N and --process I go together: give all three")
    # Otherwise JAX would handle SIGTERM itself, and we would have to poll for it.
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
            return  # a single TPU
        raise InputError(
            f"the processes of this job cannot be joined: {str(error).partition(chr(10))[0]}: give --coordinator, "
            "--processes and --process, or --processes 1 to run alone"
        ) from None


def is_in_job() -> bool:
    """Whether this may be one of several processes. Under SLURM, JAX would show a single process only one device."""
    has_mark = any(mark in os.environ for mark in MARKS) or importlib.util.find_spec("libtpu") is not None
    return has_mark and os.environ.get("SLURM_NTASKS") != "1"


def place_in_job(coordinator: str | None, processes: int | None, process: int | None) -> tuple[int, int]:
    """(index, count) of this process, as `connect` finds it; the process then leaves the job at once.

    For work that is divided in advance: from then on, no process waits for another or ends because another did. Only
    the devices of this process, `jax.local_devices()`, can compute.
    """
    connect(coordinator, processes, process)
    place = jax.process_index(), jax.process_count()
    jax.distributed.shutdown()
    return place


def gather(value: Any) -> list[Any]:
    """The values that all processes pass, in the order of processes; each process waits for all others.

    Values must be JSON-serialisable.
    """
    if jax.process_count() == 1:
        return [value]
    content = np.frombuffer(json.dumps(value).encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.array([len(content)], np.int32))[:, 0]
    contents = multihost_utils.process_allgather(np.pad(content, (0, int(sizes.max()) - len(content))))
    return [json.loads(row[:size].tobytes()) for row, size in zip(contents, sizes, strict=True)]


def on_first(action: Callable[[], Any]) -> Any:
    """The result, in every process, of an action that process 0 runs. Its InputError is raised in every process too."""
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
    """Raises InputError in every process unless all pass the same value."""
    values = gather(value)
    for number, other in enumerate(values):
        if other != values[0]:
            raise InputError(f"process {number} was started with a different {what} from process 0: give all the same")
