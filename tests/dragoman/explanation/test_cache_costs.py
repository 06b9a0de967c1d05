"""The counted costs of the cache are those of the cache that decoding allocates."""

import jax
import jax.numpy as jnp

from dragoman.explanation.cache_costs import cache_costs
from transformer.model import merge


def test_the_counted_bytes_are_those_of_the_arrays_of_the_cache(translator):
    assembled = merge(translator.graph, translator.parameters)
    cache = assembled.grow(assembled.begin(jnp.ones((1, 7), jnp.int32), beams=1), 5)
    costs = cache_costs(translator.config.model, 21, source=7, target=5)
    source, target = (sum(leaf.nbytes for leaf in jax.tree.leaves(part)) for part in (cache.source, cache.target))
    assert source == costs.source_bytes
    assert target == 5 * costs.token_bytes


def test_with_the_cache_the_first_step_costs_the_same_and_later_ones_less(translator):
    costs = cache_costs(translator.config.model, 21, source=7, target=5)
    assert costs.anew[0] == costs.once + costs.steps[0]
    assert all(step < anew for step, anew in zip(costs.steps, costs.anew, strict=True))
    assert costs.saved > 1
