"""What a layer is made of: feed-forward networks, layer normalisation, residual connections, and the two layers."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key, UInt32

from transformer.config import ModelConfig
from transformer.model.attention import KeysValues, MultiHeadAttention
from transformer.model.dense import Dense, Precision, project
from transformer.model.positions import PositionalEncoding


def scrambled(x: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """Each number with its bits mixed: the two-multiplication hash `lowbias32` (Wellons 2018), a bijection."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


class DropoutKey(NamedTuple):
    """What the coins of dropout come from: a key, and which of a batch's equal parts, in their order, the rows are."""

    key: Key[Array, ""]
    part: Int[Array, ""] | int = 0

    def fold(self, number: Int[Array, ""] | int) -> "DropoutKey":
        """One of many keys under this one."""
        return self._replace(key=jax.random.fold_in(self.key, number))


@jax.named_scope("dropout")
def dropout(x: Float[Array, "..."], rate: float, key: DropoutKey | None) -> Float[Array, "..."]:
    """`x` with a share `rate` of its features set to 0 and the rest scaled up by as much; `x` itself without a key.

    The coin of a feature is its place in the whole batch, hashed twice with a word of the key each time: the same
    however devices divide the rows. Unlike the numbers of `jax.random`, which took a seventh of a small model's step
    on a CPU, it is computed where it is used.
    """
    if key is None or rate == 0.0:
        return x
    first, second = jax.random.bits(key.key, (2,), jnp.uint32)
    places = jax.lax.iota(jnp.uint32, x.size).reshape(x.shape) + jnp.uint32(x.size) * jnp.uint32(key.part)
    keep = scrambled(scrambled(places ^ first) ^ second) >= jnp.uint32(round(rate * 2**32))
    return jnp.where(keep, x / (1 - rate), 0).astype(x.dtype)


def fold(key: DropoutKey | None, site: int) -> DropoutKey | None:
    """The dropout key of one site under `key`; None stays None."""
    return None if key is None else key.fold(site)


# --- feed-forward networks -------------------------------------------------------------------------------


class FeedForward(nnx.Module):
    """The position-wise feed-forward network: max(0, x W1 + b1) W2 + b2, Vaswani et al. 2017, eq. 2, or GELU."""

    def __init__(self, config: ModelConfig, *, precision: Precision, rngs: nnx.Rngs):
        self.up = Dense(config.width, config.feed_forward, precision=precision, rngs=rngs)
        self.down = Dense(config.feed_forward, config.width, precision=precision, rngs=rngs)
        self.activate = {"relu": jax.nn.relu, "gelu": jax.nn.gelu}[config.activation]
        self.dropout = config.activation_dropout

    def __call__(self, x: Float[Array, "B T D"], *, dropout_key: DropoutKey | None = None) -> Float[Array, "B T D"]:
        return self.down(dropout(self.activate(self.up(x)), self.dropout, dropout_key))


class GatedFeedForward(nnx.Module):
    """SwiGLU: (silu(x W) * (x V)) W2, Shazeer 2020, eq. 6 (with biases)."""

    def __init__(self, config: ModelConfig, *, precision: Precision, rngs: nnx.Rngs):
        self.gate = Dense(config.width, config.feed_forward, precision=precision, rngs=rngs)
        self.up = Dense(config.width, config.feed_forward, precision=precision, rngs=rngs)
        self.down = Dense(config.feed_forward, config.width, precision=precision, rngs=rngs)
        self.dropout = config.activation_dropout

    def __call__(self, x: Float[Array, "B T D"], *, dropout_key: DropoutKey | None = None) -> Float[Array, "B T D"]:
        gate, up = project(x, self.gate, self.up)
        return self.down(dropout(jax.nn.silu(gate) * up, self.dropout, dropout_key))


FEED_FORWARDS = {"relu": FeedForward, "gelu": FeedForward, "swiglu": GatedFeedForward}

# --- normalisation ---------------------------------------------------------------------------------------

EPSILON = 1e-6


class LayerNorm(nnx.Module):
    """Layer normalisation (Ba et al. 2016, eq. 4): mean 0 and variance 1 over features, then scale and bias."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        del rngs
        self.scale = nnx.Param(jnp.ones((width,), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((width,), jnp.float32))

    @jax.named_scope("norm")
    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        wide = x.astype(jnp.float32)
        mean = wide.mean(-1, keepdims=True)
        variance = jnp.square(wide - mean).mean(-1, keepdims=True)
        normal = (wide - mean) * jax.lax.rsqrt(variance + EPSILON)
        return (normal * self.scale[...][None, None] + self.bias[...][None, None]).astype(x.dtype)


class RMSNorm(nnx.Module):
    """RMSNorm (Zhang and Sennrich 2019, eq. 4): root mean square 1 over features, then scale; no bias."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        del rngs
        self.scale = nnx.Param(jnp.ones((width,), jnp.float32))

    @jax.named_scope("norm")
    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        wide = x.astype(jnp.float32)
        normal = wide * jax.lax.rsqrt(jnp.square(wide).mean(-1, keepdims=True) + EPSILON)
        return (normal * self.scale[...][None, None]).astype(x.dtype)


NORMS = {"layer": LayerNorm, "rms": RMSNorm}

# --- residual connections --------------------------------------------------------------------------------


