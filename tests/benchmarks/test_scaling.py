"""Estimates of updates on many devices are those counted by hand, and those of the page."""

import math

import jax

from benchmarks import scaling
from data.config import DataConfig
from tests.support.paths import ROOT
from transformer.config import Config, DevicesConfig, ModelConfig
from transformer.devices import STRATEGIES
from transformer.model import abstract

SMALL = Config(
    data=DataConfig(vocabulary_size=100, row_length=8, maximum_tokens=8),
    model=ModelConfig(encoder_layers=1, decoder_layers=1, width=4, heads=2, feed_forward=6),
)


def test_operations_and_bytes_of_an_update_are_those_counted_by_hand():
    """Two tokens on each of two devices. A multiply-add is two operations; backward costs two forward passes."""
    case = scaling.Case(scaling.H100, data=2, fsdp=1, tokens=4)
    attention = 4 * 4 * 4 + 2 * 8 * 4
    layers = (attention + 2 * 4 * 6) + (2 * attention + 2 * 4 * 6)
    assert scaling.step_flops(SMALL, case) == 2 * 3 * 4 * (layers + 4 * 100)
    assert scaling.activation_bytes(SMALL, case) == 2 * ((44 + 80 + 36 + 16) + (2 * (44 + 80) + 36 + 24))
    assert scaling.ring_all_reduce(100, 4) == 150
    assert scaling.ring_gather(100, 4) == 75
    parameters = scaling.parameter_sizes(SMALL)
    assert parameters["target_embedding/table"] == 400
    total = sum(parameters.values())
    assert scaling.sent_bytes(parameters, case) == 4 * total
    assert scaling.state_bytes(parameters, 1) == 16 * total
    shared = case._replace(data=1, fsdp=2)
    assert scaling.sent_bytes(parameters, shared) == 4 * total
    assert scaling.state_bytes(parameters, 2) == 16 * scaling.held_values(parameters, 2) + 4 * total


def test_an_update_of_one_stack_is_counted_by_hand_too():
    """A decoder-only model reads 16 tokens of a row of both sides; a denoising encoder predicts a quarter of 8."""
    case = scaling.Case(scaling.H100, data=2, fsdp=1, tokens=4)
    one = SMALL.model_copy(update={"model": SMALL.model.model_copy(update={"assembly": "decoder_only"})})
    layer = (4 * 4 * 4 + 2 * 16 * 4) + 2 * 4 * 6
    assert scaling.step_flops(one, case) == 2 * 3 * (8 * layer + 4 * 4 * 100)
    assert scaling.activation_bytes(one, case) == 2 * 2 * (44 + 160 + 36 + 16)
    data = SMALL.data.model_copy(update={"denoise_share": 0.25})
    model = SMALL.model.model_copy(update={"assembly": "denoising_encoder"})
    one = SMALL.model_copy(update={"model": model, "data": data})
    layer = (4 * 4 * 4 + 2 * 8 * 4) + 2 * 4 * 6
    assert scaling.step_flops(one, case) == 2 * 3 * (4 * layer + 1 * 4 * 100)
    assert scaling.activation_bytes(one, case) == 2 * (44 + 80 + 36 + 16)
    assert not any("decoder" in path for path in scaling.parameter_sizes(one))


def test_what_a_device_holds_is_what_the_mesh_gives_it():
    config = SMALL.model_copy(update={"devices": DevicesConfig(data=1, fsdp=2)})
    graph, shapes = abstract(config.model, 100, 100)
    template = STRATEGIES["mesh"](graph, config).template(shapes).parameters
    held = sum(math.prod(leaf.sharding.shard_shape(leaf.shape)) for leaf in jax.tree.leaves(template))
    assert scaling.held_values(scaling.parameter_sizes(config), 2) == held


def test_the_page_on_scaling_shows_what_the_script_prints(capsys):
    scaling.main([])
    *shown, _ = capsys.readouterr().out.strip().split("\n")
    page = (ROOT / "docs/scaling.md").read_text(encoding="utf-8")
    assert "\n".join(f"    {line}".rstrip() for line in shown) in page
