"""Beam search with terminology constraints: outputs that contain given terms where they belong."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
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
from transformer.decoding.terms import (
    Progress,
    Terms,
    begun_tokens,
    ends_whole,
    follow,
    is_met,
    no_progress,
    tokens_met,
)
from transformer.decoding.top_k import top_k

UNMET_PENALTY = 14.0  # nats that an output loses for a term that it lacks
UNMET_PENALTY_PER_TOKEN = 3.0  # nats for each token of the term after its first
PLACEMENT_WEIGHT = 2.0  # of the logarithm of the attention to a term's source where the term begins
LEAST_ATTENTION = 0.02
FREE_CANDIDATES = 4  # candidates of each hypothesis, besides EOS and the tokens of terms


class TermState(NamedTuple):
    """The loop's state: live hypotheses of equal length, what they contain, and the best finished ones so far."""

    steps: Int[Array, " B"]
    tokens: Int[Array, "B K L"]
    last: Int[Array, "B K"]
    log_probabilities: Float[Array, "B K"]  # NEVER: there is no such hypothesis
    placement_score: Float[Array, "B K"]  # at most 0: the cost of beginning terms elsewhere than at their source
    progress: Progress
    finished: Hypotheses
    ended: Int[Array, " B"]  # complete hypotheses that ended where the model would end them
    request: Request
    is_open: Bool[Array, " B"]
    cache: Cache


class Candidates(NamedTuple):
    """Hypotheses with one more token."""

    log_probabilities: Float[Array, "B C"]
    placement_score: Float[Array, "B C"]
    parents: Int[Array, "B C"]
    tokens: Int[Array, "B C"]


def terminology_search(stepper: Stepper, cache: Cache, request: Request, plan: SearchPlan) -> Hypotheses:
    """The best hypotheses of each row, with a penalty for each term of the row that is missing.

    A variant of dynamic beam allocation (Post and Vilar 2018). The live hypotheses of a row are grouped into banks by
    how many tokens of terms they contain. The candidates are the best extensions of each hypothesis, and those that
    begin or continue a missing term. The beam is filled with the best candidate of each bank, then the second best of
    each, and so on. So beginnings with few terms and with many survive side by side, and probability decides where a
    term stands.

    Beginning a term while the model attends elsewhere than to the term's source costs the logarithm of the attention to
    it. Where the model would end the sentence, a hypothesis ends, even if it lacks terms: nothing is added to a
    sentence that is complete. So a term that fits nowhere is left out. The costs decide which hypothesis is best and
    are in its score, not in its log-probability.
    """
    state = initial_state(cache, request, plan)
    state = run_steps(stepper, state, plan, lambda state: advance(stepper, state, plan))
    live = jnp.where((request.limit > 0)[:, None], state.log_probabilities, NEVER)
    lengths = jnp.broadcast_to(request.limit[:, None], live.shape)
    lacking = unmet_penalty(is_met(state.progress, terms_of(request)), terms_of(request))
    scores = scores_of(live + state.placement_score - lacking, lengths, plan)
    cut = Hypotheses(state.tokens, lengths, live, scores, jnp.zeros_like(live, bool))
    return finished_first(state.finished, cut, plan.keep)


def terms_of(request: Request) -> Terms:
    """The terms of each row."""
    return Terms(request.terms, request.items)


def initial_state(cache: Cache, request: Request, plan: SearchPlan) -> TermState:
    """One empty hypothesis in each row."""
    empty = empty_hypotheses(request.limit.shape[0], plan.decoding.beam, plan.length)
    return TermState(
        steps=jnp.zeros_like(request.limit),
        tokens=empty.tokens,
        last=jnp.full_like(empty.lengths, BOS),
        log_probabilities=empty.scores.at[:, 0].set(0.0),
        placement_score=jnp.zeros_like(empty.scores),
        progress=no_progress(terms_of(request), plan.decoding.beam),
        finished=empty,
        ended=jnp.zeros_like(request.limit),
        request=request,
        is_open=request.limit > 0,
        cache=cache,
    )


