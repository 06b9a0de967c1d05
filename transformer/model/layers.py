"""Encoder and decoder layers, and their parts: feed-forward networks, normalisation and residual connections."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from transformer.compiler import opaque
from transformer.config import ModelConfig
from transformer.model.attention import KeysValues, MultiHeadAttention
from transformer.model.dense import Dense, Precision, project
from transformer.model.dropout import DropoutSite, dropout, site_within
from transformer.model.masks import Mask
from transformer.model.positions import PositionalEncoding
from transformer.model.tap import scope, show

# --- feed-forward networks -------------------------------------------------------------------------------


@jax.custom_vjp
def relu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """max(0, x). On a GPU, its gradient is computed from the result, so that `x` itself need not be kept for it.

    This lets XLA compute bias and ReLU at the end of the matrix product, without another pass.
    """
    return jnp.maximum(x, 0)


def _relu_forward(x):
    y = opaque(jnp.maximum(x, 0))  # else XLA would replace `y > 0` by `x > 0`
    return y, y


def _relu_backward(y, gradient):
    return (jnp.where(y > 0, gradient, 0),)


relu.defvjp(_relu_forward, _relu_backward)


class FeedForward(nnx.Module):
    """The position-wise feed-forward network: max(0, x W1 + b1) W2 + b2 (Vaswani et al. 2017, eq. 2), or with GELU."""

    def __init__(self, config: ModelConfig, *, precision: Precision, rngs: nnx.Rngs):
        self.up = Dense(config.width, config.feed_forward, precision=precision, rngs=rngs)
        self.down = Dense(config.feed_forward, config.width, precision=precision, rngs=rngs)
        self.activate: Callable[[Array], Array] = relu if config.activation == "relu" else jax.nn.gelu
        self.dropout = config.activation_dropout

    def __call__(self, x: Float[Array, "B T D"], *, dropout_site: DropoutSite | None = None) -> Float[Array, "B T D"]:
        return self.down(dropout(self.activate(self.up(x)), self.dropout, dropout_site))


class GatedFeedForward(nnx.Module):
    """SwiGLU: (silu(x W) * (x V)) W2 (Shazeer 2020, eq. 6), with biases."""

    def __init__(self, config: ModelConfig, *, precision: Precision, rngs: nnx.Rngs):
        self.gate = Dense(config.width, config.feed_forward, precision=precision, rngs=rngs)
        self.up = Dense(config.width, config.feed_forward, precision=precision, rngs=rngs)
        self.down = Dense(config.feed_forward, config.width, precision=precision, rngs=rngs)
        self.dropout = config.activation_dropout

    def __call__(self, x: Float[Array, "B T D"], *, dropout_site: DropoutSite | None = None) -> Float[Array, "B T D"]:
        gate, up = project(x, self.gate, self.up)
        return self.down(dropout(jax.nn.silu(gate) * up, self.dropout, dropout_site))


FEED_FORWARDS = {"relu": FeedForward, "gelu": FeedForward, "swiglu": GatedFeedForward}

# --- normalisation ---------------------------------------------------------------------------------------

EPSILON = 1e-6


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def standardized(x: Float[Array, "B T D"], is_centered: bool) -> Float[Array, "B T D"]:
    """`x` over its root mean square, sqrt(mean(x^2) + EPSILON), over features; if `is_centered`, x - mean(x) over that.

    The result is in float32. On a GPU, mean and root mean square are stored for the gradients. XLA would compute them
    again, and then needs three passes for the gradients of scale and bias, one of which writes float32 values.
    """
    return _standardize(x, is_centered)[0]


def _standardize(x, is_centered):
    wide = x.astype(jnp.float32)
    mean = wide.mean(-1, keepdims=True) if is_centered else jnp.zeros((), jnp.float32)
    inverse = jax.lax.rsqrt(jnp.square(wide - mean).mean(-1, keepdims=True) + EPSILON)
    mean, inverse = opaque((mean, inverse))
    return (wide - mean) * inverse, (x, mean, inverse)


def _standardize_backward(is_centered, saved, gradient):
    x, mean, inverse = saved
    y = (x.astype(jnp.float32) - mean) * inverse
    removed = y * (gradient * y).mean(-1, keepdims=True)
    if is_centered:
        removed = removed + gradient.mean(-1, keepdims=True)
    return ((inverse * (gradient - removed)).astype(x.dtype),)


standardized.defvjp(_standardize, _standardize_backward)


class LayerNorm(nnx.Module):
    """Layer normalisation (Ba et al. 2016, eq. 4): mean 0 and variance 1 over features, then scale and bias."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        del rngs
        self.scale = nnx.Param(jnp.ones((width,), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((width,), jnp.float32))

    @jax.named_scope("norm")
    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        normal = standardized(x, True)
        return (normal * self.scale[...][None, None] + self.bias[...][None, None]).astype(x.dtype)


class RMSNorm(nnx.Module):
    """RMSNorm (Zhang and Sennrich 2019, eq. 4): root mean square 1 over features, then scale; no bias."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        del rngs
        self.scale = nnx.Param(jnp.ones((width,), jnp.float32))

    @jax.named_scope("norm")
    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        normal = standardized(x, False)
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

    def before(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        """The sub-layer's input for `x`."""
        show("input", lambda: x)
        return self.norm(x) if self.norm_position == "pre" else x

    def after(
        self, x: Float[Array, "B T D"], added: Float[Array, "B T D"], *, dropout_site: DropoutSite | None = None
    ) -> Float[Array, "B T D"]:
        """`x` plus `added`, the sub-layer's output for it."""
        show("added", lambda: added)
        x = x + dropout(added, self.dropout, dropout_site)
        return x if self.norm_position == "pre" else self.norm(x)


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
        mask: Mask,
        encoding: PositionalEncoding,
        *,
        dropout_site: DropoutSite | None = None,
    ) -> Float[Array, "B S D"]:
        with scope("self_attention"):
            normal = self.self_attention_residual.before(x)
            attended, _ = self.self_attention.self_attention(normal, positions, mask, encoding)
            x = self.self_attention_residual.after(x, attended, dropout_site=site_within(dropout_site, 0))
        with scope("feed_forward"):
            normal = self.feed_forward_residual.before(x)
            fed = self.feed_forward(normal, dropout_site=site_within(dropout_site, 2))
            return self.feed_forward_residual.after(x, fed, dropout_site=site_within(dropout_site, 1))


