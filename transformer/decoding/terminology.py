"""Beam search with terminology constraints: outputs that contain given terms."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from data.batch import EOS, PAD
from transformer.decoding.beam import BeamState, Extensions, conclude, extend, extensions, initial_state
from transformer.decoding.hypotheses import Hypotheses, pick
from transformer.decoding.plan import SearchPlan
from transformer.decoding.request import Request
from transformer.decoding.slots import run_steps
from transformer.decoding.stepper import NEVER, Cache, Stepper


class TermProgress(NamedTuple):
    """How much of each term of its row a hypothesis contains."""

    is_met: Bool[Array, "B K M"]
    begun: Int[Array, "B K M"]  # number of the term's first tokens with which the hypothesis ends


class TermState(NamedTuple):
    """A beam and the terms of its rows."""

    steps: Int[Array, " B"]
    beam: BeamState  # without a cache
    terms: Int[Array, "B M Q"]
    is_open: Bool[Array, " B"]
    cache: Cache


ENDLESS = 1e6  # patience: a row is searched until no live hypothesis can improve on the result


def terminology_search(stepper: Stepper, cache: Cache, request: Request, plan: SearchPlan) -> Hypotheses:
    """The best hypotheses that contain every term of their row. Rows without terms are searched as by `beam_search`.

    A variant of dynamic beam allocation (Post and Vilar 2018). The live hypotheses of a row are grouped into banks by
    how many tokens of terms they contain. The candidates are the best extensions, and those that begin or continue a
    missing term. The beam is filled with the best candidate of each bank, then the second best of each, and so on,
    fullest bank first. So one hypothesis always has as many term tokens as possible at its length, and the terms appear
    whenever they fit in the length limit. Only hypotheses that contain all terms may end, and they may at every step.
    """
    plan = plan.with_decoding(patience=ENDLESS)
    beam = initial_state(None, request.limit, plan)
    state = TermState(beam.steps, beam, request.terms, beam.is_open, cache)
    state = run_steps(stepper, state, plan, lambda state: advance(stepper, state, plan))
    return conclude(state.beam, plan)


def advance(stepper: Stepper, state: TermState, plan: SearchPlan) -> TermState:
    """The state with one more token for every live hypothesis of the open rows."""
    log_probabilities, cache = stepper.step(state.beam.last, state.steps, state.cache)
    progress = follow(state.beam.tokens, state.steps, state.terms)

    def propose(beam: BeamState, log_probabilities: Array) -> Extensions:
        return with_terms(beam, log_probabilities, state.terms, progress)

    def select(beam: BeamState, found: Extensions, plan: SearchPlan) -> tuple[Array, Array]:
        del beam
        return fill_by_banks(found, tokens_met(found, state.terms, progress), plan.decoding.beam)

    beam, parents = extend(state.beam, log_probabilities, plan, propose, select)
    cache = stepper.reorder(cache, parents)
    return state._replace(steps=beam.steps, beam=beam, is_open=beam.is_open, cache=cache)


def follow(tokens: Int[Array, "B K L"], written: Int[Array, " B"], terms: Int[Array, "B M Q"]) -> TermProgress:
    """The progress of hypotheses, with `written` tokens in each row, on their row's terms; blank terms are met."""
    length, longest = tokens.shape[2], terms.shape[2]
    terms = terms[:, None, :, None]  # B 1 M 1 Q
    later = np.arange(length)[:, None] + np.arange(longest)[None]  # l, q: the position q after l
    here = jnp.pad(tokens, ((0, 0), (0, 0), (0, longest)))[:, :, None, later]  # B K 1 L Q
    is_met = ((here == terms) | (terms == PAD)).all(-1).any(-1)

    # The last o tokens of a hypothesis, for every o below Q, followed by blanks; -1 fills positions before the first.
    sizes, offsets = np.arange(1, longest)[:, None], np.arange(longest)[None]
    from_end = jnp.minimum(written[:, None, None] - sizes[None] + offsets[None], length - 1)
    ends = jnp.pad(tokens, ((0, 0), (0, 0), (longest, 0)), constant_values=-1)
    ends = jax.vmap(lambda row, chosen: row[:, chosen])(ends, from_end + longest)[:, :, None]  # B K 1 o Q
    is_blank = (offsets >= sizes)[None, None, None]
    is_begun = ((ends == terms) | is_blank).all(-1)
    return TermProgress(is_met, jnp.where(is_begun, sizes[None, None, None, :, 0], 0).max(-1, initial=0))


