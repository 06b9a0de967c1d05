"""An objective is a function in a table: the sums it names are metrics of every update, on any devices."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.support.tiny_update import MAPPINGS, batches, recipe, start
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
