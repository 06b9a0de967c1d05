"""A denoising encoder is the encoder of an encoder-decoder, and is trained like any other model on any devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.batching.denoising import Denoising
from tests.support.tiny_update import MAPPINGS, VOCABULARY, assert_same_parameters, batches, recipe, start
from tests.transformer.model.test_encoder_decoder import ARCHITECTURES, PAIRS, batch_of, build
from transformer.model import merge, split
from transformer.model.denoising_encoder import DenoisingEncoder

TIED = [config for config in ARCHITECTURES if config.tied == "all"]


@pytest.fixture(params=TIED, ids=lambda c: f"{c.positions}-{c.norm_position}")
def model(request) -> DenoisingEncoder:
    return build(request.param.model_copy(update={"assembly": "denoising_encoder"}))


@pytest.mark.parametrize("config", TIED, ids=lambda c: f"{c.positions}-{c.norm_position}")
def test_its_features_are_those_of_an_encoder_with_the_same_parameters(config):
    model = build(config.model_copy(update={"assembly": "denoising_encoder"}))
    graph, parameters = split(build(config))
    own = split(model)[1]
    own["target_embedding"] = own.pop("embedding")
    whole = merge(graph, parameters | own)
    batch = batch_of(PAIRS, [PAIRS[0]])
    memory = whole.encode(batch.source, batch.source_segments, batch.source_positions)
    np.testing.assert_array_equal(model.features(batch), memory)


def test_packed_texts_have_the_features_that_they_have_alone(model):
    packed, begin = np.asarray(model.features(batch_of(PAIRS)))[0], 0
    for pair in PAIRS:
        size = len(pair.source)
        alone = np.asarray(model.features(batch_of([pair])))[0, :size]
        np.testing.assert_allclose(packed[begin : begin + size], alone, atol=2e-5)
        begin += size


def test_every_place_sees_every_other(model):
    first, second = (batch_of([pair]) for pair in (PAIRS[0], PAIRS[0]._replace(source=[5, 6, 30, 3])))
    changed = np.abs(model.features(first) - model.features(second))[0, :4].max(-1)
    assert (changed > 1e-6).all()


def test_a_denoising_encoder_cannot_search(model):
    with pytest.raises(NotImplementedError, match="writes no text"):
        model.begin(jnp.zeros((1, 16), jnp.int32), beams=1)


@pytest.mark.parametrize("name", ["mixed", "pmap"])
def test_it_learns_on_eight_devices_as_on_one(name):
    denoising = Denoising("both", 0.3, None, VOCABULARY, seed=1)
    corrupted = [denoising.corrupt(batch, number) for number, batch in enumerate(batches(3))]
    states = []
    for devices in ("one", name):
        config = recipe(dropout=0.1, devices=MAPPINGS[devices], model={"assembly": "denoising_encoder"})
        strategy, state = start(config)
        for batch in corrupted:
            state, metrics = strategy.train_step(state, batch, jax.random.key(7))
        assert metrics.tokens == (corrupted[-1].target_segments != 0).sum()
        states.append(jax.device_get(strategy.saved(state)))
    assert_same_parameters(states[1], states[0])