def with_terms(
    beam: BeamState, log_probabilities: Float[Array, "B K V"], terms: Int[Array, "B M Q"], progress: TermProgress
) -> Extensions:
    """Candidates: EOS for hypotheses with all terms, the best extensions by other tokens, and next tokens of terms."""
    rows, beams, vocabulary = log_probabilities.shape
    is_complete = progress.is_met.all(-1)
    ends = jnp.where(is_complete, beam.log_probabilities + log_probabilities[..., EOS], NEVER)
    every = jnp.broadcast_to(jnp.arange(beams), (rows, beams))
    ending = Extensions(ends, every, jnp.full_like(every, EOS))

    is_end = (jnp.arange(vocabulary) == EOS)[None, None]
    best = extensions(beam, jnp.where(is_end, NEVER, log_probabilities))

    next_tokens = jnp.take_along_axis(terms[:, None], progress.begun[..., None], axis=-1)[..., 0]  # B K M
    gained = jnp.take_along_axis(log_probabilities, next_tokens, axis=-1)
    extended = jnp.where(progress.is_met, NEVER, beam.log_probabilities[..., None] + gained).reshape(rows, -1)
    parents = jnp.repeat(every, terms.shape[1], axis=1)
    wanted = Extensions(extended, parents, next_tokens.reshape(rows, -1))
    is_known = is_among(wanted, best) | is_among_earlier(wanted)
    wanted = wanted._replace(log_probabilities=jnp.where(is_known, NEVER, extended))
    return Extensions(*(jnp.concatenate(parts, axis=1) for parts in zip(ending, best, wanted, strict=True)))


def is_among(ones: Extensions, others: Extensions) -> Bool[Array, "B C"]:
    """True where one of the others has the same parent and token."""
    return is_same(ones, others).any(-1)


def is_among_earlier(ones: Extensions) -> Bool[Array, "B C"]:
    """True where an earlier one has the same parent and token."""
    count = ones.tokens.shape[1]
    return (is_same(ones, ones) & jnp.tril(jnp.ones((count, count), bool), -1)[None]).any(-1)


def is_same(ones: Extensions, others: Extensions) -> Bool[Array, "B C others"]:
    """Whether parent and token are equal, for each pair."""
    same_parent = ones.parents[:, :, None] == others.parents[:, None]
    return same_parent & (ones.tokens[:, :, None] == others.tokens[:, None])


def tokens_met(found: Extensions, terms: Int[Array, "B M Q"], progress: TermProgress) -> Int[Array, "B C"]:
    """The bank of each candidate: the tokens of all terms it contains, plus those of its longest unfinished term."""
    lengths = (terms != PAD).sum(-1)[:, None]
    is_met, begun = pick(progress.is_met, found.parents), pick(progress.begun, found.parents)  # B C M
    next_tokens = jnp.take_along_axis(terms[:, None], begun[..., None], axis=-1)[..., 0]
    begins = (found.tokens[..., None] == terms[:, None, :, 0]).astype(jnp.int32)
    begun = jnp.where(found.tokens[..., None] == next_tokens, begun + 1, begins)
    is_met |= begun == lengths
    whole = jnp.where(is_met, lengths, 0).sum(-1)
    return whole + jnp.where(is_met, 0, begun).max(-1, initial=0)


def fill_by_banks(
    found: Extensions, banks: Int[Array, "B C"], beams: int
) -> tuple[Float[Array, "B K"], Int[Array, "B K"]]:
    """The best candidate of each bank, fullest first, then the second best of each, ...; returned likeliest first."""
    count = banks.shape[1]
    earlier = jnp.tril(jnp.ones((count, count), bool), -1)[None]
    is_better = found.log_probabilities[:, None] > found.log_probabilities[:, :, None]
    is_better |= (found.log_probabilities[:, None] == found.log_probabilities[:, :, None]) & earlier
    rank = (is_better & (banks[:, None] == banks[:, :, None])).sum(-1)
    order = jnp.lexsort((-banks, rank, found.log_probabilities == NEVER), axis=-1)[:, :beams]
    log_probabilities = jnp.take_along_axis(found.log_probabilities, order, axis=1)
    best_first = jnp.argsort(-log_probabilities, axis=1, stable=True)
    return jnp.take_along_axis(log_probabilities, best_first, axis=1), jnp.take_along_axis(order, best_first, axis=1)
