"""Byte tokens only ever complete characters: a rule for vocabularies that spell rare characters in UTF-8 bytes.

Models with label smoothing give every token some probability, so samples would otherwise contain bytes in no order,
and control characters, which terminals obey.
"""

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from transformer.decoding.plan import SearchPlan
from transformer.decoding.stepper import NEVER

START, ONE, TWO, THREE, AFTER_C2, AFTER_E0, AFTER_ED, AFTER_EF, AFTER_EF_BF, AFTER_F0, AFTER_F4 = range(11)
"""Where a hypothesis is: between characters; before the last one, two or three bytes; after bytes with exceptions."""

TRANSITIONS = [
    # from, first byte, last byte, to
    (START, 0x20, 0x7E, START),  # no control character: not 00 to 1F, not 7F
    (START, 0xC2, 0xC2, AFTER_C2),
    (START, 0xC3, 0xDF, ONE),
    (START, 0xE0, 0xE0, AFTER_E0),
    (START, 0xE1, 0xEC, TWO),
    (START, 0xED, 0xED, AFTER_ED),
    (START, 0xEE, 0xEE, TWO),
    (START, 0xEF, 0xEF, AFTER_EF),
    (START, 0xF0, 0xF0, AFTER_F0),
    (START, 0xF1, 0xF3, THREE),
    (START, 0xF4, 0xF4, AFTER_F4),
    (ONE, 0x80, 0xBF, START),
    (TWO, 0x80, 0xBF, ONE),
    (THREE, 0x80, 0xBF, TWO),
    (AFTER_C2, 0xA0, 0xBF, START),  # U+0080 to U+009F are control characters
    (AFTER_E0, 0xA0, 0xBF, ONE),  # less would be the long form of a short character
    (AFTER_ED, 0x80, 0x9F, ONE),  # more would be a surrogate
    (AFTER_EF, 0x80, 0xBE, ONE),
    (AFTER_EF, 0xBF, 0xBF, AFTER_EF_BF),
    (AFTER_EF_BF, 0x80, 0xBC, START),  # U+FFFD, which stands for undecodable bytes, is EF BF BD
    (AFTER_EF_BF, 0xBE, 0xBF, START),
    (AFTER_F0, 0x90, 0xBF, TWO),
    (AFTER_F4, 0x80, 0x8F, TWO),  # U+10FFFF is the last character
]
"""Table 3-7 of the Unicode Standard, without control characters and U+FFFD."""


class Automaton(NamedTuple):
    """What may follow in each state, and the state after it."""

    allowed: Bool[np.ndarray, "states V"]
    after: Int[np.ndarray, "states V"]
    sizes: Int[np.ndarray, " V"]  # the tokens of the character that a token begins: 1, or 2 to 4 for a leading byte


@functools.lru_cache(maxsize=8)
def automaton(byte_tokens: tuple[int, ...], unwritable: tuple[int, ...], vocabulary: int) -> Automaton:
    """The automaton of a vocabulary: `byte_tokens` are those of the bytes 0 to 255, or none."""
    allowed = np.zeros((AFTER_F4 + 1, vocabulary), bool)
    after = np.zeros(allowed.shape, np.int32)
    sizes = np.ones(vocabulary, np.int32)
    allowed[START] = True
    allowed[START, [*byte_tokens, *unwritable]] = False
    if byte_tokens:
        for state, first, last, next_state in TRANSITIONS:
            tokens = [token for token in byte_tokens[first : last + 1] if token not in unwritable]
            allowed[state, tokens], after[state, tokens] = True, next_state
        for first, size in ((0xC2, 2), (0xE0, 3), (0xF0, 4)):
            sizes[list(byte_tokens[first:])] = size
    return Automaton(allowed, after, sizes)


def has_automaton(plan: SearchPlan) -> bool:
    """Whether a vocabulary has tokens that need the rule."""
    return bool(plan.byte_tokens or plan.unwritable)


def follow_bytes(
    states: Int[Array, "B K"], tokens: Int[Array, "B K"], plan: SearchPlan, vocabulary: int
) -> Int[Array, "B K"]:
    """The states after the newest tokens. Tokens that a prefix forces from a wrong state lead to START."""
    return jnp.asarray(automaton(plan.byte_tokens, plan.unwritable, vocabulary).after)[states, tokens]


def complete_characters(
    log_probabilities: Float[Array, "B K V"],
    states: Int[Array, "B K"],
    positions: Int[Array, " B"],
    limits: Int[Array, " B"],
    plan: SearchPlan,
) -> Float[Array, "B K V"]:
    """Forbids what cannot follow in the state of a hypothesis, and characters that its length limit would cut."""
    table = automaton(plan.byte_tokens, plan.unwritable, log_probabilities.shape[-1])
    fits = table.sizes[None] <= jnp.maximum(limits - positions, 1)[:, None]
    is_allowed = jnp.asarray(table.allowed)[states] & (fits[:, None] | (states != START)[..., None])
    return jnp.where(is_allowed, log_probabilities, NEVER)
