"""Gradients of norms are written out, and are those of their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.model.norms import EPSILON, LayerNorm, RMSNorm

WIDTH = 12


def layer_norm(x, scale, bias):
    """Ba et al. 2016, eq. 4, whose gradients JAX derives."""
    return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + EPSILON) * scale + bias


def rms_norm(x, scale):
    """Zhang and Sennrich 2019, eq. 4, whose gradients JAX derives."""
    return x / jnp.sqrt(jnp.square(x).mean(-1, keepdims=True) + EPSILON) * scale


@pytest.mark.parametrize(("kind", "formula"), [(LayerNorm, layer_norm), (RMSNorm, rms_norm)])
def test_a_norm_and_its_gradients_are_those_of_its_formula(kind, formula):
    norm = kind(WIDTH, rngs=nnx.Rngs(0))
    keys = iter(jax.random.split(jax.random.key(0), 4))
    x = 3 + 2 * jax.random.normal(next(keys), (2, 5, WIDTH))
    graph, parameters = nnx.split(norm)
    parameters = jax.tree.map(lambda p: p + jax.random.normal(next(keys), p.shape), parameters)
    weights = jax.random.normal(next(keys), x.shape)

    def ours(parameters, x):
        return (nnx.merge(graph, parameters)(x) * weights).sum()

    def theirs(parameters, x):
        rows = {name: value[None, None] for name, value in nnx.to_pure_dict(parameters).items()}
        return (formula(x, **rows) * weights).sum()

    found = jax.value_and_grad(ours, (0, 1))(parameters, x)
    expected = jax.value_and_grad(theirs, (0, 1))(parameters, x)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_the_gradient_of_a_norm_has_the_type_of_its_input():
    norm = LayerNorm(WIDTH, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (2, 5, WIDTH), jnp.bfloat16)

    def loss(x):
        return (norm(x).astype(jnp.float32) ** 2 * jnp.arange(WIDTH)[None, None]).sum()

    rounded, exact = jax.grad(loss)(x), jax.grad(loss)(x.astype(jnp.float32))
    assert rounded.dtype == jnp.bfloat16
    assert np.linalg.norm(rounded - exact) < 0.02 * np.linalg.norm(exact)


def test_a_norm_of_equal_features_has_finite_gradients():
    norm = LayerNorm(WIDTH, rngs=nnx.Rngs(0))
    gradient = jax.grad(lambda x: norm(x)[..., 0].sum())(jnp.full((1, 1, WIDTH), 7.0))
    assert jnp.isfinite(gradient).all()
