"""Beam search with a length penalty, patience, and a proven bound on the scores that can still be reached."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from data.batch import BOS, EOS
from transformer.decoding.hypotheses import (
    Hypotheses,
    append,
    best_of_both,
    empty_hypotheses,
    finished_first,
    pick,
    select_rows,
)
from transformer.decoding.plan import SearchPlan
from transformer.decoding.request import Request
from transformer.decoding.scores import scores_of
from transformer.decoding.slots import run_steps
from transformer.decoding.stepper import NEVER, Cache, Stepper
from transformer.decoding.top_k import top_k


class BeamState(NamedTuple):
    """The loop's state: in each row, K live hypotheses of equal length, and the K best finished ones so far."""

    steps: Int[Array, " B"]  # tokens in a live hypothesis
    tokens: Int[Array, "B K L"]
    last: Int[Array, "B K"]
    log_probabilities: Float[Array, "B K"]  # NEVER: there is no such hypothesis
    finished: Hypotheses
    ended: Int[Array, " B"]  # hypotheses that have finished, including those not kept
    limits: Int[Array, " B"]  # longest output of the row, including EOS
    is_open: Bool[Array, " B"]  # still searched
    cache: Cache


def beam_search(stepper: Stepper, cache: Cache, request: Request, plan: SearchPlan) -> Hypotheses:
    """The best hypotheses of each row by score; see `scores_of`.

    At each step, a row's K live hypotheses are extended by every token. Extensions that end in EOS and are among the K
    best are finished; the K best of those that do not end stay live. A row is complete when patience * K hypotheses
    have finished (Kasai et al. 2022), when all live ones have reached the length limit, or earlier, by this bound:

        A live hypothesis with log-probability p <= 0 can only become less likely, and ends with some length n <= L.
        Its final score is at most p / penalty(n) <= p / penalty(L), as the penalty rises with n and p is not positive.
        Live hypotheses are sorted, so the first has the largest p. Once the `keep`-th best finished score is at least
        p / penalty(L), no live hypothesis can overtake it (an equal score ranks after it).

    The bound also holds in floating point: adding non-positive terms, multiplying by smaller factors, and rounding are
    all monotone. A complete row is not changed again, so it cannot depend on its neighbours.
    """
    state = initial_state(cache, request.limit, plan)
    state = run_steps(stepper, state, plan, lambda state: advance(stepper, state, plan))
    return conclude(state, plan)


def initial_state(cache: Cache, limits: Int[Array, " B"], plan: SearchPlan) -> BeamState:
    """One empty hypothesis in each row."""
    empty = empty_hypotheses(limits.shape[0], plan.decoding.beam, plan.length)
    return BeamState(
        steps=jnp.zeros_like(limits),
        tokens=empty.tokens,
        last=jnp.full_like(empty.lengths, BOS),
        log_probabilities=empty.scores.at[:, 0].set(0.0),
        finished=empty,
        ended=jnp.zeros_like(limits),
        limits=limits,
        is_open=limits > 0,
        cache=cache,
    )


def advance(stepper: Stepper, state: BeamState, plan: SearchPlan) -> BeamState:
    """The state with one more token for every live hypothesis of the open rows."""
    log_probabilities, cache = stepper.step(state.last, state.steps, state.cache)
    after, parents = extend(state._replace(cache=None), log_probabilities, plan, extensions, best_live)
    return after._replace(cache=stepper.reorder(cache, parents))


class Extensions(NamedTuple):
    """Candidates for the next step of a row, best first: hypotheses with one more token."""

    log_probabilities: Float[Array, "B C"]
    parents: Int[Array, "B C"]
    tokens: Int[Array, "B C"]


Propose = Callable[[BeamState, Array], Extensions]
Select = Callable[[BeamState, Extensions, SearchPlan], tuple[Array, Array]]


def extend(
    state: BeamState,
    log_probabilities: Float[Array, "B K V"],
    plan: SearchPlan,
    propose: Propose,
    select: Select,
) -> tuple[BeamState, Int[Array, "B K"]]:
    """The state with one more token for every live hypothesis of the open rows, and the parent of each new one.

    `propose` returns the candidates; those of the first K that end are finished. `select` chooses those that stay live:
    it returns their log-probabilities in descending order, and their indices among the candidates.
    """
    lengths = jnp.broadcast_to(state.steps[:, None] + 1, state.last.shape)
    candidates = propose(state, log_probabilities)
    ends = candidates.tokens == EOS
    first = jax.tree.map(lambda x: x[:, : plan.decoding.beam], candidates)

    ended = jnp.where(ends[:, : plan.decoding.beam], first.log_probabilities, NEVER)
    scores = scores_of(ended, lengths, plan)
    written = append(state.tokens, first.parents, first.tokens, state.steps)
    complete = Hypotheses(written, lengths, ended, scores, scores > NEVER)
    finished = best_of_both(state.finished, complete, plan.decoding.beam)

    going_on = candidates._replace(log_probabilities=jnp.where(ends, NEVER, candidates.log_probabilities))
    live, chosen = select(state, going_on, plan)
    parents, tokens = pick(candidates.parents, chosen), pick(candidates.tokens, chosen)
    count = state.ended + (ended > NEVER).sum(-1)
    is_full = count >= math.ceil(plan.decoding.patience * plan.decoding.beam)
    is_settled = finished.scores[:, plan.keep - 1] >= scores_of(live[:, 0], state.limits, plan)
    after = state._replace(
        steps=state.steps + 1,
        tokens=append(state.tokens, parents, tokens, state.steps),
        last=tokens,
        log_probabilities=live,
        finished=finished,
        ended=count,
        is_open=~is_full & ~is_settled & (state.steps + 1 < state.limits),
    )
    return select_rows(state.is_open, after, state), parents


def extensions(state: BeamState, log_probabilities: Float[Array, "B K V"]) -> Extensions:
    """The 2K best extensions of K live hypotheses. At most K of them end, so at least K can stay live."""
    beams, vocabulary = log_probabilities.shape[1:]
    best, indices = top_k(state.log_probabilities[..., None] + log_probabilities, 2 * beams)
    return Extensions(best, indices // vocabulary, indices % vocabulary)


def best_live(
    state: BeamState, candidates: Extensions, plan: SearchPlan
) -> tuple[Float[Array, "B K"], Int[Array, "B K"]]:
    """The K best of the candidates that do not end."""
    del state
    live, indices = jax.lax.top_k(candidates.log_probabilities, plan.decoding.beam)
    return live, indices


def conclude(state: BeamState, plan: SearchPlan) -> Hypotheses:
    """The `keep` best hypotheses of each row: finished ones first, then live ones, cut off by the length limit."""
    live = jnp.where((state.limits > 0)[:, None], state.log_probabilities, NEVER)
    lengths = jnp.broadcast_to(state.limits[:, None], live.shape)
    cut = Hypotheses(state.tokens, lengths, live, scores_of(live, lengths, plan), jnp.zeros_like(live, bool))
    return finished_first(state.finished, cut, plan.keep)
