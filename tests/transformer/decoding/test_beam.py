"""Search against brute force on small random Markov tables, and relations between searches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.batch import BOS, EOS, PAD, UNK
from tests.support.markov_search import (
    LENGTH,
    WIDE,
    History,
    brute_force,
    limited,
    plan,
    run,
    search,
    stepper,
    tables,
    texts,
)
from transformer.decoding import STRATEGIES, Stepper
from transformer.decoding.beam import beam_search
from transformer.decoding.stepper import NEVER

ALPHAS = [0.0, 0.6, 1.0, 1.7]


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("penalty", ["gnmt", "power"])
def test_a_wide_beam_finds_what_brute_force_finds(alpha, penalty):
    table = tables(rows=6, seed=1)
    of_all = plan(WIDE, 3, LENGTH, length_penalty=alpha, penalty=penalty)
    found = run("beam", table, limited(jnp.full(6, LENGTH)), of_all)
    for row in range(len(table)):
        expected = brute_force(table[row], alpha, penalty=penalty)[:3]
        assert texts(found, row) == [tokens for _, tokens in expected]
        np.testing.assert_allclose(found.scores[row], [score for score, _ in expected], atol=1e-5)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_beam_1_is_greedy(alpha):
    table = tables(rows=50, seed=2)
    rows = limited(jnp.full(50, 12))
    of_all = plan(1, 1, 12, length_penalty=alpha)
    greedy, beam = run("greedy", table, rows, of_all), run("beam", table, rows, of_all)
    for one, other in zip(greedy, beam, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("beams", [5])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_stopping_by_the_bound_changes_no_kept_hypothesis(alpha, beams):
    """With keep == beams the bound never stops a row before it is full, so this is the same search run to its end."""
    table = tables(rows=60, seed=3, sharpness=2.5)
    whole = search(table, beams=beams, keep=beams, alpha=alpha, length=20)
    for keep in {1, beams - 1}:
        early = search(table, beams=beams, keep=keep, alpha=alpha, length=20)
        for one, other in zip(early, whole, strict=True):
            np.testing.assert_array_equal(one, other[:, :keep])


def test_the_bound_stops_rows_early():
    """With plain sums, the others can be dropped once a likely hypothesis has finished."""
    steps = []
    base = stepper()

    def counting(tokens, position, cache):
        jax.debug.callback(lambda: steps.append(1))
        return base.step(tokens, position, cache)

    cache = History(jnp.full((1, 4), PAD), jnp.asarray(tables(rows=1, seed=4).repeat(1, axis=0)))
    table = np.array(cache.table)
    table[..., EOS] = np.log(0.9)
    table[..., 4:] = np.log(0.1 / 3)
    cache = cache._replace(table=jnp.asarray(table))
    beam_search(Stepper(counting, base.reorder), cache, limited(jnp.full(1, 50)), plan(4, 1, 50, length_penalty=0.0))
    jax.effects_barrier()
    assert len(steps) == 1


@pytest.mark.parametrize("beams", [1, 4])
def test_neighbours_and_place_change_nothing_in_a_row(beams):
    table = tables(rows=16, seed=5)
    together = search(table, beams=beams, alpha=1.0, length=20)
    order = np.random.default_rng(0).permutation(16)
    shuffled = search(table[order], beams=beams, alpha=1.0, length=20)
    for one, other in zip(together, shuffled, strict=True):
        np.testing.assert_array_equal(one[order], other)
    rows = np.arange(16) % 3 == 0
    alone = search(table, beams=beams, alpha=1.0, length=20, rows=rows)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one[rows], other[rows])


@pytest.mark.parametrize("beams", [1, 4])
def test_rows_that_are_left_out_have_no_finished_hypothesis_and_cost_no_step(beams):
    calls = []
    base = stepper()

    def counting(tokens, position, cache):
        jax.debug.callback(lambda: calls.append(1))
        return base.step(tokens, position, cache)

    cache = History(jnp.full((3, beams), PAD), jnp.asarray(tables(rows=3, seed=6)))
    strategy = STRATEGIES["greedy" if beams == 1 else "beam"]
    found = strategy(Stepper(counting, base.reorder), cache, limited(jnp.zeros(3, int)), plan(beams, 1, 9))
    jax.effects_barrier()
    assert not calls
    assert not np.any(found.finished)
    assert not np.any(found.lengths)


@pytest.mark.parametrize("beams", [1, 4])
def test_what_meets_the_length_limit_is_flagged_and_used_only_when_nothing_finished(beams):
    table = tables(rows=2, seed=7)
    table[0, ..., EOS] = NEVER
    found = search(table, beams=beams, keep=beams, alpha=1.0, length=6)
    assert not found.finished[0].any()
    assert (found.lengths[0] == 6).all()
    assert EOS not in found.tokens[0]
    flags = found.finished[1].tolist()
    assert flags == sorted(flags, reverse=True)


@pytest.mark.parametrize("beams", [2, 5])
def test_hypotheses_come_best_first_without_repeats(beams):
    found = search(tables(rows=20, seed=8), beams=beams, keep=beams, alpha=0.6, length=20)
    for row in range(20):
        scores = found.scores[row, found.finished[row]]
        assert (np.diff(scores) <= 0).all()
        assert len({tuple(tokens) for tokens in found.tokens[row]}) == beams


@pytest.mark.parametrize("beams", [1, 4])
def test_special_tokens_that_have_no_probability_are_never_generated(beams):
    found = search(tables(rows=20, seed=9), beams=beams, keep=beams, alpha=1.0, length=20)
    for tokens, length in zip(found.tokens.reshape(-1, 20), found.lengths.reshape(-1), strict=True):
        assert not set(tokens[:length]) & {PAD, UNK, BOS}
        assert (tokens[length:] == PAD).all()


def test_patience_continues_a_row_until_more_hypotheses_have_finished():
    table = tables(rows=40, seed=12)
    rows = limited(jnp.full(40, 20))
    scores = [run("beam", table, rows, plan(3, 1, 20, patience=patience)).scores for patience in (0.3, 1.0, 4.0)]
    assert (scores[0] <= scores[1]).all()
    assert (scores[1] <= scores[2]).all()
    assert (scores[0] < scores[1]).any()
    assert (scores[1] < scores[2]).any()
