"""Greedy search: the likeliest token at each step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from data.batch import BOS, EOS
from transformer.decoding.search import Cache, Hypotheses, Settings, Stepper, empty_hypotheses, inverse_length_penalties


class GreedyState(NamedTuple):
    """The loop's state; K is 1."""

    step: Int[Array, ""]
    tokens: Int[Array, "B K L"]
    last: Int[Array, "B K"]
    lengths: Int[Array, "B K"]
    log_probabilities: Float[Array, "B K"]
    is_open: Bool[Array, "B K"]  # still being written
    cache: Cache


def greedy_search(stepper: Stepper, cache: Cache, rows: Bool[Array, " B"], settings: Settings) -> Hypotheses:
    """One hypothesis a row: each token is the likeliest after those before it. Rows that are False are left out.

    A row that met EOS is not touched again, so that it cannot depend on how long its neighbours take; the loop ends
    when every row has met EOS or the length limit.
    """
    if settings.beams != 1:
        raise ValueError(f"greedy search follows 1 hypothesis, and was asked for {settings.beams}: use beam search")
    empty = empty_hypotheses(rows.shape[0], 1, settings.length)
    state = GreedyState(
        step=jnp.int32(0),
        tokens=jnp.asarray(empty.tokens),
        last=jnp.full_like(empty.lengths, BOS),
        lengths=jnp.asarray(empty.lengths),
        log_probabilities=jnp.zeros_like(empty.scores),
        is_open=rows[:, None],
        cache=cache,
    )
    state = jax.lax.while_loop(
        lambda state: (state.step < settings.length) & state.is_open.any(), lambda state: advance(stepper, state), state
    )
    factors = jnp.asarray(inverse_length_penalties(settings.length, settings.length_penalty))
    scores = state.log_probabilities * factors[state.lengths]
    return Hypotheses(
        state.tokens, state.lengths, state.log_probabilities, scores, finished=rows[:, None] & (state.last == EOS)
    )


def advance(stepper: Stepper, state: GreedyState) -> GreedyState:
    """One more token for every open row."""
    log_probabilities, cache = stepper.step(state.last, state.cache)
    # Sums are compared rather than their last terms, so that rounding breaks ties exactly as in beam search.
    sums = state.log_probabilities[..., None] + log_probabilities
    best = jnp.argmax(sums, axis=-1).astype(jnp.int32)
    last = jnp.where(state.is_open, best, state.last)
    column = jnp.arange(state.tokens.shape[-1]) == state.step
    return GreedyState(
        step=state.step + 1,
        tokens=jnp.where(state.is_open[..., None] & column[None, None], best[..., None], state.tokens),
        last=last,
        lengths=state.lengths + state.is_open,
        log_probabilities=jnp.where(state.is_open, sums.max(axis=-1), state.log_probabilities),
        is_open=state.is_open & (last != EOS),
        cache=cache,
    )
