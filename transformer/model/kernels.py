"""Kernels for attention on accelerators, as alternatives to our own formula, "xla".

A kernel takes queries, keys, values, a mask, and a bias or None. Its results at padding may be any finite values. To
add a kernel, write a function, and add its lines to KERNELS and PLATFORMS.

Training uses a kernel only after it has agreed with our own attention (`transformer.devices.kernels`), and only in
updates. Validation, search and scoring always use "xla", so that they give the same result wherever they run.
"""

from collections.abc import Callable
from typing import Literal, cast

import jax
from jaxtyping import Array, Float

from transformer.model.packed_attention import packed_attention

Kernel = Literal["xla", "pallas"]
KernelFunction = Callable[..., Float[Array, "B N T H"]]

KERNELS: dict[str, KernelFunction] = {"pallas": packed_attention}
"""Each takes (query, key, value, mask, bias), as `packed_attention` does."""

PLATFORMS: dict[str, tuple[str, ...]] = {"pallas": ("gpu",)}
"""The JAX backends that each kernel supports."""


def resolve_kernel(kernel: str) -> Kernel:
    """The kernel to use in updates here: "xla" for an unresolved "auto", and for a kernel of another backend."""
    return cast(Kernel, kernel) if jax.default_backend() in PLATFORMS.get(kernel, ()) else "xla"
