"""Beam search with the GNMT length penalty."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from data.batch import BOS, EOS
from transformer.decoding.search import (
    NEVER,
    Cache,
    Hypotheses,
    Settings,
    Stepper,
    empty_hypotheses,
    inverse_length_penalties,
)


class BeamState(NamedTuple):
    """The loop's state: K live hypotheses of one length in each row, and the K best finished ones so far."""

    step: Int[Array, ""]  # tokens in a live hypothesis
    tokens: Int[Array, "B K L"]
    last: Int[Array, "B K"]
    log_probabilities: Float[Array, "B K"]  # NEVER: there is no such hypothesis
    finished: Hypotheses
    is_open: Bool[Array, " B"]  # still searched
    cache: Cache


def beam_search(stepper: Stepper, cache: Cache, rows: Bool[Array, " B"], settings: Settings) -> Hypotheses:
    """The best hypotheses of each row by score, log P / ((5 + length) / 6) ** alpha. Rows that are False are left out.

    At each step a row's K live hypotheses are extended by every token. Of these extensions, those among the K best that
    end in EOS are finished; the K best that do not end go on. A row is complete when K hypotheses have finished, when
    all live ones have met the length limit, or earlier, by this bound:

        A live hypothesis with log-probability p <= 0 can only become less likely, and ends with some length n <= L.
        Its final score is at most p / penalty(n) <= p / penalty(L), as the penalty rises with n and p is not positive.
        Live ones are kept in order, so that the first has the largest p. Once the `keep`-th best finished score is at
        least p / penalty(L), nothing can come before it any more (an equal score stands behind).

    The bound holds in floating point too: sums with non-positive terms, products with smaller factors, and rounding
    itself are all monotone. A complete row is not touched again: it cannot depend on its neighbours.
    """
    state = initial_state(cache, rows, settings)
    state = jax.lax.while_loop(
        lambda state: (state.step < settings.length) & state.is_open.any(),
        lambda state: advance(stepper, state, settings),
        state,
    )
    return conclude(state, rows, settings)


def initial_state(cache: Cache, rows: Bool[Array, " B"], settings: Settings) -> BeamState:
    """One empty hypothesis in each row."""
    empty = jax.tree.map(jnp.asarray, empty_hypotheses(rows.shape[0], settings.beams, settings.length))
    return BeamState(
        step=jnp.int32(0),
        tokens=empty.tokens,
        last=jnp.full_like(empty.lengths, BOS),
        log_probabilities=empty.scores.at[:, 0].set(0.0),
        finished=empty,
        is_open=rows,
        cache=cache,
    )


def advance(stepper: Stepper, state: BeamState, settings: Settings) -> BeamState:
    """One more token for every live hypothesis of the open rows."""
    log_probabilities, cache = stepper.step(state.last, state.cache)
    sums, parents, tokens = extensions(state.log_probabilities, log_probabilities)
    ends = tokens == EOS

    ended = jnp.where(ends, sums, NEVER)[:, : settings.beams]
    factors = jnp.asarray(inverse_length_penalties(settings.length, settings.length_penalty))
    scores = ended * factors[state.step + 1]
    written = append(state.tokens, parents[:, : settings.beams], tokens[:, : settings.beams], state.step)
    lengths = jnp.full_like(tokens[:, : settings.beams], 1) * (state.step + 1)
    finished = best_of_both(state.finished, Hypotheses(written, lengths, ended, scores, scores > NEVER), settings.beams)

    live, chosen = jax.lax.top_k(jnp.where(ends, NEVER, sums), settings.beams)
    parents, tokens = pick(parents, chosen), pick(tokens, chosen)
    is_full = finished.finished.all(axis=-1)
    is_settled = finished.scores[:, settings.keep - 1] >= live[:, 0] * factors[settings.length]
    after = BeamState(
        step=state.step,
        tokens=append(state.tokens, parents, tokens, state.step),
        last=tokens,
        log_probabilities=live,
        finished=finished,
        is_open=state.is_open & ~is_full & ~is_settled,
        cache=None,
    )
    kept = jax.tree.map(lambda new, old: choose(state.is_open, new, old), after, state._replace(cache=None))
    return kept._replace(step=state.step + 1, cache=stepper.reorder(cache, parents))


def extensions(
    live: Float[Array, "B K"], log_probabilities: Float[Array, "B K V"]
) -> tuple[Float[Array, "B 2*K"], Int[Array, "B 2*K"], Int[Array, "B 2*K"]]:
    """The 2K best extensions of K live hypotheses: sums, parents, tokens. At most K of them end: K can go on."""
    beams, vocabulary = log_probabilities.shape[1:]
    sums = (live[..., None] + log_probabilities).reshape(live.shape[0], beams * vocabulary)
    best, places = jax.lax.top_k(sums, 2 * beams)
    return best, places // vocabulary, places % vocabulary


def append(
    written: Int[Array, "B K L"], parents: Int[Array, "B K"], tokens: Int[Array, "B K"], step: Int[Array, ""]
) -> Int[Array, "B K L"]:
    """What the parents wrote, with one more token each at place `step`."""
    column = jnp.arange(written.shape[-1]) == step
    return jnp.where(column[None, None], tokens[..., None], pick(written, parents))


def pick(values: Array, places: Int[Array, "B K"]) -> Array:
    """values[b, places[b, k]] for each row b."""
    return jax.vmap(lambda row, indices: row[indices])(values, places)


def choose(rows: Bool[Array, " B"], new: Array, old: Array) -> Array:
    """New values in the given rows, old ones elsewhere; what has no rows stays new."""
    return jnp.where(rows.reshape(-1, *[1] * (new.ndim - 1)), new, old) if new.ndim else new


def best_of_both(first: Hypotheses, second: Hypotheses, hypotheses: int) -> Hypotheses:
    """The best of both by score, best first; of equal scores, the first's before the second's."""
    both = jax.tree.map(lambda one, other: jnp.concatenate([one, other], axis=1), first, second)
    _, places = jax.lax.top_k(both.scores, hypotheses)
    return jax.tree.map(lambda values: pick(values, places), both)


def conclude(state: BeamState, rows: Bool[Array, " B"], settings: Settings) -> Hypotheses:
    """The `keep` best finished hypotheses of each row, then the live ones, which the length limit has cut."""
    factors = jnp.asarray(inverse_length_penalties(settings.length, settings.length_penalty))
    live = jnp.where(rows[:, None], state.log_probabilities, NEVER)
    is_there = live > NEVER
    lengths = jnp.where(is_there, settings.length, 0)
    cut = Hypotheses(state.tokens, lengths, live, live * factors[settings.length], jnp.zeros_like(is_there))
    both = jax.tree.map(lambda one, other: jnp.concatenate([one, other], axis=1), state.finished, cut)
    order = jnp.lexsort((-both.scores, ~both.finished), axis=-1)[:, : settings.keep]
    best = jax.tree.map(lambda values: pick(values, order), both)
    is_there = best.scores > NEVER
    return best._replace(
        tokens=jnp.where(is_there[..., None], best.tokens, 0), lengths=jnp.where(is_there, best.lengths, 0)
    )
