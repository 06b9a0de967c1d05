"""Options of XLA for the programs of training, search and scoring, and help for it to compile few kernels."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

GPU_OPTIONS = {"xla_gpu_enable_triton_gemm": False}
"""Otherwise XLA tries many Triton programs for each matrix product, which takes most of the time of compiling: on an
H100, 116 s for the base model's update, rather than 25 to 31 s without them (docs/benchmarks.md, "GPUs")."""


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


Tree = TypeVar("Tree")


def opaque(x: Tree) -> Tree:
    """`x`; on a GPU, XLA cannot see how it was computed, so that its value is stored and used as it is.

    Elsewhere, XLA is free to compute it again where it is used, to merge it with the same computation elsewhere, and to
    replace it by its inputs.
    """
    return jax.lax.optimization_barrier(x) if jax.default_backend() == "gpu" else x


def member(stack: Array, index: Int[Array, ""] | int) -> Array:
    """`stack[index]`, for members that are used in the same way.

    On a GPU, XLA would compile one kernel for each index; it compiles one for all while it does not know the index.
    """
    return jax.lax.dynamic_index_in_dim(stack, opaque(jnp.asarray(index, jnp.int32)), keepdims=False)
