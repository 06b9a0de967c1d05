"""Outputs that begin with given text, which may end within a word: the rule that spells its last characters."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from data.batch import EOS, PAD
from transformer.decoding.hypotheses import vocabulary_mask
from transformer.decoding.stepper import NEVER

STATES = 34
"""States of a row: 0 to 32 of its characters are spelled, and the last: all of them, so that anything may follow."""


def follow_characters(
    states: Int[Array, "B K"],
    tokens: Int[Array, "B K"],
    positions: Int[Array, " B"],
    prefixes: Int[Array, "B P"],
    steps: Int[Array, "B Z Z"],
) -> Int[Array, "B K"]:
    """The states after the newest tokens. A token that is no step has spelled all characters, and perhaps more."""
    is_step = (of_states(steps, states) == tokens[..., None]) & (tokens != PAD)[..., None]
    after = jnp.where(is_step.any(-1), jnp.argmax(is_step, axis=-1), STATES - 1)
    has_begun = positions > (prefixes != PAD).sum(-1)
    return jnp.where(has_begun[:, None], after, states).astype(states.dtype)


def spell_characters(
    log_probabilities: Float[Array, "B K V"],
    unruled: Float[Array, "B K V"],
    states: Int[Array, "B K"],
    ranges: Int[Array, "B Z 2"],
    steps: Int[Array, "B Z Z"],
    ranks: tuple[int, ...],
) -> Float[Array, "B K V"]:
    """Allows only tokens that spell more of the row's characters; those that spell nothing else, against any rule.

    `ranks` sorts the vocabulary so that the tokens with which a state can be left for good are a range.
    """
    bounds = of_states(ranges, states)
    first, last = bounds[..., :1], bounds[..., 1:]
    rank = np.array(ranks, np.int32)[None, None]
    tokens = of_states(steps, states)
    is_step = vocabulary_mask(tokens, tokens != PAD, log_probabilities.shape[-1])
    is_end = (np.arange(log_probabilities.shape[-1]) == EOS)[None, None]
    found = jnp.where(is_step & ~is_end, unruled, log_probabilities)
    is_allowed = is_step | ((rank >= first) & (rank < last))
    return jnp.where(is_allowed | (last == 0), found, NEVER)


def of_states(table: Int[Array, "B Z X"], states: Int[Array, "B K"]) -> Int[Array, "B K X"]:
    """The line of its row's table for each state."""
    return jnp.take_along_axis(table, states[..., None], axis=1)