def advance(stepper: Stepper, state: TermState, plan: SearchPlan) -> TermState:
    """The state with one more token for every live hypothesis of the open rows."""
    log_probabilities, cache = stepper.step(state.last, state.steps, state.cache)
    terms = terms_of(state.request)
    placement = placement_scores(stepper, cache, state.request, plan.decoding.beam)
    would_end = jnp.argmax(log_probabilities, axis=-1) == EOS
    continues_word = continuation_mask(plan, log_probabilities.shape[-1])
    finished, ended = finish(state, log_probabilities, would_end, terms, plan)

    found = candidates(state, log_probabilities, placement, would_end, terms, continues_word)
    progress = follow(state.progress.of(found.parents), found.tokens, terms, continues_word)
    chosen = fill_by_banks(found, tokens_met(progress, terms), plan.decoding.beam)
    live = jax.tree.map(lambda values: pick(values, chosen), found)
    ranked = live.log_probabilities + live.placement_score
    is_full = ended >= math.ceil(plan.decoding.patience * plan.decoding.beam)
    is_settled = finished.scores[:, plan.keep - 1] >= scores_of(ranked.max(-1), state.request.limit, plan)
    after = state._replace(
        steps=state.steps + 1,
        tokens=append(state.tokens, live.parents, live.tokens, state.steps),
        last=live.tokens,
        log_probabilities=live.log_probabilities,
        placement_score=live.placement_score,
        progress=progress.of(chosen),
        finished=finished,
        ended=ended,
        is_open=~is_full & ~is_settled & (state.steps + 1 < state.request.limit),
        cache=None,
    )
    kept = select_rows(state.is_open, after, state._replace(cache=None))
    return kept._replace(cache=stepper.reorder(cache, live.parents))


def placement_scores(stepper: Stepper, cache: Cache, request: Request, beams: int) -> Float[Array, "B K M"]:
    """The cost of beginning each term now: the weighted logarithm of the attention to its source; 0 if unknown."""
    places = request.places.astype(jnp.float32)
    if stepper.attention is None:
        return jnp.zeros((len(places), beams, places.shape[1]))
    attention = jnp.einsum("BKS,BMS->BKM", stepper.attention(cache), places)
    cost = PLACEMENT_WEIGHT * jnp.log(jnp.clip(attention, LEAST_ATTENTION, 1.0))
    return jnp.where(places.any(-1)[:, None], cost, 0.0)


def continuation_mask(plan: SearchPlan, vocabulary: int) -> Bool[Array, " V"]:
    """True for the tokens that continue the word before them."""
    marked = np.zeros(vocabulary, bool)
    marked[list(plan.joins)] = True
    return jnp.asarray(marked)


def unmet_penalty(met: Bool[Array, "B K M"], terms: Terms) -> Float[Array, "B K"]:
    """What the score of a hypothesis loses for the terms that it lacks."""
    each = jnp.where(terms.sizes > 0, UNMET_PENALTY + UNMET_PENALTY_PER_TOKEN * (terms.sizes - 1), 0.0)
    return jnp.where(met, 0.0, each[:, None]).sum(-1)


def finish(
    state: TermState,
    log_probabilities: Float[Array, "B K V"],
    would_end: Bool[Array, "B K"],
    terms: Terms,
    plan: SearchPlan,
) -> tuple[Hypotheses, Int[Array, " B"]]:
    """The best finished hypotheses after this step, and how many complete ones have ended in the model's own way."""
    lengths = jnp.broadcast_to(state.steps[:, None] + 1, state.last.shape)
    met = is_met(state.progress, terms)
    ended = state.log_probabilities + log_probabilities[..., EOS]
    scores = scores_of(ended + state.placement_score - unmet_penalty(met, terms), lengths, plan)
    parents = jnp.broadcast_to(jnp.arange(ended.shape[1]), ended.shape)
    written = append(state.tokens, parents, jnp.full_like(parents, EOS), state.steps)
    complete = Hypotheses(written, lengths, ended, scores, scores > NEVER)
    count = would_end & met.all(-1) & (ended > NEVER)
    return best_of_both(state.finished, complete, plan.decoding.beam), state.ended + count.sum(-1)


