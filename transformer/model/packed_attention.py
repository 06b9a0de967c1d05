"""Attention over packed rows as a kernel for GPUs: FlashAttention (Dao et al. 2022) for rows of many short sentences.

Rows of translation are short: one program of the kernel holds all keys of a head, or a few blocks of them. Scores never
leave the chip, and the backward pass computes all three gradients in a single pass over its inputs. Queries, keys and
values are read where the projection wrote them, side by side in one array [B, T, 3, N, H], and their gradients are
written in the same way: nothing is transposed, split or concatenated.

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

from transformer.model.masks import CausalMask, CrossMask, RowsMask

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
    mask: RowsMask,
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
    is_causal = isinstance(mask, CausalMask)
    layout = Layout(block_length(query.shape[2]), block_length(key.shape[2]), is_causal, width**-0.5)
    if isinstance(mask, CrossMask):
        features = [filled_up(side_by_side(query), layout.queries), filled_up(side_by_side(key, value), layout.keys)]
    else:
        features = [filled_up(side_by_side(query, key, value), layout.queries)]
    segments = filled_up(mask[0], layout.queries, NO_QUERY), filled_up(mask[-1], layout.keys, NO_KEY)
    return _attention(layout, features, *segments)[:, : query.shape[2]].swapaxes(1, 2)


def side_by_side(*sides: Float[Array, "B N T H"]) -> Float[Array, "B T P N H"]:
    """P arrays as one array. If one product computed them, XLA finds that this is its result, and copies nothing."""
    rows, heads, length, width = sides[0].shape
    flat = [x.swapaxes(1, 2).reshape(rows * length, heads * width) for x in sides]
    return jnp.concatenate(flat, axis=1).reshape(rows, length, len(sides), heads, width)


def block_length(length: int) -> int:
    """The tokens of a block in rows of this length: a power of two, as Triton needs, from 16 to BLOCK."""
    return min(max(pl.next_power_of_2(length), 16), BLOCK)


def warps_of(layout: Layout, most: int) -> int:
    """Groups of 32 threads for blocks of these lengths."""
    return max(most * layout.queries * layout.keys // BLOCK**2, 2)


def filled_up(x: Array, block: int, value: int = 0) -> Array:
    """`x` with its second axis extended to a multiple of `block`."""
    missing = -x.shape[1] % block
    return jnp.pad(x, ((0, 0), (0, missing), *((0, 0),) * (x.ndim - 2)), constant_values=value) if missing else x


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attention(layout, features, query_segments, key_segments):
    return _forward(layout, features, query_segments, key_segments)[0]


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
    *gradients: Ref,
    layout: Layout,
) -> None:
    """The gradients of a block of keys and values, and the part of the queries' gradient that comes from these keys.

    These are parts of one array of gradients, or those of queries are in a first array, and the others in a second.
    """
    to_query, to_others = gradients[0], gradients[-1]
    first_of_others = to_others.shape[1] - 2
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
        to_query[there, 0, :] = _contract(of_scores, keys, 1, 0).astype(to_query.dtype)
        return (
            sums[0] + _contract(of_scores, queries, 0, 0),
            sums[1] + _contract(weights.astype(value.dtype), grads, 0, 0),
        )

    zeros = jnp.zeros(keys.shape, jnp.float32)
    of_keys, of_values = _loop(query.shape[0] // layout.queries, add, (zeros, zeros))
    to_others[here, first_of_others, :] = of_keys.astype(to_others.dtype)
    to_others[here, first_of_others + 1, :] = of_values.astype(to_others.dtype)


class Part(NamedTuple):
    """Queries, keys or values: one of the P parts of an array [B, T, P, N, H]."""

    features: Array
    number: int


def _parts(features: Sequence[Array]) -> list[Part]:
    """Queries, keys and values, which are in one array, or in one of queries and another of keys and values."""
    return [Part(x, number) for x in features for number in range(x.shape[2])]


def _call(
    kernel: Callable[..., None],
    layout: Layout,
    grid: tuple[int, int, int],
    inputs: Sequence[Array | Part],
    outputs: Sequence[jax.ShapeDtypeStruct],
    *,
    warps: int,
) -> Sequence[Array]:
    """The outputs of a kernel whose programs are numbered by row, head and block."""
    arrays = [x.features if isinstance(x, Part) else x for x in inputs]
    return pl.pallas_call(
        partial(kernel, layout=layout),
        grid=grid,
        in_specs=[_view_of_part(x) if isinstance(x, Part) else _view(x.shape) for x in inputs],
        out_specs=[_view(x.shape) for x in outputs],
        out_shape=outputs,
        compiler_params=_for_triton(warps),
        interpret=jax.default_backend() != "gpu",
    )(*arrays)


def _view_of_part(part: Part) -> pl.BlockSpec:
    """What a program sees of this part: [T, H]."""
    _, length, _, _, width = part.features.shape
    return pl.BlockSpec((None, length, None, None, width), lambda b, n, i: (b, 0, part.number, n, 0))


def _view(shape: tuple[int, ...]) -> pl.BlockSpec:
    """What a program sees of an array. The number of axes says what the array holds.

    Two: the segments [B, T] of rows. Three: a number [B, N, T] of each query. Four: features [B, T, N, H]. Five: parts
    of features [B, T, P, N, H]. Six: such parts for each block.
    """
    match len(shape):
        case 2:
            return pl.BlockSpec((None, shape[1]), lambda b, n, i: (b, 0))
        case 3:
            return pl.BlockSpec((None, None, shape[2]), lambda b, n, i: (b, n, 0))
        case 4:
            return pl.BlockSpec((None, shape[1], None, shape[3]), lambda b, n, i: (b, 0, n, 0))
        case 5:
            return pl.BlockSpec((None, shape[1], shape[2], None, shape[4]), lambda b, n, i: (b, 0, 0, n, 0))
        case _:
            return pl.BlockSpec((None, None, *shape[2:4], None, shape[5]), lambda b, n, i: (i, b, 0, 0, n, 0))


def _for_triton(warps: int) -> Any:
    """Triton's parameters on a GPU; None for the interpreter, since JAX does not come with Triton everywhere."""
    if jax.default_backend() != "gpu":
        return None
    from jax.experimental.pallas import triton

    return triton.CompilerParams(num_warps=warps, num_stages=1)


