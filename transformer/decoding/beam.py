"""Beam search with a length penalty, patience, and a proven bound on what can still come."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from data.batch import BOS, EOS
from transformer.decoding.largest import largest
from transformer.decoding.search import (
    NEVER,
    Cache,
    Hypotheses,
    Requirements,
    Settings,
    Stepper,
    append,
    best_of_both,
    choose,
    empty_hypotheses,
    finished_first,
    inverse_length_penalties,
    pick,
    run_steps,
)


class BeamState(NamedTuple):
    """The loop's state: K live hypotheses of one length in each row, and the K best finished ones so far."""

    steps: Int[Array, " B"]  # tokens in a live hypothesis
    tokens: Int[Array, "B K L"]
    last: Int[Array, "B K"]
    log_probabilities: Float[Array, "B K"]  # NEVER: there is no such hypothesis
    finished: Hypotheses
    ended: Int[Array, " B"]  # hypotheses that have finished, kept or not
    limits: Int[Array, " B"]  # longest output of the row, EOS counted
    is_open: Bool[Array, " B"]  # still searched
    cache: Cache


def beam_search(stepper: Stepper, cache: Cache, rows: Requirements, settings: Settings) -> Hypotheses:
    """The best hypotheses of each row by score, log P / penalty(length); see `inverse_length_penalties`.

    At each step a row's K live hypotheses are extended by every token. Of these extensions, those among the K best that
    end in EOS are finished; the K best that do not end go on. A row is complete when patience * K hypotheses have
    finished (Kasai et al. 2022), when all live ones have met the length limit, or earlier, by this bound:

        A live hypothesis with log-probability p <= 0 can only become less likely, and ends with some length n <= L.
        Its final score is at most p / penalty(n) <= p / penalty(L), as the penalty rises with n and p is not positive.
        Live ones are kept in order, so that the first has the largest p. Once the `keep`-th best finished score is at
        least p / penalty(L), nothing can come before it any more (an equal score stands behind).

    The bound holds in floating point too: sums with non-positive terms, products with smaller factors, and rounding
    itself are all monotone. A complete row is not touched again: it cannot depend on its neighbours.
    """
    state = initial_state(cache, rows.limits, settings)
    state = run_steps(stepper, state, settings, lambda state: advance(stepper, state, settings))
    return conclude(state, settings)


def initial_state(cache: Cache, limits: Int[Array, " B"], settings: Settings) -> BeamState:
    """One empty hypothesis in each row."""
    empty = empty_hypotheses(limits.shape[0], settings.beams, settings.length)
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


def advance(stepper: Stepper, state: BeamState, settings: Settings) -> BeamState:
    """One more token for every live hypothesis of the open rows."""
    log_probabilities, cache = stepper.step(state.last, state.steps, state.cache)
    after, parents = extend(state._replace(cache=None), log_probabilities, settings, extensions, best_live)
    return after._replace(cache=stepper.reorder(cache, parents))


class Extensions(NamedTuple):
    """Candidates for the next step of a row, best first: hypotheses with one more token."""

    sums: Float[Array, "B C"]  # log-probabilities
    parents: Int[Array, "B C"]
    tokens: Int[Array, "B C"]


Propose = Callable[[BeamState, Array], Extensions]
Select = Callable[[BeamState, Extensions, Settings], tuple[Array, Array]]


def extend(
    state: BeamState,
    log_probabilities: Float[Array, "B K V"],
    settings: Settings,
    propose: Propose,
    select: Select,
) -> tuple[BeamState, Int[Array, "B K"]]:
    """The state with one more token for every live hypothesis of the open rows, and whom the new ones go on from.

    `propose` names the candidates, of which those among the first K that end are finished, and `select` those that
    go on: their log-probabilities, falling, and their places among the candidates.
    """
    step = state.steps
    candidates = propose(state, log_probabilities)
    ends = candidates.tokens == EOS
    first = jax.tree.map(lambda x: x[:, : settings.beams], candidates)

    ended = jnp.where(ends[:, : settings.beams], first.sums, NEVER)
    factors = jnp.asarray(inverse_length_penalties(settings))
    scores = ended * factors[step + 1][:, None]
    lengths = jnp.broadcast_to(step[:, None] + 1, ended.shape)
    written = append(state.tokens, first.parents, first.tokens, step)
    finished = best_of_both(state.finished, Hypotheses(written, lengths, ended, scores, scores > NEVER), settings.beams)

    going_on = candidates._replace(sums=jnp.where(ends, NEVER, candidates.sums))
    live, places = select(state, going_on, settings)
    parents, tokens = pick(candidates.parents, places), pick(candidates.tokens, places)
    count = state.ended + (ended > NEVER).sum(-1)
    is_full = count >= math.ceil(settings.patience * settings.beams)
    is_settled = finished.scores[:, settings.keep - 1] >= live[:, 0] * factors[state.limits]
    after = state._replace(
        steps=step + 1,
        tokens=append(state.tokens, parents, tokens, step),
        last=tokens,
        log_probabilities=live,
        finished=finished,
        ended=count,
        is_open=~is_full & ~is_settled & (step + 1 < state.limits),
    )
    return jax.tree.map(lambda new, old: choose(state.is_open, new, old), after, state), parents


def extensions(state: BeamState, log_probabilities: Float[Array, "B K V"]) -> Extensions:
    """The 2K best extensions of K live hypotheses. At most K of them end: K can go on."""
    beams, vocabulary = log_probabilities.shape[1:]
    sums, places = largest(state.log_probabilities[..., None] + log_probabilities, 2 * beams)
    return Extensions(sums, places // vocabulary, places % vocabulary)


def best_live(
    state: BeamState, candidates: Extensions, settings: Settings
) -> tuple[Float[Array, "B K"], Int[Array, "B K"]]:
    """The K best of the candidates that go on."""
    del state
    live, places = jax.lax.top_k(candidates.sums, settings.beams)
    return live, places


def conclude(state: BeamState, settings: Settings) -> Hypotheses:
    """The `keep` best finished hypotheses of each row, then the live ones, which the length limit has cut."""
    factors = jnp.asarray(inverse_length_penalties(settings))
    live = jnp.where((state.limits > 0)[:, None], state.log_probabilities, NEVER)
    lengths = jnp.broadcast_to(state.limits[:, None], live.shape)
    scores = live * factors[state.limits][:, None]
    cut = Hypotheses(state.tokens, lengths, live, scores, jnp.zeros_like(live, bool))
    return finished_first(state.finished, cut, settings.keep)
