import jax
import jax.numpy as jnp
import numpy as np
import pytest

from transformer.decoding.stepper import NEVER
from transformer.decoding.top_k import top_k


@pytest.mark.parametrize("size", [7, 64, 100, 1000])
def test_the_largest_values_are_those_of_a_full_sort_ties_included(size):
    values = np.random.default_rng(size).integers(0, 50, (5, 3, size)).astype(np.float32)
    values[0] = NEVER
    best, indices = top_k(jnp.asarray(values), 8)
    expected, where = jax.lax.top_k(jnp.asarray(values.reshape(5, -1)), 8)
    np.testing.assert_array_equal(best, expected)
    np.testing.assert_array_equal(indices, where)
