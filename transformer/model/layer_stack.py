"""A stack of layers, run one after the other: unrolled in the program, or as a scan over stacked parameters."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from transformer.model.tap import is_tapped

LayerLoop = Literal["unrolled", "scan"]


def resolve_layer_loop(layer_loop: str) -> LayerLoop:
    """The loop that `model.layer_loop` "auto" selects here: a scan on TPUs, unrolled on CPUs and GPUs."""
    if layer_loop != "auto":
        return layer_loop  # type: ignore[return-value]
    return "scan" if jax.default_backend() == "tpu" else "unrolled"


def run_layers(
    layers: Sequence[Any],
    x: Float[Array, "B T D"],
    apply: Callable[[Any, Array, Int[Array, ""] | int], Array],
    *,
    layer_loop: LayerLoop,
) -> Float[Array, "B T D"]:
    """The result of `apply(layer, x, number)` for each layer in turn, numbered from 0, on the output of the last.

    A scan compiles one layer instead of all; its results equal those of unrolled layers up to rounding. While `tap` is
    active, layers are always unrolled, because each shows its arrays under its own name.
    """
    if layer_loop == "unrolled" or len(layers) < 2 or is_tapped():
        for number, layer in enumerate(layers):
            x = apply(layer, x, number)
        return x
    graphs, states = zip(*(nnx.split(layer) for layer in layers), strict=True)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)

    def one(x: Array, layer: tuple[Any, Array]) -> tuple[Array, None]:
        state, number = layer
        return apply(nnx.merge(graphs[0], state), x, number), None

    return jax.lax.scan(one, x, (stacked, jnp.arange(len(layers))))[0]
