"""Attention over packed rows as a kernel for GPUs: FlashAttention (Dao et al. 2022) for rows of many short sentences.

Rows of translation are short: one program of the kernel holds all keys of a head, or a few blocks of them. Scores never
leave the chip, and the backward pass computes all three gradients in a single pass over its inputs. Queries, keys and
values are read as the projections write them, [B, T, N, H], so nothing is transposed.

The kernel is written in Pallas and compiled by Triton. Elsewhere than on a GPU it runs in Pallas's interpreter, which
is slow and meant for tests.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Bool, Float

from transformer.model.masks import CausalMask, SegmentMask

MASKED = -1e30
LOG2_E = math.log2(math.e)
BLOCK = 128
"""Queries and keys that are computed at one time."""
MOST_KEYS = 1024
"""The longest row: with more keys, the queries' gradient is summed from too many parts."""
FORWARD_WARPS, BACKWARD_WARPS = 4, 8
"""Groups of 32 threads for a whole block of queries and keys; smaller blocks have fewer."""
Ref = Any  # an array in the memory of the device, from which a program loads a part by indexing
NO_QUERY, NO_KEY = -1, -2
"""Segments of the columns that fill up a block, which match no other."""


class Layout(NamedTuple):
    """How a call divides its rows: the lengths of blocks, and whether queries are limited to the past."""

    queries: int
    keys: int
    is_causal: bool
    scale: float


def packed_attention(
    query: Float[Array, "B N T H"],
    key: Float[Array, "B N S H"],
    value: Float[Array, "B N S H"],
    mask: SegmentMask | CausalMask,
    bias: Float[Array, "B N T S"] | None,
) -> Float[Array, "B N T H"]:
    """Attention of packed rows, softmax(Q K^T / sqrt(H)) V, where a query sees the keys of its own segment.

    Raises NotImplementedError for what the kernel does not compute: a bias, rows of more than MOST_KEYS tokens, heads
    whose width is not a power of two from 16 to 128.
    """
    width, longest = query.shape[-1], max(query.shape[2], key.shape[2])
    if bias is not None:
        raise NotImplementedError("the kernel for packed rows adds no bias to scores")
    if width not in (16, 32, 64, 128):
        raise NotImplementedError(f"the kernel for packed rows has heads of 16, 32, 64 or 128 features, not {width}")
    if longest > MOST_KEYS:
        raise NotImplementedError(f"the kernel for packed rows takes up to {MOST_KEYS} tokens a row, not {longest}")
    query_segments, key_segments = (mask[0], mask[-1])  # of a causal mask, both are the same
    is_causal = isinstance(mask, CausalMask)
    layout = Layout(block_length(query.shape[2]), block_length(key.shape[2]), is_causal, width**-0.5)
    sides = ((query, layout.queries), (key, layout.keys), (value, layout.keys))
    attended = _attention(
        layout,
        *(filled_up(x.swapaxes(1, 2), block, 0) for x, block in sides),
        filled_up(query_segments, layout.queries, NO_QUERY),
        filled_up(key_segments, layout.keys, NO_KEY),
    )
    return attended[:, : query.shape[2]].swapaxes(1, 2)


def block_length(length: int) -> int:
    """The tokens of a block in rows of this length: a power of two, as Triton needs, from 16 to BLOCK."""
    return min(max(pl.next_power_of_2(length), 16), BLOCK)


