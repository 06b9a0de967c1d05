"""The loops of a compiled program are found, with those inside them."""

import jax
import jax.numpy as jnp

from benchmarks.search_program import loops


def test_loops_and_the_loops_inside_them_are_found():
    def inner(x):
        return jax.lax.while_loop(lambda x: x.sum() < 5.0, lambda x: jnp.sin(x) @ x, x)

    def nested(x):
        return jax.lax.while_loop(lambda x: x.sum() < 50.0, lambda x: inner(x @ x) * 2, x)

    found = loops(jax.jit(nested).lower(jnp.ones((8, 8))).compile().as_text())
    assert [depth for depth, _ in found] == [0, 1]
    assert all(kernels >= 2 for _, kernels in found)
    assert loops(jax.jit(lambda x: x @ x).lower(jnp.ones((8, 8))).compile().as_text()) == []
