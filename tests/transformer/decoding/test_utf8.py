"""The automaton of byte tokens against Python's decoder, and the rule in every strategy."""

import unicodedata

import jax.numpy as jnp
import numpy as np
import pytest

from data.batch import EOS
from transformer.config import DecodingConfig
from transformer.decoding import SearchPlan
from transformer.decoding.stepper import NEVER
from transformer.decoding.utf8 import START, automaton, complete_characters, follow_bytes

FIRST = 8  # the token of byte 0
BYTES = tuple(range(FIRST, FIRST + 256))
VOCABULARY = FIRST + 256
LETTER, CONTROL = 4, 5
TABLE = automaton(BYTES, (CONTROL,), VOCABULARY)
PLAN = SearchPlan(DecodingConfig(), maximum_length=20, byte_tokens=BYTES, unwritable=(CONTROL,))


def accepts(content: bytes) -> bool:
    """Whether the automaton lets the bytes be written, followed by the end."""
    state = START
    for byte in content:
        if not TABLE.allowed[state, FIRST + byte]:
            return False
        state = int(TABLE.after[state, FIRST + byte])
    return bool(TABLE.allowed[state, EOS])


def is_text(content: bytes) -> bool:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return False
    return not any(c == "\ufffd" or unicodedata.category(c) == "Cc" for c in text)


def test_all_sequences_of_up_to_two_bytes_are_accepted_if_they_are_text():
    for first in range(256):
        assert accepts(bytes([first])) == is_text(bytes([first]))
        for second in range(256):
            assert accepts(bytes([first, second])) == is_text(bytes([first, second]))


def test_longer_characters_are_accepted_at_and_around_every_exception():
    edges = [0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBC, 0xBD, 0xBE, 0xBF, 0xC0]
    for lead in range(0xDF, 0x100):
        for second in edges:
            for third in edges:
                for content in (bytes([lead, second, third]), bytes([lead, second, third, 0x80])):
                    assert accepts(content) == is_text(content), content


@pytest.mark.parametrize("text", ["é", "狗", "🐕", "e\u0301", "\ufdd0"])
def test_every_character_that_is_text_is_accepted(text):
    assert accepts(text.encode())


def test_only_bytes_that_continue_a_character_may_follow_within_it():
    state = int(TABLE.after[START, FIRST + 0xE7])
    assert not TABLE.allowed[state, [LETTER, CONTROL, EOS]].any()
    assert TABLE.allowed[START, [LETTER, EOS]].all()
    assert not TABLE.allowed[START, CONTROL]
    assert TABLE.allowed[state].sum() == 64


def test_a_character_that_does_not_fit_is_not_begun_and_others_keep_their_bits():
    scores = jnp.asarray(np.random.default_rng(0).normal(size=(2, 1, VOCABULARY)).astype(np.float32))
    states = jnp.zeros((2, 1), jnp.int32)
    found = np.asarray(complete_characters(scores, states, jnp.array([3, 3]), jnp.array([5, 7]), PLAN))
    leads = FIRST + np.array([0xC3, 0xE7, 0xF1])
    assert (found[0, 0, leads] > NEVER).tolist() == [True, False, False]
    assert (found[1, 0, leads] > NEVER).all()
    usual = [*range(CONTROL), *range(CONTROL + 1, FIRST)]
    assert (found[..., usual] == np.asarray(scores)[..., usual]).all()


def test_states_follow_the_newest_tokens():
    states = jnp.zeros((1, 2), jnp.int32)
    states = follow_bytes(states, jnp.array([[FIRST + 0xE7, LETTER]]), PLAN, VOCABULARY)
    assert states.tolist() == [[int(TABLE.after[START, FIRST + 0xE7]), START]]
