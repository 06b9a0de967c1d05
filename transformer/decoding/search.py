"""What every search strategy takes and returns."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from data.batch import PAD

NEVER = -np.inf  # the score of what must not be chosen

Cache = Any  # any pytree: only the stepper looks inside


class Stepper(NamedTuple):
    """All that a search knows of a model.

    `step(tokens [B K], cache)` gives `(log_probabilities [B K V], cache)` for the token after the given ones: float32,
    NEVER for what may not be generated. `reorder(cache, parents [B K])` gives the cache in which beam k of a row
    continues what was its beam parents[k].
    """

    step: Callable[[Array, Cache], tuple[Array, Cache]]
    reorder: Callable[[Cache, Array], Cache]


class Settings(NamedTuple):
    """The static side of a search: a program is compiled for each value."""

    beams: int  # hypotheses alive in a row
    keep: int  # hypotheses returned for a row, at most `beams`
    length: int  # longest output in tokens, EOS counted
    length_penalty: float  # GNMT's alpha


class Hypotheses(NamedTuple):
    """The best hypotheses of each row, best first; K is `Settings.keep` here, L is `Settings.length`.

    A hypothesis that met the length limit before EOS is unfinished, and stands behind every finished one. Where a row
    has fewer hypotheses than K, the rest have length 0 and score NEVER.
    """

    tokens: Int[Array, "B K L"]  # EOS included, PAD behind it
    lengths: Int[Array, "B K"]  # EOS counted
    log_probabilities: Float[Array, "B K"]  # of all tokens together
    scores: Float[Array, "B K"]  # the same, divided by the length penalty
    finished: Bool[Array, "B K"]


def inverse_length_penalties(length: int, alpha: float) -> Float[np.ndarray, " lengths"]:
    """1 / ((5 + n) / 6) ** alpha for n = 0 .. length: a score is a log-probability times the factor of its length.

    GNMT's length penalty, Wu et al. 2016 (arXiv:1609.08144), equation 14; n counts EOS. A table from NumPy, and a
    product, because the bound of beam search needs factors that fall with n, rounding included, and because compilers
    are free to round powers and quotients differently from place to place.
    """
    return (((5 + np.arange(length + 1)) / 6) ** -alpha).astype(np.float32)


def empty_hypotheses(rows: int, hypotheses: int, length: int) -> Hypotheses:
    """Rows without any hypothesis: what a search starts from."""
    shape = (rows, hypotheses)
    never = np.full(shape, NEVER, np.float32)
    return Hypotheses(
        tokens=np.full((*shape, length), PAD, np.int32),
        lengths=np.zeros(shape, np.int32),
        log_probabilities=never,
        scores=never,
        finished=np.zeros(shape, bool),
    )
