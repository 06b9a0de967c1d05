"""The model's matrix product, under a precision policy.

Every projection of the Transformer goes through `project`. Rows and positions are flattened first, so that the product
and both of its gradients are plain matrix products, the form for which CPUs have fast kernels.
"""

from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Float

from transformer.compiler import opaque

Precision = Literal["float32", "bfloat16", "bfloat16_float32"]


def resolve_precision(precision: str) -> Precision:
    """The policy that "auto" selects here: bfloat16 on GPU and TPU; on CPU, the fastest its instructions allow."""
    if precision != "auto":
        return precision  # type: ignore[return-value]
    if jax.default_backend() != "cpu":
        return "bfloat16"
    return "bfloat16_float32" if cpu_features() & {"avx512_bf16", "amx_bf16"} else "float32"


def cpu_features() -> frozenset[str]:
    """The instruction sets of this processor by their Linux names; empty where Linux does not list them."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text(encoding="utf-8").split("\n") if about.exists() else []
    return frozenset(next((line for line in lines if line.startswith("flags")), "").split()[2:])


def activation_dtype(precision: Precision) -> jnp.dtype:
    """The type of activations between layers."""
    return jnp.dtype(jnp.bfloat16 if precision == "bfloat16" else jnp.float32)


ROW_MAJOR = Layout(major_to_minor=(0, 1))


def contract(a: Array, b: Array, a_axis: int, b_axis: int, precision: Precision) -> Array:
    """The product of two matrices over one axis of each, with float32 sums and result under every policy."""
    if precision != "float32":
        a, b = a.astype(jnp.bfloat16), b.astype(jnp.bfloat16)
    if precision == "bfloat16_float32" and a_axis == 0:  # the CPU's bfloat16 kernels contract a first axis slowly
        a, a_axis = with_layout_constraint(a.T, ROW_MAJOR), 1
    product = jax.lax.dot_general(a, b, (((a_axis,), (b_axis,)), ((), ())), preferred_element_type=jnp.float32)
    # XLA would merge a later transposition into the product, and CPU kernels cannot write a transposed result
    return with_layout_constraint(product, ROW_MAJOR) if precision == "bfloat16_float32" else product


@jax.custom_vjp
def mixed_product(x: Float[Array, "rows D"], w: Float[Array, "D F"]) -> Float[Array, "rows F"]:
    """`x @ w` with bfloat16 operands and a float32 sum and result, in both directions.

    Only this form uses the bfloat16 units of a CPU. Its gradients are written out because the automatic ones transpose
    a mixed-precision result, which XLA's CPU backend cannot do.
    """
    return contract(x, w, 1, 0, "bfloat16_float32")


def _mixed_forward(x, w):
    x, w = x.astype(jnp.bfloat16), w.astype(jnp.bfloat16)
    return contract(x, w, 1, 0, "bfloat16_float32"), (x, w)


def _mixed_backward(saved, gradient):
    x, w = saved
    return contract(gradient, w, 1, 1, "bfloat16_float32"), contract(x, gradient, 0, 0, "bfloat16_float32")


mixed_product.defvjp(_mixed_forward, _mixed_backward)


def matrix_product(x: Float[Array, "rows D"], w: Float[Array, "D F"], precision: Precision) -> Float[Array, "rows F"]:
    """`x @ w` under a precision policy."""
    if precision == "bfloat16_float32":
        return mixed_product(x, w)
    dtype = activation_dtype(precision)
    return jnp.dot(x.astype(dtype), w.astype(dtype))


class Dense(nnx.Module):
    """A map of the last axis: `x @ kernel + bias`, or without the bias."""

    def __init__(
        self, features_in: int, features_out: int, *, precision: Precision, rngs: nnx.Rngs, has_bias: bool = True
    ):
        initialize = nnx.initializers.xavier_uniform()
        self.kernel = nnx.Param(initialize(rngs.params(), (features_in, features_out), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((features_out,), jnp.float32)) if has_bias else None
        self.precision = precision

    def __call__(self, x: Float[Array, "*rows D"]) -> Float[Array, "*rows F"]:
        return project(x, self)[0]

    def round_parameters(self) -> None:
        """Rounds kernel and bias to the types in which `project` uses them, which changes no result."""
        if self.precision != "float32":
            self.kernel = nnx.Param(opaque(self.kernel[...].astype(jnp.bfloat16)))
            if self.bias is not None:
                self.bias = nnx.Param(opaque(self.bias[...].astype(activation_dtype(self.precision))))


@jax.named_scope("projection")
def project(x: Float[Array, "*rows D"], *layers: Dense) -> list[Float[Array, "*rows F"]]:
    """The outputs of several layers for the same input, computed as one wide matrix product, which is faster."""
    widths = [layer.kernel.shape[1] for layer in layers]
    kernel = jnp.concatenate([layer.kernel[...] for layer in layers], axis=1)
    flat = matrix_product(x.reshape(-1, x.shape[-1]), kernel, layers[0].precision)
    biases = [None if layer.bias is None else layer.bias[...] for layer in layers]
    if any(bias is not None for bias in biases):
        zeros = map(jnp.zeros, widths)
        wide = jnp.concatenate([zero if bias is None else bias for bias, zero in zip(biases, zeros, strict=True)])
        flat = flat + wide.astype(flat.dtype)[None, :]
    outputs = jnp.split(flat, np.cumsum(widths[:-1]), axis=1)
    return [out.reshape(*x.shape[:-1], out.shape[1]) for out in outputs]
