"""Memory: "auto" finds the largest update that fits, and running out gives an error of one line or smaller parts."""

import re

import jax
import jax.numpy as jnp
import pytest

from data.config import DataConfig
from data.errors import InputError
from dragoman.training.memory import (
    OutOfMemory,
    check_update,
    largest_update,
    more_parts,
    planned_memory,
    raising_out_of_memory,
    rejecting_out_of_memory,
    rough_activations,
)
from transformer.config import Config, DevicesConfig, ModelConfig, TrainingConfig
from transformer.devices import STRATEGIES
from transformer.model import abstract

VOCABULARY, LENGTH = 40, 16


def recipe(devices: DevicesConfig, **training) -> Config:
    model = ModelConfig(
        encoder_layers=1, decoder_layers=1, width=16, heads=2, feed_forward=32, maximum_length=16, precision="float32"
    )
    defaults = {"batch_tokens": "auto", "batch_tokens_limit": 80 * LENGTH} | training
    data = DataConfig(maximum_tokens=LENGTH, row_length=LENGTH)
    return Config(data=data, model=model, training=TrainingConfig(**defaults), devices=devices)


def planned(config: Config, rows: int) -> int:
    """The bytes that an update of this many rows needs on each device."""
    graph, parameters = abstract(config.model, VOCABULARY, VOCABULARY)
    return planned_memory(STRATEGIES[config.devices.strategy](graph, config).compile(parameters, rows, LENGTH))


def largest(config: Config, available: int):
    return largest_update(config, source_vocabulary=VOCABULARY, target_vocabulary=VOCABULARY, available=available)


@pytest.mark.parametrize(
    "devices", [DevicesConfig(data=2, fsdp=2), DevicesConfig(strategy="pmap", data=4)], ids=["mesh", "pmap"]
)
def test_auto_takes_the_largest_update_that_leaves_a_tenth_of_a_device_free(devices):
    config = recipe(devices)
    needed = planned(config, 32)
    assert largest(config, int(needed / 0.9) + 1) == (32 * LENGTH, needed, int(needed / 0.9) + 1)
    assert largest(config, int(needed / 0.9) - 1).tokens == 16 * LENGTH


def test_auto_stays_below_its_limit_and_fills_every_device_and_part():
    """At most 80 rows, in multiples of six that double from 6: 48."""
    assert largest(recipe(DevicesConfig(data=3), accumulation=2), 2**50).tokens == 48 * LENGTH


def test_an_update_that_cannot_fit_is_refused_with_numbers_that_do():
    """Also from fewer rows than the update has. A quarter of a device is certain by a rough estimate."""
    config = recipe(DevicesConfig(data=1), batch_tokens=4096 * LENGTH)
    vocabularies = {"source_vocabulary": VOCABULARY, "target_vocabulary": VOCABULARY}
    needed = planned(config, 1024)
    with pytest.raises(InputError) as caught:
        check_update(config, **vocabularies, available=needed)
    found = re.fullmatch(
        r"training\.batch_tokens is 65536: an update needs about \d\.\d GiB on each device, and cpu has \d\.\d GiB "
        r"free: set training\.batch_tokens to (\d+) or less, or training\.accumulation to (\d+) or more for the same "
        r"update in more parts",
        str(caught.value),
    )
    assert found is not None
    tokens, parts = map(int, found.groups())
    assert 0.8 * 1024 * LENGTH < tokens <= 1024 * LENGTH
    assert parts == -(-65536 // tokens)
    for fitting in ({"batch_tokens": tokens}, {"batch_tokens": 65536, "accumulation": parts}):
        check_update(config.with_training(fitting), **vocabularies, available=needed)
    check_update(config, **vocabularies, available=2**40)
    with pytest.raises(InputError, match=r"on each device, and cpu has 0\.0 GiB free: set a shorter data\.row_length"):
        check_update(config, **vocabularies, available=10000)


def test_the_rough_estimate_counts_both_copies_that_r_drop_reads():
    config = recipe(DevicesConfig(data=1))
    assert rough_activations(config.with_training({"objective": "r_drop"})) == 2 * rough_activations(config)


def test_an_update_in_twice_as_many_parts_takes_less_memory():
    devices = DevicesConfig(data=1)
    assert planned(recipe(devices, accumulation=2), 64) < planned(recipe(devices), 64)


def test_a_limit_that_leaves_a_device_without_a_row_is_refused():
    with pytest.raises(InputError, match=r"batch_tokens_limit is 100, too few .* 4 devices .* least 128$"):
        largest(recipe(DevicesConfig(data=4), accumulation=2, batch_tokens_limit=100), 2**50)


def test_devices_that_cannot_hold_one_row_each_are_refused_by_name():
    with pytest.raises(InputError, match=r"^cpu: an update of one row .* does not fit its 0\.00 GiB: set a shorter"):
        largest(recipe(DevicesConfig(data=1), batch_tokens_limit=2 * LENGTH), 1000)


def run_out() -> None:
    """Requests more memory than 47-bit addresses can reach."""
    jax.block_until_ready(jnp.zeros(2**46))


def test_running_out_of_memory_is_distinguished_from_other_device_errors():
    with pytest.raises(OutOfMemory, match="RESOURCE_EXHAUSTED"), raising_out_of_memory():
        run_out()
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"), raising_out_of_memory():
        raise jax.errors.JaxRuntimeError("INTERNAL: another failure")


def test_running_out_of_memory_in_indivisible_work_is_one_line_with_advice():
    refused = pytest.raises(InputError, match=r"^cpu: out of memory in validation: lower decoding\.rows$")
    with refused, rejecting_out_of_memory("validation", "lower decoding.rows"):
        run_out()


def test_parts_double_until_a_device_has_one_row_and_then_it_is_an_error():
    assert [more_parts(parts, rows=6, processes=1) for parts in (1, 2, 4)] == [2, 4, 8]
    with pytest.raises(InputError, match=r"^cpu: out of memory in an update of one row a device at a time"):
        more_parts(8, rows=6, processes=1)


def test_a_job_of_several_processes_does_not_divide_its_updates():
    with pytest.raises(InputError, match=r"out of memory in an update: set training\.accumulation to 2"):
        more_parts(1, rows=6, processes=2)
