"""Greedy search: the likeliest token at each step."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from data.batch import BOS, EOS
from transformer.decoding.hypotheses import Hypotheses, empty_hypotheses, put, select_rows
from transformer.decoding.plan import SearchPlan
from transformer.decoding.request import Request
from transformer.decoding.scores import scores_of
from transformer.decoding.slots import run_steps
from transformer.decoding.stepper import Cache, Stepper


class GreedyState(NamedTuple):
    """The loop's state; K is 1."""

    steps: Int[Array, " B"]
    tokens: Int[Array, "B K L"]
    last: Int[Array, "B K"]
    lengths: Int[Array, "B K"]
    log_probabilities: Float[Array, "B K"]
    limits: Int[Array, " B"]
    is_open: Bool[Array, " B"]  # still being written
    cache: Cache


def greedy_search(stepper: Stepper, cache: Cache, request: Request, plan: SearchPlan) -> Hypotheses:
    """One hypothesis for each row, in which each token is the likeliest after those before it.

    A row that has written EOS is not changed again, so it cannot depend on how long its neighbours take.
    """
    limits = request.limit
    if plan.decoding.beam != 1:
        raise ValueError(f"greedy search follows 1 hypothesis, and was asked for {plan.decoding.beam}: use beam search")
    empty = empty_hypotheses(limits.shape[0], 1, plan.length)
    state = GreedyState(
        steps=jnp.zeros_like(limits),
        tokens=empty.tokens,
        last=jnp.full_like(empty.lengths, BOS),
        lengths=empty.lengths,
        log_probabilities=jnp.zeros_like(empty.scores),
        limits=limits,
        is_open=limits > 0,
        cache=cache,
    )
    state = run_steps(stepper, state, plan, lambda state: advance(stepper, state))
    scores = scores_of(state.log_probabilities, state.lengths, plan)
    is_finished = (limits > 0)[:, None] & (state.last == EOS)
    return Hypotheses(state.tokens, state.lengths, state.log_probabilities, scores, is_finished)


def advance(stepper: Stepper, state: GreedyState) -> GreedyState:
    """The state with one more token for every open row."""
    log_probabilities, cache = stepper.step(state.last, state.steps, state.cache)
    # Compares whole outputs rather than their last tokens, so that rounding breaks ties exactly as in beam search.
    extended = state.log_probabilities[..., None] + log_probabilities
    best = jnp.argmax(extended, axis=-1).astype(jnp.int32)
    after = state._replace(
        steps=state.steps + 1,
        tokens=put(state.tokens, best, state.steps),
        last=best,
        lengths=state.lengths + 1,
        log_probabilities=extended.max(axis=-1),
        is_open=(best[:, 0] != EOS) & (state.steps + 1 < state.limits),
        cache=None,
    )
    kept = select_rows(state.is_open, after, state._replace(cache=None))
    return kept._replace(cache=cache)
