"""What every search strategy takes and returns."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from data.batch import PAD

NEVER = -np.inf  # the score of what must not be chosen

Cache = Any  # any pytree: only the stepper looks inside


class Stepper(NamedTuple):
    """All that a search knows of a model.

    `step(tokens [B K], position, cache)` gives `(log_probabilities [B K V], cache)` for the token after the given ones,
    which stand at `position`: float32, NEVER for what may not be generated. `reorder(cache, parents [B K])` gives the
    cache in which beam k of a row continues what was its beam parents[k]. `grow(cache, length)` gives the cache with
    room for `length` tokens. Every array in a cache has the rows of the search in front.
    """

    step: Callable[[Array, Array, Cache], tuple[Array, Cache]]
    reorder: Callable[[Cache, Array], Cache]
    grow: Callable[[Cache, int], Cache] = lambda cache, length: cache


class Settings(NamedTuple):
    """The static side of a search: a program is compiled for each value."""

    beams: int  # hypotheses alive in a row
    keep: int  # hypotheses returned for a row, at most `beams`
    stages: tuple[int, ...]  # lengths to which the cache grows; the last is the longest output, EOS counted
    length_penalty: float = 1.0
    penalty: Literal["gnmt", "power"] = "gnmt"
    patience: float = 1.0  # a row is complete when patience * beams hypotheses have finished
    groups: int = 1  # diverse beam search: groups of beams / groups hypotheses
    diversity: float = 0.0  # what a token costs for each hypothesis of an earlier group that chose it at the same step
    temperature: float = 1.0  # sampling: log-probabilities are divided by it
    top_k: int = 0  # sampling: only the likeliest tokens; 0: all
    top_p: float = 1.0  # sampling: only the likeliest tokens that together have this probability
    repetition_penalty: float = 1.0  # log-probabilities of tokens that were written before are multiplied by it
    unrepeated: int = 0  # no run of this many tokens is written twice; 0: no such rule
    rows: int = 0  # rows that a step computes; 0: all

    @property
    def length(self) -> int:
        """The longest output in tokens, EOS counted."""
        return self.stages[-1]


class Requirements(NamedTuple):
    """What each row asks of its output. Tokens are padded with PAD."""

    limits: Int[Array, " B"]  # longest output in tokens, EOS counted; 0: the row is left out
    minimums: Int[Array, " B"]  # fewest tokens before EOS
    prefixes: Int[Array, "B P"]  # tokens with which the output begins
    terms: Int[Array, "B M Q"]  # up to M terms of up to Q tokens that the output must contain
    keys: UInt32[Array, "B 2"]  # of the row's random numbers

    @classmethod
    def only(cls, limits: Int[Array, " B"]) -> "Requirements":
        """A length limit for each row, and nothing else."""
        rows = len(limits)
        none = jnp.zeros((rows, 0), jnp.int32)
        return cls(limits, jnp.zeros_like(limits), none, none[:, :, None], jnp.zeros((rows, 2), jnp.uint32))


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


State = Any  # a NamedTuple with `steps` [B], `is_open` [B] and `cache`, whose arrays all have the rows in front

ROUND = 8
"""Steps that rows take together before they are chosen anew."""

Advance = Callable[[State, Array], State]


def run_rounds(stepper: Stepper, state: State, settings: Settings, advance: Advance) -> State:
    """The state, without its cache, after every open row was advanced to its end or to the length limit.

    `advance(state, step)` takes open rows, all at this step, one step further, and leaves the others as they are. A
    step has the shape of `settings.rows` rows, whichever they are. In each round the rows that are furthest behind take
    a few steps together: a row that is complete makes room, and costs nothing any more. What a row computes does not
    depend on its company. Attention over a cache costs what there is room for, so that the cache grows in stages; in
    the last one, which few rows reach, only those of a round grow, and go on to their ends.
    """
    *stages, last = settings.stages
    if settings.rows in (0, len(state.steps)):
        for first, length in zip((0, *stages), settings.stages, strict=True):
            state = state._replace(cache=stepper.grow(state.cache, length))
            state = _steps(state, jnp.asarray(first, state.steps.dtype), length, advance)
        return state._replace(cache=None)
    for length in stages:
        state = state._replace(cache=stepper.grow(state.cache, length))
        state = _rounds(state, length, partial(_round, length=length, rows=settings.rows, advance=advance))
    cache = state.cache

    def finish(state: State) -> State:
        chosen, is_due, first = _choose_rows(state, last, settings.rows)
        room = stepper.grow(jax.tree.map(lambda x: x[chosen], cache), last)
        before = jax.tree.map(lambda x: x[chosen], state)._replace(cache=room)
        after = _steps(before._replace(is_open=is_due), first, last, advance)._replace(cache=None)
        return _put_back(state, before._replace(cache=None), after, chosen, is_due)

    return _rounds(state._replace(cache=None), last, finish)


def _steps(state: State, first: Array, end: Array | int, advance: Advance) -> State:
    """The state after its open rows, all at step `first`, were advanced to `end` or to their ends."""

    def is_going(now: tuple[Array, State]) -> Array:
        return (now[0] < end) & now[1].is_open.any()

    def step(now: tuple[Array, State]) -> tuple[Array, State]:
        after = advance(now[1], now[0])
        return now[0] + 1, after._replace(steps=jnp.where(now[1].is_open, now[0] + 1, now[1].steps))

    return jax.lax.while_loop(is_going, step, (first, state))[1]


def _rounds(state: State, length: int, one_round: Callable[[State], State]) -> State:
    """The state after rounds of open rows, until all are complete or at `length`."""

    def is_going(now: State) -> Array:
        return (now.is_open & (now.steps < length)).any()

    return jax.lax.while_loop(is_going, one_round, state)


def _round(state: State, *, length: int, rows: int, advance: Advance) -> State:
    """A few steps of as many as `rows` of the open rows that are furthest behind."""
    chosen, is_due, first = _choose_rows(state, length, rows)
    before = jax.tree.map(lambda x: x[chosen], state)
    after = _steps(before._replace(is_open=is_due), first, jnp.minimum(first + ROUND, length), advance)
    return _put_back(state, before, after, chosen, is_due)


def _choose_rows(state: State, length: int, rows: int) -> tuple[Array, Array, Array]:
    """Places of `rows` rows, those at the smallest open step first; which of them are at it; and that step."""
    first = jnp.where(state.is_open, state.steps, length).min()
    is_due = state.is_open & (state.steps == first)
    chosen = jnp.argsort(~is_due, stable=True)[:rows]
    return chosen, is_due[chosen], first


def _put_back(state: State, before: State, after: State, chosen: Array, is_due: Array) -> State:
    """The state with the chosen rows that were due as they are after, the others as they were before."""
    after = jax.tree.map(lambda new, old: choose(is_due, new, old), after, before)
    return jax.tree.map(lambda whole, part: whole.at[chosen].set(part, unique_indices=True), state, after)


def inverse_length_penalties(settings: Settings) -> Float[np.ndarray, " lengths"]:
    """1 / penalty(n) for n = 0 .. length: a score is a log-probability times the factor of its length n, EOS counted.

    gnmt:   ((5 + n) / 6) ** alpha, Wu et al. 2016 (arXiv:1609.08144), equation 14
    power:  n ** alpha, the mean log-probability for alpha 1; what Fairseq, CTranslate2 and Hugging Face use

    A table from NumPy, and a product, because the bound of beam search needs factors that fall with n, rounding
    included, and because compilers are free to round powers and quotients differently from place to place.
    """
    lengths = np.arange(settings.length + 1)
    base = (5 + lengths) / 6 if settings.penalty == "gnmt" else np.maximum(lengths, 1)
    return (base**-settings.length_penalty).astype(np.float32)


def empty_hypotheses(rows: int, hypotheses: int, length: int) -> Hypotheses:
    """Rows without any hypothesis: what a search starts from."""
    shape = (rows, hypotheses)
    never = np.full(shape, NEVER, np.float32)
    empty = Hypotheses(
        tokens=np.full((*shape, length), PAD, np.int32),
        lengths=np.zeros(shape, np.int32),
        log_probabilities=never,
        scores=never,
        finished=np.zeros(shape, bool),
    )
    return jax.tree.map(jnp.asarray, empty)


# --- rows of hypotheses ----------------------------------------------------------------------------------


def pick(values: Array, places: Int[Array, "B K"]) -> Array:
    """values[b, places[b, k]] for each row b."""
    return jax.vmap(lambda row, indices: row[indices])(values, places)


def append(
    written: Int[Array, "B K L"], parents: Int[Array, "B K"], tokens: Int[Array, "B K"], step: Int[Array, ""]
) -> Int[Array, "B K L"]:
    """What the parents wrote, with one more token each at place `step`."""
    column = jnp.arange(written.shape[-1]) == step
    return jnp.where(column[None, None], tokens[..., None], pick(written, parents))


def choose(rows: Bool[Array, " B"], new: Array, old: Array) -> Array:
    """New values in the given rows, old ones elsewhere."""
    return jnp.where(rows.reshape(-1, *[1] * (new.ndim - 1)), new, old)


def best_of_both(first: Hypotheses, second: Hypotheses, hypotheses: int) -> Hypotheses:
    """The best of both by score, best first; of equal scores, the first's before the second's."""
    both = jax.tree.map(lambda one, other: jnp.concatenate([one, other], axis=1), first, second)
    _, places = jax.lax.top_k(both.scores, hypotheses)
    return jax.tree.map(lambda values: pick(values, places), both)


def finished_first(first: Hypotheses, second: Hypotheses, keep: int) -> Hypotheses:
    """The `keep` best of both, finished ones before those that a limit has cut; what is not there is blank."""
    both = jax.tree.map(lambda one, other: jnp.concatenate([one, other], axis=1), first, second)
    order = jnp.lexsort((-both.scores, ~both.finished), axis=-1)[:, :keep]
    best = jax.tree.map(lambda values: pick(values, order), both)
    is_there = best.scores > NEVER
    return best._replace(
        tokens=jnp.where(is_there[..., None], best.tokens, PAD), lengths=jnp.where(is_there, best.lengths, 0)
    )
