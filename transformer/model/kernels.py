"""Kernels of libraries that compute attention on accelerators, in place of our own formula, which is "xla"."""

from collections.abc import Callable
from typing import Literal

import jax
from jaxtyping import Array, Float

from transformer.model.masks import CausalMask, SegmentMask

Kernel = Literal["xla", "cudnn"]


def cudnn(
    query: Float[Array, "B N T H"],
    key: Float[Array, "B N S H"],
    value: Float[Array, "B N S H"],
    mask: SegmentMask | CausalMask,
    bias: Float[Array, "B N T S"] | None,
) -> Float[Array, "B N T H"]:
    """cuDNN's attention, through JAX."""
    query, key, value = (x.swapaxes(1, 2) for x in (query, key, value))
    attended = jax.nn.dot_product_attention(query, key, value, bias=bias, mask=mask.visible(), implementation="cudnn")
    return attended.swapaxes(1, 2)


KERNELS: dict[str, Callable[..., Array]] = {"cudnn": cudnn}
