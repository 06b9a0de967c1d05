"""Attention: masks from segments, scaled dot products of queries and keys, many heads, and the cache of decoding."""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Bool, Float, Int

from transformer.config import ModelConfig
from transformer.model.dense import Dense, Precision, project
from transformer.model.positions import PositionalEncoding

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


def ancestor_mask(ancestors: Int[Array, "B K L"], positions: Int[Array, " B"]) -> Bool[Array, "B 1 K L*K"]:
    """The row of `causal_mask` for each hypothesis of a beam, over a cache that holds those of all of them.

    At each time the cache has a place for each of K hypotheses; `ancestors[b, k, l]` says which of them hypothesis k
    goes on from. Two hypotheses at position 2; the second stems from the first at time 0, and stands alone at time 1:

        ancestors 0 0 0  ->  x . x . x .
                  0 1 1      x . . x . x
    """
    beams, length = ancestors.shape[1:]
    is_ancestor = ancestors[..., None] == jnp.arange(beams)[None, None, None]
    is_past = jnp.arange(length)[None] <= positions[:, None]
    return (is_ancestor & is_past[:, None, :, None]).reshape(-1, 1, beams, length * beams)


# --- attention -------------------------------------------------------------------------------------------


MASKED = -1e30

Kernel = Literal["xla", "cudnn"]


def resolve_kernel(kernel: str) -> Kernel:
    """What `model.attention_kernel` means here: training replaces `auto` on GPUs; elsewhere XLA computes attention."""
    return "cudnn" if kernel == "cudnn" and jax.default_backend() == "gpu" else "xla"


@jax.named_scope("attention")
def attend(
    query: Float[Array, "B N T H"],
    key: Float[Array, "B N S H"],
    value: Float[Array, "B N S H"],
    mask: Bool[Array, "#B 1 #T S"],
    *,
    bias: Float[Array, "B N T S"] | None = None,
    precision: Precision = "float32",
    kernel: Kernel = "xla",
) -> Float[Array, "B N T H"]:
    """Scaled dot-product attention, softmax(Q K^T / sqrt(H)) V: Vaswani et al. 2017, eq. 1.

    The softmax is over keys, in float32. A query that may attend to nothing (padding) gets a finite, unused result.
    Activations in bfloat16, those of GPUs and TPUs, go to JAX's own attention, and there to `kernel`.
    """
    if precision == "bfloat16":
        query, key, value = (x.swapaxes(1, 2) for x in (query, key, value))
        attended = jax.nn.dot_product_attention(query, key, value, bias=bias, mask=mask, implementation=kernel)
        return attended.swapaxes(1, 2)
    return _attention(query, key, value, mask, bias)


def attention_weights(
    query: Float[Array, "B N T H"],
    key: Float[Array, "B N S H"],
    mask: Bool[Array, "#B 1 #T S"],
) -> Float[Array, "B N T S"]:
    """The weights that `attend` gives the values, softmax(Q K^T / sqrt(H)) over keys, in float32.

    A query that may attend to nothing (padding) gets equal weights.
    """
    query, key = query.astype(jnp.float32) * query.shape[-1] ** -0.5, key.astype(jnp.float32)
    scores = jnp.einsum("BNTH,BNSH->BNTS", query, key)
    return jax.nn.softmax(jnp.where(mask, scores, MASKED), axis=-1)


# On CPUs attention is bound by passes over the scores [B, N, T, S]. Two identities save three of them: the softmax is
# divided by its partition after the product with the values, and what its gradient subtracts, sum_s p_s (dp_s), is
# sum_h o_h (do_h) (Dao et al. 2022, appendix B.2). Products are in float32: XLA's CPU backend has none of batches of
# bfloat16 matrices with float32 sums for every shape. The two that sum over queries take their smaller operand turned:
# as they stand, both operands' first axes would be summed over, at half the speed.


def _turned(x: Float[Array, "B N T H"]) -> Float[Array, "B N H T"]:
    """The last two axes exchanged, in memory too: XLA would merge a mere view of them into the product."""
    return with_layout_constraint(x.swapaxes(2, 3), Layout(major_to_minor=(0, 1, 2, 3)))


@jax.custom_vjp
def _attention(query, key, value, mask, bias):
    return _attention_forward(query, key, value, mask, bias)[0]


def _attention_forward(query, key, value, mask, bias):
    query = query * query.shape[-1] ** -0.5
    scores = jnp.einsum("BNTH,BNSH->BNTS", query, key)
    scores = jnp.where(mask, scores if bias is None else scores + bias, MASKED)
    exponents = jnp.exp(scores - scores.max(-1, keepdims=True))
    partition = exponents.sum(-1, keepdims=True)
    attended = jnp.einsum("BNTS,BNSH->BNTH", exponents, value) / partition
    return attended, (query, key, value, exponents, partition, attended, bias)


def _attention_backward(saved, gradient):
    query, key, value, exponents, partition, attended, bias = saved
    gradient = gradient / partition
    weighted = jnp.sum(gradient * attended, -1, keepdims=True)
    value_gradient = jnp.einsum("BNHT,BNTS->BNHS", _turned(gradient), exponents).swapaxes(2, 3)
    score_gradient = exponents * (jnp.einsum("BNTH,BNSH->BNTS", gradient, value) - weighted)
    query_gradient = jnp.einsum("BNTS,BNSH->BNTH", score_gradient, key) * query.shape[-1] ** -0.5
    key_gradient = jnp.einsum("BNHT,BNTS->BNHS", _turned(query), score_gradient).swapaxes(2, 3)
    return query_gradient, key_gradient, value_gradient, None, None if bias is None else score_gradient


