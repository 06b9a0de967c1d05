"""Positions of targets that continue those of their sources, for models that read both as one sequence."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from data.batch import Batch
from transformer.model.positions import PositionalEncoding


class ContinuedPositions(PositionalEncoding):
    """A positional encoding for decoding with a `SequenceCache`: target positions start after each row's source."""

    def __init__(self, encoding: PositionalEncoding, source_segments: Int[Array, "B S"]):
        self.encoding, self.source_length = encoding, source_segments.shape[1]
        self.starts = nnx.data((source_segments != 0).sum(1, keepdims=True, dtype=jnp.int32))

    def embed(self, x: Float[Array, "B T D"], positions: Int[Array, "B T"]) -> Float[Array, "B T D"]:
        return self.encoding.embed(x, positions + self.starts)

    def rotate(self, x: Float[Array, "B N T H"], positions: Int[Array, "B T"]) -> Float[Array, "B N T H"]:
        return self.encoding.rotate(x, positions + self.starts)

    def bias(
        self, query_positions: Int[Array, "B T"], key_positions: Int[Array, "B S"]
    ) -> Float[Array, "B N T S"] | None:
        targets = key_positions[:, : key_positions.shape[1] - self.source_length] + self.starts
        sources = jnp.broadcast_to(jnp.arange(self.source_length), (len(targets), self.source_length))
        return self.encoding.bias(query_positions + self.starts, jnp.concatenate([targets, sources], axis=1))


def continued_positions(batch: Batch) -> Int[Array, "B T"]:
    """The positions of target tokens after their own source: 0 1 2 after a source of 4 tokens -> 4 5 6."""
    is_own = batch.target_segments[:, :, None] == batch.source_segments[:, None]
    is_real = batch.target_segments != 0
    return jnp.where(is_real, batch.target_positions + is_own.sum(-1, dtype=jnp.int32), 0)
