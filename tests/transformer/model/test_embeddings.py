"""Embeddings and logits of a table that was rounded beforehand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from transformer.model.embeddings import Embedding

WIDTH = 12


@pytest.mark.parametrize("precision", ["float32", "bfloat16_float32", "bfloat16"])
def test_rounding_the_table_beforehand_changes_no_bit_of_logits_and_embeddings(precision):
    embedding = Embedding(20, WIDTH, precision=precision, rngs=nnx.Rngs(0))
    tokens = jnp.array([[4, 19, 0]])
    before = embedding(tokens)
    expected = before, embedding.logits(before)
    embedding.round_parameters()
    assert (embedding.output_table is None) == (precision == "float32")
    jax.tree.map(np.testing.assert_array_equal, (embedding(tokens), embedding.logits(before)), expected)