_attention.defvjp(_attention_forward, _attention_backward)


class KeysValues(NamedTuple):
    """The cache of decoding: the projected source, or the tokens decoded so far, of all hypotheses of a sentence.

    For the tokens S = L * K: the place of hypothesis k at time l is l * K + k, and later places are zero. Keys are kept
    with their features first, as their product with a few queries wants them.
    """

    keys: Float[Array, "B N H S"]
    values: Float[Array, "B N S H"]

    def write(
        self, key: Float[Array, "B N K H"], value: Float[Array, "B N K H"], positions: Int[Array, " B"]
    ) -> "KeysValues":
        """The cache with K tokens' keys and values at their row's position; none is ever moved: see `ancestor_mask`."""
        places = positions * key.shape[2]
        key, value = key.swapaxes(2, 3).astype(self.keys.dtype), value.astype(self.values.dtype)
        write = jax.lax.dynamic_update_slice_in_dim
        return KeysValues(
            keys=jax.vmap(partial(write, axis=2))(self.keys, key, places),
            values=jax.vmap(partial(write, axis=1))(self.values, value, places),
        )

    def attend(
        self,
        query: Float[Array, "B N K H"],
        mask: Bool[Array, "B 1 #K S"],
        *,
        bias: Float[Array, "B N K S"] | None = None,
    ) -> Float[Array, "B N K H"]:
        """`attend` of the newest token of each hypothesis. Products in the type of the cache, softmax in float32."""
        query = (query * query.shape[-1] ** -0.5).astype(self.keys.dtype)
        scores = jnp.einsum("BNKH,BNHS->BNKS", query, self.keys, preferred_element_type=jnp.float32)
        weights = jax.nn.softmax(jnp.where(mask, scores if bias is None else scores + bias, MASKED), axis=-1)
        return jnp.einsum("BNKS,BNSH->BNKH", weights.astype(self.values.dtype), self.values)


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
        self.heads, self.precision, self.kernel = config.heads, precision, resolve_kernel(config.attention_kernel)

    def split_heads(self, x: Float[Array, "B T D"]) -> Float[Array, "B N T H"]:
        """The features of each head apart."""
        return x.reshape(*x.shape[:2], self.heads, -1).swapaxes(1, 2)

    def join_heads(self, x: Float[Array, "B N T H"]) -> Float[Array, "B T D"]:
        """The heads side by side again, mixed by the output projection."""
        x = x.swapaxes(1, 2)
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
        attended = attend(query, key, value, mask, bias=bias, precision=self.precision, kernel=self.kernel)
        return self.join_heads(attended)

    def cross_attention(
        self, x: Float[Array, "B T D"], memory: Float[Array, "B S D"], mask: Bool[Array, "B 1 T S"]
    ) -> Float[Array, "B T D"]:
        """Encoder-decoder attention: every target token looks at the source tokens that the mask allows."""
        query = self.split_heads(self.query(x))
        key, value = map(self.split_heads, project(memory, self.key, self.value))
        return self.join_heads(attend(query, key, value, mask, precision=self.precision, kernel=self.kernel))

    def keys_values(self, memory: Float[Array, "B S D"]) -> KeysValues:
        """Keys and values of the encoder's output, for every step of decoding."""
        key, value = map(self.split_heads, project(memory, self.key, self.value))
        return KeysValues(key.swapaxes(2, 3), value)

    def cached_cross_attention(
        self, x: Float[Array, "B K D"], source: KeysValues, mask: Bool[Array, "B 1 1 S"]
    ) -> Float[Array, "B K D"]:
        """`cross_attention` of the newest token of each hypothesis: those of a sentence share its keys and values."""
        return self.join_heads(source.attend(self.split_heads(self.query(x)), mask))

    def cross_attention_weights(
        self, x: Float[Array, "B T D"], memory: Float[Array, "B S D"], mask: Bool[Array, "B 1 T S"]
    ) -> Float[Array, "B N T S"]:
        """How much each target token takes from each source token in `cross_attention`, head by head."""
        query, key = self.split_heads(self.query(x)), self.split_heads(self.key(memory))
        return attention_weights(query, key, mask)

    def cached_self_attention(
        self,
        x: Float[Array, "B K D"],
        cache: KeysValues,
        mask: Bool[Array, "B 1 K S"],
        positions: Int[Array, " B"],
        encoding: PositionalEncoding,
    ) -> tuple[Float[Array, "B K D"], KeysValues]:
        """Masked self-attention of the newest token of each hypothesis, at its row's position, over it and ancestors.

        Returns the result and the cache with the new tokens' keys and values written at its position.
        """
        rows, beams = x.shape[:2]
        each = jnp.broadcast_to(positions[:, None], (rows, beams))
        query, key, value = map(self.split_heads, project(x, self.query, self.key, self.value))
        query, key = encoding.rotate(query, each), encoding.rotate(key, each)
        cache = cache.write(key, value, positions)
        places = jnp.arange(cache.keys.shape[3]) // beams
        bias = encoding.bias(each, jnp.broadcast_to(places, (rows, len(places))))
        return self.join_heads(cache.attend(query, mask, bias=bias)), cache
