"""Rules on which token may come next. They wrap any stepper, so search strategies need not know about them.

To add a rule, write a function of log-probabilities and what rules remember, and add its line to `apply_rules`.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from data.batch import EOS, PAD
from transformer.decoding.hypotheses import put, vocabulary_mask
from transformer.decoding.plan import SearchPlan
from transformer.decoding.request import Request
from transformer.decoding.spelling import follow_characters, spell_characters
from transformer.decoding.stepper import NEVER, Cache, Stepper
from transformer.decoding.utf8 import complete_characters, follow_bytes, has_automaton


class OfHypotheses(NamedTuple):
    """What rules remember about each hypothesis."""

    history: Int[Array, "B K L"]  # its tokens from BOS on
    characters: Int[Array, "B K"]  # how many of its row's characters it has spelled: see `spelling.py`
    bytes: Int[Array, "B K"]  # where it is within a character: see `utf8.py`


class RuledCache(NamedTuple):
    """The wrapped stepper's cache, what rules remember about hypotheses, and the requirements of their rows."""

    inside: Cache
    memory: OfHypotheses
    request: Request


def ruled_cache(inside: Cache, request: Request, plan: SearchPlan) -> RuledCache:
    """The cache for `with_rules` before the first token."""
    none = jnp.zeros((len(request.limit), plan.decoding.beam), jnp.int32)
    history = jnp.full((*none.shape, plan.length), PAD, jnp.int32)
    return RuledCache(inside, OfHypotheses(history, none, none), request)


def with_rules(stepper: Stepper, plan: SearchPlan) -> Stepper:
    """A stepper that gives NEVER to the tokens that a rule forbids. Its cache comes from `ruled_cache`.

    The probability of forbidden tokens is not redistributed: a hypothesis keeps the score that the model gives it. Only
    a repetition penalty changes scores.
    """

    def step(tokens: Array, positions: Array, cache: RuledCache) -> tuple[Array, RuledCache]:
        log_probabilities, inside = stepper.step(tokens, positions, cache.inside)
        memory = remember(cache.memory, tokens, positions, cache.request, plan, log_probabilities.shape[-1])
        free = apply_rules(log_probabilities, memory, positions, cache.request, plan)
        return free, cache._replace(inside=inside, memory=memory)

    def reorder(cache: RuledCache, parents: Array) -> RuledCache:
        history = jnp.take_along_axis(cache.memory.history, parents[..., None], axis=1)
        states = [jnp.take_along_axis(one, parents, axis=1) for one in cache.memory[1:]]
        return cache._replace(inside=stepper.reorder(cache.inside, parents), memory=OfHypotheses(history, *states))

    def grow(cache: RuledCache, length: int) -> RuledCache:
        return cache._replace(inside=stepper.grow(cache.inside, length))

    look = stepper.attention
    return Stepper(step, reorder, grow, None if look is None else lambda cache: look(cache.inside))


def remember(
    memory: OfHypotheses,
    tokens: Int[Array, "B K"],
    positions: Int[Array, " B"],
    request: Request,
    plan: SearchPlan,
    vocabulary: int,
) -> OfHypotheses:
    """The memory after the newest tokens."""
    characters, bytes_ = memory.characters, memory.bytes
    if request.ranges.shape[1]:
        characters = follow_characters(characters, tokens, positions, request.prefix, request.steps)
    if has_automaton(plan):
        bytes_ = follow_bytes(bytes_, tokens, plan, vocabulary)
    return OfHypotheses(put(memory.history, tokens, positions), characters, bytes_)


def apply_rules(
    log_probabilities: Float[Array, "B K V"],
    memory: OfHypotheses,
    positions: Int[Array, " B"],
    request: Request,
    plan: SearchPlan,
) -> Float[Array, "B K V"]:
    """The log-probabilities after all rules. What a row must begin with comes last, and overrides the others."""
    free = log_probabilities
    if has_automaton(plan):
        free = complete_characters(free, memory.bytes, positions, request.limit, plan)
    if plan.decoding.repetition_penalty != 1.0:
        free = penalize_repetition(free, memory.history, plan.decoding.repetition_penalty)
    if plan.decoding.unrepeated:
        free = forbid_repetition(free, memory.history, positions, plan.decoding.unrepeated)
    if plan.banned:
        free = forbid_sequences(free, memory.history, positions, plan.banned)
    free = forbid_early_end(free, positions, request.minimum)
    if request.ranges.shape[1]:
        free = spell_characters(free, log_probabilities, memory.characters, request.ranges, request.steps, plan.ranks)
    if request.prefix.shape[1]:
        free = force_prefix(free, log_probabilities, positions, request.prefix)
    return free


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
    was_written = vocabulary_mask(history, jnp.ones_like(history, bool), log_probabilities.shape[-1])
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
    return jnp.where(
        vocabulary_mask(history, is_repeated & is_output, log_probabilities.shape[-1]), NEVER, log_probabilities
    )


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
    return jnp.where(vocabulary_mask(tokens, is_begun, log_probabilities.shape[-1]), NEVER, log_probabilities)