def _forward(layout, features, query_segments, key_segments):
    rows, length, _, heads, width = features[0].shape
    outputs = [
        jax.ShapeDtypeStruct((rows, length, heads, width), features[0].dtype),
        jax.ShapeDtypeStruct((rows, heads, length), jnp.float32),
    ]
    grid, warps = (rows, heads, length // layout.queries), warps_of(layout, FORWARD_WARPS)
    inputs = (*_parts(features), query_segments, key_segments)
    result, log_partition = _call(_forward_kernel, layout, grid, inputs, outputs, warps=warps)
    return result, (features, query_segments, key_segments, result, log_partition)


def _backward(layout, saved, gradient):
    features, *others = saved
    rows, length, _, heads, width = features[0].shape
    dtype, blocks = features[0].dtype, features[-1].shape[1] // layout.keys
    grid, warps = (rows, heads, blocks), warps_of(layout, BACKWARD_WARPS)
    inputs = (*_parts(features), *others, gradient.astype(dtype))
    if len(features) == 1 and blocks == 1:
        outputs = [jax.ShapeDtypeStruct(features[0].shape, dtype)]
        return list(_call(_backward_kernel, layout, grid, inputs, outputs, warps=warps)), None, None
    outputs = [
        jax.ShapeDtypeStruct((blocks, rows, length, 1, heads, width), dtype if blocks == 1 else jnp.float32),
        jax.ShapeDtypeStruct((rows, features[-1].shape[1], 2, heads, width), dtype),
    ]
    query_sums, to_others = _call(_backward_kernel, layout, grid, inputs, outputs, warps=warps)
    to_query = query_sums[0] if blocks == 1 else query_sums.sum(0).astype(dtype)
    to_features = [to_query, to_others]
    return to_features if len(features) == 2 else [jnp.concatenate(to_features, axis=2)], None, None


_attention.defvjp(_forward, _backward)
