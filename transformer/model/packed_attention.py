"""Attention over packed rows as a kernel for GPUs: FlashAttention (Dao et al. 2022) for rows of many short sentences.

Rows of translation are short: one program of the kernel holds all keys of a head, or a few blocks of them. Scores never
leave the chip, and the backward pass computes all three gradients in a single pass over its inputs. Queries, keys and
values are read where the projection wrote them, side by side in one array [B, T, 3, N, H], and their gradients are
written in the same way: nothing is transposed, split or concatenated.

The kernels (`packed_attention_kernels`) are written in Pallas and compiled by Triton. Elsewhere than on a GPU they run
in Pallas's interpreter, which is slow and meant for tests.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float

from transformer.model.masks import CausalMask, CrossMask, RowsMask
from transformer.model.packed_attention_kernels import BlockLayout, backward_kernel, forward_kernel

BLOCK = 128
"""The largest number of queries or keys in a block."""
MOST_KEYS = 1024
"""The longest row: with more keys, the queries' gradient is summed from too many parts."""
FORWARD_WARPS, BACKWARD_WARPS = 4, 8
"""Groups of 32 threads for a full block of queries and keys; smaller blocks have fewer."""
NO_QUERY, NO_KEY = -1, -2
"""Segments of the columns that fill up a block, which match no other."""


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
    layout = BlockLayout(block_length(query.shape[2]), block_length(key.shape[2]), is_causal, width**-0.5)
    if isinstance(mask, CrossMask):
        features = [filled_up(side_by_side(query), layout.queries), filled_up(side_by_side(key, value), layout.keys)]
    else:
        features = [filled_up(side_by_side(query, key, value), layout.queries)]
    segments = filled_up(mask[0], layout.queries, NO_QUERY), filled_up(mask[-1], layout.keys, NO_KEY)
    return _attention(layout, features, *segments)[:, : query.shape[2]].swapaxes(1, 2)


# --- rows in blocks --------------------------------------------------------------------------------------


def side_by_side(*sides: Float[Array, "B N T H"]) -> Float[Array, "B T parts N H"]:
    """The arrays as one array. If one product computed them, XLA finds that this is its result, and copies nothing."""
    rows, heads, length, width = sides[0].shape
    flat = [x.swapaxes(1, 2).reshape(rows * length, heads * width) for x in sides]
    return jnp.concatenate(flat, axis=1).reshape(rows, length, len(sides), heads, width)


def block_length(length: int) -> int:
    """The tokens of a block in rows of this length: a power of two, as Triton needs, from 16 to BLOCK."""
    return min(max(pl.next_power_of_2(length), 16), BLOCK)


def filled_up(x: Array, block: int, value: int = 0) -> Array:
    """`x` with its second axis extended to a multiple of `block`."""
    missing = -x.shape[1] % block
    return jnp.pad(x, ((0, 0), (0, missing), *((0, 0),) * (x.ndim - 2)), constant_values=value) if missing else x


# --- the function and its gradient -----------------------------------------------------------------------


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attention(layout, features, query_segments, key_segments):
    return _forward(layout, features, query_segments, key_segments)[0]


def _forward(layout, features, query_segments, key_segments):
    rows, length, _, heads, width = features[0].shape
    outputs = [
        jax.ShapeDtypeStruct((rows, length, heads, width), features[0].dtype),
        jax.ShapeDtypeStruct((rows, heads, length), jnp.float32),
    ]
    grid, inputs = (rows, heads, length // layout.queries), (*_parts(features), query_segments, key_segments)
    result, log_partition = _call(forward_kernel, layout, grid, inputs, outputs, warps=FORWARD_WARPS)
    return result, (features, query_segments, key_segments, result, log_partition)


def _backward(layout, saved, gradient):
    features, *others = saved
    rows, length, _, heads, width = features[0].shape
    dtype, blocks = features[0].dtype, features[-1].shape[1] // layout.keys
    inputs = (*_parts(features), *others, gradient.astype(dtype))
    call = partial(_call, backward_kernel, layout, (rows, heads, blocks), inputs, warps=BACKWARD_WARPS)
    if len(features) == 1 and blocks == 1:
        return list(call([jax.ShapeDtypeStruct(features[0].shape, dtype)])), None, None
    # Each block of keys gives a part of the queries' gradient: several parts are summed in float32.
    outputs = [
        jax.ShapeDtypeStruct((blocks, rows, length, 1, heads, width), dtype if blocks == 1 else jnp.float32),
        jax.ShapeDtypeStruct((rows, features[-1].shape[1], 2, heads, width), dtype),
    ]
    query_parts, key_value_gradient = call(outputs)
    query_gradient = query_parts[0] if blocks == 1 else query_parts.sum(0).astype(dtype)
    gradients = [query_gradient, key_value_gradient]
    return gradients if len(features) == 2 else [jnp.concatenate(gradients, axis=2)], None, None


_attention.defvjp(_forward, _backward)

# --- calls of a kernel -----------------------------------------------------------------------------------


class Part(NamedTuple):
    """Queries, keys or values: one of the parts of an array [B, T, parts, N, H]."""

    features: Array
    number: int


def _parts(features: Sequence[Array]) -> list[Part]:
    """Queries, keys and values, which are in one array, or in one of queries and another of keys and values."""
    return [Part(x, number) for x in features for number in range(x.shape[2])]


def _call(
    kernel: Callable[..., None],
    layout: BlockLayout,
    grid: tuple[int, int, int],
    inputs: Sequence[Array | Part],
    outputs: Sequence[jax.ShapeDtypeStruct],
    *,
    warps: int,
) -> Sequence[Array]:
    """The outputs of a kernel whose programs are numbered by row, head and block. A full block has this many warps."""
    arrays = [x.features if isinstance(x, Part) else x for x in inputs]
    return pl.pallas_call(
        partial(kernel, layout=layout),
        grid=grid,
        in_specs=[_view(x.features.shape, x.number) if isinstance(x, Part) else _view(x.shape) for x in inputs],
        out_specs=[_view(x.shape) for x in outputs],
        out_shape=outputs,
        compiler_params=_for_triton(max(warps * layout.queries * layout.keys // BLOCK**2, 2)),
        interpret=jax.default_backend() != "gpu",
    )(*arrays)


AXES = {2: "B T", 3: "B N T", 4: "B T N H", 5: "B T parts N H", 6: "blocks B T parts N H"}
"""The axes of each array, by their number: segments, a number of each query, features, features side by side, and such
features from each block."""


def _view(shape: tuple[int, ...], part: int | None = None) -> pl.BlockSpec:
    """What a program sees of an array: what belongs to its row, head and block, and to this part if one is given."""
    axes = AXES[len(shape)].split()
    whole = ("T", "H") if part is not None else ("T", "H", "parts")

    def index(row, head, block):
        own = {"B": row, "N": head, "blocks": block, "parts": part or 0}
        return tuple(own.get(axis, 0) for axis in axes)

    seen = tuple(size if axis in whole else None for axis, size in zip(axes, shape, strict=True))
    return pl.BlockSpec(seen, index)


def _for_triton(warps: int) -> Any:
    """Triton's parameters on a GPU; None for the interpreter, since JAX does not come with Triton everywhere."""
    if jax.default_backend() != "gpu":
        return None
    from jax.experimental.pallas import triton

    return triton.CompilerParams(num_warps=warps, num_stages=1)
