"""Attention: masks from segments, scaled dot products of queries and keys, many heads, and the cache of decoding."""

from functools import partial
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
    """`segment_mask` without the future: a target token attends to itself and to what precedes it in its sentence.

    Columns stand for time, as the tokens of a sentence follow each other in a row:

        segments 1 1 2 2 0  ->  x . . . .
                                x x . . .
                                . . x . .
                                . . x x .
                                . . . . .
    """
    length = segments.shape[1]
    past = jnp.tril(jnp.ones((length, length), bool))
    return segment_mask(segments, segments) & past[None, None]


def past_mask(position: Int[Array, ""], length: int) -> Bool[Array, "1 1 1 L"]:
    """The row of `causal_mask` for the token at `position` of one sentence: position 1, length 4 -> x x . ."""
    return (jnp.arange(length) <= position)[None, None, None, :]


# --- attention -------------------------------------------------------------------------------------------


MASKED = -1e30


def attend(
    query: Float[Array, "B T N H"],
    key: Float[Array, "B S N H"],
    value: Float[Array, "B S N H"],
    mask: Bool[Array, "#B 1 #T S"],
    *,
    bias: Float[Array, "B N T S"] | None = None,
    precision: Precision = "float32",
) -> Float[Array, "B T N H"]:
    """Scaled dot-product attention, softmax(Q K^T / sqrt(H)) V: Vaswani et al. 2017, eq. 1.

    The softmax is over keys, in float32. A query that may attend to nothing (padding) gets a finite, unused result.
    Activations in bfloat16, those of GPUs and TPUs, go to JAX's own attention and its kernels.
    """
    if precision == "bfloat16":
        return jax.nn.dot_product_attention(query, key, value, bias=bias, mask=mask)
    return _attention(query, key, value, mask, bias, precision)


def attention_weights(
    query: Float[Array, "B T N H"],
    key: Float[Array, "B S N H"],
    mask: Bool[Array, "#B 1 #T S"],
    *,
    precision: Precision = "float32",
) -> Float[Array, "B N T S"]:
    """The weights that `attend` gives the values, softmax(Q K^T / sqrt(H)) over keys, in float32.

    A query that may attend to nothing (padding) gets equal weights.
    """
    scores = _product("BTNH,BSNH->BNTS", query * query.shape[-1] ** -0.5, key, precision)
    return jax.nn.softmax(jnp.where(mask, scores, MASKED), axis=-1)


# On CPUs attention is bound by passes over the scores [B, N, T, S]. Two identities save three of them: the softmax is
# divided by its partition after the product with the values, and what its gradient subtracts, sum_s p_s (dp_s), is
# sum_h o_h (do_h) (Dao et al. 2022, appendix B.2). Products follow the precision policy.


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def _attention(query, key, value, mask, bias, precision):
    return _attention_forward(query, key, value, mask, bias, precision)[0]


def _product(equation: str, a: Array, b: Array, precision: Precision) -> Array:
    if precision == "bfloat16_float32":
        a, b = a.astype(jnp.bfloat16), b.astype(jnp.bfloat16)
    return jnp.einsum(equation, a, b, preferred_element_type=jnp.float32)


def _attention_forward(query, key, value, mask, bias, precision):
    operand = jnp.bfloat16 if precision == "bfloat16_float32" else jnp.float32
    query, key, value = (query * query.shape[-1] ** -0.5).astype(operand), key.astype(operand), value.astype(operand)
    scores = _product("BTNH,BSNH->BNTS", query, key, precision)
    scores = jnp.where(mask, scores if bias is None else scores + bias, MASKED)
    exponents = jnp.exp(scores - scores.max(-1, keepdims=True))
    partition = exponents.sum(-1).swapaxes(1, 2)[..., None]
    exponents = exponents.astype(operand)
    attended = _product("BNTS,BSNH->BTNH", exponents, value, precision) / partition
    return attended, (query, key, value, exponents, partition, attended, bias)


def _attention_backward(precision, saved, gradient):
    query, key, value, exponents, partition, attended, bias = saved
    gradient = gradient / partition
    weighted = jnp.sum(gradient * attended, -1).swapaxes(1, 2)[..., None]
    value_gradient = _product("BNTS,BTNH->BSNH", exponents, gradient, precision)
    score_gradient = exponents * (_product("BTNH,BSNH->BNTS", gradient, value, precision) - weighted)
    query_gradient = _product("BNTS,BSNH->BTNH", score_gradient, key, precision) * query.shape[-1] ** -0.5
    key_gradient = _product("BNTS,BTNH->BSNH", score_gradient, query, precision)
    return query_gradient, key_gradient, value_gradient, None, None if bias is None else score_gradient


