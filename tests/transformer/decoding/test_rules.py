"""Rules for outputs, against brute force over what they allow."""

import jax.numpy as jnp
import numpy as np
import pytest

from data.batch import BOS, EOS, PAD, UNK
from tests.support.markov_search import LENGTH, VOCABULARY, WIDE, check_against_brute_force, limited, plan, run, texts
from transformer.decoding.stepper import NEVER


def test_limits_and_minimums_of_rows_are_kept():
    rows = limited(jnp.asarray([4, 3, 2, 4]))._replace(minimum=jnp.asarray([3, 1, 1, 0]))
    limits, minimums = [4, 3, 2, 4], [3, 1, 1, 0]
    check_against_brute_force("beam", rows, plan(WIDE, 1, LENGTH), lambda row, t: minimums[row] < len(t) <= limits[row])


def test_an_output_begins_with_the_prefix_of_its_row():
    prefixes = [[5, 0, 0, 0], [0, 0, 0, 0], [6, 6, 0, 0], [4, 5, 6, 0]]
    rows = limited(jnp.full(4, LENGTH))._replace(prefix=jnp.asarray(prefixes))
    wanted = [tuple(token for token in prefix if token) for prefix in prefixes]
    check_against_brute_force("beam", rows, plan(WIDE, 1, LENGTH), lambda row, t: t[: len(wanted[row])] == wanted[row])


@pytest.mark.parametrize("size", [1, 2])
def test_no_run_of_tokens_is_repeated(size):
    def allows(row, tokens):
        runs = [tokens[n : n + size] for n in range(len(tokens) - size + 1)]
        return len(tokens) > 3 and len(runs) == len(set(runs))

    rows = limited(jnp.full(8, LENGTH))._replace(minimum=jnp.full(8, 3))
    check_against_brute_force("beam", rows, plan(WIDE, 1, LENGTH, unrepeated=size), allows)


def test_banned_sequences_are_never_written():
    banned = ((4,), (5, 6), (6, 6, 5))

    def allows(row, tokens):
        is_banned = any(tokens[n : n + len(one)] == one for one in banned for n in range(len(tokens)))
        return len(tokens) > 2 and not is_banned

    rows = limited(jnp.full(8, LENGTH))._replace(minimum=jnp.full(8, 2))
    check_against_brute_force("beam", rows, plan(WIDE, 1, LENGTH, banned=banned), allows)


def test_a_repetition_penalty_multiplies_the_log_probabilities_of_written_tokens():
    table = np.log(np.full((1, VOCABULARY, VOCABULARY, VOCABULARY), 0.3, np.float32))
    table[..., [PAD, UNK, BOS, EOS]] = NEVER
    table[..., 4] = np.log(0.4)
    found = run("greedy", table, limited(jnp.full(1, 4)), plan(1, 1, 4, length_penalty=0.0, repetition_penalty=2.0))
    assert texts(found, 0) == [(4, 5, 6, 4)]
    assert found.scores[0, 0] == pytest.approx(np.log(0.4) + 2 * np.log(0.3) + 2 * np.log(0.4), abs=1e-5)
