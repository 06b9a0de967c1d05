"""Normalisation over the features of a token. To add one, write a class, and add its line to NORMS."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from transformer.compiler import opaque

EPSILON = 1e-6


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def standardized(x: Float[Array, "B T D"], is_centered: bool) -> Float[Array, "B T D"]:
    """`x` over its root mean square, sqrt(mean(x^2) + EPSILON), over features; if `is_centered`, x - mean(x) over that.

    The result is in float32. On a GPU, mean and root mean square are stored for the gradients. XLA would compute them
    again, and then needs three passes for the gradients of scale and bias, one of which writes float32 values.
    """
    return _standardize(x, is_centered)[0]


def _standardize(x, is_centered):
    wide = x.astype(jnp.float32)
    mean = wide.mean(-1, keepdims=True) if is_centered else jnp.zeros((), jnp.float32)
    inverse = jax.lax.rsqrt(jnp.square(wide - mean).mean(-1, keepdims=True) + EPSILON)
    mean, inverse = opaque((mean, inverse))
    return (wide - mean) * inverse, (x, mean, inverse)


def _standardize_backward(is_centered, saved, gradient):
    x, mean, inverse = saved
    y = (x.astype(jnp.float32) - mean) * inverse
    removed = y * (gradient * y).mean(-1, keepdims=True)
    if is_centered:
        removed = removed + gradient.mean(-1, keepdims=True)
    return ((inverse * (gradient - removed)).astype(x.dtype),)


standardized.defvjp(_standardize, _standardize_backward)


class LayerNorm(nnx.Module):
    """Layer normalisation (Ba et al. 2016, eq. 4): mean 0 and variance 1 over features, then scale and bias."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        del rngs
        self.scale = nnx.Param(jnp.ones((width,), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((width,), jnp.float32))

    @jax.named_scope("norm")
    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        normal = standardized(x, True)
        return (normal * self.scale[...][None, None] + self.bias[...][None, None]).astype(x.dtype)


class RMSNorm(nnx.Module):
    """RMSNorm (Zhang and Sennrich 2019, eq. 4): root mean square 1 over features, then scale; no bias."""

    def __init__(self, width: int, *, rngs: nnx.Rngs):
        del rngs
        self.scale = nnx.Param(jnp.ones((width,), jnp.float32))

    @jax.named_scope("norm")
    def __call__(self, x: Float[Array, "B T D"]) -> Float[Array, "B T D"]:
        normal = standardized(x, False)
        return (normal * self.scale[...][None, None]).astype(x.dtype)


NORMS = {"layer": LayerNorm, "rms": RMSNorm}