class Residual(nnx.Module):
    """A residual connection around a sub-layer, with its normalisation and dropout.

    pre:  x + dropout(sublayer(norm(x)))      (Xiong et al. 2020; trains without a long warm-up)
    post: norm(x + dropout(sublayer(x)))      (Vaswani et al. 2017, section 3.1)
    """

    def __init__(self, config: ModelConfig, *, rngs: nnx.Rngs):
        self.norm = NORMS[config.norm](config.width, rngs=rngs)
        self.norm_position = config.norm_position
        self.dropout = config.dropout

    def __call__(
        self,
        x: Float[Array, "B T D"],
        sublayer: Callable[[Float[Array, "B T D"]], Float[Array, "B T D"]],
        *,
        dropout_key: DropoutKey | None = None,
    ) -> Float[Array, "B T D"]:
        if self.norm_position == "pre":
            return x + dropout(sublayer(self.norm(x)), self.dropout, dropout_key)
        return self.norm(x + dropout(sublayer(x), self.dropout, dropout_key))

    def sublayer_input(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """What the sub-layer is given for `x`."""
        return self.norm(x) if self.norm_position == "pre" else x


# --- layers ----------------------------------------------------------------------------------------------


class EncoderLayer(nnx.Module):
    """Self-attention over the source, then a feed-forward network, each in a residual connection."""

    def __init__(self, config: ModelConfig, *, precision: Precision, rngs: nnx.Rngs):
        self.self_attention = MultiHeadAttention(config, precision=precision, rngs=rngs)
        self.self_attention_residual = Residual(config, rngs=rngs)
        self.feed_forward = FEED_FORWARDS[config.activation](config, precision=precision, rngs=rngs)
        self.feed_forward_residual = Residual(config, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "B S D"],
        positions: Int[Array, "B S"],
        mask: Bool[Array, "B 1 S S"],
        encoding: PositionalEncoding,
        *,
        dropout_key: DropoutKey | None = None,
    ) -> Float[Array, "B S D"]:
        def attend_self(x):
            return self.self_attention.self_attention(x, positions, mask, encoding)

        def feed(x):
            return self.feed_forward(x, dropout_key=fold(dropout_key, 2))

        x = self.self_attention_residual(x, attend_self, dropout_key=fold(dropout_key, 0))
        return self.feed_forward_residual(x, feed, dropout_key=fold(dropout_key, 1))


class DecoderLayer(nnx.Module):
    """Masked self-attention over the target, attention to the source, then a feed-forward network."""

    def __init__(self, config: ModelConfig, *, precision: Precision, rngs: nnx.Rngs):
        self.self_attention = MultiHeadAttention(config, precision=precision, rngs=rngs)
        self.self_attention_residual = Residual(config, rngs=rngs)
        self.cross_attention = MultiHeadAttention(config, precision=precision, rngs=rngs)
        self.cross_attention_residual = Residual(config, rngs=rngs)
        self.feed_forward = FEED_FORWARDS[config.activation](config, precision=precision, rngs=rngs)
        self.feed_forward_residual = Residual(config, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "B T D"],
        memory: Float[Array, "B S D"],
        positions: Int[Array, "B T"],
        self_mask: Bool[Array, "B 1 T T"],
        cross_mask: Bool[Array, "B 1 T S"],
        encoding: PositionalEncoding,
        *,
        dropout_key: DropoutKey | None = None,
    ) -> Float[Array, "B T D"]:
        def attend_self(x):
            return self.self_attention.self_attention(x, positions, self_mask, encoding)

        def attend_source(x):
            return self.cross_attention.cross_attention(x, memory, cross_mask)

        def feed(x):
            return self.feed_forward(x, dropout_key=fold(dropout_key, 3))

        x = self.self_attention_residual(x, attend_self, dropout_key=fold(dropout_key, 0))
        x = self.cross_attention_residual(x, attend_source, dropout_key=fold(dropout_key, 1))
        return self.feed_forward_residual(x, feed, dropout_key=fold(dropout_key, 2))

    def cross_attention_weights(
        self,
        x: Float[Array, "B T D"],
        memory: Float[Array, "B S D"],
        positions: Int[Array, "B T"],
        self_mask: Bool[Array, "B 1 T T"],
        cross_mask: Bool[Array, "B 1 T S"],
        encoding: PositionalEncoding,
    ) -> Float[Array, "B N T S"]:
        """What the layer looks at in the source, head by head, given what `__call__` is given."""

        def attend_self(x):
            return self.self_attention.self_attention(x, positions, self_mask, encoding)

        x = self.cross_attention_residual.sublayer_input(self.self_attention_residual(x, attend_self))
        return self.cross_attention.cross_attention_weights(x, memory, cross_mask)

    def step(
        self,
        x: Float[Array, "B K D"],
        source: KeysValues,
        source_mask: Bool[Array, "B 1 1 S"],
        cache: KeysValues,
        cache_mask: Bool[Array, "B 1 K C"],
        positions: Int[Array, " B"],
        encoding: PositionalEncoding,
    ) -> tuple[Float[Array, "B K D"], KeysValues]:
        """The layer on the newest token of each hypothesis; the cache holds the keys and values of the earlier ones."""
        written: list[KeysValues] = []

        def attend_self(x):
            attended, new = self.self_attention.cached_self_attention(x, cache, cache_mask, positions, encoding)
            written.append(new)
            return attended

        def attend_source(x):
            return self.cross_attention.cached_cross_attention(x, source, source_mask)

        x = self.self_attention_residual(x, attend_self)
        x = self.cross_attention_residual(x, attend_source)
        return self.feed_forward_residual(x, self.feed_forward), written[0]
