"""The place of a process in a job. tests/dragoman/commands/test_processes.py starts real jobs."""

import jax
import pytest

from data.errors import InputError
from transformer.devices.processes import check_same, connect, gather, is_in_job, on_first, place_in_job


@pytest.mark.parametrize(
    "given", [("localhost:1234", None, None), (None, 2, None), (None, None, 0), ("localhost:1234", 2, None)]
)
def test_the_options_of_a_job_are_given_together_or_not_at_all(given):
    with pytest.raises(InputError, match="--coordinator HOST:PORT, --processes N and --process I go together"):
        connect(*given)


@pytest.mark.parametrize("given", [(None, None, None), (None, 1, None)])
def test_one_process_joins_no_job(given):
    connect(*given)
    assert place_in_job(*given) == (0, 1)
    assert jax.process_count() == 1
    assert not jax.distributed.is_initialized()


def test_a_job_is_detected_only_under_a_cluster(monkeypatch):
    assert not is_in_job()
    monkeypatch.setenv("SLURM_STEP_NODELIST", "localhost")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    assert is_in_job()
    monkeypatch.setenv("SLURM_NTASKS", "1")
    assert not is_in_job()


def test_a_job_that_cannot_be_joined_is_reported_in_one_line():
    """Here JAX has already been initialised."""
    with pytest.raises(InputError, match=r"the processes of this job cannot be joined: .*--processes 1 to run alone"):
        connect("localhost:1234", 2, 0)


def test_a_single_process_gathers_its_own_value():
    assert gather({"a": [1]}) == [{"a": [1]}]
    assert on_first(lambda: 3) == 3
    check_same([1], "number")
