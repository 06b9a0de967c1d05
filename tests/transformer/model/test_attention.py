"""Our attention against the library's, its gradient included; and the coins of dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.model.attention import ancestor_mask, attend, causal_mask, segment_mask
from transformer.model.layers import DropoutKey, dropout

SEGMENTS = jnp.array([[1, 1, 2, 2, 2, 0], [1, 1, 1, 1, 1, 1]])


def tensors(*shapes: tuple[int, ...]) -> list[jax.Array]:
    return [jax.random.normal(jax.random.key(n), shape) for n, shape in enumerate(shapes)]


@pytest.mark.parametrize("mask", [causal_mask(SEGMENTS), segment_mask(SEGMENTS, SEGMENTS)], ids=["causal", "all"])
@pytest.mark.parametrize("with_bias", [False, True])
def test_attention_and_its_gradients_are_those_of_the_library(mask, with_bias):
    query, key, value, weight = tensors(*[(2, 4, 6, 8)] * 4)
    bias = tensors((2, 4, 6, 6))[0] if with_bias else None
    weight = weight * (SEGMENTS != 0)[:, None, :, None]

    def ours(query, key, value, bias):
        return jnp.sum(attend(query, key, value, mask, bias=bias) * weight)

    def library(query, key, value, bias):
        query, key, value = (x.swapaxes(1, 2) for x in (query, key, value))
        attended = jax.nn.dot_product_attention(query, key, value, bias=bias, mask=mask)
        return jnp.sum(attended.swapaxes(1, 2) * weight)

    arguments = (0, 1, 2, 3) if with_bias else (0, 1, 2)
    found = jax.value_and_grad(ours, arguments)(query, key, value, bias)
    expected = jax.value_and_grad(library, arguments)(query, key, value, bias)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), found, expected)


def test_attention_in_mixed_precision_is_close_to_float32():
    query, key, value = tensors(*[(2, 4, 6, 8)] * 3)
    mask = segment_mask(SEGMENTS, SEGMENTS)
    mixed = attend(query, key, value, mask, precision="bfloat16_float32")
    assert mixed.dtype == jnp.float32
    np.testing.assert_allclose(mixed, attend(query, key, value, mask), atol=0.05)


def test_dropout_drops_its_share_and_keeps_the_mean():
    x = jnp.ones((64, 64, 128))
    dropped = np.asarray(dropout(x, 0.3, DropoutKey(jax.random.key(1))))
    assert abs((dropped == 0).mean() - 0.3) < 4 * (0.21 / x.size) ** 0.5
    np.testing.assert_allclose(dropped[dropped != 0], 1 / 0.7, rtol=1e-6)


def test_coins_of_dropout_know_nothing_of_their_neighbours_or_of_other_keys():
    x = jnp.ones((256, 1024))
    coins = [np.asarray(dropout(x, 0.5, DropoutKey(jax.random.key(seed)))) != 0 for seed in (1, 2)]
    limit = 5 * 0.5 / x.size**0.5
    assert abs((coins[0] == coins[1]).mean() - 0.5) < limit
    for shift in (1, 2, 3, 64, 1024):
        flat = coins[0].ravel()
        assert abs((flat[shift:] == flat[:-shift]).mean() - 0.5) < limit
    assert np.abs(coins[0].mean(0) - 0.5).max() < 6 * 0.5 / 256**0.5


def test_the_mask_of_ancestors_shows_each_hypothesis_its_own_past():
    """The example of the docstring, and its second row at an earlier position."""
    ancestors = jnp.array([[[0, 0, 0], [0, 1, 1]]])
    drawn = ["".join("x" if seen else "." for seen in row) for row in ancestor_mask(ancestors, jnp.array([2]))[0, 0]]
    assert drawn == ["x.x.x.", "x..x.x"]
    assert not ancestor_mask(ancestors, jnp.array([1]))[0, 0, :, 4:].any()
