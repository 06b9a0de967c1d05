"""The two Pallas kernels of `packed_attention`: what one program on the GPU computes.

A kernel has one program for each row, head and block: the forward pass for each block of queries, the backward pass for
each block of keys. A program sees the arrays of its own row and head only, and loads them block by block.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Bool, Float

MASKED = -1e30
LOG2_E = math.log2(math.e)
Ref = Any  # an array in the memory of the device, from which a program loads a part by indexing


class BlockLayout(NamedTuple):
    """What a kernel is compiled for: the lengths of blocks, whether queries see only the past, the scale of scores."""

    queries: int
    keys: int
    is_causal: bool
    scale: float


def forward_kernel(
    query: Ref,
    key: Ref,
    value: Ref,
    query_segments: Ref,
    key_segments: Ref,
    result: Ref,
    log_partition: Ref,
    *,
    layout: BlockLayout,
) -> None:
    """Writes the result of a block of queries, and the logarithm of their softmax's partition, base 2."""
    first = pl.program_id(2) * layout.queries
    of_queries = pl.ds(first, layout.queries)
    queries, segments = query[of_queries, :], query_segments[of_queries]

    def add_keys(number, sums):
        attended, highest, partition = sums
        of_keys = pl.ds(number * layout.keys, layout.keys)
        visible = visible_keys(layout, first, number * layout.keys, segments, key_segments[of_keys])
        scores = masked_scores(layout, queries, key[of_keys, :], visible)
        new_highest = jnp.maximum(highest, scores.max(1))
        exponents, shrink = jnp.exp2(scores - new_highest[:, None]), jnp.exp2(highest - new_highest)
        added = contract(exponents.astype(value.dtype), value[of_keys, :], 1, 0)
        return attended * shrink[:, None] + added, new_highest, partition * shrink + exponents.sum(1)

    sums = (
        jnp.zeros(queries.shape, jnp.float32),
        jnp.full(layout.queries, MASKED, jnp.float32),
        jnp.zeros(layout.queries, jnp.float32),
    )
    attended, highest, partition = loop(key.shape[0] // layout.keys, add_keys, sums)
    result[of_queries, :] = (attended / partition[:, None]).astype(result.dtype)
    log_partition[of_queries] = highest + jnp.log2(partition)


def backward_kernel(
    query: Ref,
    key: Ref,
    value: Ref,
    query_segments: Ref,
    key_segments: Ref,
    result: Ref,
    log_partition: Ref,
    result_gradient: Ref,
    *gradients: Ref,
    layout: BlockLayout,
) -> None:
    """Writes the gradients of a block of keys and values, and the part of the queries' gradient that these keys give.

    `gradients` is one array with the gradients of queries, keys and values side by side, or two arrays: queries, and
    keys beside values.
    """
    query_gradient, key_value_gradient = gradients[0], gradients[-1]
    key_part = key_value_gradient.shape[1] - 2
    first = pl.program_id(2) * layout.keys
    of_keys = pl.ds(first, layout.keys)
    keys, values, segments = key[of_keys, :], value[of_keys, :], key_segments[of_keys]

    def add_queries(number, sums):
        of_queries = pl.ds(number * layout.queries, layout.queries)
        queries, gradient = query[of_queries, :], result_gradient[of_queries, :]
        visible = visible_keys(layout, number * layout.queries, first, query_segments[of_queries], segments)
        scores = masked_scores(layout, queries, keys, visible)
        weights = jnp.where(visible, jnp.exp2(scores - log_partition[of_queries][:, None]), 0.0)
        weighted = jnp.sum(gradient.astype(jnp.float32) * result[of_queries, :].astype(jnp.float32), axis=1)
        score_gradient = weights * (contract(gradient, values, 1, 1) - weighted[:, None]) * layout.scale
        score_gradient = score_gradient.astype(query.dtype)
        query_gradient[of_queries, 0, :] = contract(score_gradient, keys, 1, 0).astype(query_gradient.dtype)
        return (
            sums[0] + contract(score_gradient, queries, 0, 0),
            sums[1] + contract(weights.astype(value.dtype), gradient, 0, 0),
        )

    zeros = jnp.zeros(keys.shape, jnp.float32)
    key_gradient, value_gradient = loop(query.shape[0] // layout.queries, add_queries, (zeros, zeros))
    key_value_gradient[of_keys, key_part, :] = key_gradient.astype(key_value_gradient.dtype)
    key_value_gradient[of_keys, key_part + 1, :] = value_gradient.astype(key_value_gradient.dtype)


def visible_keys(
    layout: BlockLayout, first_query: Any, first_key: Any, query_segments: Array, key_segments: Array
) -> Bool[Array, "T S"]:
    """True where a query of one block sees a key of another; the blocks begin at these positions of the row."""
    is_same = query_segments[:, None] == key_segments[None, :]
    if not layout.is_causal:
        return is_same
    query_positions = first_query + jnp.arange(layout.queries, dtype=jnp.int32)
    key_positions = first_key + jnp.arange(layout.keys, dtype=jnp.int32)
    return is_same & (query_positions[:, None] >= key_positions[None, :])


def masked_scores(layout: BlockLayout, queries: Array, keys: Array, visible: Array) -> Float[Array, "T S"]:
    """The scores of a block in units of log 2, because a GPU computes powers of two."""
    return jnp.where(visible, contract(queries, keys, 1, 1) * (layout.scale * LOG2_E), MASKED)


def contract(a: Array, b: Array, a_axis: int, b_axis: int) -> Array:
    """The product of two matrices over one axis of each, with float32 sums."""
    return jax.lax.dot_general(a, b, (((a_axis,), (b_axis,)), ((), ())), preferred_element_type=jnp.float32)


def loop(count: int, body: Callable[[Any, Any], Any], start: Any) -> Any:
    """The state after `body(number, state)` for each number below `count`, in turn."""
    return body(0, start) if count == 1 else jax.lax.fori_loop(0, count, body, start)
