"""Attention: scaled dot-product attention, its multi-head form, and the cache for decoding."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Float, Int

from transformer.config import ModelConfig
from transformer.model.dense import Dense, Precision, project
from transformer.model.kernels import KERNELS, Kernel
from transformer.model.masks import AncestorMask, Mask
from transformer.model.positions import PositionalEncoding
from transformer.model.tap import show

MASKED = -1e30


class KeysValues(NamedTuple):
    """Keys and values: of the source, of a whole target, or, in the cache, of the tokens decoded so far.

    In the cache, S = L * K: hypothesis k at time l has slot l * K + k, and later slots are zero. Keys are stored with
    features before positions, the layout that suits a product with few queries.
    """

    keys: Float[Array, "B N H S"]
    values: Float[Array, "B N S H"]

    def write(self, new: "KeysValues", positions: Int[Array, " B"]) -> "KeysValues":
        """The cache with K new tokens at their row's position. Other tokens are never moved: see `AncestorMask`."""
        slots = positions * new.values.shape[2]
        write = jax.lax.dynamic_update_slice_in_dim
        return KeysValues(
            keys=jax.vmap(partial(write, axis=2))(self.keys, new.keys.astype(self.keys.dtype), slots),
            values=jax.vmap(partial(write, axis=1))(self.values, new.values.astype(self.values.dtype), slots),
        )


@jax.named_scope("attention")
def attend(
    query: Float[Array, "B N T H"],
    keys_values: KeysValues,
    mask: Mask,
    *,
    bias: Float[Array, "B N T S"] | None = None,
    kernel: Kernel = "xla",
) -> Float[Array, "B N T H"]:
    """Scaled dot-product attention, softmax(Q K^T / sqrt(H)) V: Vaswani et al. 2017, eq. 1.

    The softmax is over keys, in float32; products are in the type of the activations. Decoding steps, which have few
    queries, are always computed here and never by `kernel`.
    """
    query = query.astype(keys_values.keys.dtype)
    show("weights", lambda: attention_weights(query, keys_values, mask, bias))
    keys, values = keys_values.keys.swapaxes(2, 3), keys_values.values
    if kernel == "xla" or isinstance(mask, AncestorMask):
        return _attention(query, keys, values, mask.visible(), bias)
    return KERNELS[kernel](query, keys, values, mask, bias)


def attention_weights(
    query: Float[Array, "B N T H"], keys_values: KeysValues, mask: Mask, bias: Float[Array, "B N T S"] | None
) -> Float[Array, "B N T S"]:
    """The attention weights that `attend` uses: softmax(Q K^T / sqrt(H)) over keys, in float32."""
    query, keys = query.astype(jnp.float32) * query.shape[-1] ** -0.5, keys_values.keys.astype(jnp.float32)
    scores = jnp.einsum("BNTH,BNHS->BNTS", query, keys)
    return jax.nn.softmax(jnp.where(mask.visible(), scores if bias is None else scores + bias, MASKED), axis=-1)


# On CPUs, attention is limited by passes over the scores [B, N, T, S]. Two identities save three of these passes. The
# division by the softmax's partition is done after the product with the values. The term that the softmax's gradient
# subtracts, sum_s p_s (dp_s), equals sum_h o_h (do_h) (Dao et al. 2022, appendix B.2). In both directions, products
# take operands in the type of the activations and sum in float32; automatic gradients would multiply float32 by
# bfloat16, which no matrix unit does.


def _product(formula: str, a: Array, b: Array) -> Array:
    """The einsum of two arrays in the type of the second, with float32 sums and result."""
    return jnp.einsum(formula, a.astype(b.dtype), b, preferred_element_type=jnp.float32)


def _transposed(x: Float[Array, "B N T H"]) -> Float[Array, "B N H T"]:
    """The array with its last two axes exchanged; in float32, which CPUs use, it is also copied to that layout.

    On CPUs, a product that sums over the first axis of both operands is slow, and XLA would merge a transposed view
    into the product.
    """
    turned = x.swapaxes(2, 3)
    return with_layout_constraint(turned, Layout(major_to_minor=(0, 1, 2, 3))) if x.dtype == jnp.float32 else turned


@jax.custom_vjp
def _attention(query, key, value, visible, bias):
    return _attention_forward(query, key, value, visible, bias)[0]


