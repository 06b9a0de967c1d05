"""The k largest of many values, without sorting them all."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from transformer.decoding.stepper import NEVER

BLOCK = 64
"""Values in a block: near the square root of common vocabulary sizes."""


def top_k(values: Float[Array, "B K V"], count: int) -> tuple[Float[Array, "B C"], Int[Array, "B C"]]:
    """The `count` largest of each row's K * V values, and their indices; of equal values, the first.

    Equal to `jax.lax.top_k` of the flat row, which would dominate a step's time on CPUs. The largest values are in the
    `count` blocks with the largest maxima. One pass finds these blocks, and only their values are sorted.
    """
    rows, groups, size = values.shape
    whole = size // BLOCK * BLOCK
    maxima = values[..., :whole].reshape(rows, groups, -1, BLOCK).max(-1)
    if whole < size:
        maxima = jnp.concatenate([maxima, values[..., whole:].max(-1, keepdims=True)], axis=-1)
    blocks = maxima.shape[-1]
    flat = values.reshape(rows, -1)
    if groups * blocks <= count:
        best, indices = jax.lax.top_k(flat, count)
        return best, indices
    chosen = jnp.sort(jax.lax.top_k(maxima.reshape(rows, -1), count)[1], axis=-1)
    inside = (chosen % blocks * BLOCK)[..., None] + jnp.arange(BLOCK)[None, None]
    indices = ((chosen // blocks * size)[..., None] + inside).reshape(rows, -1)
    candidates = jnp.take_along_axis(flat, indices, axis=1, mode="clip")
    candidates = jnp.where(inside.reshape(rows, -1) < size, candidates, NEVER)
    # Gather values by index: XLA would merge a later slice of top_k's own values into top_k, and then sort them all.
    order = jax.lax.top_k(candidates, count)[1]
    return jnp.take_along_axis(candidates, order, axis=1), jnp.take_along_axis(indices, order, axis=1)
