"""Layers: gradients that are written out are those of their formulas, and rounding beforehand changes no result."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.model.dense import Dense, activation_dtype, project
from transformer.model.dropout import DropoutKey, dropout, dropout_sites
from transformer.model.embeddings import Embedding
from transformer.model.layers import EPSILON, LayerNorm, RMSNorm

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


def test_the_gradient_of_dropout_is_dropped_like_its_input():
    site = dropout_sites(DropoutKey(jax.random.key(3), part=2), 1)
    x, gradient = jnp.ones((4, 8, WIDTH)), jnp.arange(4.0 * 8 * WIDTH).reshape(4, 8, WIDTH)
    dropped, back = jax.vjp(lambda x: dropout(x, 0.3, site), x)
    assert 0 < (dropped == 0).sum() < x.size
    np.testing.assert_array_equal(back(gradient)[0], jnp.where(dropped == 0, 0, gradient / 0.7))


def test_layers_that_are_computed_together_each_add_their_own_bias():
    layers = [Dense(WIDTH, 8, precision="float32", rngs=nnx.Rngs(n), has_bias=n != 1) for n in range(3)]
    for number in (0, 2):
        layers[number].bias = nnx.Param(jax.random.normal(jax.random.key(number), (8,)))
    x = jax.random.normal(jax.random.key(9), (2, 5, WIDTH))
    for found, layer in zip(project(x, *layers), layers, strict=True):
        bias = 0 if layer.bias is None else np.asarray(layer.bias[...])
        np.testing.assert_allclose(found, np.asarray(x) @ np.asarray(layer.kernel[...]) + bias, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16_float32", "bfloat16"])
def test_rounding_parameters_beforehand_changes_no_bit_of_a_product(precision):
    def outputs(layers):
        return [np.asarray(output) for output in project(x, *layers)]

    layers = [Dense(WIDTH, 16, precision=precision, rngs=nnx.Rngs(n), has_bias=n > 0) for n in range(2)]
    layers[1].bias = nnx.Param(jax.random.normal(jax.random.key(1), (16,)))
    x = jax.random.normal(jax.random.key(0), (2, 5, WIDTH), activation_dtype(precision))
    expected = outputs(layers)
    for layer in layers:
        layer.round_parameters()
        assert (layer.kernel[...].dtype == jnp.float32) == (precision == "float32")
    jax.tree.map(np.testing.assert_array_equal, outputs(layers), expected)


@pytest.mark.parametrize("precision", ["float32", "bfloat16_float32", "bfloat16"])
def test_rounding_the_table_beforehand_changes_no_bit_of_logits_and_embeddings(precision):
    embedding = Embedding(20, WIDTH, precision=precision, rngs=nnx.Rngs(0))
    tokens = jnp.array([[4, 19, 0]])
    before = embedding(tokens)
    expected = before, embedding.logits(before)
    embedding.round_parameters()
    assert (embedding.output_table is None) == (precision == "float32")
    jax.tree.map(np.testing.assert_array_equal, (embedding(tokens), embedding.logits(before)), expected)
