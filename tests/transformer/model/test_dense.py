"""Products of several layers at once, and of parameters that were rounded beforehand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.model.dense import Dense, activation_dtype, project

WIDTH = 12


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
