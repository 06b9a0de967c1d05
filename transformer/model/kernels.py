"""Kernels of libraries that compute attention on accelerators, in place of our own formula, which is "xla".

A kernel takes queries, keys, values, a mask and a bias or None. It never gets the mask as an array: cuDNN takes the
segments of a row by their offsets and lengths, tokamax the range of keys of each query. What a kernel computes of
padding is its own affair, as long as it is finite. To add a kernel: a function, and its lines in KERNELS and PLATFORMS.

Training uses a kernel only after it agreed with our own attention (`transformer.devices.kernels`), and only in updates:
validation, search and scoring always compute by "xla", so that they give the same result wherever they run.
"""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Literal, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

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
    """cuDNN's attention of packed segments. NotImplementedError with a bias.

    Padding belongs to no segment. cuDNN leaves undefined what it computes of it: zeros take its place, and `where`
    does the same to its gradients.
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
    fits = query_segments.max(axis=1) <= count  # NaN ends training with an error; cut off segments would not
    return jnp.where(fits[:, None, None, None], jnp.where(is_real(query_segments), attended, 0), jnp.nan)


def cudnn_packed(query: Array, key: Array, value: Array, *, is_causal: bool, **segments: Array) -> Array:
    """The call of cuDNN: JAX's private function, as `jax.nn.dot_product_attention` knows no segments."""
    from jax._src.cudnn import fused_attention_stablehlo as library

    attended = library.dot_product_attention(
        *(x.swapaxes(1, 2) for x in (query, key, value)),
        **segments,
        scale=query.shape[-1] ** -0.5,
        mask_type=library.MaskType.CAUSAL if is_causal else library.MaskType.NO_MASK,
        qkv_layout="BTNH",  # offsets are counted in this layout
    )
    return attended.swapaxes(1, 2)


def segment_limit(query_segments: Int[Array, "B T"], key_segments: Int[Array, "B S"]) -> int:
    """The most segments of a row: a pair without an empty side takes two positions on each side, EOS counted."""
    return max(min(query_segments.shape[1], key_segments.shape[1]) // 2, 2)  # with 1, cuDNN would ignore offsets


def is_real(segments: Int[Array, "B T"]) -> Bool[Array, "B 1 T 1"]:
    """False where there is padding, for arrays of heads."""
    return (segments != 0)[:, None, :, None]


def offsets_and_lengths(
    segments: Int[Array, "B T"], count: int
) -> tuple[Int[Array, "B {count}+1"], Int[Array, "B {count}"]]:
    """Where the first `count` segments of each row begin, and their lengths, as cuDNN wants them: -1 for none.

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
    """An implementation of the library tokamax, with the range of keys of each query for a mask."""
    library = tokamax_attention()
    ranges = mask.ranges()
    first, end = ranges.first[:, None], ranges.end[:, None]
    # With `is_causal`, rather than the ends of the same ranges, kernels skip blocks of keys without looking at them.
    limits = {"is_causal": True} if isinstance(mask, CausalMask) else {"k_end": end}
    attended = library.IMPLEMENTATIONS[implementation](
        *(x.swapaxes(1, 2) for x in (query, key, value)), bias=bias, mask=library.base.Mask(k_start=first, **limits)
    )
    return attended.swapaxes(1, 2)


def tokamax_attention() -> ModuleType:
    """tokamax's module of attention. NotImplementedError where it is not installed.

    It is private: the public `tokamax.dot_product_attention` takes a mask as an array only, and makes ranges of keys
    for local windows alone. What it hands them to, a table of implementations and `base.Mask`, is what we use.
    """
    try:
        from absl import flags
        from tokamax._src.ops.attention import api
    except ModuleNotFoundError as error:
        raise NotImplementedError(f"{error} (pip install 'dragoman[tokamax]')") from error
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()  # tokamax would parse our command line, and reject our options as unknown flags
    return api


def mosaic(query: Array, key: Array, value: Array, mask: SegmentMask | CausalMask, bias: Array | None) -> Array:
    """tokamax's kernel in Mosaic for GPUs (Hopper and later) or TPUs; that for TPUs refuses ranges of keys so far."""
    implementation = "mosaic_tpu" if jax.default_backend() == "tpu" else "mosaic_gpu"
    return tokamax(query, key, value, mask, bias, implementation=implementation)


KERNELS: dict[str, KernelFunction] = {
    "cudnn": cudnn,
    "triton": partial(tokamax, implementation="triton"),
    "mosaic": mosaic,
}
"""Each takes query, key, value, mask, bias, as `cudnn` does."""

PLATFORMS: dict[str, tuple[str, ...]] = {"cudnn": ("gpu",), "triton": ("gpu",), "mosaic": ("gpu", "tpu")}
"""The backends of JAX that each kernel is for."""


def resolve_kernel(kernel: str) -> Kernel:
    """The kernel of updates here: "xla" for an "auto" that nothing has resolved, and for a kernel of other machines."""
    return cast(Kernel, kernel) if jax.default_backend() in PLATFORMS.get(kernel, ()) else "xla"
