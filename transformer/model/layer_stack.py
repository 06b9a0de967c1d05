"""Layers one after the other: unrolled in the program, or as one loop over their stacked parameters."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from transformer.model.tap import is_tapped

LayerLoop = Literal["unrolled", "scan"]


def resolve_layer_loop(layer_loop: str) -> LayerLoop:
    """What `model.layer_loop` means here: a scan on GPUs and TPUs, where compiling takes longest; else unrolled."""
    if layer_loop != "auto":
        return layer_loop  # type: ignore[return-value]
    return "unrolled" if jax.default_backend() == "cpu" else "scan"


def run_layers(
    layers: Sequence[Any],
    x: Float[Array, "B T D"],
    apply: Callable[[Any, Array, Int[Array, ""] | int], Array],
    *,
    layer_loop: LayerLoop,
) -> Float[Array, "B T D"]:
    """`apply(layer, x, number)` of each layer in turn, counted from 0, on the result of the one before.

    A scan compiles one layer instead of all; its results are those of the unrolled layers up to rounding. Layers that
    are tapped are always unrolled, as each shows its arrays under a name of its own.
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
