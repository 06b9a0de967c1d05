"""All that a search knows of a model: a function from the newest tokens to the probabilities of the next ones."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array

NEVER = -np.inf  # the log-probability of what must not be chosen

Cache = Any  # any pytree: only the stepper looks inside


class Stepper(NamedTuple):
    """All that a search knows of a model.

    `step(tokens [B K], positions [B], cache)` gives `(log_probabilities [B K V], cache)` for the token after the given
    ones, which stand at their row's position: float32, NEVER for what may not be generated. `reorder(cache, parents
    [B K])` gives the cache in which beam k of a row continues what was its beam parents[k]. `grow(cache, length)` gives
    the cache with room for `length` tokens. Every array in a cache has the rows of the search in front.
    """

    step: Callable[[Array, Array, Cache], tuple[Array, Cache]]
    reorder: Callable[[Cache, Array], Cache]
    grow: Callable[[Cache, int], Cache] = lambda cache, length: cache