_attention.defvjp(_attention_forward, _attention_backward)


class KeysValues(NamedTuple):
    """What the source offers to every step of decoding: projected once for each sentence."""

    keys: Float[Array, "B S N H"]
    values: Float[Array, "B S N H"]


class KVCache(NamedTuple):
    """Keys and values of the tokens decoded so far, for each hypothesis; later places are zero."""

    keys: Float[Array, "B K L N H"]
    values: Float[Array, "B K L N H"]

    def write(
        self, key: Float[Array, "B K N H"], value: Float[Array, "B K N H"], position: Int[Array, ""]
    ) -> "KVCache":
        """The cache with the key and value of the token at `position`."""
        key, value = (x[:, :, None].astype(self.keys.dtype) for x in (key, value))
        return KVCache(
            keys=jax.lax.dynamic_update_slice_in_dim(self.keys, key, position, axis=2),
            values=jax.lax.dynamic_update_slice_in_dim(self.values, value, position, axis=2),
        )


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
        self.heads, self.precision = config.heads, precision

    def split_heads(self, x: Float[Array, "B T D"]) -> Float[Array, "B T N H"]:
        """The features of each head apart."""
        return x.reshape(*x.shape[:2], self.heads, -1)

    def join_heads(self, x: Float[Array, "B T N H"]) -> Float[Array, "B T D"]:
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
        query, key, value = map(self.split_heads, project(x, self.query, self.key, self.value))
        query, key = encoding.rotate(query, positions), encoding.rotate(key, positions)
        bias = encoding.bias(positions, positions)
        return self.join_heads(attend(query, key, value, mask, bias=bias, precision=self.precision))

    def keys_values(self, memory: Float[Array, "B S D"]) -> KeysValues:
        """Keys and values of the encoder's output."""
        return KeysValues(*map(self.split_heads, project(memory, self.key, self.value)))

    def cross_attention(
        self, x: Float[Array, "B T D"], source: KeysValues, mask: Bool[Array, "B 1 #T S"]
    ) -> Float[Array, "B T D"]:
        """Encoder-decoder attention: every target token looks at the source tokens that the mask allows.

        In beam search T counts the hypotheses of a sentence: they share its keys and values.
        """
        query = self.split_heads(self.query(x))
        return self.join_heads(attend(query, source.keys, source.values, mask, precision=self.precision))

    def cross_attention_weights(
        self, x: Float[Array, "B T D"], source: KeysValues, mask: Bool[Array, "B 1 #T S"]
    ) -> Float[Array, "B N T S"]:
        """How much each target token takes from each source token in `cross_attention`, head by head."""
        query = self.split_heads(self.query(x))
        return attention_weights(query, source.keys, mask, precision=self.precision)

    def cached_self_attention(
        self, x: Float[Array, "B K D"], cache: KVCache, position: Int[Array, ""], encoding: PositionalEncoding
    ) -> tuple[Float[Array, "B K D"], KVCache]:
        """Masked self-attention of the newest token of each hypothesis, at `position`, over the cached ones and itself.

        Returns the result and the cache with the new token's key and value written at `position`.
        """
        rows, beams, length = cache.keys.shape[:3]
        positions = jnp.broadcast_to(position, (rows, beams))
        query, key, value = map(self.split_heads, project(x, self.query, self.key, self.value))
        query, key = encoding.rotate(query, positions), encoding.rotate(key, positions)
        cache = cache.write(key, value, position)

        def flat(x: Array) -> Array:  # each hypothesis is a row of its own
            return x.reshape(rows * beams, -1, *x.shape[-2:])

        key_positions = jnp.broadcast_to(jnp.arange(length), (rows * beams, length))
        bias = encoding.bias(positions.reshape(-1, 1), key_positions)
        mask = past_mask(position, length)
        keys, values = flat(cache.keys), flat(cache.values)
        attended = attend(flat(query), keys, values, mask, bias=bias, precision=self.precision)
        return self.join_heads(attended.reshape(query.shape)), cache
