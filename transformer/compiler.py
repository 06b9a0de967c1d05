"""Options of XLA for the programs of training, search and scoring."""

import functools
from collections.abc import Callable
from typing import Any

import jax

GPU_OPTIONS = {"xla_gpu_enable_triton_gemm": False}
"""Without this, XLA tries many Triton programs for each matrix product, which takes most of the time of compiling. On
an H100, the base model's update compiled in 25 s rather than 116 s, and its products by cuBLAS were no slower (November
2026, JAX 0.11.2)."""


@functools.cache
def compiler_options() -> dict[str, bool]:
    """Options with which to compile a large program on this backend; none where this version of XLA lacks them."""
    if jax.default_backend() != "gpu":
        return {}
    try:
        jax.jit(lambda: 0, compiler_options=GPU_OPTIONS).lower().compile()
    except RuntimeError:
        return {}
    return GPU_OPTIONS


@functools.cache
def compiled(function: Callable[..., Any], *static: str) -> Any:
    """`jax.jit` of a function under these options, with static arguments by name. Every call returns the same program.

    Unlike a decorator, it asks for the backend when a program is needed, and not when a module is imported.
    """
    return jax.jit(function, static_argnames=static, compiler_options=compiler_options())
