"""Position-wise feed-forward networks. To add one, write a class, and add its line to FEED_FORWARDS."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from transformer.compiler import opaque
from transformer.config import ModelConfig
from transformer.model.dense import Dense, Precision, project
from transformer.model.dropout import DropoutSite, dropout


@jax.custom_vjp
def relu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """max(0, x). On a GPU, its gradient is computed from the result, so that `x` itself need not be kept for it.

    This lets XLA compute bias and ReLU at the end of the matrix product, without another pass.
    """
    return jnp.maximum(x, 0)


def _relu_forward(x):
    y = opaque(jnp.maximum(x, 0))  # else XLA would replace `y > 0` by `x > 0`
    return y, y


def _relu_backward(y, gradient):
    return (jnp.where(y > 0, gradient, 0),)


relu.defvjp(_relu_forward, _relu_backward)


class FeedForward(nnx.Module):
    """The position-wise feed-forward network: max(0, x W1 + b1) W2 + b2 (Vaswani et al. 2017, eq. 2), or with GELU."""

    def __init__(self, config: ModelConfig, *, precision: Precision, rngs: nnx.Rngs):
        self.up = Dense(config.width, config.feed_forward, precision=precision, rngs=rngs)
        self.down = Dense(config.feed_forward, config.width, precision=precision, rngs=rngs)
        self.activate: Callable[[Array], Array] = relu if config.activation == "relu" else jax.nn.gelu
        self.dropout = config.activation_dropout

    def __call__(self, x: Float[Array, "B T D"], *, dropout_site: DropoutSite | None = None) -> Float[Array, "B T D"]:
        return self.down(dropout(self.activate(self.up(x)), self.dropout, dropout_site))


class GatedFeedForward(nnx.Module):
    """SwiGLU: (silu(x W) * (x V)) W2 (Shazeer 2020, eq. 6), with biases."""

    def __init__(self, config: ModelConfig, *, precision: Precision, rngs: nnx.Rngs):
        self.gate = Dense(config.width, config.feed_forward, precision=precision, rngs=rngs)
        self.up = Dense(config.width, config.feed_forward, precision=precision, rngs=rngs)
        self.down = Dense(config.feed_forward, config.width, precision=precision, rngs=rngs)
        self.dropout = config.activation_dropout

    def __call__(self, x: Float[Array, "B T D"], *, dropout_site: DropoutSite | None = None) -> Float[Array, "B T D"]:
        gate, up = project(x, self.gate, self.up)
        return self.down(dropout(jax.nn.silu(gate) * up, self.dropout, dropout_site))


FEED_FORWARDS = {"relu": FeedForward, "gelu": FeedForward, "swiglu": GatedFeedForward}
