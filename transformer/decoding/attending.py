"""A stepper that shows which source tokens the model attends to when it predicts the next token."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from transformer.decoding.stepper import Cache, Stepper
from transformer.model import Assembly
from transformer.model.tap import tap

MOST_LAYERS = 1000


class AttendedCache(NamedTuple):
    """The wrapped stepper's cache, and the attention of the newest step."""

    inside: Cache
    attention: Float[Array, "B K S"]


def attended_cache(inside: Cache, *, beams: int, source: Array) -> AttendedCache:
    """The cache for `with_attention` before the first token."""
    return AttendedCache(inside, jnp.zeros((source.shape[0], beams, source.shape[1]), jnp.float32))


def with_attention(stepper: Stepper, models: Sequence[Assembly]) -> Stepper:
    """A stepper whose `attention` is that of the last decoder layer to the source, averaged over heads.

    In an ensemble it is that of the last model. Its cache comes from `attended_cache`.
    """
    names = {models[-1].alignment_name(layer) for layer in range(MOST_LAYERS)}

    def step(tokens: Array, positions: Array, cache: AttendedCache) -> tuple[Array, AttendedCache]:
        with tap(names.__contains__) as shown:
            log_probabilities, inside = stepper.step(tokens, positions, cache.inside)
        *_, last = shown.values()
        return log_probabilities, AttendedCache(inside, last.mean(axis=1))

    def reorder(cache: AttendedCache, parents: Array) -> AttendedCache:
        return cache._replace(inside=stepper.reorder(cache.inside, parents))

    def grow(cache: AttendedCache, length: int) -> AttendedCache:
        return cache._replace(inside=stepper.grow(cache.inside, length))

    return Stepper(step, reorder, grow, lambda cache: cache.attention)
