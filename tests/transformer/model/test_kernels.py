"""Kernels for attention: the knob and the tables name the same ones, and only updates use them."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from data.batch import EOS, TokenPair
from data.batching.layout import make_batch
from transformer.config import Config, DevicesConfig, ModelConfig
from transformer.devices import STRATEGIES
from transformer.model import abstract, build, split
from transformer.model.kernels import KERNELS, PLATFORMS, Kernel, resolve_kernel


def test_the_knob_and_the_tables_name_the_same_kernels():
    knob = get_args(ModelConfig.model_fields["attention_kernel"].annotation)
    assert set(knob) == {"auto", "xla", *KERNELS}
    assert set(get_args(Kernel)) == {"xla", *KERNELS}
    assert PLATFORMS.keys() == KERNELS.keys()
    assert {resolve_kernel(name) for name in knob} == {"xla"}, "on a CPU"


def recipe(**model) -> Config:
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "width": 16, "heads": 2, "feed_forward": 16}
    return Config(model=ModelConfig(**sizes, dropout=0.0, **model), devices=DevicesConfig(data=1))


def test_updates_compute_by_the_kernel_and_validation_does_not(monkeypatch):
    monkeypatch.setitem(PLATFORMS, "pallas", ("cpu",))
    monkeypatch.setitem(KERNELS, "pallas", lambda query, key, value, mask, bias: jnp.zeros_like(query))
    pair = TokenPair([4, 5, 6, EOS], [7, 8, 9])
    batch = make_batch([[pair, pair]], source_length=8, target_length=8, rows_count=1)

    def losses(config):
        graph, parameters = split(build(config.model, source_vocabulary=16, target_vocabulary=16, rngs=nnx.Rngs(0)))
        strategy = STRATEGIES["mesh"](graph, config)
        state = strategy.init_state(parameters)
        validated = strategy.eval_step(state, batch).loss
        return strategy.train_step(state, batch, jax.random.key(0))[1].loss, validated

    by_xla, by_kernel = losses(recipe(attention_kernel="xla")), losses(recipe(attention_kernel="pallas"))
    assert np.abs(by_xla[0] - by_kernel[0]) > 0.001
    assert by_xla[1] == by_kernel[1]


def test_the_model_that_searches_and_scores_is_the_same_whatever_kernel_updates_use():
    graphs = [abstract(recipe(attention_kernel=kernel).model, 16, 16)[0] for kernel in ("xla", "pallas")]
    assert graphs[0] == graphs[1]