class DecoderLayer(nnx.Module):
    """Masked self-attention over the target, cross-attention to the source, then a feed-forward network.

    Each is in a residual connection.
    """

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
        source: KeysValues,
        positions: Int[Array, "B T"],
        self_mask: Mask,
        cross_mask: Mask,
        encoding: PositionalEncoding,
        *,
        past: KeysValues | None = None,
        dropout_site: DropoutSite | None = None,
    ) -> tuple[Float[Array, "B T D"], KeysValues]:
        """The features, and the keys and values of self-attention.

        Without `past`, `x` holds whole targets, and so do the keys and values. With `past`, the cache, `x` holds the
        newest token of each hypothesis, and the keys and values are the new cache. `source` is
        `cross_attention.project_source` of the encoder's output.
        """
        with scope("self_attention"):
            normal = self.self_attention_residual.before(x)
            attended, seen = self.self_attention.self_attention(normal, positions, self_mask, encoding, past=past)
            x = self.self_attention_residual.after(x, attended, dropout_site=site_within(dropout_site, 0))
        with scope("cross_attention"):
            normal = self.cross_attention_residual.before(x)
            attended = self.cross_attention.cross_attention(normal, source, cross_mask)
            x = self.cross_attention_residual.after(x, attended, dropout_site=site_within(dropout_site, 1))
        with scope("feed_forward"):
            normal = self.feed_forward_residual.before(x)
            fed = self.feed_forward(normal, dropout_site=site_within(dropout_site, 3))
            return self.feed_forward_residual.after(x, fed, dropout_site=site_within(dropout_site, 2)), seen
