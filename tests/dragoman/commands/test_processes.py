"""Several processes on one machine train as one: same parameters, one stop, one writer, and clear errors."""

import os
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

from dragoman.runs.checkpoint import restore_parameters
from dragoman.runs.run import Run
from dragoman.runs.storage import name_leaves
from tests.support.paths import ROOT
from tests.support.tiny_training import steps_of, wait_for

pytestmark = pytest.mark.slow


SHORT = (
    *("--training.steps", "12"),
    *("--training.learning_rate", "0.001", "--model.precision", "float32", "--model.dropout", "0"),
)
"""Uses float32: in bfloat16, a different order of summation gives different operands. Uses no dropout: it makes some
gradients nearly zero, and Adam then amplifies rounding a thousandfold."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(*arguments: object, devices: int, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Starts train.py on this many virtual devices."""
    options = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    flags = {"XLA_FLAGS": options.strip()}
    return subprocess.Popen(
        [sys.executable, ROOT / "train.py", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **flags, **(environment or {})},
    )


def start_job(*arguments: object) -> list[subprocess.Popen[str]]:
    """Starts two processes of two devices each, with explicit addresses."""
    address = f"127.0.0.1:{free_port()}"
    return [
        start(*arguments, "--coordinator", address, "--processes", 2, "--process", number, devices=2)
        for number in range(2)
    ]


def finish(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """The exit status, stdout and stderr of each process, without the messages of the CPU's collectives."""
    results = []
    for process in processes:
        output, errors = process.communicate(timeout=600)
        lines = [line for line in output.split("\n") if line and not line.startswith("[Gloo]")]
        results.append((process.returncode, "\n".join(lines), errors))
    return results


@pytest.fixture(scope="module")
def alone(recipe, tmp_path_factory) -> Run:
    """A run of one process with four devices."""
    run = Run(tmp_path_factory.mktemp("runs") / "alone")
    [(status, _, errors)] = finish([start(recipe, "--run", run.path, *SHORT, devices=4)])
    assert status == 0, errors
    return run


def assert_same_parameters(found: Run, expected: Run, name: str, *, tolerance: float = 1e-5) -> None:
    arrays = [name_leaves(restore_parameters(run.checkpoints / name)) for run in (found, expected)]
    assert arrays[0].keys() == arrays[1].keys()
    for path, array in arrays[1].items():
        error = np.linalg.norm(arrays[0][path] - array) / max(np.linalg.norm(array), 1e-2)
        assert error <= tolerance, f"{path}: {error:.1e}"


@pytest.mark.parametrize(
    "mapping",
    [
        ["--devices.data", "4"],
        pytest.param(["--devices.data", "1", "--devices.fsdp", "4"], marks=pytest.mark.exhaustive),
    ],
)
def test_two_processes_train_as_one_with_as_many_devices(alone, recipe, tmp_path, mapping):
    run = Run(tmp_path / "together")
    first, second = finish(start_job(recipe, "--run", run.path, *SHORT, *mapping))
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert_same_parameters(run, alone, "12")
    assert steps_of(run, "learning_rate") == steps_of(alone, "learning_rate")
    assert steps_of(run, "bleu") == steps_of(alone, "bleu")
    assert len(list((run.path / "tensorboard").iterdir())) == 1
    assert "on 4 x cpu of 2 processes" in first[1]
    assert "test set, 10 pairs" in first[1]
    assert not set(first[1].split("\n")) & set(second[1].split("\n"))  # (collectives may tear their own lines)


def test_a_signal_to_one_process_stops_both_at_one_step_and_the_run_resumes(alone, recipe, tmp_path):
    run = Run(tmp_path / "stopped")
    processes = start_job(recipe, "--run", run.path, *SHORT)
    wait_for(run.checkpoints / "4", processes[0])
    processes[1].send_signal(signal.SIGTERM)
    first, second = finish(processes)
    assert (first[0], second[0]) == (143, 143), first[2] + second[2]
    assert "run the same command to resume" in first[1]
    step = max(int(path.name) for path in run.checkpoints.iterdir())
    assert 4 <= step < 12
    again = finish(start_job(recipe, "--run", run.path, *SHORT))
    assert [status for status, *_ in again] == [0, 0], again[0][2] + again[1][2]
    assert f"resuming at step {step}" in again[0][1]
    assert_same_parameters(run, alone, "12")
    assert steps_of(run, "bleu") == steps_of(alone, "bleu")


def test_a_save_that_fails_in_one_process_ends_both_with_its_line(recipe, tmp_path):
    run = Run(tmp_path / "run")
    processes = start_job(recipe, "--run", run.path, *SHORT)
    wait_for(run.checkpoints / "4", processes[0])
    (run.checkpoints / "12.partial").write_text("a file where a directory must be made")
    for status, _, errors in finish(processes):
        assert status == 2, errors
        assert "checkpoints/12: could not be saved: FileExistsError" in errors


def test_pmap_trains_in_two_processes_and_its_run_resumes_in_one(recipe, tmp_path):
    """Four replicas sum gradients in a different order than one device, and Adam amplifies the difference."""
    run = Run(tmp_path / "run")
    options = [*SHORT, "--devices.strategy", "pmap"]
    results = finish(start_job(recipe, "--run", run.path, *options, "--training.steps", "8"))
    assert [status for status, *_ in results] == [0, 0], results[0][2] + results[1][2]
    [(status, output, errors)] = finish([start(recipe, "--run", run.path, *options, devices=1)])
    assert status == 0, errors
    assert "resuming at step 8" in output
    whole = Run(tmp_path / "whole")
    [(status, _, errors)] = finish([start(recipe, "--run", whole.path, *options[:-2], devices=1)])
    assert status == 0, errors
    assert_same_parameters(run, whole, "12", tolerance=1e-4)


def test_processes_of_slurm_find_each_other_and_an_error_stops_both_with_one_line(recipe, tmp_path):
    job = {"SLURM_JOB_ID": str(free_port()), "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2"}
    processes = [
        start(
            *(recipe, "--run", tmp_path / "run", "--data.vocabulary_size", "32000"),
            devices=1,
            environment={**job, "SLURM_PROCID": str(number), "SLURM_LOCALID": str(number)},
        )
        for number in range(2)
    ]
    for status, _, errors in finish(processes):
        assert status == 2
        assert [line for line in errors.split("\n") if line.startswith("error:")] == [errors.strip()]
        assert "vocabulary_size" in errors


def test_processes_with_different_recipes_are_refused(recipe, tmp_path):
    address = f"127.0.0.1:{free_port()}"
    job = [recipe, "--run", tmp_path / "run", "--coordinator", address, "--processes", 2]
    processes = [start(*job, "--process", n, "--training.seed", n, devices=1) for n in range(2)]
    for status, _, errors in finish(processes):
        assert status == 2
        assert "process 1 was started with a different recipe, option or run directory from process 0" in errors


def test_processes_that_leave_devices_unused_are_refused(recipe, tmp_path):
    for status, _, errors in finish(start_job(recipe, "--run", tmp_path / "run", *SHORT, "--devices.data", "2")):
        assert status == 2
        assert "is 2, but 2 processes have 4 devices: use all of them" in errors
