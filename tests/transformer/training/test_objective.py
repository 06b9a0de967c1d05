"""An objective is a function in a table: the sums it names are metrics of every update, on any devices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.tiny_update import MAPPINGS, assert_same_parameters, batches, fit, recipe, start
from transformer.config import Config, ModelConfig, TrainingConfig
from transformer.model import merge
from transformer.model.dropout import DropoutKey
from transformer.training import chunks
from transformer.training.chunks import sums_over_chunks
from transformer.training.cross_entropy import cross_entropy
from transformer.training.loss import smoothed_cross_entropy
from transformer.training.objective import OBJECTIVES
from transformer.training.r_drop import consistent_chunk


def with_labels_summed(assembly, batch, config, dropout_key):
    """Cross-entropy and the sum of all labels, which is easy to verify."""
    sums = cross_entropy(assembly, batch, config, dropout_key)
    labels = jnp.where(batch.target_segments != 0, batch.target_labels, 0)
    return sums._replace(extra={"label": labels.sum().astype(jnp.float32)})


def test_an_extra_sum_is_divided_by_the_tokens_of_all_slices_and_devices(monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "cross_entropy", with_labels_summed)
    batch = batches(1)[0]
    by_hand = batch.target_labels[batch.target_segments != 0].mean()
    for devices, slices in (("one", 1), ("one", 4), ("mixed", 2), ("pmap", 2)):
        strategy, state = start(recipe(devices=MAPPINGS[devices], accumulation=slices))
        _, metrics = strategy.train_step(state, batch, jax.random.key(7))
        np.testing.assert_allclose(metrics.extra["label"], by_hand, rtol=1e-6)


CAUSAL = {"assembly": "decoder_only", "source_attention": "causal"}


def test_both_sides_adds_the_loss_of_each_source_token_given_those_before_it():
    batch = batches(1)[0]
    sums = {}
    for objective in ("cross_entropy", "both_sides"):
        config = recipe(model=CAUSAL, objective=objective, label_smoothing=0.0)
        strategy, state = start(config)
        model = merge(strategy.graph, state.parameters)
        sums[objective] = OBJECTIVES[objective](model, jax.tree.map(jnp.asarray, batch), config.training, None)
    logits = model.output().logits(model.features_of_both(jax.tree.map(jnp.asarray, batch)))
    log_probabilities = np.asarray(jax.nn.log_softmax(logits))[:, : batch.source.shape[1]]
    of_labels = np.take_along_axis(log_probabilities, batch.source[..., None], axis=-1)[..., 0]
    by_hand = -of_labels[batch.source_segments != 0].sum()
    np.testing.assert_allclose(sums["both_sides"].extra["source_loss"], by_hand, rtol=1e-5)
    np.testing.assert_allclose(sums["both_sides"].loss, sums["cross_entropy"].loss + by_hand, rtol=1e-5)
    assert sums["both_sides"].tokens == sums["cross_entropy"].tokens


@pytest.mark.parametrize("name", ["data", "fsdp", "mixed", "pmap"])
def test_a_decoder_only_model_learns_on_eight_devices_as_on_one(name):
    options = {"model": CAUSAL, "objective": "both_sides", "dropout": 0.1}
    one, losses = fit(recipe(**options), steps=3)
    eight, others = fit(recipe(**options, devices=MAPPINGS[name]), steps=3)
    np.testing.assert_allclose(others, losses, rtol=1e-5)
    assert_same_parameters(eight, one)


def r_drop_sums(key, **options):
    """The sums of R-Drop, and of cross-entropy, for one batch."""
    config = recipe(objective="r_drop", dropout=0.3, **options)
    strategy, state = start(config)
    model, batch = merge(strategy.graph, state.parameters), jax.tree.map(jnp.asarray, batches(1)[0])
    return OBJECTIVES["r_drop"](model, batch, config.training, key), cross_entropy(model, batch, config.training, key)


def test_without_dropout_r_drop_is_cross_entropy():
    sums, expected = r_drop_sums(None)
    np.testing.assert_allclose(sums.loss, expected.loss, rtol=1e-6)
    np.testing.assert_allclose(sums.extra["divergence"], 0, atol=1e-6)
    assert sums.tokens == expected.tokens


def test_r_drop_compares_two_different_dropouts():
    key = DropoutKey(jax.random.key(3))
    sums, _ = r_drop_sums(key)
    cheaper, _ = r_drop_sums(key, consistency=1.0)
    assert sums.extra["divergence"] > 1
    np.testing.assert_allclose(sums.loss - cheaper.loss, (5 - 1) / 2 * sums.extra["divergence"], rtol=1e-4)


@pytest.mark.parametrize("name", ["data", "fsdp", "mixed", "pmap"])
def test_r_drop_on_eight_devices_is_that_on_one(name):
    options = {"objective": "r_drop", "dropout": 0.1}
    one, losses = fit(recipe(**options), steps=3)
    eight, others = fit(recipe(**options, devices=MAPPINGS[name]), steps=3)
    np.testing.assert_allclose(others, losses, rtol=1e-5)
    assert_same_parameters(eight, one)


@pytest.mark.parametrize("vocabulary", [50, 45])
def test_the_chunked_loss_of_r_drop_and_its_gradients_are_those_of_all_logits(vocabulary, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_TOKENS", 64)
    keys = jax.random.split(jax.random.key(0), 4)
    hidden, table = jax.random.normal(keys[0], (5, 12, 2, 16)), jax.random.normal(keys[1], (50, 16))
    labels = jax.random.randint(keys[2], (5, 12), 0, vocabulary)
    weights = jax.random.bernoulli(keys[3], 0.7, (5, 12)).astype(jnp.float32)
    of_chunk = partial(consistent_chunk, smoothing=0.1, consistency=3.0, vocabulary=vocabulary)

    def chunked(hidden, table):
        return sums_over_chunks(of_chunk, hidden, table, labels, weights, "float32", vocabulary)

    def plain(hidden, table):
        logits = hidden @ table[:vocabulary].T
        losses = smoothed_cross_entropy(logits, jnp.stack([labels, labels], 2), 0.1).mean(2)
        p, q = jax.nn.softmax(logits[:, :, 0]), jax.nn.softmax(logits[:, :, 1])
        divergences = ((p * jnp.log(p / q)).sum(-1) + (q * jnp.log(q / p)).sum(-1)) / 2
        return jnp.sum((losses + 3.0 / 2 * divergences) * weights), jnp.sum(divergences * weights)

    (value, divergence), gradients = jax.value_and_grad(chunked, (0, 1), has_aux=True)(hidden, table)
    (expected, by_hand), expected_gradients = jax.value_and_grad(plain, (0, 1), has_aux=True)(hidden, table)
    np.testing.assert_allclose([value, divergence], [expected, by_hand], rtol=1e-5)
    np.testing.assert_allclose(chunked(hidden, table)[0], expected, rtol=1e-5)
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, expected_gradient, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("model", "training", "message"),
    [
        ({}, {"consistency": 3.0}, 'training.consistency is for r_drop: set training.objective to "r_drop" too'),
        ({"dropout": 0.0}, {"objective": "r_drop"}, 'training.objective is "r_drop", which needs dropout'),
    ],
)
def test_options_that_would_make_r_drop_useless_are_rejected(model, training, message):
    with pytest.raises(ValueError, match=message):
        Config(model=ModelConfig(**model), training=TrainingConfig(**training))
