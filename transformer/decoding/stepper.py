"""All that a search knows about a model: a function from the newest tokens to the probabilities of the next ones."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array

NEVER = -np.inf  # the log-probability of a token that must not be chosen

Cache = Any  # any pytree; only the stepper looks inside


class Stepper(NamedTuple):
    """The functions through which a search uses a model.

    `step(tokens [B K], positions [B], cache)` returns `(log_probabilities [B K V], cache)` for the next token after the
    given ones, which are at their row's position. Log-probabilities are float32, NEVER for tokens that may not be
    generated. `reorder(cache, parents [B K])` returns the cache in which beam k of a row continues its former beam
    parents[k]. `grow(cache, length)` returns the cache with room for `length` tokens. `attention(cache)`, if there is
    one, returns the attention [B K S] to the source with which the newest log-probabilities were computed. Rows are the
    first axis of every array in a cache.
    """

    step: Callable[[Array, Array, Cache], tuple[Array, Cache]]
    reorder: Callable[[Cache, Array], Cache]
    grow: Callable[[Cache, int], Cache] = lambda cache, length: cache
    attention: Callable[[Cache], Array] | None = None
