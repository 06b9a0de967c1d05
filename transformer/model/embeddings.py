"""Word embeddings, and the output layer, which shares their matrix when tied."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from transformer.compiler import opaque
from transformer.model.dense import Precision, activation_dtype, contract


class Embedding(nnx.Module):
    """One vector of D features for each of V tokens; input embeddings are scaled by sqrt(D) (Vaswani et al. 2017, 3.4).

    `vocabulary` is V. While devices share the table, it may be padded with unused rows (devices/padding.py).
    """

    def __init__(self, vocabulary: int, width: int, *, precision: Precision, rngs: nnx.Rngs):
        initialize = nnx.initializers.normal(width**-0.5)
        self.table = nnx.Param(initialize(rngs.params(), (vocabulary, width), jnp.float32))
        self.vocabulary, self.precision = vocabulary, precision
        self.output_table: Array | None = None  # of another type than `table`, if `round_parameters` has made it

    @jax.named_scope("embedding")
    def __call__(self, tokens: Int[Array, "B T"]) -> Float[Array, "B T D"]:
        """The scaled embeddings of tokens."""
        table = self.table[...]
        return (table[tokens] * table.shape[1] ** 0.5).astype(activation_dtype(self.precision))

    def logits(self, x: Float[Array, "B T D"]) -> Float[Array, "B T V"]:
        """The logits: the product of each feature vector with every token's embedding, in float32."""
        table = self.table[...] if self.output_table is None else self.output_table
        flat = contract(x.reshape(-1, x.shape[-1]), table, 1, 1, self.precision)[:, : self.vocabulary]
        return flat.reshape(*x.shape[:2], -1)

    def round_parameters(self) -> None:
        """Rounds the table of the output layer to the type in which `logits` uses it, which changes no result."""
        if self.precision != "float32":
            self.output_table = nnx.data(opaque(self.table[...].astype(jnp.bfloat16)))