def warps_of(layout: Layout, most: int) -> int:
    """Groups of 32 threads for blocks of these lengths."""
    return max(most * layout.queries * layout.keys // BLOCK**2, 2)


def filled_up(x: Array, block: int, value: int) -> Array:
    """`x` with its second axis extended to a multiple of `block`."""
    missing = -x.shape[1] % block
    return jnp.pad(x, ((0, 0), (0, missing), *((0, 0),) * (x.ndim - 2)), constant_values=value) if missing else x


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attention(layout, query, key, value, query_segments, key_segments):
    return _forward(layout, query, key, value, query_segments, key_segments)[0]


# Both kernels have a program for each row, head and block: the forward pass for each block of queries, the backward
# pass for each block of keys. A program sees its row and head only, and loads them block by block.


def _visible(layout: Layout, queries: Any, keys: Any, query_segments: Array, key_segments: Array) -> Bool[Array, "T S"]:
    """True where a query of one block sees a key of another; `queries` and `keys` are the blocks' first positions."""
    visible = query_segments[:, None] == key_segments[None, :]
    if not layout.is_causal:
        return visible
    times = queries + jnp.arange(layout.queries, dtype=jnp.int32), keys + jnp.arange(layout.keys, dtype=jnp.int32)
    return visible & (times[0][:, None] >= times[1][None, :])


def _contract(a: Array, b: Array, a_axis: int, b_axis: int) -> Array:
    """The product of two matrices over one axis of each, with float32 sums."""
    return jax.lax.dot_general(a, b, (((a_axis,), (b_axis,)), ((), ())), preferred_element_type=jnp.float32)


def _scores(layout: Layout, query: Array, key: Array, visible: Array) -> Float[Array, "T S"]:
    """Scores in units of log 2, since a GPU computes powers of two."""
    return jnp.where(visible, _contract(query, key, 1, 1) * (layout.scale * LOG2_E), MASKED)


def _loop(count: int, body: Callable[[Any, Any], Any], start: Any) -> Any:
    """`body(number, state)` for each number below `count`, in turn."""
    return body(0, start) if count == 1 else jax.lax.fori_loop(0, count, body, start)


def _forward_kernel(
    query: Ref,
    key: Ref,
    value: Ref,
    query_segments: Ref,
    key_segments: Ref,
    result: Ref,
    log_partition: Ref,
    *,
    layout: Layout,
) -> None:
    """The result of a block of queries, and the logarithm of their softmax's partition, base 2."""
    first = pl.program_id(2) * layout.queries
    here = pl.ds(first, layout.queries)
    block, segments = query[here, :], query_segments[here]

    def add(number, sums):
        attended, highest, partition = sums
        there = pl.ds(number * layout.keys, layout.keys)
        visible = _visible(layout, first, number * layout.keys, segments, key_segments[there])
        scores = _scores(layout, block, key[there, :], visible)
        new = jnp.maximum(highest, scores.max(1))
        powers, shrunk = jnp.exp2(scores - new[:, None]), jnp.exp2(highest - new)
        added = _contract(powers.astype(value.dtype), value[there, :], 1, 0)
        return attended * shrunk[:, None] + added, new, partition * shrunk + powers.sum(1)

    sums = (
        jnp.zeros(block.shape, jnp.float32),
        jnp.full(layout.queries, MASKED, jnp.float32),
        jnp.zeros(layout.queries, jnp.float32),
    )
    attended, highest, partition = _loop(key.shape[0] // layout.keys, add, sums)
    result[here, :] = (attended / partition[:, None]).astype(result.dtype)
    log_partition[here] = highest + jnp.log2(partition)


def _backward_kernel(
    query: Ref,
    key: Ref,
    value: Ref,
    query_segments: Ref,
    key_segments: Ref,
    result: Ref,
    log_partition: Ref,
    gradient: Ref,
    to_query: Ref,
    to_key: Ref,
    to_value: Ref,
    *,
    layout: Layout,
) -> None:
    """The gradients of a block of keys and values, and the part of the queries' gradient that comes from these keys."""
    first = pl.program_id(2) * layout.keys
    here = pl.ds(first, layout.keys)
    keys, values, segments = key[here, :], value[here, :], key_segments[here]

    def add(number, sums):
        there = pl.ds(number * layout.queries, layout.queries)
        queries, grads = query[there, :], gradient[there, :]
        visible = _visible(layout, number * layout.queries, first, query_segments[there], segments)
        scores = _scores(layout, queries, keys, visible)
        weights = jnp.where(visible, jnp.exp2(scores - log_partition[there][:, None]), 0.0)
        weighted = jnp.sum(grads.astype(jnp.float32) * result[there, :].astype(jnp.float32), axis=1)
        of_scores = weights * (_contract(grads, values, 1, 1) - weighted[:, None]) * layout.scale
        of_scores = of_scores.astype(query.dtype)
        to_query[there, :] = _contract(of_scores, keys, 1, 0).astype(to_query.dtype)
        return (
            sums[0] + _contract(of_scores, queries, 0, 0),
            sums[1] + _contract(weights.astype(value.dtype), grads, 0, 0),
        )

    zeros = jnp.zeros(keys.shape, jnp.float32)
    of_keys, of_values = _loop(query.shape[0] // layout.queries, add, (zeros, zeros))
    to_key[here, :] = of_keys.astype(to_key.dtype)
    to_value[here, :] = of_values.astype(to_value.dtype)


def _call(
    kernel: Callable[..., None],
    layout: Layout,
    blocks: int,
    inputs: Sequence[Array],
    outputs: Sequence[jax.ShapeDtypeStruct],
    *,
    warps: int,
) -> Sequence[Array]:
    """The outputs of a kernel. The number of an array's axes says what it holds.

    Two: the segments [B, T] of rows. Three: a number [B, N, T] of each query. Four: features [B, T, N, H]. Five: such
    features for each block.
    """
    rows, _, heads, _ = inputs[0].shape
    views = {
        2: lambda shape: pl.BlockSpec((None, shape[1]), lambda b, n, i: (b, 0)),
        3: lambda shape: pl.BlockSpec((None, None, shape[2]), lambda b, n, i: (b, n, 0)),
        4: lambda shape: pl.BlockSpec((None, shape[1], None, shape[3]), lambda b, n, i: (b, 0, n, 0)),
        5: lambda shape: pl.BlockSpec((None, None, shape[2], None, shape[4]), lambda b, n, i: (i, b, 0, n, 0)),
    }
    return pl.pallas_call(
        partial(kernel, layout=layout),
        grid=(rows, heads, blocks),
        in_specs=[views[x.ndim](x.shape) for x in inputs],
        out_specs=[views[len(x.shape)](x.shape) for x in outputs],
        out_shape=outputs,
        compiler_params=_for_triton(warps),
        interpret=jax.default_backend() != "gpu",
    )(*inputs)


def _for_triton(warps: int) -> Any:
    """Triton's parameters on a GPU; None for the interpreter, since JAX does not come with Triton everywhere."""
    if jax.default_backend() != "gpu":
        return None
    from jax.experimental.pallas import triton

    return triton.CompilerParams(num_warps=warps, num_stages=1)


def _forward(layout, query, key, value, query_segments, key_segments):
    rows, length, heads, _ = query.shape
    outputs = [
        jax.ShapeDtypeStruct(query.shape, query.dtype),
        jax.ShapeDtypeStruct((rows, heads, length), jnp.float32),
    ]
    inputs = (query, key, value, query_segments, key_segments)
    result, log_partition = _call(
        _forward_kernel, layout, length // layout.queries, inputs, outputs, warps=warps_of(layout, FORWARD_WARPS)
    )
    return result, (*inputs, result, log_partition)


def _backward(layout, saved, gradient):
    query, key, value, *_ = saved
    blocks = key.shape[1] // layout.keys
    of_query = jax.ShapeDtypeStruct((blocks, *query.shape), query.dtype if blocks == 1 else jnp.float32)
    outputs = [of_query, *(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (key, value))]
    inputs = (*saved, gradient.astype(query.dtype))
    parts, to_key, to_value = _call(
        _backward_kernel, layout, blocks, inputs, outputs, warps=warps_of(layout, BACKWARD_WARPS)
    )
    to_query = parts[0] if blocks == 1 else parts.sum(0).astype(query.dtype)
    return to_query, to_key, to_value, None, None


_attention.defvjp(_forward, _backward)
