"""An objective is a function in a table: the sums it names are metrics of every update, on any devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support.tiny_update import MAPPINGS, assert_same_parameters, batches, fit, recipe, start
from transformer.model import merge
from transformer.training.cross_entropy import cross_entropy
from transformer.training.objective import OBJECTIVES


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