def _attention_forward(query, key, value, visible, bias):
    query = query * query.shape[-1] ** -0.5
    scores = _product("BNTH,BNSH->BNTS", query, key)
    scores = jnp.where(visible, scores if bias is None else scores + bias, MASKED)
    exponents = jnp.exp(scores - scores.max(-1, keepdims=True))
    partition = exponents.sum(-1, keepdims=True)
    exponents = exponents.astype(value.dtype)
    attended = _product("BNTS,BNSH->BNTH", exponents, value) / partition
    return attended.astype(query.dtype), (query, key, value, exponents, partition, attended, bias)


def _attention_backward(saved, gradient):
    query, key, value, exponents, partition, attended, bias = saved
    gradient = gradient.astype(jnp.float32) / partition
    weighted = jnp.sum(gradient * attended, -1, keepdims=True)
    gradient = gradient.astype(value.dtype)
    value_gradient = _product("BNHT,BNTS->BNHS", _transposed(gradient), exponents).swapaxes(2, 3)
    score_gradient = exponents * (_product("BNTH,BNSH->BNTS", gradient, value) - weighted)
    query_gradient = _product("BNTS,BNSH->BNTH", score_gradient, key) * query.shape[-1] ** -0.5
    key_gradient = _product("BNHT,BNTS->BNHS", _transposed(query), score_gradient.astype(query.dtype)).swapaxes(2, 3)
    gradients = (query_gradient, key_gradient, value_gradient)
    return (
        *(x.astype(like.dtype) for x, like in zip(gradients, (query, key, value), strict=True)),
        None,
        None if bias is None else score_gradient.astype(bias.dtype),
    )


_attention.defvjp(_attention_forward, _attention_backward)


class MultiHeadAttention(nnx.Module):
    """Multi-head attention (Vaswani et al. 2017, section 3.2.2): N heads with H = D / N features each.

    Self-attention takes queries, keys and values from one sequence. Cross-attention takes the queries from the target,
    and keys and values from the encoder's output. Keys have no bias: it would add the same number to all scores of a
    query, which the softmax ignores.
    """

    def __init__(self, config: ModelConfig, *, precision: Precision, rngs: nnx.Rngs):
        self.query = Dense(config.width, config.width, precision=precision, rngs=rngs)
        self.key = Dense(config.width, config.width, precision=precision, rngs=rngs, has_bias=False)
        self.value = Dense(config.width, config.width, precision=precision, rngs=rngs)
        self.output = Dense(config.width, config.width, precision=precision, rngs=rngs)
        self.heads = config.heads
        self.attention_kernel: Kernel = "xla"  # `merge` sets another

    def split_heads(self, x: Float[Array, "B T D"]) -> Float[Array, "B N T H"]:
        """The features split into heads."""
        return x.reshape(*x.shape[:2], self.heads, -1).swapaxes(1, 2)

    def join_heads(self, x: Float[Array, "B N T H"]) -> Float[Array, "B T D"]:
        """The heads concatenated, through the output projection."""
        x = x.swapaxes(1, 2)
        return self.output(x.reshape(*x.shape[:2], -1))

    def self_attention(
        self,
        x: Float[Array, "B T D"],
        positions: Int[Array, "B T"],
        mask: Mask,
        encoding: PositionalEncoding,
        *,
        past: KeysValues | None = None,
    ) -> tuple[Float[Array, "B T D"], KeysValues]:
        """The self-attention of `x` under the mask, and its keys and values.

        With `past`, the cache of decoding, `x` holds the newest token of each hypothesis, at its row's position. These
        tokens are written to the cache, and the keys and values returned are the new cache.
        """
        query, key, value = map(self.split_heads, project(x, self.query, self.key, self.value))
        query, key = encoding.rotate(query, positions), encoding.rotate(key, positions)
        seen, key_positions = KeysValues(key.swapaxes(2, 3), value), positions
        if past is not None:
            seen = past.write(seen, positions[:, 0])
            times = jnp.arange(seen.values.shape[2], dtype=jnp.int32) // x.shape[1]
            key_positions = jnp.broadcast_to(times, (x.shape[0], len(times)))
        bias = encoding.bias(positions, key_positions)
        return self.join_heads(attend(query, seen, mask, bias=bias, kernel=self.attention_kernel)), seen

    def project_source(self, memory: Float[Array, "B S D"]) -> KeysValues:
        """Keys and values of the encoder's output, computed once for a whole target or for all steps of decoding."""
        key, value = map(self.split_heads, project(memory, self.key, self.value))
        return KeysValues(key.swapaxes(2, 3), value)

    def cross_attention(self, x: Float[Array, "B T D"], source: KeysValues, mask: Mask) -> Float[Array, "B T D"]:
        """The cross-attention of target tokens `x` to the source under the mask."""
        return self.join_heads(attend(self.split_heads(self.query(x)), source, mask, kernel=self.attention_kernel))
