"""Rules on which token may come next. They wrap any stepper, so search strategies need not know about them.

To add a rule, write a function of log-probabilities and history, and add its line to `with_rules`.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from data.batch import EOS, PAD
from transformer.decoding.hypotheses import put
from transformer.decoding.plan import SearchPlan
from transformer.decoding.request import Request
from transformer.decoding.stepper import NEVER, Cache, Stepper


class RuledCache(NamedTuple):
    """The wrapped stepper's cache, the tokens of each hypothesis from BOS on, and the requirements of its row."""

    inside: Cache
    history: Int[Array, "B K L"]
    minimums: Int[Array, " B"]
    prefixes: Int[Array, "B P"]


def ruled_cache(inside: Cache, request: Request, plan: SearchPlan) -> RuledCache:
    """The cache for `with_rules` before the first token."""
    history = jnp.full((len(request.limit), plan.decoding.beam, plan.length), PAD, jnp.int32)
    return RuledCache(inside, history, request.minimum, request.prefix)


def with_rules(stepper: Stepper, plan: SearchPlan) -> Stepper:
    """A stepper that gives NEVER to the tokens that a rule forbids. Its cache comes from `ruled_cache`.

    The probability of forbidden tokens is not redistributed: a hypothesis keeps the score that the model gives it. Only
    a repetition penalty changes scores.
    """

    def step(tokens: Array, positions: Array, cache: RuledCache) -> tuple[Array, RuledCache]:
        log_probabilities, inside = stepper.step(tokens, positions, cache.inside)
        history = put(cache.history, tokens, positions)
        free = log_probabilities
        if plan.decoding.repetition_penalty != 1.0:
            free = penalize_repetition(free, history, plan.decoding.repetition_penalty)
        if plan.decoding.unrepeated:
            free = forbid_repetition(free, history, positions, plan.decoding.unrepeated)
        if plan.banned:
            free = forbid_sequences(free, history, positions, plan.banned)
        free = forbid_early_end(free, positions, cache.minimums)
        if cache.prefixes.shape[1]:
            free = force_prefix(free, log_probabilities, positions, cache.prefixes)
        return free, cache._replace(inside=inside, history=history)

    def reorder(cache: RuledCache, parents: Array) -> RuledCache:
        history = jnp.take_along_axis(cache.history, parents[..., None], axis=1)
        return cache._replace(inside=stepper.reorder(cache.inside, parents), history=history)

    def grow(cache: RuledCache, length: int) -> RuledCache:
        return cache._replace(inside=stepper.grow(cache.inside, length))

    look = stepper.attention
    return Stepper(step, reorder, grow, None if look is None else lambda cache: look(cache.inside))


def forbid_early_end(
    log_probabilities: Float[Array, "B K V"], positions: Int[Array, " B"], minimums: Int[Array, " B"]
) -> Float[Array, "B K V"]:
    """Forbids EOS before a row has its minimum number of tokens."""
    is_end = jnp.arange(log_probabilities.shape[-1]) == EOS
    is_early = positions < minimums
    return jnp.where(is_early[:, None, None] & is_end[None, None], NEVER, log_probabilities)


def force_prefix(
    log_probabilities: Float[Array, "B K V"],
    unruled: Float[Array, "B K V"],
    positions: Int[Array, " B"],
    prefixes: Int[Array, "B P"],
) -> Float[Array, "B K V"]:
    """Allows only the prefix's token where a row's prefix covers this position, whatever other rules say."""
    length = prefixes.shape[1]
    wanted = jnp.take_along_axis(prefixes, jnp.minimum(positions, length - 1)[:, None], axis=1)[:, 0]
    wanted = jnp.where(positions < length, wanted, PAD)
    is_wanted = jnp.arange(log_probabilities.shape[-1])[None] == wanted[:, None]
    forced = jnp.where(is_wanted[:, None], unruled, NEVER)
    return jnp.where((wanted != PAD)[:, None, None], forced, log_probabilities)


def penalize_repetition(
    log_probabilities: Float[Array, "B K V"], history: Int[Array, "B K L"], penalty: float
) -> Float[Array, "B K V"]:
    """Multiplies the log-probabilities of tokens that a hypothesis contains by the penalty (Keskar et al. 2019)."""
    was_written = mark(history, jnp.ones_like(history, bool), log_probabilities.shape[-1])
    return jnp.where(was_written, log_probabilities * penalty, log_probabilities)


def forbid_repetition(
    log_probabilities: Float[Array, "B K V"], history: Int[Array, "B K L"], positions: Int[Array, " B"], size: int
) -> Float[Array, "B K V"]:
    """Forbids a token that would complete an n-gram of `size` tokens which the hypothesis already contains."""
    length = history.shape[-1]
    newest_position = positions[:, None, None]
    is_repeated = jnp.broadcast_to(jnp.arange(length)[None, None] <= newest_position, history.shape)
    for back in range(1, size):  # compares the token `back` positions before each with the one `back` before the next
        earlier = jnp.pad(history, ((0, 0), (0, 0), (back, 0)), constant_values=-1)[..., :length]
        newest = jnp.take_along_axis(history, jnp.maximum(newest_position + 1 - back, 0), axis=-1)
        is_repeated &= (earlier == newest) & (newest_position + 1 >= back)
    is_output = (jnp.arange(length) >= size)[None, None]  # BOS is not part of an n-gram
    return jnp.where(mark(history, is_repeated & is_output, log_probabilities.shape[-1]), NEVER, log_probabilities)


def forbid_sequences(
    log_probabilities: Float[Array, "B K V"],
    history: Int[Array, "B K L"],
    positions: Int[Array, " B"],
    sequences: tuple[tuple[int, ...], ...],
) -> Float[Array, "B K V"]:
    """Forbids a token that would complete one of the sequences."""
    longest = max(map(len, sequences))
    newest = jnp.pad(history, ((0, 0), (0, 0), (longest, 0)), constant_values=-1)
    last = positions[:, None, None] + 2 + jnp.arange(longest - 1)[None, None]  # of the last longest - 1 tokens
    newest = jnp.take_along_axis(newest, last, axis=2)
    begun = np.array([(-1,) * (longest - len(one)) + one[:-1] for one in sequences], np.int32)
    begun = begun.reshape(len(sequences), longest - 1)
    is_begun = ((newest[:, :, None] == begun[None, None]) | (begun == -1)[None, None]).all(-1)
    ends = np.array([one[-1] for one in sequences], np.int32)
    tokens = jnp.broadcast_to(ends[None, None], is_begun.shape)
    return jnp.where(mark(tokens, is_begun, log_probabilities.shape[-1]), NEVER, log_probabilities)


def mark(tokens: Int[Array, "B K L"], chosen: Bool[Array, "B K L"], vocabulary: int) -> Bool[Array, "B K V"]:
    """True for each token of the vocabulary that is at one of the chosen positions."""
    rows, beams = tokens.shape[:2]
    blank = jnp.zeros((rows, beams, vocabulary), bool)
    marked = jnp.where(chosen, tokens, vocabulary)
    row, beam = jnp.arange(rows)[:, None, None], jnp.arange(beams)[None, :, None]
    return blank.at[row, beam, marked].set(True, mode="drop")
