"""Dropout whose gradient is computed from its site."""

import jax
import jax.numpy as jnp
import numpy as np

from transformer.model.dropout import DropoutKey, dropout, dropout_sites

WIDTH = 12


def test_the_gradient_of_dropout_is_dropped_like_its_input():
    site = dropout_sites(DropoutKey(jax.random.key(3), part=2), 1)
    x, gradient = jnp.ones((4, 8, WIDTH)), jnp.arange(4.0 * 8 * WIDTH).reshape(4, 8, WIDTH)
    dropped, back = jax.vjp(lambda x: dropout(x, 0.3, site), x)
    assert 0 < (dropped == 0).sum() < x.size
    np.testing.assert_array_equal(back(gradient)[0], jnp.where(dropped == 0, 0, gradient / 0.7))
