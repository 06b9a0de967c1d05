"""Positional encodings, which give layers the order of tokens.

An encoding has three hooks, each of which does nothing by default: `embed` adds to the word embeddings, `rotate`
rotates queries and keys, `bias` adds to the attention scores.
"""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from transformer.config import ModelConfig


class PositionalEncoding(nnx.Module):
    """The base class: three hooks that do nothing."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        del config, rngs

    def embed(self, x: Float[Array, "B T D"], positions: Int[Array, "B T"]) -> Float[Array, "B T D"]:
        """Word embeddings with their positions added."""
        del positions
        return x

    def rotate(self, x: Float[Array, "B N T H"], positions: Int[Array, "B T"]) -> Float[Array, "B N T H"]:
        """Queries or keys of self-attention, rotated by their positions."""
        del positions
        return x

    def bias(
        self, query_positions: Int[Array, "B T"], key_positions: Int[Array, "B S"]
    ) -> Float[Array, "B N T S"] | None:
        """What to add to the attention scores before the softmax; None for nothing."""
        del query_positions, key_positions
        return None


def sinusoids(positions: Int[Array, "..."], width: int) -> Float[Array, "... {width}"]:
    """The sinusoidal positional encoding of Vaswani et al. 2017, section 3.5, in halves: sines, then cosines.

    Feature i of either half has frequency 1 / 10000^(2i / width). (The paper interleaves the two, which is the same
    up to a permutation of features; halves are what Marian and CTranslate2 use.)
    """
    frequencies = 10000.0 ** (-2.0 * jnp.arange(width // 2) / width)
    angles = positions[..., None].astype(jnp.float32) * frequencies.reshape((1,) * positions.ndim + (-1,))
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


class Sinusoidal(PositionalEncoding):
    """Fixed sines and cosines added to the word embeddings."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        del rngs
        self.rows, self.width = config.maximum_length, config.width

    def embed(self, x: Float[Array, "B T D"], positions: Int[Array, "B T"]) -> Float[Array, "B T D"]:
        table = sinusoids(jnp.arange(self.rows), self.width)
        return x + table.astype(x.dtype)[positions]


class Learned(PositionalEncoding):
    """One learned vector for each position, added to the word embeddings (Gehring et al. 2017)."""

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        initialize = nnx.initializers.normal(config.width**-0.5)
        self.table = nnx.Param(initialize(rngs.params(), (config.maximum_length, config.width), jnp.float32))

    def embed(self, x: Float[Array, "B T D"], positions: Int[Array, "B T"]) -> Float[Array, "B T D"]:
        return x + self.table[...].astype(x.dtype)[positions]


class Rotary(PositionalEncoding):
    """Rotary position embedding (Su et al. 2021, eq. 34), over halves of each head.

    Features i and i + H/2 of a head form a plane, which is rotated by position / 10000^(2i / H) radians. The product of
    a query and a key then depends on their positions only through their distance.
    """

    def rotate(self, x: Float[Array, "B N T H"], positions: Int[Array, "B T"]) -> Float[Array, "B N T H"]:
        waves = sinusoids(positions, x.shape[-1])[:, None].astype(x.dtype)
        sine, cosine = jnp.split(waves, 2, axis=-1)
        first, second = jnp.split(x, 2, axis=-1)
        return jnp.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


POSITIONS = {"sinusoidal": Sinusoidal, "learned": Learned, "rotary": Rotary}
