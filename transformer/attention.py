"""Attention: masks from segments, scaled dot products of queries and keys, many heads, and the cache of decoding."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from transformer.config import ModelConfig
from transformer.dense import Dense, Precision, project
from transformer.positions import PositionalEncoding

# --- masks: True where a query may attend to a key -------------------------------------------------------


def segment_mask(query_segments: Int[Array, "B T"], key_segments: Int[Array, "B S"]) -> Bool[Array, "B 1 T S"]:
    """True where query and key belong to the same sentence. Segment 0 is padding, to which nothing attends.

    Two sentences of two tokens in a row, and one column of padding:

        segments 1 1 2 2 0  ->  x x . . .
                                x x . . .
                                . . x x .
                                . . x x .
                                . . . . .
    """
    same = query_segments[:, :, None] == key_segments[:, None, :]
    return (same & (key_segments != 0)[:, None, :])[:, None]


def causal_mask(segments: Int[Array, "B T"]) -> Bool[Array, "B 1 T T"]:
    """`segment_mask` without the future: a target token attends to itself and to what precedes it."""
    length = segments.shape[1]
    past = jnp.tril(jnp.ones((length, length), bool))
    return segment_mask(segments, segments) & past[None, None]


# --- attention -------------------------------------------------------------------------------------------


def attend(
    query: Float[Array, "B T N H"],
    key: Float[Array, "B S N H"],
    value: Float[Array, "B S N H"],
    mask: Bool[Array, "#B 1 #T S"],
    *,
    bias: Float[Array, "B N T S"] | None = None,
) -> Float[Array, "B T N H"]:
    """Scaled dot-product attention, softmax(Q K^T / sqrt(H)) V: Vaswani et al. 2017, eq. 1.

    The softmax is over keys, in float32. A query that may attend to nothing (padding) gets a finite, unused result.
    """
    return jax.nn.dot_product_attention(query, key, value, bias=bias, mask=mask)


class KeysValues(NamedTuple):
    """What the source offers to every step of decoding: projected once for each sentence."""

    keys: Float[Array, "B S N H"]
    values: Float[Array, "B S N H"]


class KVCache(NamedTuple):
    """Keys and values of the tokens decoded so far, for each hypothesis; later places are zero."""

    keys: Float[Array, "B K L N H"]
    values: Float[Array, "B K L N H"]


class MultiHeadAttention(nnx.Module):
    """Multi-head attention (Vaswani et al. 2017, section 3.2.2): N attentions on H = D / N features each.

    Self-attention takes queries, keys and values from one sequence; encoder-decoder attention takes the queries
    from the target and keys and values from the encoder's output. Keys have no bias: it would add the same number to
    all scores of a query, which the softmax ignores.
    """

    def __init__(self, config: ModelConfig, *, precision: Precision, rngs: nnx.Rngs):
        self.query = Dense(config.width, config.width, precision=precision, rngs=rngs)
        self.key = Dense(config.width, config.width, precision=precision, rngs=rngs, has_bias=False)
        self.value = Dense(config.width, config.width, precision=precision, rngs=rngs)
        self.output = Dense(config.width, config.width, precision=precision, rngs=rngs)
        self.heads = config.heads

    def split(self, x: Float[Array, "B T D"]) -> Float[Array, "B T N H"]:
        """The features of each head apart."""
        return x.reshape(*x.shape[:2], self.heads, -1)

    def join(self, x: Float[Array, "B T N H"]) -> Float[Array, "B T D"]:
        """The heads side by side again, mixed by the output projection."""
        return self.output(x.reshape(*x.shape[:2], -1))

    def self_attention(
        self,
        x: Float[Array, "B T D"],
        positions: Int[Array, "B T"],
        mask: Bool[Array, "B 1 T T"],
        encoding: PositionalEncoding,
    ) -> Float[Array, "B T D"]:
        """Every token looks at the tokens of its own sequence that the mask allows."""
        query, key, value = map(self.split, project(x, self.query, self.key, self.value))
        query, key = encoding.rotate(query, positions), encoding.rotate(key, positions)
        return self.join(attend(query, key, value, mask, bias=encoding.bias(positions, positions)))

    def keys_values(self, memory: Float[Array, "B S D"]) -> KeysValues:
        """Keys and values of the encoder's output."""
        return KeysValues(*map(self.split, project(memory, self.key, self.value)))

    def cross_attention(
        self, x: Float[Array, "B T D"], source: KeysValues, mask: Bool[Array, "B 1 #T S"]
    ) -> Float[Array, "B T D"]:
        """Encoder-decoder attention: every target token looks at the source tokens that the mask allows.

        In beam search T counts the hypotheses of a sentence: they share its keys and values.
        """
        return self.join(attend(self.split(self.query(x)), source.keys, source.values, mask))

    def cached_self_attention(
        self, x: Float[Array, "B K D"], cache: KVCache, position: Int[Array, ""], encoding: PositionalEncoding
    ) -> tuple[Float[Array, "B K D"], KVCache]:
        """Masked self-attention of the newest token of each hypothesis, at `position`, over the cached ones and itself.

        Returns the result and the cache with the new token's key and value written at `position`.
        """
        rows, beams, length = cache.keys.shape[:3]
        positions = jnp.broadcast_to(position, (rows, beams))
        query, key, value = map(self.split, project(x, self.query, self.key, self.value))
        query, key = encoding.rotate(query, positions), encoding.rotate(key, positions)
        cache = KVCache(
            keys=jax.lax.dynamic_update_slice_in_dim(cache.keys, key[:, :, None].astype(cache.keys.dtype), position, 2),
            values=jax.lax.dynamic_update_slice_in_dim(
                cache.values, value[:, :, None].astype(cache.values.dtype), position, 2
            ),
        )
        flat = (rows * beams, length, *cache.keys.shape[3:])
        past = (jnp.arange(length) <= position)[None, None, None, :]
        key_positions = jnp.broadcast_to(jnp.arange(length), (rows * beams, length))
        bias = encoding.bias(positions.reshape(-1, 1), key_positions)
        attended = attend(
            query.reshape(rows * beams, 1, *query.shape[2:]),
            cache.keys.reshape(flat),
            cache.values.reshape(flat),
            past,
            bias=bias,
        )
        return self.join(attended.reshape(query.shape)), cache
