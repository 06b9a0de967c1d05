"""Library kernels for attention on accelerators, as alternatives to our own formula, "xla".

A kernel takes queries, keys, values, a mask, and a bias or None. It never gets the mask as an array: cuDNN takes the
offsets and lengths of a row's segments, and tokamax the range of keys of each query. A kernel's results at padding may
be any finite values. To add a kernel, write a function, and add its lines to KERNELS and PLATFORMS.

Training uses a kernel only after it has agreed with our own attention (`transformer.devices.kernels`), and only in
updates. Validation, search and scoring always use "xla", so that they give the same result wherever they run.
"""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Literal, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from data.errors import pip_install
from transformer.model.masks import CausalMask, SegmentMask

Kernel = Literal["xla", "cudnn", "triton", "mosaic"]
KernelFunction = Callable[..., Float[Array, "B N T H"]]


def cudnn(
    query: Float[Array, "B N T H"],
    key: Float[Array, "B N S H"],
    value: Float[Array, "B N S H"],
    mask: SegmentMask | CausalMask,
    bias: Float[Array, "B N T S"] | None,
) -> Float[Array, "B N T H"]:
    """cuDNN's attention over packed segments. Raises NotImplementedError if there is a bias.

    Padding belongs to no segment, and cuDNN leaves its results undefined. `where` replaces them, and their gradients,
    with zeros.
    """
    if bias is not None:
        raise NotImplementedError("attention of packed segments takes no bias here")
    if isinstance(mask, CausalMask):
        query_segments = key_segments = mask.segments
    else:
        query_segments, key_segments = mask
    count = segment_limit(query_segments, key_segments)
    query, key, value = (
        jnp.where(is_real(segments), x, 0)
        for x, segments in ((query, query_segments), (key, key_segments), (value, key_segments))
    )
    query_offsets, query_lengths = offsets_and_lengths(query_segments, count)
    key_offsets, key_lengths = offsets_and_lengths(key_segments, count)
    attended = cudnn_packed(
        query,
        key,
        value,
        is_causal=isinstance(mask, CausalMask),
        q_seqlen=query_lengths,
        kv_seqlen=key_lengths,
        q_offsets=query_offsets,
        kv_offsets=key_offsets,
    )
    fits = query_segments.max(axis=1) <= count  # NaN stops training with an error; dropping segments silently would not
    return jnp.where(fits[:, None, None, None], jnp.where(is_real(query_segments), attended, 0), jnp.nan)


def cudnn_packed(query: Array, key: Array, value: Array, *, is_causal: bool, **segments: Array) -> Array:
    """cuDNN's result, through a private function of JAX: `jax.nn.dot_product_attention` does not support segments."""
    from jax._src.cudnn import fused_attention_stablehlo as library

    attended = library.dot_product_attention(
        *(x.swapaxes(1, 2) for x in (query, key, value)),
        **segments,
        scale=query.shape[-1] ** -0.5,
        mask_type=library.MaskType.CAUSAL if is_causal else library.MaskType.NO_MASK,
        qkv_layout="BTNH",  # offsets refer to this layout
    )
    return attended.swapaxes(1, 2)


def segment_limit(query_segments: Int[Array, "B T"], key_segments: Int[Array, "B S"]) -> int:
    """The most segments that a row can have: each takes at least two positions on each side, including EOS."""
    return max(min(query_segments.shape[1], key_segments.shape[1]) // 2, 2)  # with 1, cuDNN would ignore offsets


def is_real(segments: Int[Array, "B T"]) -> Bool[Array, "B 1 T 1"]:
    """False at padding, in the shape that broadcasts over heads and features."""
    return (segments != 0)[:, None, :, None]


def offsets_and_lengths(
    segments: Int[Array, "B T"], count: int
) -> tuple[Int[Array, "B {count}+1"], Int[Array, "B {count}"]]:
    """The offsets and lengths of the first `count` segments of each row, as cuDNN expects them: -1 for none.

    Segments 1 1 2 2 2 0 0 with count 3 have offsets 0 2 -1 -1 and lengths 2 3 -1.
    """
    numbers = jnp.arange(1, count + 1, dtype=jnp.int32)[None, :, None]
    segments = segments[:, None]
    lengths = (segments == numbers).sum(-1, dtype=jnp.int32)
    offsets = ((segments < numbers) & (segments != 0)).sum(-1, dtype=jnp.int32)
    is_there = lengths > 0
    offsets = jnp.pad(jnp.where(is_there, offsets, -1), ((0, 0), (0, 1)), constant_values=-1)
    return offsets, jnp.where(is_there, lengths, -1)


def tokamax(
    query: Float[Array, "B N T H"],
    key: Float[Array, "B N S H"],
    value: Float[Array, "B N S H"],
    mask: SegmentMask | CausalMask,
    bias: Float[Array, "B N T S"] | None,
    *,
    implementation: str,
) -> Float[Array, "B N T H"]:
    """The attention of one of tokamax's implementations, with a range of keys for each query as the mask."""
    library = tokamax_attention()
    ranges = mask.ranges()
    first, end = ranges.first[:, None], ranges.end[:, None]
    # `is_causal` rather than the ends of these ranges, because it lets kernels skip blocks of keys.
    limits = {"is_causal": True} if isinstance(mask, CausalMask) else {"k_end": end}
    attended = library.IMPLEMENTATIONS[implementation](
        *(x.swapaxes(1, 2) for x in (query, key, value)), bias=bias, mask=library.base.Mask(k_start=first, **limits)
    )
    return attended.swapaxes(1, 2)


def tokamax_attention() -> ModuleType:
    """tokamax's attention module. Raises NotImplementedError if tokamax is not installed.

    The module is private. The public `tokamax.dot_product_attention` takes masks as arrays only, and uses ranges of
    keys only for local windows. We call what it calls: a table of implementations, with `base.Mask`.
    """
    try:
        from absl import flags
        from tokamax._src.ops.attention import api
    except ModuleNotFoundError as error:
        raise NotImplementedError(f"{error} ({pip_install('tokamax')})") from error
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # tokamax would parse our command line, and reject our options as unknown flags
    return api


def mosaic(query: Array, key: Array, value: Array, mask: SegmentMask | CausalMask, bias: Array | None) -> Array:
    """tokamax's Mosaic kernel for GPUs (Hopper and later) or TPUs; the one for TPUs does not support ranges of keys."""
    implementation = "mosaic_tpu" if jax.default_backend() == "tpu" else "mosaic_gpu"
    return tokamax(query, key, value, mask, bias, implementation=implementation)


KERNELS: dict[str, KernelFunction] = {
    "cudnn": cudnn,
    "triton": partial(tokamax, implementation="triton"),
    "mosaic": mosaic,
}
"""Each takes (query, key, value, mask, bias), as `cudnn` does."""

PLATFORMS: dict[str, tuple[str, ...]] = {"cudnn": ("gpu",), "triton": ("gpu",), "mosaic": ("gpu", "tpu")}
"""The JAX backends that each kernel supports."""


def resolve_kernel(kernel: str) -> Kernel:
    """The kernel to use in updates here: "xla" for an unresolved "auto", and for a kernel of another backend."""
    return cast(Kernel, kernel) if jax.default_backend() in PLATFORMS.get(kernel, ()) else "xla"
