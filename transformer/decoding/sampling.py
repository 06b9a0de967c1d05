"""Sampling: each token is drawn according to its probability, with random numbers that belong to the line."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt32

from data.batch import BOS, EOS, PAD
from transformer.decoding.hypotheses import Hypotheses, empty_hypotheses, finished_first, put, select_rows
from transformer.decoding.plan import SearchPlan
from transformer.decoding.request import Request
from transformer.decoding.scores import scores_of
from transformer.decoding.slots import run_steps
from transformer.decoding.stepper import NEVER, Cache, Stepper

BISECTIONS = 24
"""Bisection steps to find the smallest probability in the nucleus, to within 2^-24 of the largest."""


class SamplingState(NamedTuple):
    """The loop's state: K independent samples for each row."""

    steps: Int[Array, " B"]
    tokens: Int[Array, "B K L"]
    last: Int[Array, "B K"]
    lengths: Int[Array, "B K"]
    log_probabilities: Float[Array, "B K"]
    is_writing: Bool[Array, "B K"]
    limits: Int[Array, " B"]
    keys: UInt32[Array, "B 2"]
    is_open: Bool[Array, " B"]
    cache: Cache


def sampling_search(stepper: Stepper, cache: Cache, request: Request, plan: SearchPlan) -> Hypotheses:
    """K samples for each row, best score first.

    Log-probabilities are those of the model, whatever distribution was drawn from. A row's samples depend on its own
    random key and on nothing else in the batch.
    """
    limits = request.limit
    empty = empty_hypotheses(limits.shape[0], plan.decoding.beam, plan.length)
    is_searched = limits > 0
    state = SamplingState(
        steps=jnp.zeros_like(limits),
        tokens=empty.tokens,
        last=jnp.full_like(empty.lengths, BOS),
        lengths=empty.lengths,
        log_probabilities=jnp.zeros_like(empty.scores),
        is_writing=jnp.broadcast_to(is_searched[:, None], empty.lengths.shape),
        limits=limits,
        keys=request.key,
        is_open=is_searched,
        cache=cache,
    )
    state = run_steps(stepper, state, plan, lambda state: advance(stepper, state, plan))
    scores = jnp.where(is_searched[:, None], scores_of(state.log_probabilities, state.lengths, plan), NEVER)
    is_finished = is_searched[:, None] & (state.last == EOS)
    found = Hypotheses(state.tokens, state.lengths, state.log_probabilities, scores, is_finished)
    return finished_first(found, jax.tree.map(lambda x: x[:, :0], found), plan.keep)


def advance(stepper: Stepper, state: SamplingState, plan: SearchPlan) -> SamplingState:
    """The state with one more token for every sample of the open rows that has not written EOS."""
    log_probabilities, cache = stepper.step(state.last, state.steps, state.cache)
    numbers = uniform(state.keys, state.steps, plan.decoding.beam)
    drawn = draw(keep_likeliest(log_probabilities / plan.decoding.temperature, plan), numbers)
    gained = jnp.take_along_axis(log_probabilities, drawn[..., None], axis=-1)[..., 0]
    writing = state.is_writing
    is_writing = writing & (drawn != EOS) & (state.steps + 1 < state.limits)[:, None]
    after = state._replace(
        steps=state.steps + 1,
        tokens=put(state.tokens, jnp.where(writing, drawn, PAD), state.steps),
        last=jnp.where(writing, drawn, state.last),
        lengths=state.lengths + writing,
        log_probabilities=jnp.where(writing, state.log_probabilities + gained, state.log_probabilities),
        is_writing=is_writing,
        is_open=is_writing.any(-1),
        cache=None,
    )
    kept = select_rows(state.is_open, after, state._replace(cache=None))
    return kept._replace(cache=cache)


def uniform(keys: UInt32[Array, "B 2"], steps: Int[Array, " B"], samples: int) -> Float[Array, "B samples"]:
    """A random number in [0, 1) for each sample of each row at its step."""

    def of_row(key: UInt32[Array, "2"], step: Int[Array, ""]) -> Float[Array, " samples"]:
        return jax.random.uniform(jax.random.fold_in(jax.random.wrap_key_data(key), step), (samples,))

    return jax.vmap(of_row)(keys, steps)


def keep_likeliest(logits: Float[Array, "B K V"], plan: SearchPlan) -> Float[Array, "B K V"]:
    """The logits, with NEVER outside the `top_k` likeliest tokens (Fan et al. 2018) and outside the nucleus.

    The nucleus (Holtzman et al. 2020) is the smallest set of likeliest tokens with a total probability of at least
    `top_p`, among those that `top_k` keeps. Tokens of equal probability are kept or removed together.
    """
    if 0 < plan.decoding.top_k < logits.shape[-1]:
        least = jax.lax.top_k(logits, plan.decoding.top_k)[0][..., -1:]
        logits = jnp.where(logits >= least, logits, NEVER)
    if plan.decoding.top_p < 1.0:
        weights = jnp.exp(logits - logits.max(-1, keepdims=True))
        wanted = plan.decoding.top_p * weights.sum(-1, keepdims=True)

        def halve(_: Array | int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = bounds
            middle = (low + high) / 2
            is_enough = jnp.where(weights >= middle, weights, 0).sum(-1, keepdims=True) >= wanted
            return jnp.where(is_enough, middle, low), jnp.where(is_enough, high, middle)

        low, _ = jax.lax.fori_loop(0, BISECTIONS, halve, (jnp.zeros_like(wanted), jnp.full_like(wanted, 1.0 + 1e-6)))
        logits = jnp.where(weights >= low, logits, NEVER)
    return logits


def draw(logits: Float[Array, "B K V"], numbers: Float[Array, "B K"]) -> Int[Array, "B K"]:
    """The token drawn by each number in [0, 1), by the inverse of the cumulative distribution."""
    weights = jnp.exp(logits - logits.max(-1, keepdims=True))
    cumulative = jnp.cumsum(weights, axis=-1)
    index = (cumulative <= numbers[..., None] * cumulative[..., -1:]).sum(-1)
    last = weights.shape[-1] - 1 - jnp.argmax(weights[..., ::-1] > 0, axis=-1)
    return jnp.minimum(index, last).astype(jnp.int32)