def candidates(
    state: TermState,
    log_probabilities: Float[Array, "B K V"],
    placement: Float[Array, "B K M"],
    would_end: Bool[Array, "B K"],
    terms: Terms,
    continues_word: Bool[Array, " V"],
) -> Candidates:
    """The next tokens of missing terms, and the likeliest other tokens of each hypothesis; no EOS."""
    rows, beams, _ = log_probabilities.shape
    is_over = would_end & ~is_met(state.progress, terms).all(-1)
    wanted, is_wanted, begins = wanted_tokens(state.progress, terms, is_over)
    gained = jnp.take_along_axis(log_probabilities, wanted, axis=-1)
    is_candidate = is_wanted & ~is_repeated(wanted, is_wanted)
    of_terms = jnp.where(is_candidate, state.log_probabilities[..., None] + gained, NEVER)
    placement_score = state.placement_score[..., None] + jnp.where(begins, placement, 0.0)

    free, tokens = free_tokens(state.progress, log_probabilities, terms, is_over, continues_word)
    is_known = ((tokens[..., None] == wanted[:, :, None]) & is_wanted[:, :, None]).any(-1)
    of_others = jnp.where(is_known, NEVER, state.log_probabilities[..., None] + free)

    def joined(first: Array, second: Array) -> Array:
        return jnp.concatenate([first, jnp.broadcast_to(second, free.shape)], axis=-1).reshape(rows, -1)

    parents = jnp.arange(beams)[None, :, None]
    return Candidates(
        joined(of_terms, of_others),
        joined(placement_score, state.placement_score[..., None]),
        joined(jnp.broadcast_to(parents, wanted.shape), parents),
        joined(wanted, tokens),
    )


def wanted_tokens(
    progress: Progress, terms: Terms, is_over: Bool[Array, "B K"]
) -> tuple[Int[Array, "B K M"], Bool[Array, "B K M"], Bool[Array, "B K M"]]:
    """The next token of each term, whether a hypothesis may continue with it, and whether the term begins with it.

    A hypothesis that is inside a term begins no other one, and neither does one that the model would end.
    """
    begun = begun_tokens(progress, terms)
    tokens = jnp.take_along_axis(terms.tokens[:, None], begun[..., None], axis=-1)[..., 0]
    begins = begun == 0
    may_begin = ~is_over & ~(begun > 0).any(-1)
    return tokens, ~is_met(progress, terms) & (~begins | may_begin[..., None]), begins


def free_tokens(
    progress: Progress,
    log_probabilities: Float[Array, "B K V"],
    terms: Terms,
    is_over: Bool[Array, "B K"],
    continues_word: Bool[Array, " V"],
) -> tuple[Float[Array, "B K best"], Int[Array, "B K best"]]:
    """The log-probabilities of the FREE_CANDIDATES likeliest tokens of each hypothesis, and these tokens.

    EOS is not among them, nor is a token that would continue the last word of a term that has just been completed. A
    hypothesis that the model would end has none.
    """
    rows, beams, vocabulary = log_probabilities.shape
    is_end = (jnp.arange(vocabulary) == EOS)[None, None]
    completes = (ends_whole(progress, terms) & ~progress.is_closed).any(-1)
    forbidden = is_end | is_over[..., None] | (completes[..., None] & continues_word[None, None])
    free = jnp.where(forbidden, NEVER, log_probabilities).reshape(rows * beams, 1, vocabulary)
    best, tokens = (values.reshape(rows, beams, -1) for values in top_k(free, FREE_CANDIDATES))
    return best, tokens


def is_repeated(tokens: Int[Array, "B K M"], chosen: Bool[Array, "B K M"]) -> Bool[Array, "B K M"]:
    """True where an earlier chosen token of the same hypothesis is the same."""
    count = tokens.shape[-1]
    earlier = jnp.tril(jnp.ones((count, count), bool), -1)[None, None]
    return ((tokens[..., :, None] == tokens[..., None, :]) & chosen[..., None, :] & earlier).any(-1)


def fill_by_banks(found: Candidates, banks: Int[Array, "B C"], beams: int) -> Int[Array, "B K"]:
    """The indices of the best candidate of each bank, then of the second best of each, and so on.

    The emptiest bank comes first, then the fullest and so on downwards. A candidate comes after all others if one of a
    fuller bank is likelier.
    """
    ranked = found.log_probabilities + found.placement_score
    exists = ranked > NEVER
    is_beaten = ((banks[:, None] > banks[:, :, None]) & (ranked[:, None] > ranked[:, :, None])).any(-1)
    emptiest = jnp.where(exists & ~is_beaten, banks, jnp.iinfo(jnp.int32).max).min(-1, keepdims=True)
    order = jnp.lexsort((-ranked, banks), axis=-1)
    sorted_banks = jnp.take_along_axis(banks, order, axis=1)
    first = jax.vmap(lambda row: jnp.searchsorted(row, row, side="left"))(sorted_banks)
    rank = jnp.take_along_axis(jnp.arange(order.shape[1])[None] - first, jnp.argsort(order, axis=-1), axis=1)
    return jnp.lexsort((-banks, banks != emptiest, rank, is_beaten, ~exists), axis=-1)[:, :beams]
